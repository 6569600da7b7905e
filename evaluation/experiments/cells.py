"""The cells of an experiment: which model learns which photos, and which images measure it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fastener.common.errors import UserError
from fastener.common.files import CONFIGS, file_state
from fastener.common.sampling import evenly
from fastener.config import Config, load_config
from fastener.datasets.dataset import Category
from fastener.datasets.layouts import LabelRules, recognise
from fastener.evaluation.experiments.settings import ALL, Experiment
from fastener.inspection.registry import METHODS

# Results of an earlier run are taken only if they were computed as this version computes them: raise it with a change.
_FIGURES = "cells 3"


@dataclass(frozen=True)
class Part:
    """One category of a data set, or a data set without categories.

    Parameters
    ----------
    name : str
        Name in tables and of its folder of results.
    data_set : str
        Name of the data set that it belongs to.
    preset : str or None
        File in configs/ from which the settings of its models start.
    read : callable
        Reads its images. Raises UserError.
    """

    name: str
    data_set: str
    preset: str | None
    read: Callable[[], Category]

    @cached_property
    def category(self) -> Category:
        """Its images, read once. Raises UserError."""
        return self.read()


@dataclass(frozen=True)
class Cell:
    """One model of an experiment and the parts that it is measured on: one, or several that it has learned together.

    ``shots`` is a number of training photos of each part, or "all".
    """

    parts: tuple[Part, ...]
    method: str
    shots: int | str
    seed: int

    @property
    def title(self) -> str:
        """Name of the cell for a person."""
        return f"{'+'.join(part.name for part in self.parts)}, {self.method}, {self.shots} photos, seed {self.seed}"

    def folder(self, output: Path, part: Part) -> Path:
        """Name the folder of the results on one part."""
        method = self.method.replace(":", "-")  # no file name on Windows holds a colon
        return output / "cells" / part.name / method / f"{self.shots}-photos" / f"seed-{self.seed}"

    def training_photos(self) -> list[Path]:
        """Draw the training photos of all parts, sorted. A larger number of photos contains a smaller one's.

        Raises UserError if a part has fewer photos, or no test images.
        """
        photos: list[Path] = []
        for part in self.parts:
            if not part.category.test:
                raise UserError(f"{part.name} has no test images: it cannot be measured")
            if self.shots == ALL:
                photos += part.category.train
                continue
            if len(part.category.train) < int(self.shots):
                raise UserError(f"{part.name}: {self.shots} training photos asked, {len(part.category.train)} there")
            order = np.random.default_rng(self.seed).permutation(len(part.category.train))
            photos += sorted(part.category.train[i] for i in order[: int(self.shots)])
        return photos

    def measured(self, part: Part, experiment: Experiment) -> Category:
        """Return the part with the test images that measure this cell."""
        if self.shots == ALL or experiment.drawn_test is None:
            return part.category
        by_label = [[i for i in part.category.test if i.is_anomalous == label] for label in (False, True)]
        chosen = [[images[i] for i in evenly(len(images), experiment.drawn_test)] for images in by_label]
        return replace(part.category, test=tuple(image for images in chosen for image in images))

    def config(self, experiment: Experiment) -> Config:
        """Build the settings of its model. Raises UserError."""
        preset = self.parts[0].preset
        file = experiment.config or (None if preset is None else CONFIGS / preset)
        flags = {
            "run.seed": self.seed,
            "evidence": METHODS[self.method],
            "model.turns": experiment.turns if self.shots != ALL and experiment.turns > 1 else None,
        }
        return load_config(file, experiment.settings, flags)

    def identity(self, experiment: Experiment) -> str:
        """Identify what its results depend on: settings, photos, masks, and how figures are computed."""
        digest = hashlib.sha256()
        for photo in self.training_photos():
            digest.update(file_state(photo))
        for part in self.parts:
            for image in self.measured(part, experiment).test:
                digest.update(repr(image).encode("utf-8", "backslashreplace") + file_state(image.path))
                digest.update(file_state(image.mask_path))
        digest.update(self.config(experiment).model_dump_json(exclude_defaults=True).encode())
        return f"{_FIGURES} {experiment.pixels} {digest.hexdigest()}"


def parts_of(experiment: Experiment) -> list[list[Part]]:
    """List the parts by data set. Raises UserError for a folder without labels or a category that is not there."""
    found: list[list[Part]] = []
    known: list[str] = []
    several = len(experiment.data) > 1
    for root in experiment.data:
        layout = recognise(root)
        dataset = layout.load(root, LabelRules())
        if not dataset.labelled:
            raise UserError(f"{root}: its photos have no labels to measure a model by")
        known += dataset.categories
        wanted = [name for name in dataset.categories if experiment.categories is None or name in experiment.categories]
        of_root = []
        for name in wanted if dataset.categories else [""]:
            title = name or root.resolve().name
            if several and name and root.resolve().name != name:
                title = f"{root.resolve().name}-{name}"
            of_root.append(Part(title, str(root), layout.preset, _reader(dataset.category, name)))
        found.append(of_root)
    for name in experiment.categories or ():
        if name not in known:
            raise UserError(f"categories: {name} is not in the data sets; there are: {', '.join(known) or 'none'}")
    names = [part.name for group in found for part in group]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"data: two data sets are called {twice[0]}; rename a folder")
    return found


def cells_of(experiment: Experiment, groups: Sequence[Sequence[Part]]) -> Iterator[Cell]:
    """Yield all cells, part after part, so that what was seen in photos serves all methods."""
    for group in groups:
        for parts in [tuple(group)] if experiment.multi_class else [(part,) for part in group]:
            for shots in dict.fromkeys(experiment.shots):
                for seed in experiment.seeds(shots):
                    for method in experiment.methods_of(shots):
                        yield Cell(parts, method, shots, seed)


def _reader(read: Callable[[str], Category], name: str) -> Callable[[], Category]:
    return lambda: read(name)
