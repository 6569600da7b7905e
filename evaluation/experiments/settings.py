"""What an experiment measures: the content of experiment.yaml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from fastener.common.registry import OneOf
from fastener.common.settings import Section, load_settings
from fastener.inspection.registry import METHODS
from fastener.models.progress import Progress, no_progress

if TYPE_CHECKING:
    from fastener.evaluation.experiments.results import Results
    from fastener.evaluation.experiments.run import Spread

ALL = "all"
Shots = Annotated[int, Field(ge=1)] | Literal["all"]


class Experiment(Section):
    """Name the cells of an experiment: each data set by each method, number of training photos and seed."""

    data: tuple[Path, ...] = Field(min_length=1, description="folders of data sets, or of single categories")
    categories: tuple[str, ...] | None = Field(None, description="categories to measure; null = every one")
    methods: tuple[Annotated[str, OneOf(METHODS)], ...] = Field(
        tuple(METHODS),
        min_length=1,
        description="methods, a list of {names}; the first is compared with the others",
    )
    shots: tuple[Shots, ...] = Field(
        ("all",), min_length=1, description="numbers of healthy training photos, drawn by each seed; all = every one"
    )
    repeats: int = Field(1, ge=1, le=1000, description="number of seeds; 1 to 1000")
    repeats_all: int | None = Field(
        None, ge=1, le=1000, description="number of seeds where every photo is learned; null = as repeats; 1 to 1000"
    )
    seed: int = Field(42, ge=0, le=2**31, description="the first seed; the others follow it")
    drawn_methods: tuple[Annotated[str, OneOf(METHODS)], ...] | None = Field(
        None, description="methods that learn drawn photos, too; null = every one"
    )
    drawn_test: int | None = Field(
        None,
        ge=2,
        description="where photos are drawn, measure on at most this many good and as many defective test photos, "
        "evenly spread over the kinds of defects; null = on all; 2 or more",
    )
    turns: int = Field(
        1, ge=1, le=36, description="where photos are drawn, learn each at this many angles (model.turns); 1 to 36"
    )
    multi_class: bool = Field(False, description="one model for all categories of a data set, instead of one for each")
    pixels: Literal["never", "all", "always"] = Field(
        "all", description="pixel metrics: never; where all photos are learned; always"
    )
    robustness: bool = Field(
        False, description="measure the first seed of all photos under JPEG, blur, brightness, contrast and rotation"
    )
    config: Path | None = Field(None, description="YAML file with settings of the models; null = the layout's own")
    settings: tuple[str, ...] = Field((), description="single settings of the models, as section.key=value")

    @property
    def most_shots(self) -> int | str:
        """The largest number of training photos: how long a photo takes is measured with these."""
        return ALL if ALL in self.shots else max(int(one) for one in self.shots)

    def seeds(self, shots: int | str) -> tuple[int, ...]:
        """List the seeds by which a number of photos is drawn and learned."""
        count = self.repeats_all if shots == ALL and self.repeats_all is not None else self.repeats
        return tuple(range(self.seed, self.seed + count))

    def methods_of(self, shots: int | str) -> tuple[str, ...]:
        """List the methods that learn this number of photos."""
        drawn = self.methods if self.drawn_methods is None else self.drawn_methods
        return tuple(dict.fromkeys(self.methods if shots == ALL else drawn))

    def run(
        self,
        output: Path | str,
        *,
        weights: Path | None = None,
        progress: Progress = no_progress,
        warn: Callable[[str], None] = lambda line: None,
        spread: Spread | None = None,
    ) -> Results:
        """Run what is not done yet, and read the results of all cells, see ``run_experiment``."""
        from fastener.evaluation.experiments.run import run_experiment

        return run_experiment(self, Path(output), weights=weights, progress=progress, warn=warn, spread=spread)


def load_experiment(file: Path) -> Experiment:
    """Read experiment.yaml; its paths start from the current folder. Raises UserError with one line."""
    return load_settings(Experiment, file)
