"""Which part of a surface is rust-coloured, tarnished or green, and how much of that is new since T0."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from fastener.config import ColourSettings, CorrosionSettings
from fastener.corrosion.registration import Registration

RUST, TARNISH, GREEN = 1, 2, 3
# The detection limit of rust lies this far above the chroma that all but one in a thousand of T0's pixels keep to.
_T0_QUANTILE = 0.999
_T0_MARGIN = 3.0
# Registration is good to about this part of the frame, and own colour covers this share of the surroundings.
_REACH = 0.015
_DENSITY = 0.3
# One standard deviation of what is not exactly known: borders of the sectors and of the outline, the white.
# The deviations are measured on every second pixel.
_COARSE = 2
_HUE_ERROR, _CHROMA_ERROR, _LIGHTNESS_ERROR = 2.0, 1.0, 3.0
_OUTLINE_ERROR = 1
_WHITE_ERROR, _UNKNOWN_WHITE_ERROR = 0.8, 3.0


@dataclass(frozen=True)
class Sectors:
    """Sectors of CIELab, hues in degrees, anticlockwise from red (+a*) over yellow (+b*, 90) to green (180).

    Rust: ``rust_hues``, chroma from ``rust_chroma``, lightness to ``rust_lightness``. Tarnish and green oxidation
    follow on with rising hue, chroma from ``oxide_chroma``.
    """

    rust_hues: tuple[float, float]
    rust_chroma: float
    rust_lightness: float
    tarnish_to: float
    green_to: float
    oxide_chroma: float

    @classmethod
    def of(cls, colour: ColourSettings, settings: CorrosionSettings) -> Sectors:
        """The sectors of the settings, with the detection limit that holds without a T0 shot."""
        return cls(
            (colour.hue_min, colour.hue_max),
            settings.min_chroma,
            colour.max_lightness,
            settings.tarnish_hue_max,
            settings.green_hue_max,
            settings.oxide_chroma,
        )

    def sharpened(self, baselines: list[Surface], settings: CorrosionSettings) -> Sectors:
        """With the detection limit that the T0 shots allow: lower where they show no warm colours at all."""
        levels = [
            np.quantile(np.where(self.is_rust_hue(one.hue), one.chroma, 0.0)[one.mask], _T0_QUANTILE)
            for one in baselines
        ]
        limit = max(map(float, levels), default=settings.min_chroma) + _T0_MARGIN
        low, high = sorted((settings.clean_chroma, settings.min_chroma))
        return replace(self, rust_chroma=float(np.clip(limit, low, high)))

    def is_rust_hue(self, hue: np.ndarray) -> np.ndarray:
        """bool, of the shape of ``hue``: whether it lies between the rust hues."""
        low, high = self.rust_hues
        return _turn(hue - low) <= (high - low) % 360.0

    def classify(self, surface: Surface) -> np.ndarray:
        """Class of each pixel: uint8 (h, w), RUST, TARNISH, GREEN or 0; 0 outside the part."""
        hue, chroma = surface.hue, surface.chroma
        after = _turn(hue - self.rust_hues[1])
        rust = self.is_rust_hue(hue) & (chroma >= self.rust_chroma) & (surface.lightness <= self.rust_lightness)
        oxide = (chroma >= self.oxide_chroma) & (after > 0.0)
        tarnish = oxide & (after <= (self.tarnish_to - self.rust_hues[1]) % 360.0)
        green = oxide & ~tarnish & (after <= (self.green_to - self.rust_hues[1]) % 360.0)
        classes = np.select([rust, tarnish, green], [RUST, TARNISH, GREEN], 0).astype(np.uint8)
        return np.where(surface.mask, classes, 0)


@dataclass(frozen=True)
class Surface:
    """The part's colours in its canonical frame, balanced by its light: ``lab`` float32 (h, w, 3), ``mask`` bool."""

    lab: np.ndarray
    mask: np.ndarray

    @property
    def lightness(self) -> np.ndarray:
        return self.lab[..., 0]

    @property
    def chroma(self) -> np.ndarray:
        return self._polar[0]

    @property
    def hue(self) -> np.ndarray:
        """Degrees, 0..360."""
        return self._polar[1]

    @cached_property
    def _polar(self) -> tuple[np.ndarray, np.ndarray]:
        a, b = np.ascontiguousarray(self.lab[..., 1]), np.ascontiguousarray(self.lab[..., 2])
        chroma, hue = cv2.cartToPolar(a, b, angleInDegrees=True)
        return chroma, hue

    def coarse(self, step: int) -> Surface:
        """Every ``step``-th pixel of both sides."""
        return Surface(self.lab[::step, ::step], self.mask[::step, ::step])


