"""Defects that count as found before all of their pixels are: the masks and thresholds of MVTec LOCO AD.

``defects_config.json`` of a category lists its defects: the level that their masks have (``pixel_value``), and how many
pixels of one have to be found (``saturation_threshold``), as a number, or as a share of its area if
``relative_saturation`` is true. A screw too many is found once an area as large as a screw is marked, and not only once
the whole bag is.

Bergmann et al. 2022, "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and
Localization", section 3.2.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fastener.common.errors import UserError
from fastener.datasets.labelled_image import LabelledImage, Region
from fastener.datasets.listing import is_image

if TYPE_CHECKING:
    import numpy as np

CONFIG = "defects_config.json"


class Threshold(NamedTuple):
    """A line of the table: the level of the mask, the threshold, and whether it is a share of the area."""

    level: int
    saturation: float
    relative: bool


@dataclass(frozen=True)
class SaturatedImage(LabelledImage):
    """An image each of whose masks is one region with a threshold of its own; a good one has no regions."""

    thresholds: tuple[Threshold, ...] = ()

    def mask(self, size: tuple[int, int]) -> np.ndarray | None:
        """Join the regions, bool (H, W); None for a good image. Raises UserError as ``regions`` does."""
        import numpy as np

        regions = self.regions(size)
        if regions is None:
            return super().mask(size)
        return np.logical_or.reduce([one.mask for one in regions]) if regions else None

    def regions(self, size: tuple[int, int]) -> list[Region] | None:
        """List the regions in a photo of ``size`` (H, W). Raises UserError for a mask that fits no threshold."""
        if not self.thresholds:
            return None
        if self.mask_path is None:
            return []
        inside = sorted(self.mask_path.iterdir()) if self.mask_path.is_dir() else [self.mask_path]
        return [region for path in inside if is_image(path) for region in self._regions_in(path, size)]

    def _regions_in(self, path: Path, size: tuple[int, int]) -> list[Region]:
        import numpy as np

        from fastener.datasets.images import read_image

        levels = read_image(path)[..., 0]
        if levels.shape != size:
            shape = levels.shape
            raise UserError(f"{path}: the mask is {shape[1]} x {shape[0]}, its photo {size[1]} x {size[0]} pixels")
        by_level = {one.level: one for one in self.thresholds}
        found = []
        for level in np.unique(levels[levels > 0]).tolist():
            if level not in by_level:
                raise UserError(
                    f"{path}: level {level} is the pixel_value of no defect in {CONFIG}; correct one of them"
                )
            one, mask = by_level[level], levels == level
            area = int(mask.sum())
            wanted = one.saturation * area if one.relative else one.saturation
            found.append(Region(mask, float(min(max(wanted, 1.0), area))))
        return found


def read_thresholds(category: Path) -> tuple[Threshold, ...]:
    """Read the table in the folder of a category; empty if there is none. Raises UserError if it is malformed."""
    path = category / CONFIG
    if not path.is_file():
        return ()
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
        found = tuple(
            Threshold(
                int(one["pixel_value"]), float(one["saturation_threshold"]), bool(one.get("relative_saturation", False))
            )
            for one in entries
        )
        if not all(math.isfinite(one.saturation) and one.saturation > 0 for one in found):
            raise ValueError("a threshold that is not above 0")
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{path}: not a list of defects with pixel_value, saturation_threshold and relative_saturation "
            f"({error!r}); take the file of the data set"
        ) from None
