"""Colours of a part's surface, and the sectors of hue of rust, tarnish and green oxidation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from fastener.config import ColourSettings, CorrosionSettings
from fastener.corrosion.places import square

RUST, TARNISH, GREEN = 1, 2, 3
# Classes 4 and 5 are white deposit and dark patches, see surface_change.
OWN, UNJUDGED = 6, 7
# The detection limit of rust: 99.9 % of T0's pixels have a lower chroma than this quantile, and the margin is added.
_T0_QUANTILE = 0.999
_T0_MARGIN = 3.0
# Rust thins out at the border of a patch, and bright metal shows through. There it counts from this share of the limit,
# if that is beyond T0's own warm colours by the second number, up to a lightness higher by the third, within this share
# of the frame around the patch, and lighter than the patch by this.
_THIN, _THIN_MARGIN, _THIN_LIGHTER, _BORDER, _SHINES = 0.6, 1.5, 10.0, 0.0065, 10.0


@dataclass(frozen=True)
class Surface:
    """Hold the part's colours in its canonical frame, corrected for the light of the shot.

    Parameters
    ----------
    lab
        CIELab, float32 (h, w, 3).
    mask
        The part, bool (h, w).
    """

    lab: np.ndarray
    mask: np.ndarray

    @property
    def lightness(self) -> np.ndarray:
        """Lightness L*, 0 to 100: (h, w)."""
        return self.lab[..., 0]

    @property
    def chroma(self) -> np.ndarray:
        """Distance from grey in CIELab units: (h, w)."""
        return self._polar[0]

    @property
    def hue(self) -> np.ndarray:
        """Hue in degrees, 0 to 360: (h, w)."""
        return self._polar[1]

    @cached_property
    def _polar(self) -> tuple[np.ndarray, np.ndarray]:
        a, b = np.ascontiguousarray(self.lab[..., 1]), np.ascontiguousarray(self.lab[..., 2])
        chroma, hue = cv2.cartToPolar(a, b, angleInDegrees=True)
        return chroma, hue

    def coarse(self, step: int) -> Surface:
        """Keep every ``step``-th row and column."""
        return Surface(self.lab[::step, ::step], self.mask[::step, ::step])


@dataclass(frozen=True)
class Sectors:
    """Divide CIELab into sectors of hue. Hues are in degrees: red (+a*) is 0, yellow (+b*) 90, green 180.

    Parameters
    ----------
    rust_hues
        Lowest and highest hue of rust. Tarnish follows above, then green oxidation.
    rust_chroma
        Chroma from which a rust hue counts as rust.
    rust_lightness
        Lightness L* up to which a rust hue counts as rust, 0 to 100.
    tarnish_to, green_to
        Highest hue of tarnish and of green oxidation.
    oxide_chroma
        Chroma from which tarnish and green oxidation count.
    thin_chroma
        Chroma from which a rust hue counts as rust at the border of a patch.
    """

    rust_hues: tuple[float, float]
    rust_chroma: float
    rust_lightness: float
    tarnish_to: float
    green_to: float
    oxide_chroma: float
    thin_chroma: float

    @classmethod
    def of(cls, colour: ColourSettings, settings: CorrosionSettings) -> Sectors:
        """Read the sectors from the settings, with the detection limit that holds without a T0 shot."""
        return cls(
            (colour.hue_min, colour.hue_max),
            settings.min_chroma,
            colour.max_lightness,
            settings.tarnish_hue_max,
            settings.green_hue_max,
            settings.oxide_chroma,
            settings.min_chroma,
        )

    def sharpened(self, baselines: list[Surface], settings: CorrosionSettings) -> Sectors:
        """Return sectors whose detection limit fits the T0 shots: it is lower if these show no warm colours."""
        levels = [
            np.quantile(np.where(self.is_rust_hue(one.hue), one.chroma, 0.0)[one.mask], _T0_QUANTILE)
            for one in baselines
        ]
        level = max(map(float, levels), default=settings.min_chroma)
        low, high = sorted((settings.clean_chroma, settings.min_chroma))
        limit = float(np.clip(level + _T0_MARGIN, low, high))
        return replace(self, rust_chroma=limit, thin_chroma=min(limit, max(_THIN * limit, level + _THIN_MARGIN)))

    def is_rust_hue(self, hue: np.ndarray) -> np.ndarray:
        """Tell which hues lie within the rust hues: bool, in the shape of ``hue``."""
        low, high = self.rust_hues
        return hue_turn(hue - low) <= (high - low) % 360.0

    def classify(self, surface: Surface) -> np.ndarray:
        """Classify each pixel: uint8 (h, w) of RUST, TARNISH, GREEN or 0; pixels outside the part are 0."""
        hue, chroma = surface.hue, surface.chroma
        after = hue_turn(hue - self.rust_hues[1])
        rust = self._rust(surface)
        oxide = (chroma >= self.oxide_chroma) & (after > 0.0)
        tarnish = oxide & (after <= (self.tarnish_to - self.rust_hues[1]) % 360.0)
        green = oxide & ~tarnish & (after <= (self.green_to - self.rust_hues[1]) % 360.0)
        classes = np.select([rust, tarnish, green], [RUST, TARNISH, GREEN], 0).astype(np.uint8)
        return np.where(surface.mask, classes, 0)

    def _rust(self, surface: Surface) -> np.ndarray:
        """Find the places of rust: bool (h, w)."""
        warm = self.is_rust_hue(surface.hue)
        clear = warm & (surface.chroma >= self.rust_chroma) & (surface.lightness <= self.rust_lightness)
        thin = warm & (surface.chroma >= self.thin_chroma) & (surface.lightness <= self.rust_lightness + _THIN_LIGHTER)
        # Single pixels are the photo's noise, and have no border.
        patch = cv2.morphologyEx(clear.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)).astype(np.float32)
        around = square(_BORDER * max(patch.shape)).shape
        share, lightness = (cv2.blur(plane, around) for plane in (patch, patch * surface.lightness))
        # On a dark part, what is paler is the patch's own blur.
        shines = (surface.lightness - _SHINES) * share > lightness
        return np.asarray(clear | (thin & shines & (share > 0.5 / np.prod(around))))


def hue_turn(difference: np.ndarray) -> np.ndarray:
    """Turn a difference of two hues, -360 to 360, into 0 to 360."""
    return np.asarray(np.where(difference < 0.0, difference + np.float32(360.0), difference))
