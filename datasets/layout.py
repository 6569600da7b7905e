"""What every layout of a data set states, and how the images that it finds become a ``Dataset``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PureWindowsPath
from typing import ClassVar

from fastener.datasets.dataset import SPLIT_NAMES, Dataset, Split
from fastener.datasets.labelled_image import LabelledImage

Images = Mapping[str, Sequence[LabelledImage]]  # by split


@dataclass(frozen=True)
class LabelRules:
    """How label columns are read where their names alone do not say it.

    Parameters
    ----------
    defect_columns, healthy_columns : sequence of str or None
        Columns that mark a defect, or a healthy part; None: the rule of ``label_columns`` decides.
    """

    defect_columns: Sequence[str] | None = None
    healthy_columns: Sequence[str] | None = None


NO_RULES = LabelRules()


class Layout(ABC):
    """One way in which a data set lies on disk.

    A subclass states ``title``, its name for a person; ``looks_for``, the files and folders by which it is recognised;
    ``preset``, the file in configs/ from which the settings start, or None for the defaults; ``fallback``, True if it
    is only considered where no other layout matches, because many folders of other layouts would match it, too;
    ``refines``, names of more general layouts that match its folders as well, and give way to it.
    """

    title: str
    looks_for: str
    preset: ClassVar[str | None] = None
    fallback: ClassVar[bool] = False
    refines: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def matches(self, folder: Path) -> bool:
        """Tell whether an existing folder has this layout."""

    @abstractmethod
    def load(self, folder: Path, labels: LabelRules = NO_RULES) -> Dataset:
        """Read the folder. Raises UserError, in one line that says what was looked for, if it has another layout."""


@dataclass(frozen=True)
class Found:
    """What a published data set, or one like it, holds.

    Parameters
    ----------
    root : Path
        Folder of the categories.
    categories : tuple of str
        Their names.
    images : callable
        Lists the images of a category by split. Raises UserError if they cannot be told.
    belongs : frozenset of Path
        Files that are part of the data set and are left out on purpose, such as masks of good photos.
    """

    root: Path
    categories: tuple[str, ...]
    images: Callable[[str], Images]
    belongs: frozenset[Path] = frozenset()


class ResearchLayout(Layout):
    """A published data set, or one like it, whose categories are measured one by one."""

    preset = "mvtec.yaml"
    refines = ("mvtec",)

    @abstractmethod
    def find(self, folder: Path) -> Found:
        """Look through the folder, which holds all categories or is one. Raises UserError if there is none."""

    def load(self, folder: Path, labels: LabelRules = NO_RULES) -> Dataset:
        """Read the folder."""
        from fastener.datasets.mvtec import check_category

        found = self.find(folder)
        images = cache(found.images)

        def read(split: str, category: str) -> Split:
            check_category(found.root, category, found.categories)
            return Split(split, tuple(sorted(images(category).get(split, ()), key=lambda image: image.path)))

        first = images(found.categories[0])
        splits = tuple(name for name in SPLIT_NAMES if name in first)
        return Dataset(found.root, splits, read, found.categories, belongs=found.belongs)


def file_inside(root: Path, name: str) -> Path | None:
    """Return the file below ``root`` that a table names, with any kind of slash; None if it is missing or outside."""
    parts = PureWindowsPath(name)
    if parts.anchor or ".." in parts.parts:
        return None
    try:
        path = root / parts.as_posix()
        return path if path.is_file() else None
    except (OSError, ValueError):  # no name that a file can have
        return None


def named(folder: Path) -> Path:
    """Return the folder with a path that ends in its name, which "." lacks."""
    return folder if folder.name not in ("", "..") else folder.resolve()


def hold_back(good: Sequence[LabelledImage]) -> tuple[Sequence[LabelledImage], Sequence[LabelledImage]]:
    """Split good photos in two: to learn from, and the last fifth by name for the test; one of fewer than five.

    The last ones in a row and not every fifth, since shots that were taken one after another are alike.
    """
    ordered = sorted(good, key=lambda image: image.path)
    first = max(1, len(ordered) - max(1, len(ordered) // 5))
    return ordered[:first], ordered[first:]
