"""Lay a component's T0 shot over a later shot, and tell whether the result can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.config import CorrosionSettings
from fastener.preprocessing.registration import compose, invert

# The search runs on copies of this side, in pixels: corrosion changes fine detail, the coarse relief stays.
_SIDE = 160
_BLUR = 1.5
_ANGLE_STEP = 10.0
_STARTS = 3
_ECC_STEPS = 60
# Elongated parts already stand upright in the canonical frame, so only upright and upside down are tried.
_LONG = 1.35
_TILTS = (-8.0, -4.0, 0.0, 4.0, 8.0)


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
        Intersection over union of the two masks, 0 to 1.
    believable
        Whether the shots may be compared place by place.
    """

    transform: np.ndarray
    correlation: float
    overlap: float
    believable: bool

    def warp(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Bring a canonical image of T0, (h, w) or (h, w, c), into the later shot's frame of ``size``; 0 outside."""
        return np.asarray(cv2.warpAffine(image, self.transform, (size[1], size[0])))

    def coarse(self, step: int) -> Registration:
        """Return the same registration for frames of which only every ``step``-th row and column is kept."""
        return replace(self, transform=np.column_stack([self.transform[:, :2], self.transform[:, 2] / step]))


def register(
    baseline: np.ndarray,
    later: np.ndarray,
    *,
    baseline_mask: np.ndarray,
    later_mask: np.ndarray,
    settings: CorrosionSettings,
) -> Registration:
    """Find the affine transform from ``baseline`` to ``later``: lightness float32 (h, w), masks bool (h, w).

    Candidate turns are tried with centre and area of the masks aligned. The best few are refined by the enhanced
    correlation coefficient (Evangelidis and Psarakis, 2008). A result is believable if the surfaces correlate, the
    outlines agree, and the transform is nearly a similarity, as for the same part in the same view.
    """
    size = later_mask.shape
    shrink = _SIDE / max(size)
    small_size = (round(size[1] * shrink), round(size[0] * shrink))
    template, template_mask = _surface(baseline, baseline_mask, small_size)
    scene, scene_mask = _surface(later, later_mask, small_size)
    starts = [_start(template_mask, scene_mask, angle) for angle in _angles(template_mask, scene_mask)]
    ranked = sorted(starts, key=lambda start: -_likeness(template, template_mask, scene, scene_mask, start)[2])
    best = max(
        (_refined(template, template_mask, scene, scene_mask, start) for start in ranked[:_STARTS]),
        key=lambda found: _likeness(template, template_mask, scene, scene_mask, found)[2],
    )
    correlation, overlap, _ = _likeness(template, template_mask, scene, scene_mask, best)
    believable = (
        correlation >= settings.min_correlation and overlap >= settings.min_overlap and _is_nearly_similarity(best)
    )
    scale = np.array([[shrink, 0.0, (shrink - 1) / 2], [0.0, shrink, (shrink - 1) / 2]])
    return Registration(compose(invert(scale), compose(best, scale)), correlation, overlap, believable)


def _surface(lightness: np.ndarray, mask: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the part's relief on a small copy, with mean 0 and deviation 1 on the part and 0 outside, and its mask."""
    small_mask = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
    small = cv2.GaussianBlur(cv2.resize(lightness, size, interpolation=cv2.INTER_AREA), (0, 0), _BLUR)
    inside = small[small_mask]
    if inside.size == 0:
        return np.zeros(small.shape, np.float32), small_mask
    relief = (small - inside.mean()) / max(float(inside.std()), 1e-3)
    # Highlights move with the lamp. Unclipped, they would outweigh the surface.
    return np.where(small_mask, np.clip(relief, -2.5, 2.5), 0.0).astype(np.float32), small_mask


def _angles(first: np.ndarray, second: np.ndarray) -> list[float]:
    if min(_elongation(first), _elongation(second)) > _LONG:
        return [half + tilt for half in (0.0, 180.0) for tilt in _TILTS]
    return list(np.arange(0.0, 360.0, _ANGLE_STEP))


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


def _refined(
    template: np.ndarray, template_mask: np.ndarray, scene: np.ndarray, scene_mask: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """Refine ``start`` by the enhanced correlation coefficient; return ``start`` if that finds nothing better."""
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _ECC_STEPS, 1e-4)
    # OpenCV samples its second picture at warp(x) for each x of its first one: T0 comes first, the later shot second.
    try:
        _, found = cv2.findTransformECC(template, scene, start.astype(np.float32), cv2.MOTION_AFFINE, criteria)
    except cv2.error:
        return start
    before = _likeness(template, template_mask, scene, scene_mask, start)[2]
    after = _likeness(template, template_mask, scene, scene_mask, found.astype(np.float64))[2]
    return found.astype(np.float64) if after > before else start


def _likeness(
    template: np.ndarray, template_mask: np.ndarray, scene: np.ndarray, scene_mask: np.ndarray, transform: np.ndarray
) -> tuple[float, float, float]:
    """Return correlation of the surfaces, overlap of the masks, and their sum, by which candidates are ranked."""
    size = (scene.shape[1], scene.shape[0])
    moved = cv2.warpAffine(template, transform, size)
    moved_mask = cv2.warpAffine(template_mask.astype(np.uint8), transform, size, flags=cv2.INTER_NEAREST) > 0
    both, either = moved_mask & scene_mask, moved_mask | scene_mask
    overlap = float(both.sum() / max(int(either.sum()), 1))
    if both.sum() < 16:
        return 0.0, overlap, overlap
    first, second = moved[both] - moved[both].mean(), scene[both] - scene[both].mean()
    norm = float(np.sqrt((first**2).sum() * (second**2).sum()))
    correlation = float((first * second).sum() / norm) if norm > 1e-9 else 0.0
    return correlation, overlap, correlation + overlap


def _is_nearly_similarity(transform: np.ndarray) -> bool:
    large, small = np.linalg.svd(transform[:, :2], compute_uv=False)
    return bool(np.linalg.det(transform[:, :2]) > 0 and large / max(small, 1e-9) < 1.25 and small > 0.7 and large < 1.4)
