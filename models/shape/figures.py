"""The figures of one part's shape: bend, asymmetry, ovality, thread and holes, each with the places it rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.models.shape.axis import SECTIONS, bend_of, flare_of, profile_of, thread_of
from fastener.models.shape.outline import POINTS, Outline, as_real, contour, distances, fits, laid, mirrored, outline_of

_HIGHEST = 0.06  # share of an outline's points, the farthest off, whose mean distance counts
MOSTLY = 0.95  # share of an outline that must be seen for figures of the whole
_SMALLEST_HOLE = 0.004  # of the part's area


@dataclass(frozen=True)
class Shape:
    """Hold the shape of one part.

    Attributes
    ----------
    outline : Outline
        The outer border.
    figures : dict of str to float
        "bend" in degrees, "asymmetry" in % of the part's size, "ovality" in % by which the long axis exceeds the short
        one, "holes" as a count, "hole share" in % of the filled area, "hole offset" in % of the part's size, "pitch",
        "thread depth" and "flare", by which the head is wider at its end, in % of the shank's width. A figure is
        missing where the part has nothing of the kind.
    thread : ndarray of float64, (SECTIONS,)
        Depth of the thread along the shank, in shank widths; NaN without a shank.
    places : dict of str to ndarray of float64, (POINTS,)
        Distance in sizes by which each point of the outline bears out a figure.
    section : ndarray of int64, (POINTS,)
        Section of the shank beside which each point lies; -1 off the shank.
    seen : ndarray of bool, (POINTS,)
        Where the photo shows a border; elsewhere the outline is a guess, which bears out nothing.
    """

    outline: Outline
    figures: dict[str, float]
    thread: np.ndarray
    places: dict[str, np.ndarray]
    section: np.ndarray
    seen: np.ndarray

    def moved(self, by: complex) -> Shape:
        """Return the same shape in another place; ``by`` is x + iy in pixels."""
        return replace(self, outline=replace(self.outline, centre=self.outline.centre + by))


def shape_of(
    cover: np.ndarray,
    mend: Callable[[np.ndarray], np.ndarray] | None = None,
    look: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Shape:
    """Measure the largest piece of ``cover``, float32 (h, w), 0 to 1, see preprocessing/cover.py.

    ``mend`` moves the points of its border, float (n, 2), where it knows better; ``look`` tells where a border is seen,
    bool (n,). Raises ValueError if there is no outline to measure.
    """
    outline = outline_of(contour(cover))
    if mend is not None:
        outline = outline_of(mend(as_real(outline.pixels)))
    seen = np.ones(POINTS, bool) if look is None else look(as_real(outline.pixels))
    figures: dict[str, float] = {}
    places: dict[str, np.ndarray] = {}
    thread, section = np.full(SECTIONS, np.nan), np.full(POINTS, -1)
    profile = profile_of(outline, cover)
    if profile is not None and profile.has_shank:
        along = (outline.curve * profile.turn).real
        bend, found = bend_of(profile), thread_of(profile)
        figures |= {"bend": bend.degrees, "pitch": 100 * found.pitch, "thread depth": 100 * float(found.depth.max())}
        flare = flare_of(profile)
        if np.isfinite(flare) and seen.mean() >= MOSTLY:
            figures["flare"] = 100 * flare
        places["bend"] = np.interp(along, profile.at, bend.away)
        thread = found.depth
        ends = profile.at[profile.shank][[0, -1]]
        section = np.floor((along - ends[0]) / (ends[1] - ends[0]) * SECTIONS).astype(int)
        section[(section < 0) | (section >= SECTIONS)] = -1
    counterpart, both = _counterpart(outline.curve, seen, profile is not None)
    places["asymmetry"] = distances(outline.curve, counterpart) / 2 * both
    figures["asymmetry"] = 100 * float(highest(places["asymmetry"]))
    if profile is None and seen.mean() >= MOSTLY:
        figures["ovality"] = 100 * (_axes(outline) - 1)
    return Shape(outline, figures | _holes(cover, outline, mend), thread, places, section, seen)


def highest(values: np.ndarray) -> np.ndarray:
    """Mean of the highest values of points along outlines, (..., POINTS), each the mean of three neighbours: (...)."""
    calm = (np.roll(values, 1, axis=-1) + values + np.roll(values, -1, axis=-1)) / 3
    count = round(_HIGHEST * POINTS)
    return np.asarray(np.partition(calm, -count, axis=-1)[..., -count:].mean(axis=-1))


def _counterpart(curve: np.ndarray, seen: np.ndarray, long: bool) -> tuple[np.ndarray, np.ndarray]:
    """Lay a symmetric part's curve, complex (POINTS,), on itself in the other way in which it looks the same.

    Also tell where both it and its counterpart are ``seen``, bool (POINTS,). A long part is symmetric about its axis. A
    nut or a washer, however it is tipped, looks the same after half a turn.
    """
    if not long:
        return np.roll(-curve, POINTS // 2), seen & np.roll(seen, POINTS // 2)
    other = mirrored(curve)
    _, shift, turn = fits(curve, other[None])
    return laid(other, int(shift[0]), float(turn[0])), seen & np.roll(seen[::-1], int(shift[0]))


def _axes(outline: Outline) -> float:
    """Ratio of the axes of the ellipse with the moments of the enclosed area, 1 or more."""
    m = cv2.moments((100 * as_real(outline.curve)).astype(np.float32)[:, None])
    lean = np.hypot(m["mu20"] - m["mu02"], 2 * m["mu11"])
    spread = m["mu20"] + m["mu02"]
    return float(np.sqrt((spread + lean) / max(spread - lean, 1e-9)))


def _holes(cover: np.ndarray, outline: Outline, mend: Callable[[np.ndarray], np.ndarray] | None) -> dict[str, float]:
    """Count the holes, and measure the largest: its share of the filled area and how far it lies off the centroid."""
    found, levels = cv2.findContours((cover > 0.5).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if levels is None:
        return {"holes": 0.0}
    area = outline.size**2
    inner = [one for one, level in zip(found, levels[0], strict=True) if level[3] >= 0]
    inner = [one for one in inner if cv2.contourArea(one) > _SMALLEST_HOLE * area]
    if not inner:
        return {"holes": 0.0}
    hole = outline_of(max(inner, key=cv2.contourArea)[:, 0])
    if mend is not None:
        # The part lies outside of its hole: the border runs the other way.
        points = hole.pixels[::-1]
        hole = outline_of(mend(as_real(points)))
    off = abs(hole.centre - outline.centre) / outline.size
    return {"holes": float(len(inner)), "hole share": 100 * hole.size**2 / area, "hole offset": 100 * off}
