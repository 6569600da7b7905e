"""One image file with its label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
