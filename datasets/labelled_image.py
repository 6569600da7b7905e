"""One image file with its label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Region(NamedTuple):
    """One region of a defect, bool (H, W), and the number of its pixels that have to be found for all of the credit."""

    mask: np.ndarray
    saturation: float


@dataclass(frozen=True)
class LabelledImage:
    """An image file and its label.

    Parameters
    ----------
    path : Path
        The image file.
    is_anomalous : bool
        Whether the part has a defect.
    labels : tuple of str
        Every class that the data set gives the image; may be empty.
    mask_path : Path or None
        File, or folder of files, that marks the pixels of the defect; None if the data set has none for this image.
    """

    path: Path
    is_anomalous: bool
    labels: tuple[str, ...] = ()
    mask_path: Path | None = None

    @property
    def has_mask(self) -> bool:
        """Tell whether the data set marks the pixels of this image's defect."""
        return self.mask_path is not None

    def mask(self, size: tuple[int, int]) -> np.ndarray | None:
        """Mark the pixels of the defect, bool (H, W), in a photo of ``size``; None without a mask.

        Raises UserError if the mask cannot be read, or does not fit.
        """
        from fastener.datasets.masks import read_mask

        return None if self.mask_path is None else read_mask(self.mask_path, size)

    def regions(self, size: tuple[int, int]) -> list[Region] | None:
        """List the regions of the defects in a photo of ``size``, where the data set says how much of each is enough.

        None if it does not; an empty list for a good image of one that does. Raises UserError as ``mask`` does.
        """
        return None
