"""Lay a component's T0 shot over a later shot, and tell whether the result can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.config import CorrosionSettings
from fastener.corrosion.small_picture import Picture
from fastener.preprocessing.registration import compose, invert

_STARTS = 3
_ECC_STEPS = 40
# Elongated parts already stand upright in the canonical frame, so only upright and upside down are tried.
_LONG = 1.35
_TILTS = (-8.0, -4.0, 0.0, 4.0, 8.0)
# Round parts are turned in polar coordinates, in steps of one degree; two starts lie at least this far apart.
_RINGS, _TURNS, _APART = 64, 360, 8
_INSIDE = 4
# Weight of the surface's correlation beside outline and edges, which corrosion changes less.
_SURFACE_WEIGHT = 0.3
# An outline lies within another if this share of it does.
_WITHIN = 0.97
# Two outlines differ by a bite if their shares of their convex hulls differ by this.
_BITTEN = 0.02
# Surfaces agree around a place within this many pixels. Corrosion leaves more than the rest above this quantile.
_AROUND, _KEPT = 8.0, 2 / 3
# A photo is mirrored if the mirrored T0 shot fits better by this margin.
_MIRROR_MARGIN = 0.12


@dataclass(frozen=True)
class Registration:
    """Hold how a T0 shot lies in a later shot, both in canonical frames of the same size.

    Parameters
    ----------
    transform
        From canonical pixels of T0 to canonical pixels of the later shot, float64 (2, 3).
    correlation
        Correlation of the two surfaces where the parts overlap, -1 to 1.
    overlap
        Intersection over union of the two masks where both photos show the place, 0 to 1.
    believable
        Whether the shots may be compared place by place.
    marks
        Correlation of the edges (holes, threads, rims, stamps) where the parts overlap, -1 to 1.
    mirrored
        Whether the mirrored T0 shot fits clearly better.
    chance
        Correlation of the edges with the mirrored T0 shot, which no later shot shows: how well the rings and rims of
        such a part agree without being the same; None where the marks are too clear to ask.
    bitten
        Whether the later part lies within T0's and the marks agree clearly. A part does not shrink, so what the later
        part lacks of T0's is deposit as light as the background, which was taken for it.
    """

    transform: np.ndarray
    correlation: float
    overlap: float
    believable: bool
    marks: float = 1.0
    mirrored: bool = False
    chance: float | None = None
    bitten: bool = False

    @property
    def fit(self) -> float:
        """Sum of the agreements of outline, edges and surface, by which candidates are ranked."""
        return self.overlap + self.marks + _SURFACE_WEIGHT * self.correlation

    def warp(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Bring a canonical image of T0, (h, w) or (h, w, c), into the later shot's frame of ``size``; 0 outside."""
        return np.asarray(cv2.warpAffine(image, self.transform, (size[1], size[0])))

    def coarse(self, step: int) -> Registration:
        """Return the same registration for frames of which only every ``step``-th row and column is kept."""
        return replace(self, transform=np.column_stack([self.transform[:, :2], self.transform[:, 2] / step]))


def register(baseline: Picture, later: Picture, *, scale: float = 1.0, settings: CorrosionSettings) -> Registration:
    """Find the affine transform from ``baseline`` to ``later``, both made by ``picture_of``.

    Outline, holes and edges lead, because corrosion changes the surface. Candidate turns are tried with centre and area
    of the masks aligned: those at which the edges agree best in polar coordinates. The best few are refined by the
    enhanced correlation coefficient (Evangelidis and Psarakis, 2008), first of outline and edges, then of the surface.
    A result is believable if outline and edges agree, and the transform is nearly a similarity, as for the same part in
    the same view. Only places that both photos show count, so that a cropped part fits what is left of it.

    Parameters
    ----------
    baseline, later
        T0 and the later shot.
    scale
        Frame pixels for each pixel of the pictures; the transform is in frame pixels.
    settings
        Least agreements of a believable registration.
    """
    best, agreement = _search(baseline, later)
    flipped = baseline.mirrored()
    overlap, marks, correlation = agreement
    mirrored, chance = False, None
    if marks < settings.clear_marks:
        _, reverse = _search(flipped, later)
        chance = reverse[1]
        mirrored = _rank(reverse) > _rank(agreement) + _MIRROR_MARGIN
    bitten = marks >= settings.clear_marks and _lies_within(baseline, later, best)
    agree = (marks + correlation) / 2.0 >= settings.min_correlation
    if not agree:
        kept = _kept_correlation(baseline, later, best)
        agree = (marks + kept) / 2.0 >= settings.min_correlation
    believable = agree and (overlap >= settings.min_overlap or bitten) and not mirrored and _is_nearly_similarity(best)
    to_small = np.array([[1 / scale, 0.0, (1 / scale - 1) / 2], [0.0, 1 / scale, (1 / scale - 1) / 2]])
    transform = compose(invert(to_small), compose(best, to_small))
    return Registration(transform, correlation, overlap, believable, marks, mirrored, chance, bitten)


