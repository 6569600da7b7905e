"""Rendered fasteners with exact masks: bolts, nuts and washers, sound or with rust, pits, scratches or a bend.

They feed the demo and the tests, and need no photographs. Every draw comes from the seed: one stream for the part and
its pose, others for its skin, its damage, the background and the sensor, so that the same seed with and without a
defect shows the same part under the same light, equal outside the defect but for the camera's blur.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.synthetic.render import DAMAGE, PART, SHOT, RenderedPart, Scene, render_scene, stream
from fastener.datasets.synthetic.shapes import PartShape
from fastener.datasets.synthetic.surface import BACKGROUNDS, FINISHES

KINDS = ("bolt", "nut", "washer")
DEFECTS = ("none", "rust", "pit", "scratch", "bend")
CSV_CLASSES = {"rust": "Rust", "pit": "Pit", "scratch": "Scratch", "bend": "Bend", "none": "Good-Part"}
# Component name -> kind, finish, and the share of rust after each 24 hours; the last one stays clean.
COMPONENTS = {
    "Bolt Grey": ("bolt", "grey", (0.0, 0.04, 0.13, 0.28)),
    "Nut Black": ("nut", "black", (0.0, 0.02, 0.09, 0.35)),
    "Washer Silver": ("washer", "silver", (0.0, 0.0, 0.0, 0.0)),
}


def render_part(
    seed: int,
    kind: str = "bolt",
    finish: str = "silver",
    defect: str = "none",
    size: tuple[int, int] = (320, 320),
    rust_share: float | None = None,
    angle_deg: float | None = None,
    light_rgb: Sequence[float] = (1.0, 1.0, 1.0),
    exposure: float = 1.0,
    background: str | None = None,
) -> RenderedPart:
    """Render one fastener.

    size is (height, width), at least 64 each; rust_share (0..1, only with defect "rust") is met to the pixel, and drawn
    from 0.1..0.45 when None; angle_deg turns the part's axis clockwise from image x, head or near face first; light_rgb
    and exposure are factors in linear light on the whole picture; background is "white", "light", "bench" or "cloth".
    What is None is drawn from the seed. Raises UserError for an unknown name, a bad number, or a bent nut.
    """
    _check(seed, kind, finish, defect, size, rust_share, background)
    if exposure <= 0 or len(light_rgb) != 3 or min(light_rgb) <= 0:
        raise UserError(
            f"light: exposure {exposure} and light_rgb {tuple(light_rgb)} must be positive; three for light_rgb"
        )
    scene = _draw_scene(seed, kind, finish, background)
    if angle_deg is not None:
        scene = replace(scene, angle=float(np.deg2rad(angle_deg)))
    if defect == "rust" and rust_share is None:
        rust_share = float(stream(seed, DAMAGE).uniform(0.1, 0.45))
    return render_scene(replace(scene, exposure=exposure), defect, size, rust_share or 0.0, light_rgb)


def render_time_series(
    seed: int,
    kind: str,
    finish: str,
    rust_shares: Sequence[float],
    size: tuple[int, int] = (320, 320),
    light_rgb: Sequence[float] = (1.0, 1.0, 1.0),
    background: str | None = None,
    jitter: float = 1.0,
) -> list[RenderedPart]:
    """The same part photographed as rust grows on it; one shot for each share, rust always in the same places.

    Between shots the part is laid down anew (a few degrees, a few pixels) and lamp and exposure change a little, by
    ``jitter`` times the usual; with jitter 0 the rust masks of growing shares are nested pixel by pixel. Raises
    UserError as render_part does.
    """
    for share in rust_shares:
        _check(seed, kind, finish, "rust", size, share, background)
    scene = _draw_scene(seed, kind, finish, background)
    shots = []
    for index, share in enumerate(rust_shares):
        rng = stream(seed, SHOT, index)
        turn, dx, dy, grow, light_x, light_y, brighter = jitter * rng.normal(size=7)
        shot = replace(
            scene,
            angle=scene.angle + 0.04 * turn,
            shift=(scene.shift[0] + 0.012 * dx, scene.shift[1] + 0.012 * dy),
            scale=scene.scale * (1 + 0.01 * np.clip(grow, -2, 2)),
            light=_unit(scene.light[0] + 0.05 * light_x, scene.light[1] + 0.05 * light_y, scene.light[2]),
            exposure=1 + 0.03 * float(np.clip(brighter, -2, 2)),
            shot=index,
        )
        shots.append(render_scene(shot, "rust" if share > 0 else "none", size, share, light_rgb))
    return shots


def write_demo_dataset(
    folder: Path,
    seed: int = 0,
    n_train: int = 40,
    n_valid_good: int = 12,
    n_valid_defect: int = 12,
    n_test_good: int = 20,
    n_test_defect: int = 20,
    size: tuple[int, int] = (320, 320),
    background: str | None = None,
) -> None:
    """Write a demonstration data set: a CSV data set, the masks of its defects, and time series of components.

    ``<split>/_classes.csv`` (filename, then one 0/1 column for each of CSV_CLASSES) beside PNG images, for the splits
    train (good parts only), valid and test; ``masks/<split>/<same name>`` (0 or 255) for each part with a defect; and
    ``components/<Name>-T<hours>.png``. Kinds, finishes and defects take turns. The same arguments give the same bytes.
    ``background`` is the same for all parts, or drawn for each. Missing folders are made, existing files of the same
    names replaced. Raises UserError if a file cannot be written.
    """
    part_seed = seed * 1_000_000
    counts = {"train": (n_train, 0), "valid": (n_valid_good, n_valid_defect), "test": (n_test_good, n_test_defect)}
    for number, (split, (good, bad)) in enumerate(counts.items()):
        _write_split(folder, split, part_seed + 10_000 * number, good, bad, size, background)
    for index, (name, (kind, finish, shares)) in enumerate(COMPONENTS.items()):
        series = render_time_series(part_seed + 900_000 + index, kind, finish, shares, size, background="white")
        for hours, part in zip(range(0, 96, 24), series, strict=True):
            write_png(folder / "components" / f"{name}-T{hours}.png", part.image)


def _write_split(
    folder: Path,
    split: str,
    first_seed: int,
    good: int,
    bad: int,
    size: tuple[int, int],
    background: str | None,
) -> None:
    rows = []
    for index in range(good + bad):
        kind, finish = KINDS[index % 3], tuple(FINISHES)[index // 3 % 3]
        defect = "none" if index < good else DEFECTS[1 + (index - good) % 4]
        kind = "bolt" if (kind, defect) == ("nut", "bend") else kind
        part = render_part(first_seed + index, kind, finish, defect, size, background=background)
        name = f"{index:03d}-{kind}-{finish}-{'good' if defect == 'none' else defect}.png"
        write_png(folder / split / name, part.image)
        if defect != "none":
            write_png(folder / "masks" / split / name, part.defect_mask.astype(np.uint8) * 255)
        rows.append([name, *(int(defect == known) for known in CSV_CLASSES)])
    path = folder / split / "_classes.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["filename", *CSV_CLASSES.values()])
        writer.writerows(rows)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write uint8 RGB (H, W, 3) or a mask (H, W); raises UserError if it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        encoded = cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])[1]
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error


def _check(
    seed: int,
    kind: str,
    finish: str,
    defect: str,
    size: tuple[int, int],
    rust_share: float | None,
    background: str | None,
) -> None:
    if seed < 0:
        raise UserError(f"seed: {seed} is negative; use 0 or more")
    for field, value, known in (
        ("kind", kind, KINDS),
        ("finish", finish, tuple(FINISHES)),
        ("defect", defect, DEFECTS),
        ("background", background or "white", tuple(BACKGROUNDS)),
    ):
        if value not in known:
            raise UserError(f"{field}: {value!r} is not known; use one of {', '.join(known)}")
    if min(size) < 64:
        raise UserError(f"size: {size} is too small to draw a fastener; use at least 64 x 64")
    if rust_share is not None and not 0 <= rust_share <= 1:
        raise UserError(f"rust_share: {rust_share} is not a share; use a number from 0 to 1")
    if rust_share is not None and defect != "rust":
        raise UserError(f"rust_share: has no meaning with defect {defect!r}; use defect 'rust' or leave it out")
    if kind == "nut" and defect == "bend":
        raise UserError("defect: nuts do not bend; use a bolt or a washer, or another defect")


def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = float(np.sqrt(x * x + y * y + z * z))
    return float(x / length), float(y / length), float(z / length)


def _draw_scene(seed: int, kind: str, finish: str, background: str | None) -> Scene:
    rng = stream(seed, PART)
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.1)
    warm = rng.normal(0, 0.012)
    # Black oxide on dark cloth hides the part even from a person: it is drawn only when asked for.
    choices = [name for name in BACKGROUNDS if not (finish == "black" and name == "cloth")]
    drawn = choices[int(rng.integers(len(choices)))]
    tone = rng.uniform(0.88, 1.12) * np.array([1 + warm, 1.0, 1 - warm])
    return Scene(
        seed=seed,
        finish=finish,
        background=background or drawn,
        angle=float(rng.uniform(0, 2 * np.pi)),
        scale=float(rng.uniform(0.37, 0.43) if kind == "bolt" else rng.uniform(0.29, 0.37)),
        shift=(float(rng.uniform(-0.03, 0.03)), float(rng.uniform(-0.03, 0.03))),
        light=_unit(np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)),
        tone=(float(tone[0]), float(tone[1]), float(tone[2])),
        shape=_draw_shape(rng, kind),
    )


def _draw_shape(rng: np.random.Generator, kind: str) -> PartShape:
    tilt = rng.uniform(0.2, 0.6) if kind == "bolt" else rng.uniform(0.95, 1.4)
    socket = kind == "bolt" and rng.random() < 0.5
    length = {"bolt": rng.uniform(4.5, 6.0), "nut": rng.uniform(0.7, 0.9), "washer": rng.uniform(0.09, 0.14)}[kind]
    return PartShape(
        kind=kind,
        tilt=float(tilt),
        roll=float(rng.uniform(0, np.pi / 3)),
        length=float(length),
        head="socket" if socket else "hex",
        head_width=float(rng.uniform(1.5, 1.65)),
        head_length=float(rng.uniform(1.7, 2.0) if socket else rng.uniform(1.2, 1.4)),
        hole=float(rng.uniform(0.5, 0.56)),
        pitch=float(rng.uniform(0.32, 0.42) if kind == "bolt" else rng.uniform(0.11, 0.14)),
        plain=float(rng.choice([0.0, 0.25])),
    )
