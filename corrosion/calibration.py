"""Measure what a T0 shot, disturbed by light, pose, focus and noise, appears to have changed: the no-change level."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.config import CorrosionSettings
from fastener.corrosion.registration import Registration
from fastener.corrosion.surface_change import Scene, surface_change

_STILL = Registration(np.eye(2, 3), 1.0, 1.0, True)
_SEED = 0


@dataclass(frozen=True)
class Disturbance:
    """State how a shot is disturbed, beyond what registration and exposure make up for.

    Parameters
    ----------
    turn
        Remaining turn in degrees.
    shift
        Remaining shift as a share of the frame's side.
    exposure
        Factor on the grey values.
    slant
        Change of the light from one side of the frame to the other, as a share.
    blur
        Focus: sigma as a share of the frame's side.
    noise
        Standard deviation of the sensor's noise in grey values of 255.
    """

    turn: float
    shift: float
    exposure: float
    slant: float
    blur: float
    noise: float


DISTURBANCES = (
    Disturbance(0.7, 0.003, 0.85, 0.15, 0.0, 2.0),
    Disturbance(-0.7, -0.003, 1.1, -0.15, 0.002, 1.0),
    Disturbance(0.3, -0.005, 0.7, 0.1, 0.001, 3.0),
)


def no_change_level(scene: Scene, coloured: np.ndarray, settings: CorrosionSettings) -> tuple[float, float]:
    """Return the greatest apparent share of white deposit and of dark patches, in percent, among the disturbed copies.

    ``scene`` is a T0 shot, and ``coloured``, bool (h, w), its places of any colour.
    """
    found = [surface_change(scene, disturbed(scene, how), _STILL, coloured, settings) for how in DISTURBANCES]
    return max(one.white for one in found), max(one.dark for one in found)


def disturbed(scene: Scene, how: Disturbance) -> Scene:
    """Disturb a shot in its frame; its mask stays where it was."""
    height, width = scene.mask.shape
    move = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), how.turn, 1.0)
    move[:, 2] += how.shift * max(height, width)
    moved = cv2.warpAffine(scene.photo, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    photo: np.ndarray = moved.astype(np.float32)
    if how.blur:
        photo = cv2.GaussianBlur(photo, (0, 0), how.blur * max(height, width))
    slant = how.exposure * (1.0 + how.slant * np.linspace(-0.5, 0.5, width, dtype=np.float32))
    noise = np.random.default_rng(_SEED).standard_normal((height, width, 1), np.float32) * how.noise
    lit = np.clip(np.rint(photo * slant[None, :, None] + noise), 0, 255).astype(np.uint8)
    return replace(scene, photo=lit, white=np.clip(scene.white * how.exposure, 1, 255))
