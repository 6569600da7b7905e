"""Describe a surface by lightness at two scales and by roughness, and compare it with T0 place by place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from fastener.corrosion.places import EDGE_SMOOTHING, EDGE_WIDTH, slopes

# Lengths as shares of the frame's side: detail of a pixel or two, neighbourhood of a thread's pitch, and the distance
# by which a registration errs, within which T0's highest and lowest values count.
_FINE, _COARSE, _REACH = 0.0026, 0.0105, 0.0145
# Contrast below this, in L*, is the noise of a photo.
_QUIET = 0.5
# Lightness, and contrast, that nothing exceeds.
_MOST = 100.0
# Near the outline the surface turns away, and a small tilt shows or hides more of it: T0 counts from further away.
# The rim is at most this wide, and at most a share of the half-thickness of the part around.
_RIM, _RIM_REACH, _RIM_PART, _AROUND = 0.06, 0.036, 0.3, 0.12
# A face ends at a lighter wall where the lightness rises by the first number, in L*, within the width of an edge, and
# by the second as a share of the rise is towards the outline.
_WALL, _WALL_ALONG = 20.0, 0.8


@dataclass(frozen=True)
class Relief:
    """Hold maps of one surface, float32 (h, w), in units of CIE lightness L*, 0 to 100.

    Parameters
    ----------
    fine
        Lightness at the scale of detail.
    coarse
        Lightness averaged over a neighbourhood. Narrow highlights hardly count.
    rough
        Contrast of detail within the neighbourhood, as a standard deviation.
    mask
        The part, bool (h, w).
    burnt
        Where the photo is burnt out, bool (h, w): the surface is at least as light, and its contrast is unknown.
    """

    fine: np.ndarray
    coarse: np.ndarray
    rough: np.ndarray
    mask: np.ndarray
    burnt: np.ndarray

    @cached_property
    def rim(self) -> np.ndarray:
        """The places near the outline, or near a lighter wall that lies along it: bool (h, w)."""
        side = max(self.mask.shape)
        depth = _distance(self.mask)
        around = 2 * round(_AROUND * side) + 1
        thickness = cv2.dilate(depth, cv2.getStructuringElement(cv2.MORPH_RECT, (around, around)))
        limit = np.minimum(_RIM * side, _RIM_PART * thickness)
        wall = _walls(self, depth)
        return np.asarray((np.minimum(depth, _distance(~wall)) if wall.any() else depth) < limit)


@dataclass(frozen=True)
class Difference:
    """Hold how a shot differs from T0: how far it leaves T0's range within reach of each place, float32 (h, w) each.

    Parameters
    ----------
    lighter, darker
        How much L* lies above (below) T0's, at the scale of detail; negative inside its range.
    lighter_around
        How much the neighbourhood's mean lies above T0's.
    rougher
        Doublings of the contrast of detail since T0 at the same place, beyond those of most of the surface.
    rougher_around, smoother_around
        The same beyond all that T0 shows within reach, and of T0 beyond all that the shot shows.
    """

    lighter: np.ndarray
    darker: np.ndarray
    lighter_around: np.ndarray
    rougher: np.ndarray
    rougher_around: np.ndarray
    smoother_around: np.ndarray


def lightness(luminance: np.ndarray) -> np.ndarray:
    """Convert linear luminance 0 to 1 to CIE lightness L*, 0 to 100, float32 (CIE 15)."""
    y = np.clip(luminance, 0.0, 1.0)
    return np.asarray(np.where(y > 216 / 24389, 116.0 * np.cbrt(y) - 16.0, y * 24389 / 27), np.float32)


def relief(luminance: np.ndarray, mask: np.ndarray, burnt: np.ndarray) -> Relief:
    """Describe linear luminance 0 to 1, (h, w), on the part alone; the background never leaks in."""
    side = max(mask.shape)
    weight = mask.astype(np.float32)
    fine_mean = _mean(luminance, weight, _FINE * side)
    coarse_mean = _mean(luminance, weight, _COARSE * side)
    fine, coarse = lightness(fine_mean), lightness(coarse_mean)
    detail = lightness(_mean(luminance, weight, _FINE * side / 2))
    middle = _mean(detail, weight, _COARSE * side)
    variance = _mean(detail**2, weight, _COARSE * side) - middle**2
    return Relief(fine, coarse, np.sqrt(np.maximum(variance, 0.0)), mask, burnt & mask)


def compare_relief(baseline: Relief, later: Relief, *, reach: float = 1.0) -> Difference:
    """Compare two reliefs of one frame, the first of which is T0 in the light of the later shot.

    ``reach`` scales the distance within which T0's values count: 1 for a usual registration.
    """
    # Only contrast above the noise of a photo counts. A sharper focus raises all contrasts alike.
    old, new = (np.log2(one.rough + _QUIET) for one in (baseline, later))
    known = baseline.mask & later.mask & ~baseline.burnt & ~later.burnt
    usual = float(np.median((new - old)[known])) if known.any() else 0.0
    # Nothing is known to be lighter, or rougher, than a place that burnt out.
    old, new = (
        np.where(one.burnt, np.float32(np.log2(_MOST)), values) for one, values in ((baseline, old), (later, new))
    )
    fine, coarse = (np.where(baseline.burnt, np.float32(_MOST), one) for one in (baseline.fine, baseline.coarse))
    return Difference(
        lighter=later.fine - _highest(fine, baseline.mask, baseline.rim, reach),
        darker=-_highest(-baseline.fine, baseline.mask, baseline.rim, reach) - later.fine,
        lighter_around=later.coarse - _highest(coarse, baseline.mask, baseline.rim, reach),
        rougher=new - old - usual,
        rougher_around=new - usual - _highest(old, baseline.mask, baseline.rim, reach),
        smoother_around=old + usual - _highest(new, later.mask, later.rim, reach),
    )


def _mean(image: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Average over a Gaussian neighbourhood within the part (normalised convolution)."""
    total = cv2.GaussianBlur(weight, (0, 0), sigma)
    return np.asarray(cv2.GaussianBlur(image * weight, (0, 0), sigma) / np.maximum(total, 1e-3), np.float32)


