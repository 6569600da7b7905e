"""Make the one affine transform from the photo to the canonical frame, and warp through it."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

# If the second moments differ by less than this share, they define no axis: nuts and washers are not turned.
_MIN_ANISOTROPY = 0.25
_MIN_SKEWNESS = 0.1
# A part without a heavier end has to flip at some angle. This angle lies between the usual poses, not at horizontal.
_SEAM = np.deg2rad(67.5)


def upright_angle(mask: np.ndarray) -> float:
    """Find the angle in radians, clockwise as seen on screen, by which the part's long axis becomes vertical.

    The angle follows from the central moments of ``mask``, bool (H, W) (Hu, 1962). The heavier end, such as a bolt's
    head, goes up; a part without a heavier end is turned the shorter way. The angle is 0 for a part without a long
    axis.
    """
    m = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    spread, lean = _spread_and_lean(m)
    if not _is_long(spread, lean):
        return 0.0
    axis = 0.5 * np.arctan2(2.0 * m["mu11"], m["mu20"] - m["mu02"])
    turn = np.pi / 2.0 - axis
    # The third moment along the axis, in the direction that the turn sends down. The thin end has the long tail.
    c, s = np.cos(axis), np.sin(axis)
    third = c**3 * m["mu30"] + 3 * c**2 * s * m["mu21"] + 3 * c * s**2 * m["mu12"] + s**3 * m["mu03"]
    variance = (spread + lean) / (2.0 * m["m00"])
    skewness = third / m["m00"] / variance**1.5
    if abs(skewness) >= _MIN_SKEWNESS:
        return float(_wrap(turn if skewness > 0.0 else turn + np.pi, np.pi))
    return float((turn + np.pi - _SEAM) % np.pi - np.pi + _SEAM)


def has_long_axis(mask: np.ndarray) -> bool:
    """Tell whether the part, bool (H, W), is long enough for ``upright_angle`` to turn it."""
    return _is_long(*_spread_and_lean(cv2.moments(mask.astype(np.uint8), binaryImage=True)))


def _spread_and_lean(moments: Mapping[str, float]) -> tuple[float, float]:
    """Sum of the second central moments along the two principal axes, and their difference."""
    spread = moments["mu20"] + moments["mu02"]
    return spread, float(np.hypot(moments["mu20"] - moments["mu02"], 2.0 * moments["mu11"]))


def _is_long(spread: float, lean: float) -> bool:
    return spread > 0.0 and lean / spread >= _MIN_ANISOTROPY


def part_transform(
    mask: np.ndarray, scale: np.ndarray, angle: float, padding: float, size: tuple[int, int]
) -> np.ndarray:
    """Make the affine transform, float64 (2, 3), that turns, crops, scales and centres the part in the frame.

    It takes photo pixels to frame pixels. ``mask`` is bool (h, w) on a copy of the photo, and ``scale`` (2, 3) takes
    photo pixels to pixels of that copy. ``angle`` is in radians, ``padding`` a share of the part's longer side, and
    ``size`` (height, width) of the frame. Both axes have one scale, so that proportions stay, and every pixel of the
    part comes to lie inside the frame.
    """
    low, high = turned_box(mask, scale, angle)
    turn = _rotation(angle)
    extent = padded(high - low, padding)
    zoom = min(size[1] / extent[0], size[0] / extent[1])
    centre = (low + high) / 2.0
    middle = np.array([(size[1] - 1) / 2.0, (size[0] - 1) / 2.0])
    return np.column_stack([zoom * turn, middle - zoom * centre])


def turned_box(mask: np.ndarray, scale: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the box round the part, turned by ``angle`` about the origin: its low and high corner, each (x, y).

    In photo pixels; the other parameters are those of ``part_transform``.
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate(contours).reshape(-1, 2).astype(np.float64)
    corners = (points[:, None, :] + np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])).reshape(-1, 2)
    corners = apply(invert(scale), corners)
    turned = corners @ _rotation(angle).T
    return turned.min(axis=0), turned.max(axis=0)


def _rotation(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def padded(extent: np.ndarray, padding: float) -> np.ndarray:
    """Widen a box of ``extent`` (width, height) on every side, by a share of its longer side."""
    return np.asarray(extent + 2.0 * padding * extent.max())


def frame_transform(photo_size: tuple[int, int], size: tuple[int, int], center_crop: float = 1.0) -> np.ndarray:
    """Make the affine transform, float64 (2, 3), that stretches the centred crop of a photo to the frame.

    Sizes are (height, width); ``center_crop`` is the share of each side that is kept.
    """
    height, width = photo_size
    x, y = size[1] / (width * center_crop), size[0] / (height * center_crop)
    return np.array(
        [
            [x, 0.0, (size[1] - 1) / 2.0 - x * (width - 1) / 2.0],
            [0.0, y, (size[0] - 1) / 2.0 - y * (height - 1) / 2.0],
        ]
    )


def frame_share(transform: np.ndarray, photo_size: tuple[int, int], size: tuple[int, int]) -> float:
    """Measure the share of a photo's area, 0 to 1, that a frame shows.

    ``transform`` (2, 3) takes photo px to frame px; both sizes are (height, width).
    """
    photo = _corners(photo_size)
    seen = apply(invert(transform), _corners(size).astype(np.float64)).astype(np.float32)
    shared = cv2.intersectConvexConvex(photo, seen)[0]
    return float(np.clip(shared / (photo_size[0] * photo_size[1]), 0.0, 1.0))


def _corners(size: tuple[int, int]) -> np.ndarray:
    """Outer corners of the pixels of an image of ``size`` (h, w), float32 (4, 2) as x, y."""
    right, bottom = size[1] - 0.5, size[0] - 0.5
    return np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]], np.float32)


def shrink(image: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Shrink an image (H, W) or (H, W, 3) to sides of at most ``longest`` pixels, without aliasing.

    The result is the copy, and the transform (2, 3) from image pixels to pixels of the copy.
    """
    height, width = image.shape[:2]
    factor = min(1.0, longest / max(height, width))
    small = (max(1, round(height * factor)), max(1, round(width * factor)))
    copy = cv2.resize(image, (small[1], small[0]), interpolation=cv2.INTER_AREA) if factor < 1.0 else image
    return copy, frame_transform((height, width), small)


