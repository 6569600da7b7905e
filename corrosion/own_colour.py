"""Tell colours that are new from the part's own, which T0 had already."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fastener.corrosion.colour_sectors import RUST, Sectors, Surface, hue_turn
from fastener.corrosion.registration import Registration

# Registration errs by about this share of the frame. Within that distance, a colour counts as the part's own if it
# covers at least this share of the neighbourhood.
_REACH = 0.015
_DENSITY = 0.3


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


def new_colours(
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
            beyond = hue_turn(away * (one.hue - border))
            near = one.mask & (one.chroma >= sectors.rust_chroma) & (beyond > 0.0) & (beyond <= reach)
            return float(near.sum() / max(int(one.mask.sum()), 1))

        missing = float(np.mean([beside(one) for one in base_surfaces])) - beside(surface)
        inwards = np.where(rust & ~own, hue_turn(away * (border - surface.hue)), np.inf)
        count = min(round(missing * surface.mask.sum()), int((inwards <= reach).sum()))
        if count > 0:
            own |= inwards <= np.partition(inwards.ravel(), count - 1)[count - 1]
    return own