def _highest(image: np.ndarray, mask: np.ndarray, rim: np.ndarray, factor: float) -> np.ndarray:
    """Return the highest value of the part within reach of each place, further at the rim; ``factor`` scales both."""
    side = max(mask.shape)
    values = np.where(mask, image, np.float32(-1e3)).astype(np.float32)
    near = cv2.dilate(values, _disc(factor * _REACH * side))
    far = cv2.dilate(near, _disc(factor * (_RIM_REACH - _REACH) * side))
    return np.asarray(np.where(rim, far, near))


def _walls(one: Relief, depth: np.ndarray) -> np.ndarray:
    """Find where a face ends at a lighter wall along the outline, bool (h, w); ``depth`` is the distance to that.

    A tilt shows more of the wall, and moves this edge as it moves the outline. The flanks of a thread lie across it.
    """
    side = max(one.mask.shape)
    smooth = _mean(one.fine, one.mask.astype(np.float32), EDGE_SMOOTHING * side)
    light, inwards = (slopes(image) for image in (smooth, cv2.GaussianBlur(depth, (0, 0), _COARSE * side)))
    outwards = -(light * inwards).sum(axis=0) / np.maximum(np.linalg.norm(inwards, axis=0), 1e-3)
    ends = (outwards * side >= _WALL / EDGE_WIDTH) & (outwards >= _WALL_ALONG * np.linalg.norm(light, axis=0))
    return np.asarray(ends & (depth < _RIM * side) & (depth > _FINE * side))


def _distance(mask: np.ndarray) -> np.ndarray:
    """Measure the distance in pixels from each place of a bool (h, w) to the nearest place outside: float32 (h, w)."""
    outside = np.pad(mask.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, 3)[1:-1, 1:-1])


def _disc(radius: float) -> np.ndarray:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