def _search(baseline: Picture, later: Picture) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Find the best transform in pixels of the pictures, and its agreements."""
    starts = [
        _start(first, second, angle)
        for first, second in _outlines(baseline, later)
        for angle in _angles(replace(baseline, mask=first), replace(later, mask=second))
    ]
    ranked = sorted(starts, key=lambda start: -_rank(_agreement(baseline, later, start)))[:_STARTS]
    found = [candidate for start in ranked for candidate in _refined(baseline, later, start)]
    best = max(found, key=lambda one: _rank(_agreement(baseline, later, one)))
    return best, _agreement(baseline, later, best)


def _outlines(first: Picture, second: Picture) -> list[tuple[np.ndarray, np.ndarray]]:
    """List the pairs of masks whose centres and areas may be aligned: the parts, and their hulls if one is bitten."""
    hulls = _hull(first.mask), _hull(second.mask)
    solid = [mask.sum() / max(int(hull.sum()), 1) for mask, hull in zip((first.mask, second.mask), hulls, strict=True)]
    bitten = abs(solid[0] - solid[1]) > _BITTEN
    return [(first.mask, second.mask), *([hulls] if bitten else [])]


def _hull(mask: np.ndarray) -> np.ndarray:
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    if not len(points):
        return mask
    return cv2.fillConvexPoly(np.zeros(mask.shape, np.uint8), cv2.convexHull(points), 1) > 0


def _rank(agreement: tuple[float, float, float]) -> float:
    overlap, marks, correlation = agreement
    return overlap + marks + _SURFACE_WEIGHT * correlation


def _angles(first: Picture, second: Picture) -> list[float]:
    """List the turns in degrees that are worth trying."""
    if min(_elongation(first.mask), _elongation(second.mask)) > _LONG:
        return [half + tilt for half in (0.0, 180.0) for tilt in _TILTS]
    if not first.mask.any() or not second.mask.any():
        return [0.0]
    one, other = (_polar(picture) for picture in (first, second))
    agreement = np.fft.irfft(np.conj(np.fft.rfft(one, axis=0)) * np.fft.rfft(other, axis=0), _TURNS, axis=0).sum(axis=1)
    angles: list[float] = []
    for turn in np.argsort(-agreement):
        if all(abs((turn - angle + 180.0) % 360.0 - 180.0) >= _APART for angle in angles):
            angles.append(float(turn))
        if len(angles) == 2 * _STARTS:
            break
    return angles


def _polar(picture: Picture) -> np.ndarray:
    """Draw edges and surface over angle and radius around the part's centre: float32 (_TURNS, 2 * _RINGS).

    Each ring has mean 0, so that round rims, which fit at every turn, do not count. Outer rings have more pixels.
    """
    centre = np.argwhere(picture.mask).mean(axis=0)[::-1]
    radius = 1.15 * float(np.sqrt(picture.mask.sum() / np.pi))
    drawn = []
    for image, weight in ((picture.edges, 3.0), (picture.surface, _SURFACE_WEIGHT)):
        at = (float(centre[0]), float(centre[1]))
        rings = cv2.warpPolar(image, (_RINGS, _TURNS), at, radius, cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS)
        rings = rings - rings.mean(axis=0, keepdims=True)
        drawn.append(weight * rings * np.sqrt(np.arange(_RINGS) + 0.5))
    return np.concatenate(drawn, axis=1)


def _elongation(mask: np.ndarray) -> float:
    points = np.argwhere(mask)
    if len(points) < 3:
        return 1.0
    spread = np.linalg.eigvalsh(np.cov(points.T.astype(np.float64)))
    return float(np.sqrt(spread[1] / max(spread[0], 1e-6)))


def _start(first: np.ndarray, second: np.ndarray, angle: float) -> np.ndarray:
    """Return the similarity that aligns centre and area of two masks, turned by ``angle`` degrees."""
    a, b = np.argwhere(first), np.argwhere(second)
    if not len(a) or not len(b):
        return np.eye(2, 3)
    scale, turn = np.sqrt(len(b) / len(a)), np.deg2rad(angle)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, b.mean(0)[::-1] - linear @ a.mean(0)[::-1]])


def _refined(baseline: Picture, later: Picture, start: np.ndarray) -> list[np.ndarray]:
    """Refine ``start`` by outline and edges, then by the surface; list all stages, since each may be the best."""
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _ECC_STEPS, 1e-3)
    found = [start]
    pairs = (
        (baseline.outline + baseline.edges, later.outline + later.edges),
        (baseline.surface, later.surface),
    )
    for template, scene in pairs:
        # OpenCV samples its second picture at warp(x) for each x of its first one: T0 comes first.
        try:
            _, move = cv2.findTransformECC(template, scene, found[-1].astype(np.float32), cv2.MOTION_AFFINE, criteria)
        except cv2.error:
            continue
        found.append(move.astype(np.float64))
    return found


def _agreement(baseline: Picture, later: Picture, transform: np.ndarray) -> tuple[float, float, float]:
    """Return overlap of the masks, correlation of the edges and correlation of the surfaces."""
    size = (later.shape[1], later.shape[0])
    moved_mask, moved_seen = (
        cv2.warpAffine(one.astype(np.uint8), transform, size, flags=cv2.INTER_NEAREST) > 0
        for one in (baseline.mask, baseline.seen)
    )
    seen = moved_seen & later.seen
    both, either = moved_mask & later.mask & seen, (moved_mask | later.mask) & seen
    overlap = float(both.sum() / max(int(either.sum()), 1))
    if both.sum() < 16:
        return overlap, 0.0, 0.0
    edges, surface = (cv2.warpAffine(one, transform, size) for one in (baseline.edges, baseline.surface))
    # Any two parts of one outline agree at the outline, so marks are sought inside.
    inside = cv2.erode(both.astype(np.uint8), np.ones((2 * _INSIDE + 1, 2 * _INSIDE + 1), np.uint8), borderValue=0) > 0
    marks = _correlation(edges[inside], later.edges[inside]) if inside.sum() >= 16 else 0.0
    return overlap, marks, _correlation(surface[both], later.surface[both])


def _kept_correlation(baseline: Picture, later: Picture, transform: np.ndarray) -> float:
    """Correlate the surfaces around each place, and return the value that the best-kept third of the places exceeds.

    Deposit changes places beyond recognition, and a heavy one outweighs the rest of the surface. On another part, or
    another side, hardly any place agrees.
    """
    size = (later.shape[1], later.shape[0])
    moved = cv2.warpAffine(baseline.mask.astype(np.uint8), transform, size, flags=cv2.INTER_NEAREST) > 0
    both = moved & later.mask & later.seen
    if both.sum() < 16:
        return 0.0
    surface, weight = cv2.warpAffine(baseline.surface, transform, size), both.astype(np.float32)
    total = np.maximum(cv2.GaussianBlur(weight, (0, 0), _AROUND), 1e-3)

    def mean(image: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.GaussianBlur(image * weight, (0, 0), _AROUND) / total)

    one, other = mean(surface), mean(later.surface)
    spread = (mean(surface**2) - one**2) * (mean(later.surface**2) - other**2)
    local = (mean(surface * later.surface) - one * other) / np.sqrt(np.maximum(spread, 1e-6))
    return float(np.quantile(local[both], _KEPT))


def _lies_within(baseline: Picture, later: Picture, transform: np.ndarray) -> bool:
    """Tell whether the later mask lies within T0's, and is no less than half of it."""
    size = (later.shape[1], later.shape[0])
    moved = cv2.warpAffine(baseline.mask.astype(np.uint8), transform, size, flags=cv2.INTER_NEAREST) > 0
    within, part = (moved & later.mask).sum(), later.mask.sum()
    return bool(within >= _WITHIN * part and part >= 0.5 * moved.sum())


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum() / norm) if norm > 1e-9 else 0.0


def _is_nearly_similarity(transform: np.ndarray) -> bool:
    large, small = np.linalg.svd(transform[:, :2], compute_uv=False)
    return bool(np.linalg.det(transform[:, :2]) > 0 and large / max(small, 1e-9) < 1.25 and small > 0.7 and large < 1.4)
