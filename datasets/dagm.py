"""DAGM 2007 as it was given to developers: defects are marked by ellipses in a text file.

Wieler and Hahn, "Weakly Supervised Learning for Industrial Optical Inspection", DAGM 2007. ``Class1`` holds good
images, ``Class1_def`` defective ones, and ``Class1_def/labels.txt`` or ``Class1_def.txt`` a line for each of these: the
number in its name, semi-major and semi-minor axis in pixels, angle of the major axis in radians, turned from x towards
y, which points down, and x and y of the centre in pixels, counted from 1 at the upper left corner. The form of the
competition, ``Class1/Train/Label``, has masks of the same ellipses, and needs no reader of its own.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.common.errors import UserError
from fastener.datasets.dataset import GOOD, TEST, TRAIN
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.layout import Found, Images, ResearchLayout, hold_back
from fastener.datasets.listing import folders_in, list_images

if TYPE_CHECKING:
    import numpy as np

_ENDING = "_def"


@dataclass(frozen=True)
class EllipseImage(LabelledImage):
    """An image whose defect is marked by an ellipse: semi-axes, angle in radians, centre x and y from 0, in pixels."""

    ellipse: tuple[float, float, float, float, float] = (1.0, 1.0, 0.0, 0.0, 0.0)

    @property
    def has_mask(self) -> bool:
        """Tell that the ellipse marks the defect."""
        return True

    def mask(self, size: tuple[int, int]) -> np.ndarray:
        """Mark the pixels whose centres lie in the ellipse, bool (H, W)."""
        import numpy as np

        major, minor, angle, x, y = self.ellipse
        down, right = np.mgrid[: size[0], : size[1]]
        with np.errstate(over="ignore"):  # far outside of a tiny ellipse
            along = (right - x) * np.cos(angle) + (down - y) * np.sin(angle)
            across = (down - y) * np.cos(angle) - (right - x) * np.sin(angle)
            return np.asarray((along / major) ** 2 + (across / minor) ** 2 <= 1)


class DagmEllipses(ResearchLayout):
    """Folders Class<n> and Class<n>_def with ellipses."""

    title = "DAGM 2007 (ellipses)"
    looks_for = "Class<n>, Class<n>_def and Class<n>_def/labels.txt"

    def matches(self, folder: Path) -> bool:
        """Tell whether a folder of good images has one of defective images with ellipses beside it."""
        return bool(_classes(folder))

    def find(self, folder: Path) -> Found:
        """List the classes. Raises UserError if there is none."""
        names = _classes(folder)
        if not names:
            raise UserError(f"{folder}: looked for {self.looks_for} there; name the folder that holds them")
        return Found(folder, tuple(names), lambda name: _images(folder, name))


def _classes(folder: Path) -> list[str]:
    inside = {path.name for path in folders_in(folder)}
    pairs = [name for name in inside if f"{name}{_ENDING}" in inside and _labels_file(folder, name) is not None]
    return sorted(pairs, key=lambda name: [int(digits) for digits in re.findall(r"[0-9]+", name)])


def _labels_file(folder: Path, name: str) -> Path | None:
    bad = folder / f"{name}{_ENDING}"
    files = [path for path in (bad / "labels.txt", bad / "Labels.txt", bad.with_suffix(".txt")) if path.is_file()]
    return files[0] if files else None


def _images(folder: Path, name: str) -> Images:
    table = _labels_file(folder, name)
    assert table is not None  # as _classes has found it
    ellipses = _ellipses(table)
    bad = []
    for path in list_images(folder / f"{name}{_ENDING}"):
        number = re.match(r"[0-9]+", path.stem)
        ellipse = ellipses.get(int(number[0])) if number else None
        if ellipse is None:
            raise UserError(f"{path}: {table} has no ellipse for it; take the file of the data set")
        bad.append(EllipseImage(path, True, ("defect",), ellipse=ellipse))
    good, held_back = hold_back([LabelledImage(path, False, (GOOD,)) for path in list_images(folder / name)])
    return {TRAIN: good, TEST: [*bad, *held_back]}


def _ellipses(table: Path) -> dict[int, tuple[float, float, float, float, float]]:
    """Read the ellipses by the number of their image."""
    found = {}
    for line, text in enumerate(table.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        words = text.split()
        if not words:
            continue
        try:
            number = int(re.match(r"[0-9]+", words[0])[0])  # type: ignore[index]  # a TypeError is caught
            major, minor, angle, x, y = (float(word) for word in words[1:6])
            if not (all(map(math.isfinite, (major, minor, angle, x, y))) and major > 0 and minor > 0):
                raise ValueError
        except (TypeError, ValueError):
            raise UserError(
                f"{table}, line {line}: not a number, two semi-axes, an angle and a centre; take the file of the "
                "data set"
            ) from None
        found[number] = (major, minor, angle, x - 1, y - 1)
    return found
