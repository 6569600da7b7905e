"""Read the images of a data set once: small squares for the classifier, groups of copies, and a checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastener.common.errors import UserError
from fastener.config import RunSettings
from fastener.datasets.images import read_image
from fastener.datasets.near_copies import copy_groups, signature
from fastener.datasets.neu import NeuImage
from fastener.datasets.severstal import SteelStrip
from fastener.inspection.reading import ahead
from fastener.models.progress import Progress, no_progress
from fastener.open_set.network import as_square

DefectImage = NeuImage | SteelStrip


@dataclass(frozen=True)
class ImageSet:
    """Hold the n images of a data set that could be read.

    Parameters
    ----------
    images
        Files and classes.
    squares
        The images resized to squares, uint8 RGB (n, side, side, 3).
    groups
        Number of each image, int64 (n,); near copies have the same number.
    checksum
        SHA-256 over names and contents of the files.
    errors
        One line for each file that could not be read.
    elongation
        Longer side over shorter side of the longest image; longer photos are unlike all that was learned.
    """

    images: tuple[DefectImage, ...]
    squares: np.ndarray
    groups: np.ndarray
    checksum: str
    errors: tuple[str, ...]
    elongation: float = 1.0

    @property
    def labels(self) -> list[str]:
        """List the class of each image."""
        return [image.defect for image in self.images]

    @property
    def paths(self) -> list[Path]:
        """List the file of each image."""
        return [image.path for image in self.images]


def read_images(
    images: Sequence[DefectImage], side: int, run: RunSettings, *, progress: Progress = no_progress
) -> ImageSet:
    """Read each image once. Raises UserError if none can be read."""

    def read(image: DefectImage) -> tuple[np.ndarray, np.ndarray, float] | str:
        try:
            photo = image.view(read_image(image.path))
        except UserError as error:
            return str(error)
        return as_square(photo, side), signature(photo), elongation_of(photo)

    read_ahead = ahead(read, images, run.workers, 2 * run.batch_size)
    results = list(progress(read_ahead, len(images), "reading"))
    pairs = [(image, one) for image, one in zip(images, results, strict=True) if not isinstance(one, str)]
    errors = tuple(one for one in results if isinstance(one, str))
    if not pairs:
        raise UserError(errors[0] if errors else "no images to read")
    return ImageSet(
        images=tuple(image for image, _ in pairs),
        squares=np.stack([square for _, (square, _, _) in pairs]),
        groups=copy_groups(np.stack([detail for _, (_, detail, _) in pairs])),
        checksum=_checksum([image for image, _ in pairs]),
        errors=errors,
        elongation=max(elongation for _, (_, _, elongation) in pairs),
    )


def elongation_of(photo: np.ndarray) -> float:
    """Divide the longer side of a photo (H, W, 3) by its shorter side."""
    shorter, longer = sorted(photo.shape[:2])
    return float(longer / shorter)


def _checksum(images: Sequence[DefectImage]) -> str:
    """Compute the SHA-256 over files, and over the places of defects by which strips are cut."""
    places = "\n".join(" ".join((one.defect, *one.encoded)) for one in images if isinstance(one, SteelStrip))
    digest = hashlib.sha256(f"{files_checksum([one.path for one in images])}\n{places}".encode())
    return digest.hexdigest()


def files_checksum(paths: Sequence[Path]) -> str:
    """Compute the SHA-256 over names and contents of files, in their order, whatever folder holds them."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.parent.name}/{path.name}".encode("utf-8", "surrogateescape") + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
