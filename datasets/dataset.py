"""What every layout of a data set is read into: categories, their splits, and labelled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastener.datasets.label_columns import Columns
from fastener.datasets.labelled_image import LabelledImage

TRAIN, VALID, TEST = SPLIT_NAMES = ("train", "valid", "test")
CSV_NAME = "_classes.csv"  # labels of a split, beside its images
GOOD = "good"  # folder of healthy images


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    Parameters
    ----------
    name : str
        ``train``, ``valid`` or ``test``.
    images : tuple of LabelledImage
        The images, sorted by path.
    columns : Columns or None
        How the label columns of a CSV file were read; None for a layout without label columns.
    unlisted : tuple of Path
        Images in the split's folder that no row of its CSV file names. They are left out.
    unlabelled : tuple of Path
        Images whose row says that they have no label. They are left out.
    """

    name: str
    images: tuple[LabelledImage, ...]
    columns: Columns | None = None
    unlisted: tuple[Path, ...] = ()
    unlabelled: tuple[Path, ...] = ()

    @property
    def healthy(self) -> tuple[Path, ...]:
        """Files of the healthy images."""
        return tuple(image.path for image in self.images if not image.is_anomalous)

    @property
    def unmarked(self) -> tuple[LabelledImage, ...]:
        """Images whose label columns are all 0: healthy by the rule, though perhaps nobody labelled them."""
        return tuple(image for image in self.images if self.columns is not None and not image.labels)


@dataclass(frozen=True)
class Category:
    """One kind of part with healthy training images and labelled test images.

    Parameters
    ----------
    name : str
        Name of its folder.
    train : tuple of Path
        Healthy images.
    test : tuple of LabelledImage
        Labelled images; empty if the category can only be trained.
    """

    name: str
    train: tuple[Path, ...]
    test: tuple[LabelledImage, ...]

    @property
    def defects(self) -> tuple[str, ...]:
        """Defect types of the test images, sorted; "good" is not among them."""
        return tuple(sorted({label for image in self.test for label in image.labels if image.is_anomalous}))


@dataclass(frozen=True)
class Dataset:
    """A data set on disk, whatever its layout. Splits are read when they are asked for.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    splits : tuple of str
        Names of the splits that are there, in the order train, valid, test.
    read : callable
        Reads one split: ``read(split, category)`` returns a ``Split``; ``category`` is "" without categories. Raises
        UserError if the split cannot be read.
    categories : tuple of str
        Names of the categories, each of which has a model of its own; empty if all images belong to one model.
    labelled : bool
        Whether the images have labels, so that a model can be measured on them.
    belongs : frozenset of Path
        Files that are part of the data set and are left out on purpose, such as masks of good photos.
    """

    root: Path
    splits: tuple[str, ...]
    read: Callable[[str, str], Split]
    categories: tuple[str, ...] = ()
    labelled: bool = True
    belongs: frozenset[Path] = frozenset()

    def category(self, name: str) -> Category:
        """Read the train and test images of one category."""
        test = self.read(TEST, name).images if TEST in self.splits else ()
        return Category(name, self.read(TRAIN, name).healthy, test)
