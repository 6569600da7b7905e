"""Render trays of fasteners: kits of 6 to 12 parts, whole or with a part missing, too many, or swapped for another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.synthetic.material import FINISHES
from fastener.datasets.synthetic.parts import KINDS, draw_scene
from fastener.datasets.synthetic.render import RenderedPart, render_scene

CHANGES = ("none", "missing", "extra", "swapped")
_TILE = 144  # side in pixels of the picture of one part
_SLOTS = 4  # parts a side of the tray
_WHITE = 233.0
_SHADOW = 9.0  # reach in pixels
_KIT, _LAY = range(40, 42)  # streams of the seed
# Half-length of a part, in parts of its tile, as parts of one kit differ.
_SIZES = {"bolt": (0.36, 0.44), "nut": (0.17, 0.24), "washer": (0.2, 0.28)}


@dataclass(frozen=True)
class KitPart:
    """Describe one kind of part of a kit, and how many of it a whole kit has."""

    kind: str
    finish: str
    seed: int
    scale: float
    count: int


@dataclass(frozen=True)
class RenderedTray:
    """Hold the picture of a tray and the truth about it.

    Attributes
    ----------
    image : ndarray of uint8, (H, W, 3)
        RGB.
    masks : tuple of ndarray of bool, (H, W)
        Pixels of each part.
    parts : tuple of int
        Number of each part's kind in the kit; -1 for a part that belongs to no kind of it.
    change : str
        One of ``CHANGES``.
    changed : ndarray of bool, (H, W)
        Pixels of the part that is too many or swapped; for a missing part, those that it would have had.
    """

    image: np.ndarray
    masks: tuple[np.ndarray, ...]
    parts: tuple[int, ...]
    change: str
    changed: np.ndarray


def draw_kit(seed: int) -> tuple[KitPart, ...]:
    """Draw a kit of 6 to 12 parts of three or four kinds that differ in shape or size."""
    rng = np.random.default_rng([seed, _KIT])
    kinds = [*KINDS, *(["bolt"] if rng.random() < 0.5 else [])]
    while True:
        counts = rng.integers(1, 5, len(kinds))
        if 6 <= counts.sum() <= 12:
            break
    finish = tuple(FINISHES)[int(rng.integers(3))]
    parts = []
    for i, kind in enumerate(kinds):
        scale = float(rng.uniform(*_SIZES[kind])) * (0.72 if i >= len(KINDS) else 1)
        parts.append(KitPart(kind, finish, int(rng.integers(2**31)), scale, int(counts[i])))
    return tuple(parts)


def render_tray(kit: tuple[KitPart, ...], seed: int, change: str = "none", *, touching: bool = False) -> RenderedTray:
    """Render one tray; the same arguments give the same bytes.

    Parts lie anywhere and at any angle. ``touching`` pushes two of them together. Raises UserError for an unknown
    change and for a kit that does not fit on the tray.
    """
    if change not in CHANGES:
        raise UserError(f"change: {change!r} is not known; use one of {', '.join(CHANGES)}")
    rng = np.random.default_rng([seed, _LAY])
    numbers = [i for i, part in enumerate(kit) for _ in range(part.count)]
    if len(numbers) + 1 > _SLOTS**2:
        raise UserError(f"kit: {len(numbers)} parts do not fit on a tray of {_SLOTS**2} places; use fewer")
    changed_at = None
    if change == "extra":
        numbers.append(int(rng.integers(len(kit))))
        changed_at = len(numbers) - 1
    elif change != "none":
        changed_at = int(rng.integers(len(numbers)))
    if change == "swapped" and changed_at is not None:
        others = [i for i in range(len(kit)) if i != numbers[changed_at]]
        numbers[changed_at] = int(rng.choice(others))
    side = _SLOTS * _TILE
    light = np.full((side, side, 3), _WHITE, np.float32) * (1 + 0.02 * rng.normal(size=3))
    slope = rng.normal(0, 0.03, 2)
    grid = np.linspace(-1, 1, side, dtype=np.float32)
    light *= (1 + slope[0] * grid[:, None] + slope[1] * grid[None])[..., None]
    slots = rng.permutation(_SLOTS**2)[: len(numbers)]
    masks: list[np.ndarray] = []
    azimuth = float(rng.uniform(0, 2 * np.pi))
    for i, (number, slot) in enumerate(zip(numbers, slots.tolist(), strict=True)):
        tile = _tile(kit[number], seed * 100 + i, float(rng.uniform(0, 2 * np.pi)), azimuth)
        jitter = rng.integers(-8, 9, 2)
        top, left = (np.array(divmod(slot, _SLOTS)) * _TILE + jitter).tolist()
        mask = _place(tile.part_mask, top, left, side)
        if touching and i == 1 and masks:
            mask, top, left = _pushed(tile.part_mask, masks[0], (top, left), side)
        if change == "missing" and i == changed_at:
            changed = mask
            continue
        _shade(light, tile, top, left)
        masks.append(mask)
        if i == changed_at:
            changed = mask
    if changed_at is None:
        changed = np.zeros((side, side), bool)
    image = light + rng.normal(0, 1.2, light.shape)
    kept = [n for i, n in enumerate(numbers) if not (change == "missing" and i == changed_at)]
    return RenderedTray(np.clip(np.rint(image), 0, 255).astype(np.uint8), tuple(masks), tuple(kept), change, changed)


def _tile(part: KitPart, seed: int, angle: float, azimuth: float) -> RenderedPart:
    """Render one part of a kit as it lies flat under a camera right above."""
    scene = draw_scene(part.seed, part.kind, part.finish, "white")
    rng = np.random.default_rng([seed, _LAY])
    tilt = np.deg2rad(rng.uniform(2, 6) if part.kind == "bolt" else rng.uniform(84, 88))
    light = np.array([np.cos(azimuth) * 0.6, np.sin(azimuth) * 0.6, 0.8])
    scene = replace(
        scene,
        seed=seed,
        shape=replace(scene.shape, tilt=float(tilt)),
        angle=angle,
        scale=part.scale,
        shift=(0.0, 0.0),
        light=(float(light[0]), float(light[1]), float(light[2])),
    )
    return render_scene(scene, "none", (_TILE, _TILE), 0.0, (1.0, 1.0, 1.0))


def _place(mask: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """Shift a tile's mask to its place on the tray: bool (side, side)."""
    moved = np.array([[1, 0, left], [0, 1, top]], np.float64)
    return np.asarray(cv2.warpAffine(mask.astype(np.uint8), moved, (side, side)) > 0)