@dataclass(frozen=True)
class Baseline:
    """T0 as a later shot is compared with: its surfaces, and where the best one lies if it could be registered."""

    surfaces: tuple[Surface, ...]
    registered: tuple[Surface, Registration] | None

    def coarse(self, step: int) -> Baseline:
        """The same on every ``step``-th pixel."""
        surfaces = tuple(one.coarse(step) for one in self.surfaces)
        if self.registered is None:
            return Baseline(surfaces, None)
        first, registration = self.registered
        return Baseline(surfaces, (first.coarse(step), registration.coarse(step)))


@dataclass(frozen=True)
class Colour:
    """Shares of the part in percent. ``classes`` uint8 (h, w); ``own`` is rust-coloured, but a colour that T0 had.

    ``own_places`` bool (h, w): where that is.

    ``deviations``: standard deviation of rust, tarnish and green, in points, from what is not exactly known.
    """

    rust: float
    tarnish: float
    green: float
    own: float
    classes: np.ndarray
    own_places: np.ndarray
    deviations: tuple[float, float, float]


def measure(surface: Surface, sectors: Sectors, baseline: Baseline | None, reach: float, light_certain: bool) -> Colour:
    """Measure one shot. ``baseline`` None: T0 itself, or no T0, so that nothing is known to be the part's own colour.

    The deviations add in quadrature the half-differences that a shift of each sector border, of the outline and of
    the white by one standard deviation makes (GUM, 5.1.2).
    """
    classes, own = _classified(surface, sectors, baseline, reach)
    shares = _shares(classes, surface.mask)
    squared = np.zeros(3)
    coarse = baseline.coarse(_COARSE) if baseline is not None else None
    for low, high in _disturbed(surface.coarse(_COARSE), sectors, light_certain):
        ends = [_shares(_classified(*one, coarse, reach)[0], one[0].mask) for one in (low, high)]
        squared += ((ends[1] - ends[0]) / 2.0) ** 2
    part = max(int(surface.mask.sum()), 1)
    rust, tarnish, green = (float(value) for value in np.sqrt(squared))
    return Colour(
        rust=float(shares[0]),
        tarnish=float(shares[1]),
        green=float(shares[2]),
        own=100.0 * float(own.sum()) / part,
        classes=classes,
        own_places=own,
        deviations=(rust, tarnish, green),
    )


def _turn(difference: np.ndarray) -> np.ndarray:
    """A difference of two hues, -360..360, as 0..360."""
    return np.asarray(np.where(difference < 0.0, difference + np.float32(360.0), difference))


