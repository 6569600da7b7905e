"""Reduce a shot to what registration compares: surface, edges and outline, on a small copy."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fastener.preprocessing.morphology import filled

# Corrosion changes fine detail; on copies of this side in pixels, outline and edges stay.
_SIDE = 192
_BLUR = 1.5
# The distance to the outline counts up to this many pixels.
_NEAR = 6.0


@dataclass(frozen=True)
class Picture:
    """Hold what is registered of one shot, on a small copy of its canonical frame.

    Parameters
    ----------
    surface
        Relief of the part with mean 0 and deviation 1, 0 outside: float32 (h, w).
    edges
        Strength of the edges, 0 to 1, 0 outside the part: float32 (h, w). Contrast cancels out.
    outline
        Distance to the outline, positive inside, -1 to 1: float32 (h, w).
    mask, seen
        The part, and what the photo shows of the frame: bool (h, w).
    """

    surface: np.ndarray
    edges: np.ndarray
    outline: np.ndarray
    mask: np.ndarray
    seen: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.mask.shape[0], self.mask.shape[1]

    def mirrored(self) -> Picture:
        """Return the picture with left and right exchanged."""
        flipped = (
            np.ascontiguousarray(one[:, ::-1]) for one in (self.surface, self.edges, self.outline, self.mask, self.seen)
        )
        return Picture(*flipped)


def picture_of(lightness: np.ndarray, mask: np.ndarray, seen: np.ndarray | None = None) -> Picture:
    """Shrink one shot for ``register``: lightness float32 (h, w); mask and the seen part of the frame, bool (h, w)."""
    shrink = _SIDE / max(mask.shape)
    size = (round(mask.shape[1] * shrink), round(mask.shape[0] * shrink))
    small_mask, small_seen = (
        cv2.resize(one.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
        for one in (mask, np.ones(mask.shape, bool) if seen is None else seen)
    )
    # Whether a hole is left out depends on its shade, while its rim shows in the edges.
    small_mask = filled(small_mask)
    small = cv2.GaussianBlur(cv2.resize(lightness, size, interpolation=cv2.INTER_AREA), (0, 0), _BLUR)
    surface = np.zeros(small.shape, np.float32)
    edges = np.zeros(small.shape, np.float32)
    if small_mask.any():
        inside = small[small_mask]
        relief = (small - inside.mean()) / max(float(inside.std()), 1e-3)
        # Highlights move with the lamp. Unclipped, they would outweigh the surface.
        surface = np.where(small_mask, np.clip(relief, -2.5, 2.5), 0.0).astype(np.float32)
        slope = np.hypot(cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1))
        usual = max(float(np.median(slope[small_mask])), 1e-3)
        edges = np.where(small_mask, slope / (slope + 2.0 * usual), 0.0).astype(np.float32)
    inner = cv2.distanceTransform(small_mask.astype(np.uint8), cv2.DIST_L2, 3)
    outer = cv2.distanceTransform((~small_mask).astype(np.uint8), cv2.DIST_L2, 3)
    outline = (np.clip(inner - outer, -_NEAR, _NEAR) / _NEAR).astype(np.float32)
    return Picture(surface, edges, outline, small_mask, small_seen)