def _pushed(mask: np.ndarray, other: np.ndarray, start: tuple[int, int], side: int) -> tuple[np.ndarray, int, int]:
    """Push a part towards another until they touch: its mask on the tray, and top and left of its tile."""
    goal = np.argwhere(other).mean(axis=0)
    centre = np.array(start) + _TILE / 2
    way = goal - centre
    placed, at = _place(mask, *start, side), start
    for step in range(1, int(np.linalg.norm(way))):
        there = np.rint(np.array(start) + way * step / np.linalg.norm(way)).astype(int)
        moved = _place(mask, int(there[0]), int(there[1]), side)
        if (moved & other).any():
            break
        placed, at = moved, (int(there[0]), int(there[1]))
    return placed, at[0], at[1]


def _shade(light: np.ndarray, tile: RenderedPart, top: int, left: int) -> None:
    """Lay a part and its shadow on the tray: the sheet is dimmed as the part's own white sheet is."""
    ground = np.median(tile.image[~tile.part_mask], axis=0)
    away = cv2.distanceTransform((~tile.part_mask).astype(np.uint8), cv2.DIST_L2, 5)
    # The shadow fades into the tray's own sheet.
    near = np.where(tile.part_mask, 1.0, np.exp(-((away / _SHADOW) ** 2)))[..., None]
    share = 1 + near * (np.minimum(tile.image / ground, 1.2) - 1)
    side = light.shape[0]
    rows = slice(max(0, top), min(side, top + _TILE))
    columns = slice(max(0, left), min(side, left + _TILE))
    light[rows, columns] *= share[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
