"""The settings among which --tune chooses: one knob away from where the user starts, and the best of them together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastener.config import Config
from fastener.inspection.choice import Choice
from fastener.models.backbones import BACKBONES

_SIZES = (192, 256, 320, 384)
_SMALL = (128,)  # more sizes where photos have to be inspected fast
_ONE_LAYER = 0.8  # of the time of all layers, roughly


@dataclass(frozen=True)
class Candidate:
    """Name changes to the user's settings.

    Parameters
    ----------
    name : str
        What a person reads, such as "320 px"; "default" stands for no change.
    knob : str
        What is turned. Candidates of one knob exclude one another.
    changes : mapping of str to object
        Values by "section__key", as ``Inspector.fit`` takes them.
    cost : float
        Rough estimate of its time, in parts of the time of what it changes.
    """

    name: str
    knob: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    cost: float = 1.0

    @property
    def tree(self) -> dict[str, Any]:
        """The changes as a tree of sections, for a YAML file."""
        tree: dict[str, Any] = {}
        for name, value in self.changes.items():
            *sections, key = name.split("__")
            place = tree
            for section in sections:
                place = place.setdefault(section, {})
            place[key] = list(value) if isinstance(value, tuple) else value
        return tree


DEFAULT = Candidate("default", "none")


def candidates(config: Config, choice: Choice, *, fast: bool = False) -> tuple[Candidate, ...]:
    """List settings one knob away from ``config``, whose backbone and evidence are ``choice``; the default is first.

    With ``fast`` there are smaller frames among them, too.
    """
    found = [DEFAULT, *_frames(config, (*_SMALL, *_SIZES) if fast else _SIZES), *_banks(config)]
    if choice.backbone != "filters" and "cnn" in choice.kinds:
        found += _networks(config, choice)
    return tuple(found)


def together(best: Sequence[Candidate]) -> Candidate | None:
    """Join the first candidate of each knob; None if all are of one knob."""
    first: dict[str, Candidate] = {}
    for one in best:
        first.setdefault(one.knob, one)
    if len(first) < 2:
        return None
    changes = {key: value for one in first.values() for key, value in one.changes.items()}
    cost = math.prod(one.cost for one in first.values())
    return Candidate(" + ".join(one.name for one in first.values()), "together", changes, cost)


def _frames(config: Config, sizes: Sequence[int]) -> list[Candidate]:
    preprocess = config.preprocess
    area = float(np.prod(np.broadcast_to(preprocess.size, 2)))
    found = [
        Candidate(f"{side} px", "resolution", {"preprocess__size": side}, side**2 / area)
        for side in sizes
        if side != preprocess.size
    ]
    if preprocess.upright:
        found.append(Candidate("photos taken whole", "pose", {"preprocess__upright": False}))
    elif not preprocess.enabled:
        found.append(Candidate("part turned upright", "pose", {"preprocess__upright": True}))
    elif preprocess.align:
        found.append(Candidate("part not turned", "pose", {"preprocess__align": False}))
    if not preprocess.seeks_part and preprocess.center_crop == 1.0:
        found.append(Candidate("central 7/8 of the photo", "crop", {"preprocess__center_crop": 0.875}))
    return found


def _banks(config: Config) -> list[Candidate]:
    model = config.model
    found = []
    if not model.whiten:
        found.append(Candidate("whitened features", "scale", {"model__whiten": True}))
    if model.top_share is not None:
        found.append(Candidate("score of equation 7", "score", {"model__top_share": None}))
    if model.top_share is not None or model.num_neighbors > 1:
        largest = {"model__top_share": None, "model__num_neighbors": 1}
        found.append(Candidate("largest distance, without neighbours", "score", largest))
    return found + [
        Candidate(f"{share:.0%} of the patches", "bank", {"model__coreset_ratio": share})
        for share in (0.01, 0.05)
        if share != model.coreset_ratio
    ]


def _networks(config: Config, choice: Choice) -> list[Candidate]:
    layers = config.model.layers or BACKBONES[choice.backbone].layers
    found = []
    if not config.model.unit_length:
        found.append(Candidate("features of unit length", "scale", {"model__unit_length": True}))
    if len(layers) > 1:
        found += [
            Candidate(f"layer {layer} alone", "layers", {"model__layers": (layer,)}, _ONE_LAYER) for layer in layers
        ]
    others = tuple(kind for kind in choice.kinds if kind not in ("cnn", "filters"))
    voices = {"network alone": ("cnn",), "filters alone": ("filters",), "network and filters": ("cnn", "filters")}
    for name, kinds in voices.items():
        if {*kinds, *others} != set(choice.kinds):
            cost = (len(kinds) + len(others)) / len(choice.kinds)
            found.append(Candidate(name, "evidence", {"evidence": (*kinds, *others)}, cost))
    return found
