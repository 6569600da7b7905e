"""Find boxes with PatchCore: one model for each region, learned from good slices, and boxes from its anomaly map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fastener.anode.good_slices import GoodSlices
from fastener.anode.hits import Box
from fastener.anode.settings import AnodeSettings, RegionOfInterest
from fastener.common.errors import UserError
from fastener.config import CalibrationSettings, Config, ModelSettings, PreprocessSettings
from fastener.inspection.inspector import Inspector
from fastener.inspection.regions import find_regions
from fastener.inspection.result import Inspection
from fastener.models.progress import Progress, no_progress

# A single volume is cut into this many stretches, which stand in for batteries when the threshold is calibrated.
_STRETCHES = 5
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
        self.threshold = inspector.threshold if asked == "calibrated" else asked

    @classmethod
    def load(cls, region: str, settings: AnodeSettings, device: str, weights: Path | None = None) -> PatchCoreDetector:
        """Load the detector of a region that ``train`` made and that was saved in ``model_file``.

        Raises UserError if there is none, if it cannot be used on this machine, or if it was trained with another
        size, backbone, region or grey window than ``settings`` state.
        """
        file = model_file(region, settings)
        inspector = Inspector.load(file, device, weights=weights, run=settings.run)
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

    def predict(self, images: Sequence[np.ndarray]) -> list[list[Box]]:
        """Find the boxes in each image, uint8 RGB (H, W, 3), in its own pixels, the highest score first."""
        results = self.inspector.inspect(images)
        return [self._boxes(result) for result in results if isinstance(result, Inspection)]

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
    if count < _FEW_BATTERIES:
        warn(f"region {region.name}: good slices of {count} battery(ies); the threshold may be too low for others")
    groups = batteries if count >= 2 else [index * _STRETCHES // len(crops) for index in range(len(crops))]
    inspector = Inspector.fit(crops, _config(settings), weights=weights, progress=progress, warn=warn, groups=groups)
    inspector.notes = _how_made(region, settings)
    return inspector


def model_file(region: str, settings: AnodeSettings) -> Path:
    """Return the path of the model of a region."""
    return settings.output_dir_model_patchcore / f"{region}.pkl"


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
    )
