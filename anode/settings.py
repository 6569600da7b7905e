"""Define the settings of the CT inspection, see configs/anode.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fastener.common.registry import OneOf
from fastener.common.settings import Section
from fastener.config import RunSettings, Side
from fastener.models.backbones import BACKBONES

Pixel = Annotated[int, Field(ge=0, le=100_000)]


class RegionOfInterest(Section):
    """Mark a rectangle, in slice pixels, that shows an anode edge in every slice; the maxima lie just outside."""

    x_min: Pixel = Field(description="left edge of the region; pixels from 0")
    x_max: Pixel = Field(description="right edge of the region; pixels, above x_min")
    y_min: Pixel = Field(description="upper edge of the region; pixels from 0")
    y_max: Pixel = Field(description="lower edge of the region; pixels, above y_min")
    name: str = Field(
        pattern=r"^[^/\\,\x00-\x1f]+$", description="name of the region in results and files; no slash or comma"
    )

    @model_validator(mode="after")
    def _is_not_empty(self) -> RegionOfInterest:
        for low, high in (("x_min", "x_max"), ("y_min", "y_max")):
            if getattr(self, low) >= getattr(self, high):
                raise ValueError(
                    f"region {self.name}: {low} {getattr(self, low)} must lie below {high} {getattr(self, high)}"
                )
        return self


class IndexRange(Section):
    """Choose slice numbers; both ends are included."""

    min: int = Field(0, ge=0, description="first slice number that is inspected; 0 or more")
    max: int = Field(10**9, ge=0, description="last slice number that is inspected; not below min")

    @model_validator(mode="after")
    def _ascends(self) -> IndexRange:
        if self.min > self.max:
            raise ValueError(f"min {self.min} must not lie above max {self.max}")
        return self


class DbscanSettings(Section):
    """Say how pixels above the threshold become boxes."""

    eps: float = Field(
        3.0,
        gt=0.0,
        le=500.0,
        description="distance within which two pixels of the resized region are neighbours; pixels, above 0 to 500",
    )
    min_samples: int = Field(
        10,
        ge=1,
        le=100_000,
        description="number of neighbours, the pixel itself included, from which a pixel forms a cluster; 1 to 100000",
    )


class PatchCoreSettings(Section):
    """Say how the PatchCore model of a region is built; everything else is as in configs/mvtec.yaml."""

    coreset_ratio: float = Field(
        0.05, gt=0.0, le=1.0, description="share of patches kept in the memory bank; above 0 to 1"
    )
    alpha: float = Field(
        0.01, gt=0.0, lt=1.0, description="share of good slices that `calibrated` may flag; between 0 and 1"
    )
    max_slices: int = Field(
        300,
        ge=2,
        le=100_000,
        description="greatest number of good slices to learn from, spread evenly, as neighbours are alike; 2 to 100000",
    )
    layers: tuple[str, ...] | None = Field(
        None, description="layers of the backbone whose features are joined; null = the backbone's own default"
    )
    unit_length: bool = Field(
        False,
        description="scale each layer's features to length 1 in every patch; the grain's contrast then does not count",
    )
    whiten: bool = Field(
        False, description="give more weight to directions in which good patches hardly vary; for grainy surfaces"
    )
    per_position: bool = Field(
        False, description="compare a patch with good patches at the same place; for regions that always look alike"
    )
    line_length: int = Field(
        0,
        ge=0,
        le=1000,
        description="judge a place by the best line of this length through it, for thin cracks; pixels of resize_size, "
        "0 to 1000; 0 = each place by itself",
    )


class RfDetrSettings(Section):
    """Choose the size of RF-DETR, and say how it is trained."""

    size: Literal["nano", "small", "medium", "large"] = Field(
        "nano", description="nano, small, medium or large: the sizes under Apache-2.0"
    )
    resolution: int = Field(
        384, ge=64, le=2048, multiple_of=32, description="side of its input in pixels; 64 to 2048, a multiple of 32"
    )
    num_queries: int = Field(
        300, ge=1, le=300, description="greatest number of boxes in an image; fewer save time; 1 to 300"
    )
    start_from: Path | None = Field(
        None,
        description="checkpoint whose weights training starts from; null = random weights, which need far more slices",
    )
    epochs: int = Field(50, ge=1, le=10_000, description="passes over the training slices; 1 to 10000")
    batch_size: int = Field(4, ge=1, le=1024, description="images per training step; 1 to 1024")
    learning_rate: float = Field(1e-4, ge=1e-7, le=0.1, description="step size of AdamW; 1e-7 to 0.1")


class AnodeSettings(Section):
    """Hold all settings of anode_inspection.py."""

    input_dir: Path = Field(Path("data/ct"), description="slices to inspect: <battery_id>/<axis>/*_NNNN.tif")
    good_images_dir: Path = Field(
        Path("data/ct_good"), description="good slices for PatchCore: the same tree, or TIFF files in the folder itself"
    )
    labelled_dir: Path = Field(
        Path("data/ct_labelled"),
        description="slices for RF-DETR: the same tree, and labels.csv with a line for each box",
    )
    output_dir_model_patchcore: Path = Field(
        Path("saved_models/anode_patchcore"), description="folder of the PatchCore models, one a region"
    )
    output_dir_model_rf_detr: Path = Field(
        Path("saved_models/anode_rf_detr"), description="folder of RF-DETR's checkpoints"
    )
    output_inference_dir: Path = Field(Path("results"), description="folder of the results")
    export_ai_csv_files: bool = Field(
        True, description="write AI_RESULTS/<battery_id>/<battery_id>_log.csv and _detected.csv"
    )
    roi_config: tuple[RegionOfInterest, ...] = Field(
        min_length=1, description="regions of each slice: x_min, x_max, y_min, y_max in pixels, name"
    )
    axis_names: tuple[str, ...] | None = Field(
        None, min_length=1, description="axis folders that are inspected, e.g. [axial]; null = all"
    )
    filter_index_range: IndexRange | None = Field(None, description="slice numbers that are inspected; null = all")
    window_percentiles: tuple[Annotated[float, Field(ge=0.0, le=100.0)], Annotated[float, Field(ge=0.0, le=100.0)]] = (
        Field(
            (0.5, 99.5), description="percentiles of a volume's grey values that are shown as black and white; 0 to 100"
        )
    )
    resize_size: tuple[Side, Side] = Field(
        (256, 256), description="[width, height] in pixels to which a region is resized for PatchCore; 32 to 2048"
    )
    backbone: Annotated[str, OneOf(BACKBONES)] = Field(
        "resnet50",
        description="wide_resnet50_2, resnet50, resnet18, mobilenet_v2 (beside the filters) or filters alone",
    )
    patchcore: PatchCoreSettings = PatchCoreSettings()
    patchcore_threshold: Annotated[float, Field(gt=0.0)] | Literal["calibrated", "suggest"] = Field(
        "calibrated",
        description="anomaly score above which a pixel is a hit: a number above 0 on the scale that train-patchcore "
        "prints, calibrated = a score that good slices do not reach, or suggest = calibrated, and propose a number by "
        "the slices at hand",
    )
    dbscan: DbscanSettings = DbscanSettings()
    box_extent: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="a box encloses pixels above this share of the way from the threshold to its peak; 0 = all; 0 to 1",
    )
    rf_detr: RfDetrSettings = RfDetrSettings()
    rf_detr_checkpoint: Path | None = Field(
        None,
        description="checkpoint that infer-rf-detr uses, also looked for below output_dir_model_rf_detr; null = the "
        "file that train-rf-detr has written",
    )
    rf_detr_threshold: float = Field(0.5, ge=0.0, le=1.0, description="least confidence of a box of RF-DETR; 0 to 1")
    class_label: str = Field("crack", min_length=1, description="name of the defect, on pictures and in tables")
    consecutive_slices: int = Field(
        4, ge=1, le=10_000, description="slices in a row that must be hit in one place for a hit to count; 1 to 10000"
    )
    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _fits_together(self) -> AnodeSettings:
        names = [region.name.casefold() for region in self.roi_config]
        if len(set(names)) < len(names):
            raise ValueError(f"roi_config: two regions share a name among {', '.join(names)}; give each its own")
        low, high = self.window_percentiles
        if low >= high:
            raise ValueError(f"window_percentiles: {low:g} must lie below {high:g}")
        return self
