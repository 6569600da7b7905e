"""Render series of corroding parts: white crust, red rust, lost coating and lost lustre, each with its exact mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.synthetic.material import Damage, fractal_noise, rust_damage, slope
from fastener.datasets.synthetic.parts import check_part, draw_scene, unit_vector
from fastener.datasets.synthetic.render import (
    CAMERA_BLUR,
    DAMAGE,
    SHOT,
    TILE,
    LaidPart,
    Scene,
    lay_part,
    lay_texture,
    photograph_part,
    shrink,
    stream,
)

SOUND, WHITE, RED, DARK = range(4)
_NAMES = ("white", "red", "dark", "dull")


@dataclass(frozen=True)
class Corrosion:
    """State how far a part has corroded.

    Parameters
    ----------
    white, red, dark
        Shares of the part's pixels under white deposit, under red rust and without coating; 0 to 1, at most 1 together.
    dull
        Share of the lustre that the rest of the part has lost, 0 to 1. A dull surface is not corroded.
    """

    white: float = 0.0
    red: float = 0.0
    dark: float = 0.0
    dull: float = 0.0


@dataclass(frozen=True)
class Conditions:
    """State how one shot differs from the first one of a series.

    Parameters
    ----------
    pose
        Spread of turn (0.04 rad), shift (1.2 % of the side) and zoom (1 %), as a factor.
    lamp
        Spread of the lamp's direction (0.05), as a factor.
    gain
        Factor on the exposure.
    light_rgb
        Colour of the light, a factor for each channel.
    blur
        Sigma of lens and focus in pixels.
    """

    pose: float = 1.0
    lamp: float = 1.0
    gain: float = 1.0
    light_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur: float = CAMERA_BLUR


@dataclass(frozen=True)
class CorrodedPart:
    """Hold one picture, uint8 RGB (H, W, 3), with its truth.

    Parameters
    ----------
    image
        The picture, uint8 RGB (H, W, 3).
    part_mask
        The part, bool (H, W).
    classes
        ``SOUND``, ``WHITE``, ``RED`` or ``DARK`` for each pixel, uint8 (H, W); 0 outside the part.
    """

    image: np.ndarray
    part_mask: np.ndarray
    classes: np.ndarray

    def share(self, kind: int) -> float:
        """Share of the part's pixels of one class, 0 to 1."""
        return float((self.classes == kind).sum() / max(int(self.part_mask.sum()), 1))


def render_corrosion(
    seed: int,
    kind: str,
    finish: str,
    states: Sequence[Corrosion],
    conditions: Sequence[Conditions] | None = None,
    *,
    size: tuple[int, int] = (320, 320),
    background: str = "white",
) -> list[CorrodedPart]:
    """Render one shot of a part for each state; damage stays in its places and grows.

    The first shot shows the part as it was drawn; each later one is laid down anew, as ``conditions`` say. The same
    seed gives the same part as ``render_time_series``. Raises UserError for an unknown name, shares that are none, or
    ``conditions`` of another length than ``states``.
    """
    conditions = [Conditions()] * len(states) if conditions is None else conditions
    if len(conditions) != len(states):
        raise UserError(f"conditions: {len(conditions)} given for {len(states)} states; give one for each")
    for state in states:
        for name in _NAMES:
            check_part(seed, kind, finish, "rust", size, getattr(state, name), background)
        if state.white + state.red + state.dark > 1.0:
            raise UserError(f"{state}: white, red and dark cover more than the whole part")
    scene = draw_scene(seed, kind, finish, background)
    return [
        _shot(_laid_anew(scene, index, how), state, size, how.light_rgb)
        for index, (state, how) in enumerate(zip(states, conditions, strict=True))
    ]


def _laid_anew(scene: Scene, index: int, how: Conditions) -> Scene:
    rng = stream(scene.seed, SHOT, index)
    turn, dx, dy, grow, light_x, light_y = np.clip(rng.normal(size=6), -2, 2) * (index > 0)
    return replace(
        scene,
        angle=scene.angle + 0.04 * how.pose * turn,
        shift=(scene.shift[0] + 0.012 * how.pose * dx, scene.shift[1] + 0.012 * how.pose * dy),
        scale=scene.scale * (1 + 0.01 * how.pose * grow),
        light=unit_vector(
            scene.light[0] + 0.05 * how.lamp * light_x, scene.light[1] + 0.05 * how.lamp * light_y, scene.light[2]
        ),
        exposure=how.gain,
        blur=how.blur,
        shot=index,
    )


def _shot(scene: Scene, state: Corrosion, size: tuple[int, int], light_rgb: Sequence[float]) -> CorrodedPart:
    laid = lay_part(scene, size)
    rng = stream(scene.seed, DAMAGE)
    damage = Damage.none(laid.fine)
    # Every field is drawn in each shot, so that the same seed puts each kind of damage in the same places.
    fields = {
        WHITE: fractal_noise(rng, TILE, 5, 160, gain=0.75),
        RED: fractal_noise(rng, TILE, 5, 160, gain=0.72),
        DARK: fractal_noise(rng, TILE, 2, 48, gain=0.45),
    }
    tone = fractal_noise(rng, TILE, 6, 192, gain=0.85)
    classes = np.zeros(size, np.uint8)
    for kind, share in ((DARK, state.dark), (RED, state.red), (WHITE, state.white)):
        found = _grown(lay_texture(fields[kind], scene, laid.fine), laid, classes, share)
        if found is None:
            continue
        mask, level = found
        classes[mask] = kind
        within = cv2.resize(mask.astype(np.float32), laid.fine[::-1], interpolation=cv2.INTER_NEAREST)
        _lay(
            damage,
            kind,
            lay_texture(fields[kind], scene, laid.fine),
            lay_texture(tone, scene, laid.fine),
            level,
            within,
        )
    damage.dull += np.float32(state.dull)
    image = photograph_part(scene, laid, damage, light_rgb)
    return CorrodedPart(image, laid.part_mask, classes)


def _grown(field: np.ndarray, laid: LaidPart, classes: np.ndarray, share: float) -> tuple[np.ndarray, float] | None:
    """Take the ``share`` of the part's pixels at which ``field`` is highest and nothing else grows; None for none."""
    size = (laid.part_mask.shape[0], laid.part_mask.shape[1])
    pixels = shrink(field, size)
    free = laid.part_mask & (classes == SOUND)
    values = np.sort(pixels[free])[::-1]
    wanted = min(round(share * int(laid.part_mask.sum())), len(values))
    if wanted == 0:
        return None
    level = float(values[wanted - 1])
    return free & (pixels >= level), level


def _lay(damage: Damage, kind: int, field: np.ndarray, tone: np.ndarray, level: float, within: np.ndarray) -> None:
    """Add one kind of damage where ``within`` is 1: soft at its border, thick and rough inside."""
    if kind == RED:
        rust = rust_damage(field, tone, level, within)
        damage.rust, damage.rust_tone = rust.rust, rust.rust_tone
        damage.darken += rust.darken
        damage.relief += rust.relief
    elif kind == WHITE:
        damage.white = (0.75 + 0.25 * np.clip((field - level) / 0.25, 0, 1)) * within
        damage.white_tone = np.clip(0.30 + 0.30 * np.clip((field - level) / 1.2, 0, 1) + 0.18 * tone, 0, 1)
        damage.relief += slope(tone) * damage.white[..., None] * 1.0
    else:
        damage.dark = 0.96 * within
