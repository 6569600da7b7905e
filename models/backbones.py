"""The backbones that can be named, as a plain dict. Adding one is adding an entry."""

from __future__ import annotations

from dataclasses import dataclass

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Backbone:
    """A frozen feature network.

    ``layers`` are torchvision module names whose outputs are joined by default; ``mean`` and ``std`` normalise RGB in
    [0, 1]; ``url`` is where torchvision publishes the weights (None: the network needs none), and its file name ends
    in the first eight digits of the file's SHA-256. ``half``: whether float16 moves distances between its features by
    less than a hundredth.
    """

    name: str
    layers: tuple[str, ...]
    url: str | None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    half: bool = True


_HUB = "https://download.pytorch.org/models"
_RESNET_LAYERS = ("layer2", "layer3")

BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        Backbone("wide_resnet50_2", _RESNET_LAYERS, f"{_HUB}/wide_resnet50_2-95faca4d.pth"),
        Backbone("resnet18", _RESNET_LAYERS, f"{_HUB}/resnet18-f37072fd.pth"),
        Backbone("resnet50", _RESNET_LAYERS, f"{_HUB}/resnet50-0676ba61.pth"),
        # The expanded tensors carry clearly more than the narrow bottlenecks between them.
        Backbone(
            "mobilenet_v2",
            ("features.7.conv.0", "features.14.conv.0"),
            f"{_HUB}/mobilenet_v2-b0353104.pth",
            half=False,
        ),
        Backbone("filters", (), None),
    )
}
DEFAULT_BACKBONE = "wide_resnet50_2"
