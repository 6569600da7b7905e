"""Measure how much of a surface is rust-coloured, tarnished or green, and how certain that is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.corrosion.cast import cast_from, common_cast
from fastener.corrosion.colour_sectors import RUST, Sectors, Surface
from fastener.corrosion.own_colour import Baseline, new_colours

# Standard deviations of the inputs that are not exactly known: the borders of the sectors (degrees, CIELab units), the
# outline (pixels) and the white (CIELab units). Their effect is measured on every second pixel, which is enough.
_COARSE = 2
_HUE_ERROR, _CHROMA_ERROR, _LIGHTNESS_ERROR = 2.0, 1.0, 3.0
_OUTLINE_ERROR = 1
_WHITE_ERROR, _UNKNOWN_WHITE_ERROR = 0.8, 3.0


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


# Inputs of ``new_colours``, each once lower and once higher.
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
    classes, own = new_colours(surface, sectors, baseline, reach)
    shares = _shares(classes, surface.mask)
    coarse = baseline.coarse(_COARSE) if baseline is not None else None
    small = surface.coarse(_COARSE)

    def contributions(pairs: _Pairs) -> np.ndarray:
        """Return the variances of the three shares, (3,)."""
        ends = [[_shares(new_colours(*one, coarse, reach)[0], one[0].mask) for one in pair] for pair in pairs]
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


def _shares(classes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    counts = np.bincount(classes[mask], minlength=4)[1:4]
    return np.asarray(100.0 * counts / max(int(mask.sum()), 1))


def _cast(surface: Surface, classes: np.ndarray, baseline: Baseline | None) -> float:
    """Measure how far the colour of nearly all places but rust, which may cover a part, is off T0's, in CIELab units.

    Where no T0 is laid over the shot, its usual colour counts for all places; without T0, the cast is taken for 0.
    """
    where = surface.mask & (classes != RUST)
    if baseline is None or not where.any():
        return 0.0
    if baseline.registered is None:
        usual = [np.median(one.lab[one.mask][:, 1:], axis=0) for one in baseline.surfaces if one.mask.any()]
        return min((cast_from(one, surface.lab[where][:, 1:]) for one in usual), default=0.0)
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
