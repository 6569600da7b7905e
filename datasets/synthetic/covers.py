"""Shapes of synthetic defects: masks of a random size at a random place on a part.

Each takes the part, bool (H, W), and a generator; sizes are fractions of the photo's shorter side.
"""

from __future__ import annotations

import cv2
import numpy as np

_BLOTCH_RADIUS = (0.04, 0.1)
_SPLINTER_RADIUS, _SPLINTER_CORNERS = (0.05, 0.1), (5, 8)
_ISLANDS_RADIUS, _ISLANDS_CELLS, _ISLANDS_SHARE = (0.08, 0.15), (3, 7), 0.35


def blotch(part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a round spot with a ragged border, float32 (H, W) from 0 to 1, centred on the part."""
    radius = rng.uniform(*_BLOTCH_RADIUS) * min(part.shape)
    x, y = point(part, rng)
    rows, columns = np.indices(part.shape, np.float32)
    ragged = cv2.GaussianBlur(rng.normal(size=part.shape).astype(np.float32), (0, 0), max(1.0, radius / 2))
    ragged = ragged * np.float32(0.3 / max(float(ragged.std()), 1e-9))
    inside = np.hypot(columns - x, rows - y) / radius + ragged < 1
    return np.asarray(cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 1.0))


def splinter(part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a polygon with five to seven corners, bool (H, W), round a place on the part: a broken piece."""
    centre, count = point(part, rng), int(rng.integers(*_SPLINTER_CORNERS))
    angles = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * 2 * np.pi / count + rng.uniform(0, 2 * np.pi)
    away = rng.uniform(*_SPLINTER_RADIUS) * min(part.shape) * rng.uniform(0.6, 1.0, count)
    corners = np.stack([np.cos(angles), np.sin(angles)], 1) * away[:, None] + centre
    piece = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(piece, [np.rint(corners).astype(np.int32)], 1)
    return piece > 0


def islands(part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw islands of Perlin noise round a place on the part, float32 (H, W) from 0 to 1."""
    x, y = (round(value) for value in point(part, rng))
    radius = max(2, round(rng.uniform(*_ISLANDS_RADIUS) * min(part.shape)))
    noise = perlin_noise(2 * radius + 1, int(rng.integers(*_ISLANDS_CELLS)), rng)
    rows, columns = np.indices(noise.shape) - radius
    inside = rows**2 + columns**2 <= radius**2
    land = inside & (noise > np.quantile(noise[inside], 1 - _ISLANDS_SHARE))
    # Drawn on a larger sheet, islands at the border of the photo are cut off.
    sheet = np.zeros([n + 2 * radius for n in part.shape], np.float32)
    sheet[y : y + 2 * radius + 1, x : x + 2 * radius + 1] = land
    shown = sheet[radius : radius + part.shape[0], radius : radius + part.shape[1]]
    return np.asarray(cv2.GaussianBlur(shown, (0, 0), 0.7))


def perlin_noise(side: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Draw gradient noise, float64 (side, side), on a grid of ``cells`` by ``cells`` (Perlin, SIGGRAPH 2002)."""
    angles = rng.uniform(0, 2 * np.pi, (cells + 1, cells + 1))
    places = np.linspace(0, cells, side, endpoint=False)
    cell = places.astype(int)
    along = places - cell
    fade = along**3 * (along * (6 * along - 15) + 10)

    def corner(down: int, right: int) -> np.ndarray:
        turn = angles[np.ix_(cell + down, cell + right)]
        return np.asarray(np.cos(turn) * (along - right) + np.sin(turn) * (along - down)[:, None])

    upper = corner(0, 0) + fade * (corner(0, 1) - corner(0, 0))
    lower = corner(1, 0) + fade * (corner(1, 1) - corner(1, 0))
    return np.asarray(upper + fade[:, None] * (lower - upper))


def outline(part: np.ndarray) -> np.ndarray:
    """Mark the pixels at the border of the part, which is the photo's border where the part fills it."""
    framed = cv2.copyMakeBorder(part.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return part & ~(cv2.erode(framed, np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0)


def point(part: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Draw a pixel (x, y) of the part."""
    rows, columns = np.nonzero(part)
    index = int(rng.integers(len(rows)))
    return float(columns[index]), float(rows[index])
