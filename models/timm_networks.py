"""Any network of timm as a backbone, named "timm:<name>": the maps of its stages, or of its transformer blocks.

The names and the weights are those of timm (https://huggingface.co/docs/timm). A stage is named as timm's feature API
names it: "layer2" of a ResNet, "stages.1" of a ConvNeXt, "blocks.11" of a vision transformer.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from fastener.common.errors import UserError
from fastener.models.backbones import TIMM, Backbone

_STRIDES = (8, 16)  # of the stages that are joined by default, as for the backbones that are named here


@lru_cache
def timm_backbone(name: str) -> Backbone:
    """Describe a network of timm, ``name`` with or without the tag of its weights, such as "resnet18.a1_in1k".

    Raises UserError if timm knows no such network, or cannot give the maps of its stages.
    """
    import timm
    from timm.models import get_pretrained_cfg

    if not timm.is_model(name):
        similar = difflib.get_close_matches(name.partition(".")[0], timm.list_models(), n=3)
        raise UserError(f"--backbone {TIMM}{name}: timm {timm.__version__} has no such network{_instead(similar)}")
    try:
        config = get_pretrained_cfg(name)
    except RuntimeError:  # the tag behind the dot
        tags = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        raise UserError(f"--backbone {TIMM}{name}: no weights of that tag; there are {', '.join(tags)}") from None
    if config is None:
        raise UserError(f"--backbone {TIMM}{name}: timm publishes no weights of it, nor what it wants to see")
    # The structure alone, since sizes of layers do not depend on weights and need no memory.
    with torch.device("meta"):
        stages = _stages(_whole(name), name)
    reductions = list(stages.values())
    if len(set(reductions)) == 1:
        layers: tuple[str, ...] = (list(stages)[-1],)
    else:
        layers = tuple(stage for stage, stride in stages.items() if stride in _STRIDES) or (list(stages)[-1],)
    return Backbone(
        f"{TIMM}{name}",
        partial(timm_network, name),
        layers,
        stride=min(stages[layer] for layer in layers),
        border="inside",
        mean=_three(config.mean),
        std=_three(config.std),
        hub=config.hf_hub_id,
        half=False,
    )


def timm_network(name: str, layers: Sequence[str]) -> nn.Module:
    """Build a network of timm without its weights, cut behind ``layers``.

    Raises UserError for a layer that does not exist.
    """
    return TimmNetwork(_whole(name), layers, name=f"{TIMM}{name}")


class TimmNetwork(nn.Module):
    """Compute a network of timm up to the last of some layers, and return the maps of these layers.

    A transformer takes images whose sides are multiples of its patch: others are resampled to the nearest multiple. Its
    maps are normalised as in front of its head, without class and register tokens: so DINOv2 is used (Oquab et
    al. 2024).

    Parameters
    ----------
    network : torch.nn.Module
        The whole network, which the cut one takes over: RGB (n, 3, H, W) in.
    layers : sequence of str
        Names of stages.
    name : str
        Name of the network, for messages.

    Raises
    ------
    UserError
        If a layer does not exist.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], *, name: str):
        super().__init__()
        stages = _stages(network, name)
        for layer in layers:
            if layer not in stages:
                raise UserError(f"model.layers: {name} has no stage '{layer}'; it has {', '.join(stages)}")
        at = sorted({list(stages).index(layer) for layer in layers})
        strides = set(stages.values())
        self._transformer = len(strides) == 1
        self._multiple = strides.pop() if self._transformer else 1
        # Removes what lies behind the last stage; the norm in front of the head stays where the maps need it.
        self._at: Any = network.prune_intermediate_layers(at, prune_norm=not self._transformer)  # type: ignore[operator]
        self._modules, self._parameters, self._buffers = network._modules, network._parameters, network._buffers
        object.__setattr__(self, "_whole", network.eval())

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """RGB (n, 3, H, W) -> the maps of the layers, each (n, c, h, w), in the order of the network."""
        if self._multiple > 1:
            images = _to_multiples(images, self._multiple)
        whole: Any = self._whole
        maps: list[torch.Tensor] = whole.forward_intermediates(
            images, indices=self._at, norm=self._transformer, stop_early=True, intermediates_only=True
        )
        return maps


def _whole(name: str) -> nn.Module:
    """Build a network of timm without head and weights, for images of any size where it can take these."""
    import timm

    try:
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
    except TypeError:  # no transformer with positions to resample
        network = timm.create_model(name, pretrained=False, num_classes=0)
    if not hasattr(network, "forward_intermediates"):
        raise UserError(f"--backbone {TIMM}{name}: timm cannot give the maps of its stages")
    return network


def _stages(network: nn.Module, name: str) -> dict[str, int]:
    """Name the stages of a network, each with its stride in pixels, finest first."""
    info: Any = network.feature_info
    entries = info if isinstance(info, list) else info.info
    if not entries:
        raise UserError(f"--backbone {TIMM}{name}: timm names no stages of it")
    return {entry["module"]: entry["reduction"] for entry in entries}


def _to_multiples(images: torch.Tensor, multiple: int) -> torch.Tensor:
    """Resample images (n, 3, H, W) so that each side is the nearest multiple, at least one."""
    height, width = ((max(side, multiple) + multiple // 2) // multiple * multiple for side in images.shape[2:])
    return F.interpolate(images, (height, width), mode="bilinear", align_corners=False, antialias=False)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue


def _instead(similar: Sequence[str]) -> str:
    return f"; similar names: {', '.join(similar)}" if similar else ""
