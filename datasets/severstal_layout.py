"""The Severstal layout as data to learn from and to be measured on: one category, whose masks are in a table."""

from __future__ import annotations

from pathlib import Path

from fastener.datasets.dataset import GOOD, TEST, TRAIN
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.layout import Found, Images, ResearchLayout, hold_back, named
from fastener.datasets.listing import files_in, is_image


class Severstal(ResearchLayout):
    """train_images and train.csv; the last fifth of the good strips is for the test, as the set has no split.

    The competition's test_images have no labels and are left out.
    """

    title = "Severstal steel"
    looks_for = "train.csv and train_images"

    def matches(self, folder: Path) -> bool:
        """Tell whether the table and the folder of images are there."""
        return (folder / "train.csv").is_file() and (folder / "train_images").is_dir()

    def find(self, folder: Path) -> Found:
        """Take the folder as the one category."""
        one = named(folder)
        unlabelled = one / "test_images"
        aside = [path for path in files_in(unlabelled) if is_image(path)] if unlabelled.is_dir() else []
        return Found(one.parent, (one.name,), lambda name: _images(one), frozenset(aside))


def _images(folder: Path) -> Images:
    from fastener.datasets.severstal import load_severstal

    strips = load_severstal(folder)
    good = [LabelledImage(one.path, False, (GOOD,)) for one in strips if not one.is_anomalous]
    learned, held_back = hold_back(good)
    return {TRAIN: learned, TEST: [*(one for one in strips if one.is_anomalous), *held_back]}
