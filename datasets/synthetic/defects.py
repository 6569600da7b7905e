"""Draw synthetic defects on healthy photos, to estimate what a setting or threshold finds without labelled defects.

A scar is a thin strip of the part itself, turned, brightened or darkened and laid elsewhere on the part (CutPaste-Scar:
Li et al., "CutPaste: Self-Supervised Learning for Anomaly Detection and Localization", CVPR 2021, section 2.2). A
scratch is a thin bent line, lighter or darker than the surface around it. A dent shifts the pixels of a round spot, so
that edges and threads bend. A stain darkens or brightens a blotch, a foreign body covers a blotch with another colour,
a missing piece shows the background's colour instead of the part, an edge chip is a piece with straight broken sides
that is gone from the outline, a blurred spot has lost its texture, a texture patch shows another place of the part
(CutPaste, section 2.1), and a Perlin blend shows another place in other light through islands of Perlin noise, half
transparent (DRAEM: Zavrtanik et al., ICCV 2021, section 3.1, with the photo's own texture as in MemSeg: Yang et al.
2023). The defects are small on purpose: a defect that every setting finds cannot tell settings apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.synthetic.covers import blotch, islands, outline, point, splinter

# Lengths are fractions of the photo's shorter side. Strips have the size of CutPaste-Scar: 2 to 16 by 10 to 25 of 256.
_SCAR_WIDTH, _SCAR_LENGTH = (2 / 256, 16 / 256), (10 / 256, 25 / 256)
_SCRATCH_WIDTH, _SCRATCH_LENGTH = (0.006, 0.012), (0.1, 0.3)
_DENT_RADIUS = (0.03, 0.08)
_DENT_DEPTH = (0.3, 0.6)  # largest shift, as a fraction of the radius
_BEYOND_OUTLINE = 3  # pixels that a chip takes beyond the part, whose mask may end inside its outline
_DARK, _SHADE = 2, 0.5  # behind a part that fills the photo lies half of this percentile of the photo
_NEAR = 0.05  # step in which background is looked for
_OPACITY = (0.4, 0.9)
_BRIGHTNESS, _RELIEF = (15.0, 60.0), (1.2, 2.5)  # grey levels of 255; contrast as a multiple
_SOURCES = 8  # places of the part that are tried for a patch
_GAIN = (0.75, 1.25)
_CONTRAST = (40.0, 110.0)  # grey levels of 255
_STAIN_CONTRAST = (30.0, 80.0)
_BLUR = 0.02
_VISIBLE = 10  # grey levels of 255
_MIN_AREA = 4e-4  # fraction of the photo's pixels that must have changed visibly
_ATTEMPTS = 50

Painter = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class DefectivePhoto:
    """A photo with one synthetic defect.

    Parameters
    ----------
    image : uint8 RGB (H, W, 3)
        The photo; outside ``mask`` it equals the healthy photo.
    mask : bool (H, W)
        True on the pixels of the defect.
    kind : str
        One of ``KINDS``.
    """

    image: np.ndarray
    mask: np.ndarray
    kind: str


def add_defect(photo: np.ndarray, part: np.ndarray, seed: int, kind: str | None = None) -> DefectivePhoto:
    """Draw one defect on a healthy photo; the same arguments give the same bytes.

    Parameters
    ----------
    photo : uint8 RGB (H, W, 3)
        A photo of a healthy part.
    part : bool (H, W)
        Mask of the part. The centre of the defect lies on it.
    seed : int
        Seed of the position, the shape and, if ``kind`` is None, the kind.
    kind : str, optional
        One of ``KINDS``.

    Raises
    ------
    UserError
        If ``part`` is empty or has another size, if the kind is unknown, or if no defect of this kind is visible on the
        part because its surface is too even.
    """
    if part.shape != photo.shape[:2] or not part.any():
        raise UserError(f"part: expected a mask of {photo.shape[:2]} with some pixels set, got {part.shape}")
    if kind is not None and kind not in KINDS:
        raise UserError(f"kind: {kind!r} is not known; use one of {', '.join(KINDS)}")
    rng = np.random.default_rng(seed)
    kind = kind or str(rng.choice(list(KINDS)))
    for _ in range(_ATTEMPTS):
        image, mask = KINDS[kind](photo, part, rng)
        mask &= _visibly_different(image, photo)
        if mask.mean() >= _MIN_AREA:
            return DefectivePhoto(np.where(mask[..., None], image, photo), mask, kind)
    raise UserError(f"no {kind} is visible on this photo in {_ATTEMPTS} attempts: the part is too even or too small")


def _scar(photo: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    side, size = min(part.shape), part.shape[::-1]
    source, target = point(part, rng), point(part, rng)
    length, width = rng.uniform(*_SCAR_LENGTH) * side, rng.uniform(*_SCAR_WIDTH) * side
    turn = cv2.getRotationMatrix2D(source, rng.uniform(0, 360), 1.0)
    turn[:, 2] += np.subtract(target, source)
    strip = np.zeros(part.shape, np.uint8)
    corners = cv2.boxPoints((target, (length, width), rng.uniform(0, 360)))
    cv2.fillPoly(strip, [np.rint(corners).astype(np.int32)], 1)
    moved = cv2.warpAffine(photo, turn, size, borderMode=cv2.BORDER_REFLECT_101) * rng.uniform(*_GAIN)
    return _as_photo(moved), (strip > 0) & part


def _scratch(photo: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    side = min(part.shape)
    length, angle = rng.uniform(*_SCRATCH_LENGTH) * side, rng.uniform(0, np.pi)
    along = np.linspace(-0.5, 0.5, 9)
    bow = rng.normal(0, 0.15) * (1 - 4 * along**2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    line = np.stack([along, bow], 1) @ turn.T * length + point(part, rng)
    width = max(1, round(rng.uniform(*_SCRATCH_WIDTH) * side))
    cover = np.zeros(part.shape, np.uint8)
    cv2.polylines(cover, [np.rint(line * 16).astype(np.int32)], False, 255, width, cv2.LINE_AA, shift=4)
    contrast = rng.choice([-1, 1]) * rng.uniform(*_CONTRAST)
    return _as_photo(photo + contrast * (cover[..., None] / 255.0)), (cover > 0) & part


def _dent(photo: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    side, (x, y) = min(part.shape), point(part, rng)
    radius, angle = rng.uniform(*_DENT_RADIUS) * side, rng.uniform(0, 2 * np.pi)
    rows, columns = np.indices(part.shape, np.float32)
    inside = np.clip(1 - ((columns - x) ** 2 + (rows - y) ** 2) / radius**2, 0, None)
    depth = rng.uniform(*_DENT_DEPTH) * radius * inside**2
    map_x, map_y = columns - depth * np.cos(angle), rows - depth * np.sin(angle)
    moved = cv2.remap(
        photo, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return moved, inside > 0


def _stain(photo: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    cover = blotch(part, rng)
    contrast = rng.choice([-1, 1]) * rng.uniform(*_STAIN_CONTRAST)
    return _as_photo(photo + contrast * cover[..., None]), (cover > 0) & part


def _foreign_body(photo: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    cover = blotch(part, rng)
    colour = rng.uniform(20, 235, 3) if np.ptp(photo.astype(np.int16), axis=2).max() > 0 else rng.uniform(20, 235)
    return _laid_over(photo, np.broadcast_to(colour, photo.shape), cover), (cover > 0) & part


def _missing_piece(photo: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    cover = blotch(part, rng)
    # Where the part fills the photo no background is seen: the corners' colour then stands for it.
    background = photo[~part] if not part.all() else photo[[0, 0, -1, -1], [0, -1, 0, -1]]
    return _laid_over(photo, np.broadcast_to(np.median(background, axis=0), photo.shape), cover), (cover > 0) & part


def _edge_chip(photo: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    piece = splinter(outline(part), rng)
    around = cv2.dilate(part.astype(np.uint8), np.ones((2 * _BEYOND_OUTLINE + 1,) * 2, np.uint8)) > 0
    gone = piece & around
    if around.all():
        behind = np.broadcast_to(_SHADE * np.percentile(photo, _DARK, axis=(0, 1)), photo.shape)
    else:
        behind = _background_beside(photo, around, gone)
    cover = cv2.GaussianBlur(gone.astype(np.float32), (0, 0), 0.7)
    return _laid_over(photo, behind, cover), gone


def _blurred_spot(photo: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    cover = blotch(part, rng)
    return _laid_over(photo, cv2.GaussianBlur(photo, (0, 0), _BLUR * min(part.shape)), cover), (cover > 0) & part


def _texture_patch(photo: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    cover = blotch(part, rng)
    return _laid_over(photo, _another_place(photo, part, cover > 0, rng), cover), (cover > 0) & part


def _perlin_blend(photo: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    cover = islands(part, rng)
    elsewhere = _another_place(photo, part, cover > 0, rng).astype(np.float32)
    mean = elsewhere[cover > 0].mean(0) if cover.any() else elsewhere.mean((0, 1))
    lit = mean + rng.uniform(*_RELIEF) * (elsewhere - mean) + rng.choice([-1, 1]) * rng.uniform(*_BRIGHTNESS)
    return _laid_over(photo, lit, cover * np.float32(rng.uniform(*_OPACITY))), (cover > 0) & part


KINDS: dict[str, Painter] = {
    "scar": _scar,
    "scratch": _scratch,
    "dent": _dent,
    "stain": _stain,
    "foreign body": _foreign_body,
    "missing piece": _missing_piece,
    "blurred spot": _blurred_spot,
    "texture patch": _texture_patch,
    "edge chip": _edge_chip,
    "Perlin blend": _perlin_blend,
}


def _another_place(photo: np.ndarray, part: np.ndarray, cover: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn the photo by 180 degrees and shift it, so that another place of the part comes to lie under ``cover``.

    Of a few places the one is taken that shows most of the part.
    """
    height, width = part.shape
    if not cover.any():
        return photo
    rows, columns = np.nonzero(cover)
    turned, of_part = photo[::-1, ::-1], part[::-1, ::-1]
    best, shift = -1.0, (0, 0)
    for _ in range(_SOURCES):
        x, y = point(part, rng)
        down, right = round(rows.mean() - (height - 1 - y)), round(columns.mean() - (width - 1 - x))
        share = float(of_part[(rows - down) % height, (columns - right) % width].mean())
        if share > best:
            best, shift = share, (down, right)
    return np.roll(turned, shift, (0, 1))


