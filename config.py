"""Every setting of the toolkit: typed, documented, validated.

Precedence: command-line flags > ``--set section.key=value`` > ``--config FILE`` > the defaults below.
Importing this module reads no file, creates none and does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from fastener.common.registry import OneOf
from fastener.common.settings import Section, load_settings, warn_of_change
from fastener.common.settings import Side as Side
from fastener.corrosion.settings import CorrosionSettings as CorrosionSettings
from fastener.inspection.registry import EVIDENCE
from fastener.models.backbones import BACKBONES


class PreprocessSettings(Section):
    """From a photo to the canonical frame that the model sees."""

    enabled: bool | None = Field(
        None,
        description="find the part, correct the light, turn it upright; off = the plain frame; null = on, unless most "
        "of the training photos show no part by itself, or they show the same in the same place",
    )
    size: Side | tuple[Side, Side] = Field(
        256, description="model input in pixels: a side, or [height, width]; 32 to 2048"
    )
    keep_aspect: bool = Field(
        True,
        description="a frame of size x size pixels in the proportions of the training photos, or of their parts where "
        "these are turned upright, if most of them agree; only when size is a side",
    )
    upright: bool | None = Field(
        None,
        description="find the part and turn it upright, but leave the light as it is; null = where the training photos "
        "show one part each, in various places, or a long one at various angles; only when enabled is off, or null",
    )
    center_crop: float = Field(
        1.0, ge=0.1, le=1.0, description="share of each side kept, centred; only when enabled is off; 0.1 to 1"
    )
    white_level: Annotated[float, Field(gt=0.0)] | tuple[float, float] | Literal["brightest"] | None = Field(
        None,
        description="level that counts as white in photos of more than 8 bits, or [black, white]; null = learned from "
        "the training photos; brightest = photo by photo, as models of earlier versions do; above 0",
    )
    white_balance: bool = Field(True, description="gray-world white balance")
    inpaint_highlights: bool = Field(True, description="fill specular highlights from their surroundings")
    highlight_level: int = Field(
        250, ge=128, le=255, description="grey value from which a pixel inside the part is a highlight; 128 to 255"
    )
    clahe_clip_limit: float = Field(2.0, ge=0.0, le=40.0, description="CLAHE contrast limit on L*; 0 = off; 0 to 40")
    clahe_tiles: int = Field(8, ge=1, le=64, description="CLAHE tiles per side; 1 to 64")
    padding: float = Field(
        0.05, ge=0.0, le=1.0, description="margin round the part, in parts of its longer side; 0 to 1"
    )
    smallest_piece: float = Field(
        0.2,
        ge=0.01,
        le=1.0,
        description="pieces of at least this share of the largest one's area are parts too, smaller ones are specks; "
        "0.01 to 1",
    )
    align: bool = Field(True, description="turn the part's principal axis upright")
    background: int = Field(128, ge=0, le=255, description="grey value that replaces the background; 0 to 255")

    @property
    def seeks_part(self) -> bool:
        """Tell whether the part is found in the photo, rather than the photo taken whole."""
        return self.enabled is not False or self.upright is True


class ModelSettings(Section):
    """PatchCore: the features of a patch, the size of the memory bank, the score of an image."""

    renamed: ClassVar[Mapping[str, str]] = {"by_place": "per_position"}

    backbone: Annotated[str, OneOf(BACKBONES, also=("auto",))] = Field(
        "auto",
        description="pretrained network: one of {names}, the last any of timm's; filters = none; auto = "
        "wide_resnet50_2 on CUDA if its weights can be had, else efficientnet_lite0",
    )
    layers: tuple[str, ...] | None = Field(
        None, description="layers whose features are joined; null = the backbone's own default"
    )
    target_dim: int | None = Field(
        256, ge=8, le=4096, description="random projection of CNN features to this many numbers; null = none; 8 to 4096"
    )
    patch_size: int = Field(3, ge=1, le=9, description="side of the average pooling round each position; 1 to 9, odd")
    coreset_ratio: float | None = Field(
        None,
        gt=0.0,
        le=1.0,
        description="share of patches kept in the memory bank; null = 2 % for up to 200 photos, and rows that grow "
        "with the square root of their number beyond; above 0 to 1",
    )
    coreset_projection: int | None = Field(
        None,
        ge=8,
        le=4096,
        description="select patches by a random projection to this many numbers, but keep them whole: faster on large "
        "sets, covers the patches a little worse; null = select by all numbers; 8 to 4096",
    )
    num_neighbors: int = Field(
        9,
        ge=1,
        le=100,
        description="number of neighbours in the bank that weigh the image score (b of equation 7 of the PatchCore "
        "paper); 1 = no weighting; without effect unless top_share is null; 1 to 100",
    )
    top_share: float | None = Field(
        0.01,
        gt=0.0,
        le=1.0,
        description="the image score is the mean of this share of the highest distances; null = eq. 7, the weighted "
        "distance of one patch; above 0 to 1",
    )
    top_of: Literal["map", "patches"] = Field(
        "map", description="whether top_share counts pixels of the smoothed map, or patches"
    )
    cosine: bool = Field(
        False, description="score by 1 - cosine instead of the distance; needs unit_length and a top_share"
    )
    index: Literal["auto", "flat", "ivf", "hnsw", "pq"] = Field(
        "auto",
        description="how the bank is searched: flat = every row; ivf, hnsw, pq = a part of the rows, see "
        "models/search_index.py; auto = ivf for a large bank where its measured recall is good, else flat",
    )
    smoothing_sigma: float = Field(
        4.0, ge=0.0, le=50.0, description="Gaussian smoothing of the anomaly map, in pixels of the model input; 0 to 50"
    )
    filter_log_floor: float = Field(
        0.003, ge=1e-6, le=1.0, description="floor inside the logarithm of the Gabor filters; 1e-6 to 1"
    )
    colour_weight: float = Field(
        4.0,
        ge=0.0,
        le=100.0,
        description="how much a colour difference of 50 CIELab units counts, relative to the total standard deviation "
        "of the other features; 0 to 100",
    )
    unit_length: bool = Field(
        False,
        description="scale the features of each CNN layer to length 1 in every patch, so that the contrast of the "
        "grain does not count",
    )
    turns: int = Field(
        1,
        ge=1,
        le=36,
        description="learn each photo at this many angles, evenly over the full circle: for few photos of parts that "
        "lie at any angle; 1 to 36",
    )
    whiten: bool = Field(
        False,
        description="give more weight to feature directions in which healthy patches hardly vary; helps where surfaces "
        "vary more than defects",
    )
    per_position: bool = Field(
        False,
        description="compare a patch with healthy patches at the same position; for parts that always lie alike",
    )
    line_length: int = Field(
        0,
        ge=0,
        le=1000,
        description="for cracks: judge the best line of this length through each position, in pixels of the model "
        "input; 0 = each position by itself; 0 to 1000",
    )

    @model_validator(mode="after")
    def _cosine_has_what_it_needs(self) -> ModelSettings:
        if self.cosine and not (self.unit_length and self.top_share is not None):
            raise ValueError("cosine needs unit_length: true and a top_share")
        return self


class AutoencoderSettings(Section):
    """The baseline that redraws healthy images through a narrow place, see models/autoencoder.py."""

    side: int = Field(
        128, ge=32, le=512, multiple_of=16, description="side of its images in pixels; 32 to 512, a multiple of 16"
    )
    width: int = Field(16, ge=1, le=128, description="channels of the first of its four layers; 1 to 128")
    latent: int = Field(100, ge=1, le=4096, description="numbers that an image is squeezed into; 1 to 4096")
    learning_rate: float = Field(0.001, ge=1e-6, le=0.1, description="step size of Adam; 1e-6 to 0.1")
    epochs: int = Field(200, ge=1, le=10_000, description="most passes over the training images; 1 to 10000")
    patience: int = Field(
        20, ge=1, le=10_000, description="passes without a lower error on held-out images before it stops; 1 to 10000"
    )
    held_out: float = Field(
        0.3,
        ge=0.05,
        le=0.5,
        description="share of the different healthy photos that are not trained on: a third of them ends the training, "
        "two thirds calibrate; 0.05 to 0.5",
    )
    top_share: float = Field(
        0.01, ge=1e-5, le=1.0, description="share of a map's pixels, the highest, whose mean is the score; 1e-5 to 1"
    )


class ColourSettings(Section):
    """What counts as rust-coloured: a sector of CIELab, on the photo balanced by its own background."""

    hue_min: float = Field(
        30.0, ge=0.0, le=360.0, description="lower end of the rust hues; 0 to 360 degrees of CIELab hue"
    )
    hue_max: float = Field(
        75.0, ge=0.0, le=360.0, description="upper end of the rust hues; 0 to 360 degrees of CIELab hue"
    )
    min_chroma: float = Field(14.0, ge=0.0, le=100.0, description="least chroma C*ab of a rust pixel; 0 to 100")
    max_lightness: float = Field(75.0, ge=0.0, le=100.0, description="greatest lightness L* of a rust pixel; 0 to 100")

    @model_validator(mode="after")
    def _sector_is_not_empty(self) -> ColourSettings:
        if self.hue_min >= self.hue_max:
            raise ValueError(f"hue_min {self.hue_min:g} must lie below hue_max {self.hue_max:g}")
        return self


class CalibrationSettings(Section):
    """From raw scores to a decision."""

    alpha: float = Field(
        0.05, gt=0.0, lt=1.0, description="share of healthy parts that may be flagged; between 0 and 1"
    )
    threshold: Literal["robust", "conformal"] = Field(
        "robust",
        description="robust = limit of the healthy scores' normal tail without gross outliers; conformal = their "
        "quantile, which needs 1 / alpha photos and gives way to each odd one",
    )
    upper_quantile: float = Field(
        0.84,
        gt=0.5,
        lt=1.0,
        description="quantile of healthy scores that sets the unit of each evidence; between 0.5 and 1",
    )
    rule: Literal["norm", "max", "mean"] = Field(
        "norm", description="how structure and colour are joined into one score: norm, max or mean"
    )
    max_photos: int = Field(
        1000,
        ge=10,
        description="calibrate PatchCore on at most this many distinct photos, evenly sampled; 10 or more",
    )
    look_band: bool = Field(
        False,
        description="third verdict LOOK: photos that pass with a p-value up to 3 alpha or a place above healthy ones",
    )


class RunSettings(Section):
    """How to compute. Only the seed and the rounding of the precision change results."""

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto",
        description="network arithmetic: auto, fp32, bf16, fp16 (CUDA only) or int8 (ONNX Runtime only); "
        "auto = the saved model's own; for a new one fp16 on CUDA, fp32 elsewhere",
    )
    runtime: Literal["auto", "torch", "onnx"] = Field(
        "auto",
        description="what computes the network: auto, torch or onnx (ONNX Runtime, on the CPU); "
        "auto = the saved model's own; for a new one onnx if precision is int8, else torch",
    )
    batch_size: int = Field(
        32, ge=1, le=1024, description="images per forward pass, on a CPU at most four of them at once; 1 to 1024"
    )
    workers: int = Field(2, ge=0, le=64, description="threads that read and preprocess ahead of the model; 0 to 64")
    memory_limit_mb: int = Field(
        2048,
        ge=0,
        description="memory for the features of training photos; more than this goes to a file in $TMPDIR; in MB, 0 or "
        "more",
    )
    seed: int = Field(42, ge=0, le=2**32 - 1, description="source of every random draw; 0 to 4294967295")


class Config(Section):
    """All settings.

    ``evidence`` null means every kind that is a default for these settings: cnn with a network, filters, colour with
    preprocessing, and shape unless parts are cut off by a crop; a kind that finds nothing to judge in the training
    photos is left out. The baselines (autoencoder, gaussian, global, padim, subspace) serve comparisons, and are used
    only when named.
    """

    preprocess: PreprocessSettings = PreprocessSettings()
    model: ModelSettings = ModelSettings()
    autoencoder: AutoencoderSettings = AutoencoderSettings()
    colour: ColourSettings = ColourSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    corrosion: CorrosionSettings = CorrosionSettings()
    run: RunSettings = RunSettings()
    evidence: tuple[Annotated[str, OneOf(EVIDENCE)], ...] | None = Field(
        None,
        min_length=1,
        description="kinds of evidence, a list of {names}; null = cnn with a network, filters, colour with "
        "preprocessing, and shape where parts are seen",
    )
    baseline_tag: str = Field(
        "T0", pattern=r"^[A-Za-z0-9]+$", description="token at the end of a file name that marks a baseline shot"
    )


def load_config(
    file: str | Path | None = None,
    assignments: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    *,
    warn: Callable[[str], None] = warn_of_change,
) -> Config:
    """Merge defaults, a YAML file, ``key=value`` assignments and flags (later wins) into one valid ``Config``.

    ``flags`` maps dotted keys ("model.coreset_ratio") to values; None means "flag not given". ``warn`` receives a line
    for each setting that is given by an old name. Raises UserError with one line that names the setting, what is
    allowed, and the nearest known key.
    """
    return load_settings(Config, file, assignments, flags, warn=warn)
