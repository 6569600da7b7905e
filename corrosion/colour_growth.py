"""Measure how much of a surface is rust-coloured, tarnished or green, and tell new colour from the part's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from fastener.config import ColourSettings, CorrosionSettings
from fastener.corrosion.cast import common_cast
from fastener.corrosion.places import square
from fastener.corrosion.registration import Registration

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
# Registration errs by about this share of the frame. Within that distance, a colour counts as the part's own if it
# covers at least this share of the neighbourhood.
_REACH = 0.015
_DENSITY = 0.3
# Standard deviations of the inputs that are not exactly known: the borders of the sectors (degrees, CIELab units), the
# outline (pixels) and the white (CIELab units). Their effect is measured on every second pixel, which is enough.
_COARSE = 2
_HUE_ERROR, _CHROMA_ERROR, _LIGHTNESS_ERROR = 2.0, 1.0, 3.0
_OUTLINE_ERROR = 1
_WHITE_ERROR, _UNKNOWN_WHITE_ERROR = 0.8, 3.0


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
        return _turn(hue - low) <= (high - low) % 360.0

    def classify(self, surface: Surface) -> np.ndarray:
        """Classify each pixel: uint8 (h, w) of RUST, TARNISH, GREEN or 0; pixels outside the part are 0."""
        hue, chroma = surface.hue, surface.chroma
        after = _turn(hue - self.rust_hues[1])
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
class Baseline:
    """Hold the T0 surfaces that a later shot is compared with.

    Parameters
    ----------
    surfaces
        Surfaces of the T0 shots.
    registered
        The T0 surface that fits best and how it lies over the later shot; None if none could be registered.
    """

    surfaces: tuple[Surface, ...]
    registered: tuple[Surface, Registration] | None

    def coarse(self, step: int) -> Baseline:
        """Keep every ``step``-th row and column of all surfaces."""
        surfaces = tuple(one.coarse(step) for one in self.surfaces)
        if self.registered is None:
            return Baseline(surfaces, None)
        surface, registration = self.registered
        return Baseline(surfaces, (surface.coarse(step), registration.coarse(step)))


@dataclass(frozen=True)
class Colour:
    """Hold the shares of a part's surface by colour.

    Parameters
    ----------
    rust, tarnish, green
        Share of the part in percent.
    own
        Share of the part in percent that is rust-coloured by its own nature: T0 had that colour already.
    classes
        Class of each pixel, uint8 (h, w); the part's own colours are 0.
    own_places
        Where the part has a rust-like colour of its own, bool (h, w).
    deviations
        Standard deviations of rust, tarnish and green in percentage points, from the uncertain inputs.
    """

    rust: float
    tarnish: float
    green: float
    own: float
    classes: np.ndarray
    own_places: np.ndarray
    deviations: tuple[float, float, float]


# Inputs of ``_classified``, each once lower and once higher.
_Pairs = list[tuple[tuple[Surface, Sectors], tuple[Surface, Sectors]]]


def measure(
    surface: Surface, sectors: Sectors, baseline: Baseline | None, *, reach: float, light_certain: bool
) -> Colour:
    """Measure the colours of one shot.

    Each uncertain input (sector borders, outline, white) is shifted by one standard deviation down and up. Half the
    difference that this makes is its contribution, and the contributions are added in quadrature (GUM, 5.1.2). For
    tarnish and green oxidation, the white is at least as uncertain as the colour of nearly the whole part is off T0's.

    Parameters
    ----------
    surface
        Colours of the shot.
    sectors
        Hues and chromas of rust, tarnish and green oxidation.
    baseline
        T0 surfaces, by which the part's own colours are known; None for a T0 shot and where there is no T0.
    reach
        Greatest difference in hue, in degrees, at which a colour still counts as one that T0 had.
    light_certain
        Whether the colour of the light is known; else the white is taken to be less certain.
    """
    classes, own = _classified(surface, sectors, baseline, reach)
    shares = _shares(classes, surface.mask)
    coarse = baseline.coarse(_COARSE) if baseline is not None else None
    small = surface.coarse(_COARSE)

    def contributions(pairs: _Pairs) -> np.ndarray:
        """Return the variances of the three shares, (3,)."""
        ends = [[_shares(_classified(*one, coarse, reach)[0], one[0].mask) for one in pair] for pair in pairs]
        return np.asarray(((np.diff(ends, axis=1)[:, 0] / 2.0) ** 2).sum(axis=0))

    white_error = _WHITE_ERROR if light_certain else _UNKNOWN_WHITE_ERROR
    cast = _cast(small, classes[::_COARSE, ::_COARSE], coarse)
    others, of_white = (
        contributions(_disturbed(small, sectors)),
        contributions(_in_other_light(small, sectors, white_error)),
    )
    if cast > white_error:
        of_white[1:] = contributions(_in_other_light(small, sectors, cast))[1:]
    squared = others + of_white
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
    """Turn a difference of two hues, -360 to 360, into 0 to 360."""
    return np.asarray(np.where(difference < 0.0, difference + np.float32(360.0), difference))


def _shares(classes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    counts = np.bincount(classes[mask], minlength=4)[1:4]
    return np.asarray(100.0 * counts / max(int(mask.sum()), 1))


def _classified(
    surface: Surface, sectors: Sectors, baseline: Baseline | None, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Classify pixels and set the part's own colours to 0; also return where these are, bool (h, w)."""
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
    """Find where the part is clearly coloured, but not like rust, such as paint or brass: bool (h, w)."""
    return np.asarray(surface.mask & (surface.chroma >= sectors.rust_chroma) & ~sectors.is_rust_hue(surface.hue))


