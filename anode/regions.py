"""Cut regions of interest out of a slice, and bring boxes in them back to the slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fastener.anode.hits import Box, Hit
from fastener.anode.settings import RegionOfInterest
from fastener.common.errors import UserError
from fastener.datasets.ct_slices import CtSlice, Volume, slice_size


def crop(picture: np.ndarray, region: RegionOfInterest, one: CtSlice) -> np.ndarray:
    """Copy a region out of the picture of a slice. Raises UserError if the slice does not hold all of the region."""
    _require_inside(region, picture.shape[:2], one)
    return picture[region.y_min : region.y_max, region.x_min : region.x_max].copy()


def in_slice(box: Box, region: RegionOfInterest, number: int) -> Hit:
    """Bring a box from the picture of a region into pixels of slice ``number``, cut off at the region's border.

    The edges are moved outwards to whole pixels, so that every box has an area.
    """
    x = np.clip([np.floor(box.x_min) + region.x_min, np.ceil(box.x_max) + region.x_min], region.x_min, region.x_max)
    y = np.clip([np.floor(box.y_min) + region.y_min, np.ceil(box.y_max) + region.y_min], region.y_min, region.y_max)
    whole = replace(box, x_min=int(x[0]), y_min=int(y[0]), x_max=int(x[1]), y_max=int(y[1]))
    return Hit(number, region.name, whole)


def check_regions(regions: Sequence[RegionOfInterest], volumes: Sequence[Volume]) -> None:
    """Check, before long work, that each region lies inside the first readable slice of each volume; else UserError."""
    for volume in volumes:
        for one in volume.slices:
            try:
                size = slice_size(one)
            except UserError:
                continue
            for region in regions:
                _require_inside(region, size, one)
            break


def _require_inside(region: RegionOfInterest, size: tuple[int, int], one: CtSlice) -> None:
    height, width = size
    if region.x_max > width or region.y_max > height:
        raise UserError(
            f"roi_config: region {region.name} (x {region.x_min} to {region.x_max}, y {region.y_min} to "
            f"{region.y_max}) reaches outside slice {one.path}, which is {width} x {height} pixels"
        )
