"""Deform synthetic fasteners by a known amount: bent, oval, chipped, mushroomed, too long, with damaged threads.

Positions are those of shapes.py: p along the part's axis in the picture and q across it, in units of the shank radius
(bolt) or of half the outer width (nut, washer); u runs along the axis itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.synthetic.shapes import Deformation, PartShape


@dataclass(frozen=True)
class DeformationKind:
    """Describe one kind of deformation.

    Parameters
    ----------
    parts : tuple of str
        Kinds of parts that can have it.
    unit : str
        What the amount counts.
    usual : tuple of float
        Range from which an amount is drawn when none is given.
    limits : tuple of float
        Least and greatest amount that can be drawn.
    """

    parts: tuple[str, ...]
    unit: str
    usual: tuple[float, float]
    limits: tuple[float, float]


DEFORMATIONS = {
    "bend": DeformationKind(("bolt", "washer"), "degrees", (17.0, 32.0), (0.5, 60.0)),
    "oval": DeformationKind(("washer",), "% by which the long axis exceeds the short one", (8.0, 20.0), (0.5, 60.0)),
    "stripped thread": DeformationKind(("bolt",), "% of the thread's length", (30.0, 70.0), (5.0, 100.0)),
    "flattened thread": DeformationKind(("bolt",), "% of the thread's depth", (40.0, 80.0), (5.0, 95.0)),
    "missing thread": DeformationKind(("bolt",), "% of the thread's length", (30.0, 70.0), (5.0, 100.0)),
    "chipped corner": DeformationKind(("nut",), "% of the corner's distance from the axis", (8.0, 16.0), (1.0, 30.0)),
    "wrong length": DeformationKind(("bolt",), "% of the length; negative is shorter", (35.0, 60.0), (-70.0, 150.0)),
    "mushroomed head": DeformationKind(("bolt",), "% of the head's width", (15.0, 30.0), (1.0, 60.0)),
}


def deformed(shape: PartShape, kind: str, amount: float | None, rng: np.random.Generator) -> PartShape:
    """Deform a part; what is not given is drawn from ``rng``. Raises UserError for what ``check`` refuses."""
    check(shape.kind, kind, amount)
    if kind == "bend":
        # The draws of earlier versions, so that their pictures stay the same.
        low, high = (0.3, 0.55) if shape.kind == "bolt" else (0.7, 0.95)
        drawn = rng.uniform(low, high)
        sign = rng.choice([-1, 1]) if shape.kind == "bolt" else 1
        return replace(shape, bend=float(sign * (drawn if amount is None else np.deg2rad(amount))))
    if amount is None:
        amount = float(rng.uniform(*DEFORMATIONS[kind].usual))
    place, direction = float(rng.random()), float(rng.uniform(0, np.pi))
    if kind == "wrong length":
        shape = replace(shape, length=shape.length * (1 + amount / 100))
    return replace(shape, deformation=Deformation(kind, amount, place, direction))


def amount_of(shape: PartShape) -> float:
    """Return the amount of a part's deformation in its unit; 0 without one."""
    if shape.bend:
        return float(np.rad2deg(abs(shape.bend)))
    return shape.deformation.amount if shape.deformation else 0.0


def check(part: str, kind: str, amount: float | None) -> None:
    """Raise UserError for a deformation that a kind of part cannot have, and for an amount out of range."""
    known = DEFORMATIONS[kind]
    if part not in known.parts:
        raise UserError(f"defect: {kind!r} is no deformation of a {part}; use a {' or a '.join(known.parts)}")
    if amount is not None and (not known.limits[0] <= amount <= known.limits[1] or amount == 0):
        low, high = known.limits
        raise UserError(f"amount: {amount:g} is out of range for {kind!r}; use {low:g} to {high:g} {known.unit}")
