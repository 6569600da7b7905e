"""Convolutions that PyTorch lacks: padded as TensorFlow pads, and computed together with their activation."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

# As oneDNN calls the activations, and what it is told beside the name.
_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}


class SamePadded(nn.Conv2d):
    """Convolve with TensorFlow's "SAME" padding: an output of ceil(side / stride), the odd pixel on the far side.

    timm's layer cannot be exported to ONNX at any input size, since it compares sizes in Python.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.conv2d(self.padded(images), self.weight, self.bias, self.stride, groups=self.groups)

    def padded(self, images: torch.Tensor) -> torch.Tensor:
        """Images (n, c, h, w) with the zeros around them that the convolution takes."""
        padding: list[int] = []
        for axis in (1, 0):  # F.pad begins with the last axis
            side, kernel, stride = images.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            outputs = (side + stride - 1) // stride
            # Never negative, as no kernel here is smaller than its stride.
            total = (outputs - 1) * stride + kernel - side
            padding += [total // 2, total - total // 2]
        return F.pad(images, padding)


class FusedConvolution(nn.Module):
    """Convolve and let the activation follow in one pass over the maps, which saves a third of EfficientNet-Lite0.

    The operator is the one that ``torch.compile`` puts in; compiling itself takes a minute for each size of image.
    Elsewhere than in float32 on a CPU with oneDNN the two are called one after the other, with the same result.

    Parameters
    ----------
    convolution : torch.nn.Conv2d
        With zeros around the image, if anything, or a ``SamePadded`` one.
    activation : torch.nn.Module
        Identity, ReLU or ReLU6.
    """

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module):
        super().__init__()
        self.convolution, self.activation = convolution, activation
        self._name, self._numbers = _ACTIVATIONS[type(activation)]

    @staticmethod
    def fits(convolution: nn.Module, activation: nn.Module) -> bool:
        """Tell whether the two can be computed together."""
        plain = type(convolution) is nn.Conv2d and convolution.padding_mode == "zeros"
        plain = plain and not isinstance(convolution.padding, str)
        return (plain or type(convolution) is SamePadded) and type(activation) in _ACTIVATIONS

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not _on_onednn(images):
            return cast(torch.Tensor, self.activation(self.convolution(images)))
        layer = self.convolution
        return cast(
            torch.Tensor,
            torch.ops.mkldnn._convolution_pointwise(
                layer.padded(images) if isinstance(layer, SamePadded) else images,
                layer.weight,
                layer.bias,
                layer.padding,
                layer.stride,
                layer.dilation,
                layer.groups,
                self._name,
                self._numbers,
                "",
            ),
        )


def _on_onednn(images: torch.Tensor) -> bool:
    return (
        images.device.type == "cpu"
        and images.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and not torch.compiler.is_exporting()
        and not torch.is_grad_enabled()
    )