def _background_beside(photo: np.ndarray, part: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Shift the photo so that the nearest background comes to lie on the pixels that are ``gone``.

    Where none is large enough, its median colour stands for it.
    """
    rows, columns = np.nonzero(gone)
    height, width = part.shape
    for away in np.arange(1, 6) * _NEAR * min(part.shape):
        for angle in np.arange(16) * np.pi / 8:
            down, right = round(away * np.sin(angle)), round(away * np.cos(angle))
            there = (rows + down, columns + right)
            inside = (there[0] >= 0) & (there[0] < height) & (there[1] >= 0) & (there[1] < width)
            if inside.all() and not part[there].any():
                return np.roll(photo, (-down, -right), (0, 1))
    return np.broadcast_to(np.median(photo[~part], axis=0), photo.shape)


def _laid_over(photo: np.ndarray, other: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Blend ``other`` over the photo by ``cover``, float32 (H, W) from 0 to 1."""
    return _as_photo(photo + cover[..., None] * (other.astype(np.float32) - photo))


def _visibly_different(image: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Mark pixels, bool (H, W), of which a channel changed by more than ten grey levels; small gaps are closed."""
    changed = np.abs(image.astype(np.int16) - photo).max(2) > _VISIBLE
    closed = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return np.asarray(closed > 0)


def _as_photo(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
