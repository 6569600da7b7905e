"""Find boxes with PatchCore: one model for each region, learned from good slices, and boxes from its anomaly map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fastener.anode.good_slices import GoodSlices
from fastener.anode.hits import Box, Found
from fastener.anode.settings import AnodeSettings, RegionOfInterest
from fastener.anode.wording import COMMAND, name_slices, of_slices
from fastener.common.errors import UserError
from fastener.config import CalibrationSettings, Config, ModelSettings, PreprocessSettings
from fastener.inspection.inspector import Inspector
from fastener.inspection.regions import find_regions
from fastener.inspection.result import Inspection
from fastener.models.progress import Progress, no_progress

# A single volume is cut into this many stretches, which stand in for batteries when the threshold is calibrated.
_STRETCHES = 5
# Notes that are saved with a model: number of good batteries, battery of each slice, spread of the threshold.
BATTERIES, GROUPS, SPREAD = "good_batteries", "batteries_of_slices", "threshold_spread"
_LEAST_SCORES = 2
# Fewer batteries say too little about how good batteries differ.
_FEW_BATTERIES = 6


class PatchCoreDetector:
    """Put boxes round clusters of pixels whose anomaly exceeds the threshold, in pictures of one region.

    Parameters
    ----------
    inspector
        The model of the region.
    settings
        Threshold, clustering and extent of the boxes.
    """

    def __init__(self, inspector: Inspector, settings: AnodeSettings):
        self.inspector = inspector
        self.settings = settings
        asked = settings.patchcore_threshold
        self.threshold = asked if isinstance(asked, float) else inspector.threshold

    @classmethod
    def load(cls, region: str, settings: AnodeSettings, device: str, weights: Path | None = None) -> PatchCoreDetector:
        """Load the detector of a region that ``train`` made and that was saved in ``model_file``.

        Raises UserError if there is none or it is damaged, if it cannot be used on this machine, or if it was trained
        with another size, backbone, region or grey window than ``settings`` state.
        """
        file = used_model(region, settings)
        inspector = _loaded(file, settings, device, weights)
        (place,) = (one for one in settings.roi_config if one.name == region)
        made = _how_made(place, settings)
        for key, asked, trained in (
            ("resize_size", tuple(settings.resize_size), inspector.preprocessor.size[::-1]),
            ("backbone", settings.backbone, inspector.backbone),
            *((key, asked, inspector.notes.get(key, asked)) for key, asked in made.items()),
        ):
            if asked != trained:
                raise UserError(f"{file} was trained with {key} {trained}, not {asked}; train it again, or set it back")
        return cls(inspector, settings)

    def find(self, images: Sequence[np.ndarray]) -> list[Found]:
        """Find the boxes in each image, uint8 RGB (H, W, 3), in its own pixels, the highest score first."""
        results = [one for one in self.inspector.inspect(images) if isinstance(one, Inspection)]
        maps = [np.nan_to_num(result.map, nan=0.0) for result in results]
        return [
            Found(self._boxes(result), float(map_.max()), map_.max(axis=1).astype(np.float32))
            for result, map_ in zip(results, maps, strict=True)
        ]

    def _boxes(self, result: Inspection) -> list[Box]:
        dbscan, extent = self.settings.dbscan, self.settings.box_extent
        found = find_regions(
            result.map,
            self.threshold,
            result.transform,
            result.photo_size,
            eps=dbscan.eps,
            min_samples=dbscan.min_samples,
            extent=extent,
        )
        label = self.settings.class_label
        return [Box(r.x, r.y, r.x + r.width, r.y + r.height, r.score, label, r.area) for r in found]


def train(
    good: GoodSlices,
    region: RegionOfInterest,
    settings: AnodeSettings,
    *,
    weights: Path | None = None,
    progress: Progress = no_progress,
    warn: Callable[[str], None] = lambda line: None,
) -> Inspector:
    """Learn one region from good slices.

    The threshold is calibrated by leaving out one battery after another. With slices of a single battery, one stretch
    of neighbouring slices is left out after another. Raises UserError for fewer than two slices.
    """
    crops, batteries = good.crops[region.name], good.batteries[region.name]
    if len(crops) < 2:
        raise UserError(f"region {region.name}: {len(crops)} good slices can be read, at least two are needed")
    count = len(set(batteries))
    groups = batteries if count >= 2 else [index * _STRETCHES // len(crops) for index in range(len(crops))]
    said: list[str] = []
    config = _config(settings)
    inspector = Inspector.fit(crops, config, weights=weights, progress=progress, warn=said.append, groups=groups)
    if inspector.report is not None:
        said = inspector.report.others(said)
    name_slices(inspector, good.names[region.name])
    for text in [*said, *(inspector.report.warnings() if inspector.report is not None else [])]:
        warn(f"region {region.name}: {of_slices(text)}")
    low, high = threshold_spread(inspector, groups)
    inspector.notes = {
        **_how_made(region, settings),
        BATTERIES: str(count),
        GROUPS: " ".join(map(str, groups)),
        SPREAD: f"{low:.3f} to {high:.3f}",
    }
    if (line := few_batteries(region.name, inspector)) is not None:
        warn(line)
    return inspector


def threshold_spread(inspector: Inspector, groups: Sequence[int]) -> tuple[float, float]:
    """Find the lowest and the highest threshold without the slices of one group after another.

    ``groups`` (n,) are the groups of the learned slices. The bank is the same each time; what moves is the threshold.
    """
    scores = inspector.decision.healthy_joined
    own = np.asarray(groups)
    if len(own) != len(scores):  # the threshold rests on a sample of the slices
        own = own[inspector.decision.groups] if inspector.decision.groups.size else own[: len(scores)]
    kept = [scores[own != group] for group in np.unique(own)]
    found = [inspector.decision.tail(one).threshold for one in kept if len(one) >= _LEAST_SCORES]
    return (min(found), max(found)) if found else (inspector.threshold, inspector.threshold)


def few_batteries(region: str, inspector: Inspector) -> str | None:
    """Say what a threshold from few good batteries is worth; None if there are enough, or if nothing is known."""
    count = int(inspector.notes.get(BATTERIES, _FEW_BATTERIES))
    if count >= _FEW_BATTERIES:
        return None
    unknown = "" if count > 1 else " How batteries differ is not known from one."
    return (
        f"region {region}: good slices of {count} battery(ies): threshold {inspector.threshold:.3f}, "
        f"{inspector.notes.get(SPREAD, '?')} without one {_part(count)} or another.{unknown} It may be too low for "
        "other good batteries, all of whose slices are then NG, or too high, so that cracks pass: compare the peaks in "
        f"_log.csv, and learn {_FEW_BATTERIES} good batteries or more"
    )


def spread_line(inspector: Inspector) -> str:
    """State from how many good batteries a model learned, and how its threshold moves without one of them."""
    return (
        f"good batteries: {inspector.notes.get(BATTERIES, '?')}; threshold {inspector.threshold:.3f}, "
        f"{inspector.notes.get(SPREAD, '?')} with one {_part(int(inspector.notes.get(BATTERIES, 2)))} left out"
    )


def _part(batteries: int) -> str:
    return "battery" if batteries > 1 else "stretch of neighbouring slices"


def update(
    inspector: Inspector,
    good: GoodSlices,
    region: RegionOfInterest,
    *,
    progress: Progress = no_progress,
) -> None:
    """Learn one region of further good batteries; bank, threshold and its spread move.

    Slices of a battery that the model knows already would count twice. Raises UserError for fewer than two new slices.
    """
    crops, batteries = good.crops[region.name], good.batteries[region.name]
    if len(crops) < 2:
        raise UserError(f"region {region.name}: {len(crops)} good slices can be read, at least two are needed")
    before = [int(word) for word in inspector.notes.get(GROUPS, "").split()]
    count = int(inspector.notes.get(BATTERIES, 0))
    first = max(before, default=-1) + 1
    inspector.partial_fit(crops, groups=[first + battery for battery in batteries], progress=progress)
    name_slices(inspector, good.names[region.name])
    groups = [*before, *(first + battery for battery in batteries)]
    low, high = threshold_spread(inspector, groups)
    inspector.notes |= {
        BATTERIES: str(count + len(set(batteries))),
        GROUPS: " ".join(map(str, groups)),
        SPREAD: f"{low:.3f} to {high:.3f}",
    }


def _loaded(file: Path, settings: AnodeSettings, device: str, weights: Path | None) -> Inspector:
    """Load a model or the folder that export.py made of it; messages name the command of this job."""
    if not file.exists():
        raise UserError(f"no model at {file}; train it: {COMMAND}, or set output_dir_model_patchcore")
    try:
        return Inspector.load(file, device, weights=weights, run=settings.run)
    except UserError as error:
        raise UserError(of_slices(str(error))) from None


def model_file(region: str, settings: AnodeSettings) -> Path:
    """Return the path of the model of a region: the file that train-patchcore writes."""
    return settings.output_dir_model_patchcore / f"{region}.pkl"


def used_model(region: str, settings: AnodeSettings) -> Path:
    """Return the model that is used: ``model_file``, or the folder that export-patchcore wrote for the settings of run.

    ``run.precision: int8`` asks for the folder ``<region>-int8``, ``run.runtime: onnx`` for ``<region>-fp32``.
    """
    run = settings.run
    if run.precision == "int8":
        return exported_model(region, settings, "int8")
    wanted = exported_model(region, settings, "fp32")
    return wanted if run.runtime == "onnx" and wanted.is_dir() else model_file(region, settings)


def exported_model(region: str, settings: AnodeSettings, precision: str) -> Path:
    """Return the folder of a region's exported model."""
    return settings.output_dir_model_patchcore / f"{region}-{precision}"


def _how_made(region: RegionOfInterest, settings: AnodeSettings) -> dict[str, str]:
    """Describe how pictures of a region are made from slices. A model fits only pictures that are made alike."""
    low, high = settings.window_percentiles
    return {
        "roi_config": f"x {region.x_min} to {region.x_max}, y {region.y_min} to {region.y_max}",
        "window_percentiles": f"{low:g} to {high:g}",
    }


def _config(settings: AnodeSettings) -> Config:
    """Build the settings of a region's inspector: like configs/mvtec.yaml, on the whole region."""
    width, height = settings.resize_size
    asked = settings.patchcore
    model = asked.model_dump(exclude={"alpha", "max_slices"})
    return Config(
        preprocess=PreprocessSettings(enabled=False, size=(height, width)),
        model=ModelSettings(backbone=settings.backbone, colour_weight=0.0, **model),
        calibration=CalibrationSettings(alpha=asked.alpha),
        run=settings.run,
        # A region is a part of a slice: its outline says nothing.
        evidence=("filters",) if settings.backbone == "filters" else ("cnn", "filters"),
    )
