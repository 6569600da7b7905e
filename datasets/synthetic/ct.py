"""Render CT slices of batteries with exact boxes: anode edges, scanner artefacts, cracks over several slices.

A slice is a cross-section of a pouch cell: a bright case round a stack of anode and cathode layers. Anodes end a little
beyond the cathodes on both sides, and these two edges are inspected. The scanner adds rings about its axis of
rotation (detector elements of unequal gain), streaks from the dense corners of the case, noise, and a drift of
brightness and position along the axis. A crack is a thin dark gap across the layers of one edge, which opens, runs on
and closes over consecutive slices.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.datasets.ct_labels import LABEL_COLUMNS

SIZE = (256, 384)  # height, width of a slice
# x_min, y_min, x_max, y_max of the two regions that show anode edges.
REGIONS = {"left": (24, 64, 152, 192), "right": (232, 64, 360, 192)}
_AIR, _CASE, _GAP, _ANODE, _CATHODE = 0.04, 0.95, 0.22, 0.48, 0.72
_PITCH = 9.0  # pixels from one anode to the next
_CRACK_LEVEL = 0.12
_VISIBLE = 0.25  # a pixel belongs to a crack's box where this share of it is open
_CRACK_SLICES = (7, 16)


@dataclass(frozen=True)
class RenderedSlice:
    """Hold a slice: ``image`` uint8 or uint16 (H, W), ``boxes`` x_min, y_min, x_max, y_max; maxima just outside."""

    image: np.ndarray
    boxes: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True)
class _Crack:
    """Describe a gap along ``points`` (n, 2), in pixels, from slice ``first`` on; it moves by ``drift`` a slice."""

    points: np.ndarray
    width: float
    first: int
    count: int
    drift: tuple[float, float]

    def openness(self, number: int) -> float:
        """Return how far the crack is open, 0 to 1; it opens and closes within a slice or two."""
        inside = number - self.first
        return float(np.clip(min(inside + 1, self.count - inside) / 1.5, 0, 1)) if 0 <= inside < self.count else 0.0


def render_battery(seed: int, slices: int = 40, *, cracks: int = 0, bits: int = 16) -> list[RenderedSlice]:
    """Render the slices of one battery along one axis; the same arguments give the same bytes.

    Cracks take turns between the two edges. Raises UserError for a depth other than 8 or 16 bits, or fewer slices than
    the shortest crack runs over.
    """
    if bits not in (8, 16):
        raise UserError(f"bits: {bits} is not a depth of CT slices; use 8 or 16")
    if slices < 1 or (cracks and slices < _CRACK_SLICES[0]):
        raise UserError(f"slices: {slices} are too few; use at least {_CRACK_SLICES[0] if cracks else 1}")
    rng = np.random.default_rng([seed, 0])
    shape = _Shape.draw(rng)
    artefacts = _Artefacts.draw(np.random.default_rng([seed, 1]))
    drawn = [_draw_crack(np.random.default_rng([seed, 2, index]), index, slices) for index in range(cracks)]
    return [_render(seed, number, slices, shape, artefacts, drawn, bits) for number in range(slices)]


def write_ct_dataset(
    folder: Path,
    *,
    good: int = 3,
    cracked: int = 3,
    slices: int = 40,
    seed: int = 0,
    bits: int = 16,
    axis: str = "axial",
) -> None:
    """Write ``<folder>/<battery_id>/<axis>/slice_NNNN.tif`` and ``<folder>/labels.csv`` with a line for each box.

    Batteries are named ``good_01`` ..., ``cracked_01`` ...; a cracked one has one or two cracks. Raises UserError as
    ``render_battery`` does, and if a file cannot be written.
    """
    table = io.StringIO()
    labels = csv.writer(table, lineterminator="\n")
    labels.writerow(LABEL_COLUMNS)
    names = [f"good_{i + 1:02d}" for i in range(good)] + [f"cracked_{i + 1:02d}" for i in range(cracked)]
    for index, name in enumerate(names):
        cracks = 0 if index < good else 1 + index % 2
        for number, one in enumerate(render_battery(seed * 1000 + index, slices, cracks=cracks, bits=bits)):
            file_name = f"slice_{number:04d}.tif"
            buffer = io.BytesIO()
            Image.fromarray(one.image).save(buffer, format="TIFF")
            write_atomically(folder / name / axis / file_name, buffer.getvalue())
            labels.writerows([name, axis, file_name, *box] for box in one.boxes)
    write_atomically(folder / "labels.csv", table.getvalue())


@dataclass(frozen=True)
class _Shape:
    """Hold the properties that differ between batteries: left and right ends of the layers (n, 2), and their waves."""

    anode_ends: np.ndarray
    cathode_ends: np.ndarray
    offset: float
    waves: np.ndarray  # (3, 3): amplitude in pixels, waves over the width, phase
    tilt: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Shape:
        count = int(SIZE[0] // _PITCH) + 2
        anode = np.array([70.0, SIZE[1] - 70.0]) + rng.normal(0, 1.2, (count, 2))
        cathode = np.array([84.0, SIZE[1] - 84.0]) + rng.normal(0, 0.8, (count, 2))
        waves = np.stack([rng.uniform(0.4, 1.4, 3), np.array([1.0, 2.0, 3.5]), rng.uniform(0, 2 * np.pi, 3)], 1)
        return cls(anode, cathode, float(rng.uniform(0, _PITCH)), waves, float(rng.normal(0, 0.004)))


@dataclass(frozen=True)
class _Artefacts:
    """Hold the artefacts that the scanner adds to one scan."""

    rings: np.ndarray  # gain error by radius in pixels
    centre: np.ndarray  # axis of rotation, x and y
    streaks: np.ndarray  # (n, 3): angle, strength, phase along the axis
    drift: np.ndarray  # end of the scan beside its start: gain, x and y in pixels

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Artefacts:
        rings = cv2.GaussianBlur(rng.normal(0, 0.02, (1, 512)), (0, 0), 0.8).ravel()
        strong = rng.integers(8, 220, 6)
        rings[strong] = rings[strong] + rng.normal(0, 0.035, 6)
        centre = np.array([SIZE[1], SIZE[0]]) / 2 + rng.normal(0, 4, 2)
        streaks = np.stack([rng.uniform(0, np.pi, 8), rng.uniform(0.03, 0.08, 8), rng.uniform(0, 2 * np.pi, 8)], 1)
        return cls(rings, centre, streaks, np.array([rng.normal(0, 0.06), rng.normal(0, 1.2), rng.normal(0, 1.2)]))


def _draw_crack(rng: np.random.Generator, index: int, slices: int) -> _Crack:
    """Draw a crack down across several layers of one edge, in a zigzag."""
    left, top, right, bottom = list(REGIONS.values())[index % 2]
    length = rng.uniform(28, 52)
    x = rng.uniform(left + 60, right - 36) if index % 2 == 0 else rng.uniform(left + 36, right - 60)
    y = rng.uniform(top + 14, bottom - 14 - length)
    steps = np.linspace(0, length, 7)
    zigzag = np.cumsum(rng.normal(rng.choice([-3.2, 3.2]), 1.8, 7))
    count = int(rng.integers(_CRACK_SLICES[0], min(_CRACK_SLICES[1], slices) + 1))
    return _Crack(
        points=np.stack([x + zigzag, y + steps], 1),
        width=float(rng.uniform(2.2, 3.4)),
        first=int(rng.integers(0, slices - count + 1)),
        count=count,
        drift=(float(rng.normal(0, 0.3)), float(rng.normal(0, 0.3))),
    )


def _render(
    seed: int, number: int, slices: int, shape: _Shape, artefacts: _Artefacts, cracks: list[_Crack], bits: int
) -> RenderedSlice:
    along = number / max(slices - 1, 1)
    shift = artefacts.drift[1:] * along
    density = _cell(shape, along, shift)
    boxes = []
    for crack in cracks:
        cover = _gap(crack, number, shift)
        density += (_CRACK_LEVEL - density) * cover
        rows, columns = np.nonzero(cover >= _VISIBLE)
        if len(rows):
            boxes.append((int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1))
    picture = cv2.GaussianBlur(density, (0, 0), 0.7)
    picture = picture * (1 + artefacts.drift[0] * along) + _scanner(artefacts, along)
    rng = np.random.default_rng([seed, 3, number])
    picture += cv2.GaussianBlur(rng.normal(0, 0.05, SIZE), (0, 0), 0.6)
    # As in real scans, zero is not black, and the brightest value does not fill the range.
    scale, dtype = (200.0, np.uint8) if bits == 8 else (40_000.0, np.uint16)
    return RenderedSlice(np.rint(np.clip(picture + 0.15, 0, 1.25) * scale).astype(dtype), tuple(boxes))


def _cell(shape: _Shape, along: float, shift: np.ndarray) -> np.ndarray:
    """Compute the density of the sound cell: float64 (H, W)."""
    height, width = SIZE
    ys, xs = np.mgrid[0:height, 0:width].astype(float)
    xs, ys = xs - shift[0], ys - shift[1]
    density = np.full(SIZE, _AIR)
    density[_inside(xs, ys, 14, 30)] = _CASE
    inner = _inside(xs, ys, 19, 35)
    density[inner] = _GAP
    bend = shape.tilt * (xs - width / 2)
    for amplitude, waves, phase in shape.waves:
        bend = bend + amplitude * np.sin(2 * np.pi * waves * xs / width + phase + 1.5 * along)
    level = (ys - shape.offset + bend) / _PITCH
    layer = np.clip(np.floor(level).astype(int), 0, len(shape.anode_ends) - 1)
    within = level - np.floor(level)
    stack = inner & (ys > 46) & (ys < height - 46)
    # Soft edges, a pixel wide, so that the layers do not jump from row to row.
    anode = _plateau(within, 0.25, 0.42) * _plateau_between(xs, shape.anode_ends[layer])
    cathode = _plateau(within, 0.75, 0.30) * _plateau_between(xs, shape.cathode_ends[layer])
    layers = _GAP + (_ANODE - _GAP) * anode + (_CATHODE - _GAP) * cathode
    return np.where(stack, layers, density)


def _inside(xs: np.ndarray, ys: np.ndarray, margin_x: float, margin_y: float) -> np.ndarray:
    return (xs > margin_x) & (xs < SIZE[1] - margin_x) & (ys > margin_y) & (ys < SIZE[0] - margin_y)


def _plateau(within: np.ndarray, centre: float, thickness: float) -> np.ndarray:
    return np.clip((thickness / 2 - np.abs(within - centre)) * _PITCH + 0.5, 0, 1)


def _plateau_between(xs: np.ndarray, ends: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.minimum(xs - ends[..., 0], ends[..., 1] - xs) + 0.5, 0, 1))


def _gap(crack: _Crack, number: int, shift: np.ndarray) -> np.ndarray:
    """Compute how far each pixel is open: float64 (H, W), 0 to 1."""
    openness = crack.openness(number)
    if openness == 0:
        return np.zeros(SIZE)
    fine = 4  # sub-pixels per pixel: the cover of a pixel is exact to a sixteenth
    points = crack.points + np.array(crack.drift) * (number - crack.first) + shift
    canvas = np.zeros((SIZE[0] * fine, SIZE[1] * fine), np.uint8)
    line = np.rint((points + 0.5) * fine).astype(np.int32)
    cv2.polylines(canvas, [line], False, 255, max(1, round(crack.width * openness * fine)))
    return np.asarray(cv2.resize(canvas, (SIZE[1], SIZE[0]), interpolation=cv2.INTER_AREA) / 255.0)


def _scanner(artefacts: _Artefacts, along: float) -> np.ndarray:
    """Compute the rings and streaks that are added to the picture: float64 (H, W)."""
    ys, xs = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(float)
    dx, dy = xs - artefacts.centre[0], ys - artefacts.centre[1]
    added = np.interp(np.hypot(dx, dy), np.arange(len(artefacts.rings)), artefacts.rings)
    corners = [(16.0, 32.0), (SIZE[1] - 16.0, 32.0), (16.0, SIZE[0] - 32.0), (SIZE[1] - 16.0, SIZE[0] - 32.0)]
    for index, (angle, strength, phase) in enumerate(artefacts.streaks):
        x, y = corners[index % 4]
        away = (xs - x) * np.sin(angle) - (ys - y) * np.cos(angle)
        now = strength * np.cos(phase + 3 * along)
        added += now * np.exp(-((away / 2.5) ** 2))
    return np.asarray(added)
