"""Render fasteners with exact masks: bolts, nuts and washers, sound, damaged or deformed.

They feed the demo and the tests, which then need no photographs. Every random draw comes from the seed, in separate
streams for the part and its pose, its skin, its damage, the background and the sensor. So the same seed shows the same
part in the same light with and without a defect; outside the defect, the pictures differ only by the camera's blur.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.synthetic.deformations import DEFORMATIONS, check
from fastener.datasets.synthetic.material import BACKGROUNDS, FINISHES
from fastener.datasets.synthetic.render import DAMAGE, PART, SHOT, RenderedPart, Scene, render_scene, stream
from fastener.datasets.synthetic.shapes import PartShape

KINDS = ("bolt", "nut", "washer")
DEFECTS = ("none", "rust", "pit", "scratch", "bend")
ALL_DEFECTS = tuple(dict.fromkeys((*DEFECTS, *DEFORMATIONS)))


def render_part(
    seed: int,
    kind: str = "bolt",
    finish: str = "silver",
    defect: str = "none",
    *,
    size: tuple[int, int] = (320, 320),
    rust_share: float | None = None,
    amount: float | None = None,
    angle_deg: float | None = None,
    tilt_deg: float | None = None,
    light_rgb: Sequence[float] = (1.0, 1.0, 1.0),
    exposure: float = 1.0,
    background: str | None = None,
) -> RenderedPart:
    """Render one fastener. Raises UserError for an unknown name, a number out of range, or a bent nut.

    An oblique view hides an oval: a tilted round washer is an ellipse, too. ``tilt_deg`` shows parts as a camera right
    above the table sees them.

    Parameters
    ----------
    seed
        Seed of all draws, 0 or more.
    kind
        One of ``KINDS``.
    finish
        "silver", "grey" or "black".
    defect
        One of ``ALL_DEFECTS``: "none", "rust", "pit", "scratch", or one of ``DEFORMATIONS`` that this kind can have.
    size
        (height, width) of the picture in pixels, at least 64 each.
    rust_share
        Share of the part's pixels that rust, 0 to 1, exact to the pixel; only with defect "rust". None draws it from
        0.1 to 0.45.
    amount
        Amount of a deformation in the unit that ``DEFORMATIONS`` names; None draws it.
    tilt_deg
        Angle by which the part's axis is tipped out of the picture: 0 is a bolt seen from the side, 90 a nut seen from
        right above; 1 to 89 degrees. None draws it from 11 to 34 for bolts, from 54 to 80 for nuts and washers.
    angle_deg
        Angle of the part's axis in degrees, clockwise from image x, head or near face first; None draws it.
    light_rgb, exposure
        Factors on the whole picture in linear light, above 0.
    background
        "white", "light", "bench" or "cloth"; None draws one.
    """
    check_part(seed, kind, finish, defect, size, rust_share, background)
    if defect in DEFORMATIONS:
        check(kind, defect, amount)
    elif amount is not None:
        raise UserError(f"amount: has no meaning with defect {defect!r}; use one of {', '.join(DEFORMATIONS)}")
    if tilt_deg is not None and not 1 <= tilt_deg <= 89:
        raise UserError(f"tilt_deg: {tilt_deg:g} is out of range; use 1 to 89 degrees")
    if exposure <= 0 or len(light_rgb) != 3 or min(light_rgb) <= 0:
        raise UserError(
            f"light: exposure {exposure} and light_rgb {tuple(light_rgb)} must be positive; three for light_rgb"
        )
    scene = draw_scene(seed, kind, finish, background)
    if angle_deg is not None:
        scene = replace(scene, angle=float(np.deg2rad(angle_deg)))
    if tilt_deg is not None:
        scene = replace(scene, shape=replace(scene.shape, tilt=float(np.deg2rad(tilt_deg))))
    if defect == "rust" and rust_share is None:
        rust_share = float(stream(seed, DAMAGE).uniform(0.1, 0.45))
    return render_scene(replace(scene, exposure=exposure), defect, size, rust_share or 0.0, light_rgb, amount)


def render_time_series(
    seed: int,
    kind: str,
    finish: str,
    rust_shares: Sequence[float],
    *,
    size: tuple[int, int] = (320, 320),
    light_rgb: Sequence[float] = (1.0, 1.0, 1.0),
    background: str | None = None,
    jitter: float = 1.0,
) -> list[RenderedPart]:
    """Render shots of one part as rust grows on it: one shot for each share, with rust in the same places.

    Between shots the part is laid down anew (a few degrees, a few pixels), and lamp and exposure change a little.
    ``jitter`` scales these changes; with 0, the rust of a smaller share lies within the rust of a larger share, pixel
    by pixel. Raises UserError as ``render_part`` does.
    """
    for share in rust_shares:
        check_part(seed, kind, finish, "rust", size, share, background)
    scene = draw_scene(seed, kind, finish, background)
    shots = []
    for index, share in enumerate(rust_shares):
        rng = stream(seed, SHOT, index)
        turn, dx, dy, grow, light_x, light_y, brighter = jitter * rng.normal(size=7)
        shot = replace(
            scene,
            angle=scene.angle + 0.04 * turn,
            shift=(scene.shift[0] + 0.012 * dx, scene.shift[1] + 0.012 * dy),
            scale=scene.scale * (1 + 0.01 * np.clip(grow, -2, 2)),
            light=unit_vector(scene.light[0] + 0.05 * light_x, scene.light[1] + 0.05 * light_y, scene.light[2]),
            exposure=1 + 0.03 * float(np.clip(brighter, -2, 2)),
            shot=index,
        )
        shots.append(render_scene(shot, "rust" if share > 0 else "none", size, share, light_rgb))
    return shots


def check_part(
    seed: int,
    kind: str,
    finish: str,
    defect: str,
    size: tuple[int, int],
    rust_share: float | None,
    background: str | None,
) -> None:
    """Raise UserError for an unknown name, or a number out of range."""
    if seed < 0:
        raise UserError(f"seed: {seed} is negative; use 0 or more")
    for field, value, known in (
        ("kind", kind, KINDS),
        ("finish", finish, tuple(FINISHES)),
        ("defect", defect, ALL_DEFECTS),
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


def unit_vector(x: float, y: float, z: float) -> tuple[float, float, float]:
    """Scale a vector to length 1."""
    length = float(np.sqrt(x * x + y * y + z * z))
    return float(x / length), float(y / length), float(z / length)


def draw_scene(seed: int, kind: str, finish: str, background: str | None) -> Scene:
    """Draw the part and its pose from the seed; None draws the background, too."""
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
        light=unit_vector(np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)),
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
