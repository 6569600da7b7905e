"""One image file with what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LabelledImage:
    """An image file and its label.

    ``labels`` names every class that the data set gives the image (several, one or none). ``mask_path`` is the file
    that marks the defect's pixels, None where the data set has none for this image.
    """

    path: Path
    is_anomalous: bool
    labels: tuple[str, ...] = ()
    mask_path: Path | None = None
