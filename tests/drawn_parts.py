"""Photos of drawn parts whose pose, colour and outline are known."""

from __future__ import annotations

import cv2
import numpy as np

from fastener.config import PreprocessSettings
from fastener.preprocessing.pipeline import Prepared, Preprocessor, map_to_photo

WHITE, DARK, RUST = (240, 240, 238), (45, 45, 48), (150, 80, 40)
BOLT = np.array([[-32, -75], [32, -75], [32, -35], [14, -35], [14, 75], [-14, 75], [-14, -35], [-32, -35]], float)
ROD = np.array([[-15, -70], [15, -70], [15, 70], [-15, 70]], float)
HEXAGON = 60.0 * np.array([[np.cos(a), np.sin(a)] for a in np.arange(6) * np.pi / 3.0])


def add_noise(photo: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    noisy = photo + np.random.default_rng(1).normal(0.0, sigma, photo.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def plain_ground(colour: tuple[int, int, int] = WHITE, size: tuple[int, int] = (300, 360)) -> np.ndarray:
    return np.full((*size, 3), colour, np.uint8)


def draw(
    shape: np.ndarray,
    degrees: float = 0.0,
    part: tuple[int, int, int] = DARK,
    ground: np.ndarray | None = None,
    centre: tuple[float, float] = (180.0, 150.0),
) -> np.ndarray:
    """The outline turned clockwise (as seen) by ``degrees`` and painted on the ground.

    It is filled on a grid four times as fine and averaged, as ``cv2.fillPoly`` paints half a pixel too far.
    """
    photo = plain_ground() if ground is None else ground.copy()
    a = np.deg2rad(degrees)
    turned = shape @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + centre
    height, width = photo.shape[:2]
    fine = np.zeros((4 * height, 4 * width), np.uint8)
    cv2.fillPoly(fine, [np.rint(4 * turned + 1.5).astype(np.int32)], 255)
    cover = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)[:, :, None] / 255.0
    return add_noise(photo * (1.0 - cover) + np.array(part) * cover)


def ring(outer: int, inner: int, hole: tuple[int, int, int] = WHITE) -> np.ndarray:
    photo = plain_ground()
    cv2.circle(photo, (180, 150), outer, DARK, -1, cv2.LINE_AA)
    cv2.circle(photo, (180, 150), inner, hole, -1, cv2.LINE_AA)
    return add_noise(photo)


def tilt(mask: np.ndarray) -> float:
    """Degrees between the principal axis of a mask and the vertical, from the eigenvectors of its covariance."""
    y, x = np.nonzero(mask)
    _, vectors = np.linalg.eigh(np.cov(np.stack([x, y])))
    return float(np.degrees(np.arctan2(abs(vectors[0, 1]), abs(vectors[1, 1]))))


def mask_in_photo(prepared: Prepared) -> np.ndarray:
    drawn = map_to_photo(prepared.mask.astype(np.float32), prepared.transform, prepared.photo_size)
    return np.nan_to_num(drawn) > 0.5


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def prepare(photo: np.ndarray, **changes: object) -> Prepared:
    return Preprocessor(PreprocessSettings.model_validate(changes))(photo)
