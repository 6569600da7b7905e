"""What a worker has to register before it can build a model: kinds of evidence and a backbone of the user's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastener.inspection.evidence_base import Evidence
from fastener.inspection.registry import EVIDENCE
from fastener.models.backbones import BACKBONES, Backbone


@dataclass(frozen=True)
class Registered:
    """Carry entries of the registries to other processes, which know the built-in ones only.

    Classes and functions travel by name: the module that defines them must be importable on the workers.
    """

    evidence: dict[str, type[Evidence]]
    backbone: Backbone

    @classmethod
    def of(cls, kinds: Iterable[str], backbone: str) -> Registered:
        """Take the entries that a model of these ``kinds`` on ``backbone`` needs."""
        return cls({kind: EVIDENCE[kind] for kind in kinds}, BACKBONES[backbone])

    def register(self) -> None:
        """Enter them in the registries of this process."""
        EVIDENCE.update(self.evidence)
        BACKBONES[self.backbone.name] = self.backbone