def _own_places(
    surface: Surface, sectors: Sectors, base: Surface, registration: Registration, reach: float
) -> np.ndarray:
    """Find where T0, laid over this shot, had a colour within ``reach`` degrees of the present one: bool (h, w).

    The colour of T0 is the mean of its coloured pixels nearby. Other light may have turned it into the rust sector.
    Where T0 was rust-coloured nearby (edges of paint, warm reflections, old rust), only the rest is new.
    """
    size = surface.mask.shape
    other = _coloured_otherwise(base, sectors).astype(np.float32)
    planes = [other, other * base.lab[..., 1], other * base.lab[..., 2]]
    side = 2 * max(1, round(_REACH * max(size))) + 1
    weight, a, b = (cv2.blur(registration.warp(plane, (size[0], size[1])), (side, side)) for plane in planes)
    hue = np.degrees(np.arctan2(b, a))
    difference = np.abs((surface.hue - hue + 180.0) % 360.0 - 180.0)
    warm = registration.warp((sectors.classify(base) == RUST).astype(np.uint8), (size[0], size[1]))
    warm = cv2.dilate(warm, np.ones((side, side), np.uint8)) > 0
    return np.asarray(((weight >= _DENSITY) & (difference <= reach)) | warm)


def _own_hues(
    surface: Surface, rust: np.ndarray, sectors: Sectors, base_surfaces: tuple[Surface, ...], reach: float
) -> np.ndarray:
    """Find pixels whose rust colour is the part's own, by counting hues, where places cannot be compared: bool (h, w).

    Other light may turn paint into the rust sector. Then fewer pixels than at T0 have a hue just beside the sector. As
    many rust-coloured pixels as are missing there, the nearest in hue first, count as the part's own colour.
    """
    low, high = sectors.rust_hues
    own = np.zeros(rust.shape, bool)
    for border, away in ((low, -1.0), (high, 1.0)):

        def beside(one: Surface, border: float = border, away: float = away) -> float:
            beyond = _turn(away * (one.hue - border))
            near = one.mask & (one.chroma >= sectors.rust_chroma) & (beyond > 0.0) & (beyond <= reach)
            return float(near.sum() / max(int(one.mask.sum()), 1))

        missing = float(np.mean([beside(one) for one in base_surfaces])) - beside(surface)
        inwards = np.where(rust & ~own, _turn(away * (border - surface.hue)), np.inf)
        count = min(round(missing * surface.mask.sum()), int((inwards <= reach).sum()))
        if count > 0:
            own |= inwards <= np.partition(inwards.ravel(), count - 1)[count - 1]
    return own


def _cast(surface: Surface, classes: np.ndarray, baseline: Baseline | None) -> float:
    """Measure how far the colour of nearly all places but rust, which may cover a part, is off T0's, in CIELab units.

    Where no T0 is laid over the shot, the usual colours are compared; without T0, the cast is taken for 0.
    """
    where = surface.mask & (classes != RUST)
    if baseline is None or not where.any():
        return 0.0
    if baseline.registered is None:
        usual = [np.median(one.lab[one.mask][:, 1:], axis=0) for one in baseline.surfaces if one.mask.any()]
        now = np.median(surface.lab[where][:, 1:], axis=0)
        return min((float(np.linalg.norm(now - one)) for one in usual), default=0.0)
    base, registration = baseline.registered
    size = (surface.mask.shape[0], surface.mask.shape[1])
    both = (registration.warp(base.mask.astype(np.uint8), size) > 0) & surface.mask
    return common_cast(registration.warp(base.lab[..., 1:], size), surface.lab[..., 1:], both & where, both)


def _in_other_light(surface: Surface, sectors: Sectors, error: float) -> _Pairs:
    """List the surface in light that is off by ``error`` CIELab units to either side, along a* and b*."""

    def lit(a: float, b: float) -> tuple[Surface, Sectors]:
        return replace(surface, lab=surface.lab + np.array([0.0, a, b], np.float32)), sectors

    return [(lit(-error, 0.0), lit(error, 0.0)), (lit(0.0, -error), lit(0.0, error))]


def _disturbed(surface: Surface, sectors: Sectors) -> _Pairs:
    """List the inputs with one of them shifted by a standard deviation: pairs of a lower and a higher value."""

    def chroma(by: float) -> Sectors:
        return replace(
            sectors,
            rust_chroma=sectors.rust_chroma + by,
            thin_chroma=sectors.thin_chroma + by,
            oxide_chroma=sectors.oxide_chroma + by,
        )

    def hues(by: float) -> Sectors:
        low, high = sectors.rust_hues
        return replace(
            sectors, rust_hues=(low - by, high + by), tarnish_to=sectors.tarnish_to + by, green_to=sectors.green_to + by
        )

    def brightness(by: float) -> Sectors:
        return replace(sectors, rust_lightness=sectors.rust_lightness + by)

    square = np.ones((2 * _OUTLINE_ERROR + 1, 2 * _OUTLINE_ERROR + 1), np.uint8)
    mask = surface.mask.astype(np.uint8)
    inner, outer = cv2.erode(mask, square).astype(bool), cv2.dilate(mask, square).astype(bool)
    return [
        ((surface, chroma(-_CHROMA_ERROR)), (surface, chroma(_CHROMA_ERROR))),
        ((surface, hues(-_HUE_ERROR)), (surface, hues(_HUE_ERROR))),
        ((surface, brightness(-_LIGHTNESS_ERROR)), (surface, brightness(_LIGHTNESS_ERROR))),
        ((replace(surface, mask=inner), sectors), (replace(surface, mask=outer), sectors)),
    ]