def warp(image: np.ndarray, transform: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw ``image``, (H, W) or (H, W, 3), into a frame of ``size`` (h, w); the image's border is repeated outside.

    ``transform`` (2, 3) takes image pixels to frame pixels. Values are interpolated bilinearly. An image that shrinks
    is averaged over areas first, so that nothing aliases; only the part of it that the frame shows is averaged, so that
    large photos cost little.
    """
    height, width = image.shape[:2]
    zoom = np.linalg.norm(transform[:, :2], axis=0)
    corners = np.array([[0, 0], [size[1] - 1, 0], [0, size[0] - 1], [size[1] - 1, size[0] - 1]], np.float64)
    seen = apply(invert(transform), corners)
    margin = 2.0 / np.minimum(zoom, 1.0)
    low = np.clip(np.floor(seen.min(axis=0) - margin), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(seen.max(axis=0) + margin) + 1, low + 1, [width, height]).astype(int)
    image = image[low[1] : high[1], low[0] : high[0]]
    transform = compose(transform, np.array([[1.0, 0.0, low[0]], [0.0, 1.0, low[1]]]))
    cut = high - low
    shrunk = np.maximum(np.rint(cut * np.minimum(zoom, 1.0)), 1).astype(int)
    if (shrunk < cut).any():
        image = cv2.resize(image, (int(shrunk[0]), int(shrunk[1])), interpolation=cv2.INTER_AREA)
        transform = compose(transform, invert(frame_transform((cut[1], cut[0]), (shrunk[1], shrunk[0]))))
    return cv2.warpAffine(image, transform, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def inside_photo(transform: np.ndarray, photo_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Mark the frame pixels whose centre lies in the photo: bool (h, w). Sizes are (height, width)."""
    back = invert(transform)
    x = np.arange(size[1], dtype=np.float64)[None, :]
    y = np.arange(size[0], dtype=np.float64)[:, None]
    u = back[0, 0] * x + back[0, 1] * y + back[0, 2]
    v = back[1, 0] * x + back[1, 1] * y + back[1, 2]
    return np.asarray((u >= -0.5) & (u <= photo_size[1] - 0.5) & (v >= -0.5) & (v <= photo_size[0] - 0.5))


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Make the affine transform (2, 3) that applies ``inner`` first, then ``outer``."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def invert(transform: np.ndarray) -> np.ndarray:
    """Invert an affine transform (2, 3)."""
    linear = np.linalg.inv(transform[:, :2])
    return np.column_stack([linear, -linear @ transform[:, 2]])


def apply(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Take points (N, 2), x then y, through an affine transform (2, 3)."""
    return np.asarray(points @ transform[:, :2].T + transform[:, 2])


def _wrap(angle: float, half: float) -> float:
    return (angle + half) % (2.0 * half) - half