def _shares(classes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    counts = np.bincount(classes[mask], minlength=4)[1:4]
    return np.asarray(100.0 * counts / max(int(mask.sum()), 1))


def _classified(
    surface: Surface, sectors: Sectors, baseline: Baseline | None, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Classes without the part's own colour, and where that is, bool (h, w)."""
    classes = sectors.classify(surface)
    own = np.zeros(classes.shape, bool)
    if baseline is not None:
        rust = classes == RUST
        if baseline.registered is not None:
            own = rust & _own_places(surface, sectors, *baseline.registered, reach)
        else:
            own = _own_hues(surface, rust, sectors, baseline.surfaces, reach)
    return np.where(own, 0, classes).astype(np.uint8), own


def _coloured_otherwise(surface: Surface, sectors: Sectors) -> np.ndarray:
    """Where the part is clearly coloured, but not like rust: paint, brass. bool (h, w)."""
    return surface.mask & (surface.chroma >= sectors.rust_chroma) & ~sectors.is_rust_hue(surface.hue)


def _own_places(
    surface: Surface, sectors: Sectors, first: Surface, registration: Registration, reach: float
) -> np.ndarray:
    """bool (h, w): where T0, laid over this shot, has a colour of its own within ``reach`` degrees of what is here.

    The colour of T0 there is the mean of its coloured pixels nearby; the light may have turned it into the rust sector.
    """
    size = surface.mask.shape
    other = _coloured_otherwise(first, sectors).astype(np.float32)
    planes = [other, other * first.lab[..., 1], other * first.lab[..., 2]]
    side = 2 * max(1, round(_REACH * max(size))) + 1
    weight, a, b = (cv2.blur(registration.warp(plane, (size[0], size[1])), (side, side)) for plane in planes)
    hue = np.degrees(np.arctan2(b, a))
    apart = np.abs((surface.hue - hue + 180.0) % 360.0 - 180.0)
    return np.asarray((weight >= _DENSITY) & (apart <= reach))


def _own_hues(
    surface: Surface, rust: np.ndarray, sectors: Sectors, firsts: tuple[Surface, ...], reach: float
) -> np.ndarray:
    """bool (h, w): as many rust-coloured pixels, nearest in hue, as T0 had beside the rust sector and this shot lacks.

    Paint that the light has turned into the rust sector is missing from beside it.
    """
    low, high = sectors.rust_hues
    own = np.zeros(rust.shape, bool)
    for border, away in ((low, -1.0), (high, 1.0)):

        def beside(one: Surface, border: float = border, away: float = away) -> float:
            beyond = _turn(away * (one.hue - border))
            near = one.mask & (one.chroma >= sectors.rust_chroma) & (beyond > 0.0) & (beyond <= reach)
            return float(near.sum() / max(int(one.mask.sum()), 1))

        missing = float(np.mean([beside(first) for first in firsts])) - beside(surface)
        inwards = np.where(rust & ~own, _turn(away * (border - surface.hue)), np.inf)
        count = min(round(missing * surface.mask.sum()), int((inwards <= reach).sum()))
        if count > 0:
            own |= inwards <= np.partition(inwards.ravel(), count - 1)[count - 1]
    return own


def _disturbed(
    surface: Surface, sectors: Sectors, light_certain: bool
) -> list[tuple[tuple[Surface, Sectors], tuple[Surface, Sectors]]]:
    """Pairs of the measurement with one input one standard deviation lower, and higher."""

    def chroma(by: float) -> Sectors:
        return replace(sectors, rust_chroma=sectors.rust_chroma + by, oxide_chroma=sectors.oxide_chroma + by)

    def hues(by: float) -> Sectors:
        low, high = sectors.rust_hues
        return replace(
            sectors, rust_hues=(low - by, high + by), tarnish_to=sectors.tarnish_to + by, green_to=sectors.green_to + by
        )

    def brightness(by: float) -> Sectors:
        return replace(sectors, rust_lightness=sectors.rust_lightness + by)

    def white(a: float, b: float) -> Surface:
        return replace(surface, lab=surface.lab + np.array([0.0, a, b], np.float32))

    square = np.ones((2 * _OUTLINE_ERROR + 1, 2 * _OUTLINE_ERROR + 1), np.uint8)
    mask = surface.mask.astype(np.uint8)
    inner, outer = cv2.erode(mask, square).astype(bool), cv2.dilate(mask, square).astype(bool)
    cast = _WHITE_ERROR if light_certain else _UNKNOWN_WHITE_ERROR
    return [
        ((surface, chroma(-_CHROMA_ERROR)), (surface, chroma(_CHROMA_ERROR))),
        ((surface, hues(-_HUE_ERROR)), (surface, hues(_HUE_ERROR))),
        ((surface, brightness(-_LIGHTNESS_ERROR)), (surface, brightness(_LIGHTNESS_ERROR))),
        ((white(-cast, 0.0), sectors), (white(cast, 0.0), sectors)),
        ((white(0.0, -cast), sectors), (white(0.0, cast), sectors)),
        ((replace(surface, mask=inner), sectors), (replace(surface, mask=outer), sectors)),
    ]
