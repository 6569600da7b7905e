"""The responses and request bodies of the service, as its documentation shows them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from fastener.console.accounts import PASSWORD_LENGTH, Role
from fastener.console.result_schemas import API_NAMES, Answer, Named, with_fields
from fastener.console.tables import RESULT_COLUMNS

Decision = Literal["PASS", "REVIEW", "FAIL", "NO_PART"]
Right = Literal["PASS", "FAIL", "NO_PART"]


def _storable(text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not hold NUL or half characters")
    return text


Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(_storable)]
Short = Annotated[Text, StringConstraints(max_length=80)]
Name = Annotated[Short, StringConstraints(min_length=1)]
Reason = Annotated[Text, StringConstraints(min_length=1)]


class Closed(BaseModel):
    """Common base of all request bodies: a field that the service does not know is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Problem(Answer):
    """The reason why a request was not served, in one line."""

    detail: str


class Health(Answer):
    """The state of the service and its load."""

    status: Literal["ok", "degraded"]
    history: str = Field(description="ok, or why inspections cannot be stored")
    device: str = Field(description="where models compute: cpu or cuda")
    cuda_available: bool
    models: int = Field(description="number of models that can be used")
    queue: int = Field(description="number of images being inspected or waiting")
    version: str


class Calibration(Answer):
    """The healthy photos that set the threshold."""

    photos: int = Field(description="number of healthy photos; copies count once")
    alpha: float = Field(description="at most this share of healthy parts is flagged, by the threshold in force")
    median: float = Field(description="joined score of the median healthy photo")
    healthy_scores: list[float] = Field(description="joined scores of the healthy photos, ascending")
    lowest_threshold: float = Field(description="no lower threshold can be saved")
    highest_threshold: float = Field(description="no higher threshold can be saved")


class Category(Answer):
    """A model that can be used. Threshold and calibration are null until it is loaded."""

    name: str
    model_loaded: bool
    threshold: float | None
    calibration: Calibration | None


class SyntheticDefects(Answer):
    """Share of defects, drawn on healthy training photos, that the model's own threshold finds."""

    recall: float
    recall_low: float = Field(description="lower end of the 95 % interval")
    recall_high: float = Field(description="upper end of the 95 % interval")
    drawn: int = Field(description="number of defects that were drawn")
    found: dict[str, tuple[int, int]] = Field(description="by kind of defect, how many were found, of how many")


class OddPhoto(Answer):
    """A healthy training photo among the oddest, scored as if the model had not seen it."""

    name: str
    score: float
    left_out: bool = Field(description="whether it is too odd for the threshold to heed it")


class ThresholdBasis(Answer):
    """The basis of the threshold in the model file."""

    alpha: float = Field(description="share of healthy parts that its threshold flags, as far as the photos can tell")
    photos_left_out: list[str] = Field(description="training photos that are too odd for the threshold to heed them")
    oddest_photos: list[OddPhoto]
    synthetic_defects: SyntheticDefects | None
    warnings: list[str]


class ModelInfo(Answer):
    """All facts about one model."""

    name: str
    model_checksum: str = Field(description="SHA-256 of the model file")
    description: list[str]
    evidence: list[str]
    kinds: list[str] = Field(description="kinds of defects that the model names; empty for a model that names none")
    threshold: float = Field(description="threshold in force: an image whose score lies above it fails")
    own_threshold: float = Field(description="the threshold in the model file")
    calibration: Calibration | None = Field(
        description="null for a model that cannot say that there is no defect, and fails every photo"
    )
    threshold_basis: ThresholdBasis | None = Field(
        description="what the model's own threshold rests on; null for models of earlier versions"
    )
    threshold_changes: list[ThresholdChange]


class ThresholdChange(Answer):
    """One change of a threshold: who made it, when and why."""

    timestamp: datetime = Field(validation_alias="created_at")
    model_checksum: str
    old: float
    new: float
    changed_by: str
    reason: str


class RecentScore(Answer):
    """A recent inspection by the model that is in force, for the trial of a threshold."""

    id: str
    file_name: str
    score: float
    decision: Decision
    verdict: Right | None = Field(description="by its latest review; null: not reviewed")


class NewThreshold(Closed):
    """A new threshold, in force from now on."""

    threshold: float = Field(
        description="from lowest_threshold to highest_threshold of the model's calibration, see /model/info"
    )
    replaces: float = Field(
        description="the threshold that was in force when you decided; refused if another is in force by now"
    )
    changed_by: Name
    reason: Reason
    model_checksum: str = Field(
        description="SHA-256 of the model file that is meant; refused if another is in its place"
    )

    @model_validator(mode="before")
    @classmethod
    def _says_what_it_replaces(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("replaces") is None:
            raise PydanticCustomError(
                "replaces",
                "`replaces` is missing: send the threshold in force that you saw, which /model/info calls `threshold`, "
                "so that nobody's change is overwritten unseen",
            )
        return given


@with_fields(RESULT_COLUMNS, API_NAMES)
class StoredInspection(Answer):
    """An inspection as the history stores it."""

    id: str
    timestamp: datetime
    category: str
    model_checksum: str
    file_name: str
    image_checksum: str
    width: int
    height: int
    is_anomaly: bool
    decision: Decision = Field(
        description="NO_PART: the photo cannot be judged, see problem; REVIEW: passed, but a person should look at it"
    )
    naming: Named | None = Field(None, description="kind of defect; null for models that name none")
    has_heatmap: bool = Field(description="whether the model marked places, so that /heatmap returns them")
    seconds: float = Field(description="time from the upload to the answer, in seconds")
    lot: str = Field(description="as the sender of the image said, like the next three")
    order: str
    serial: str
    shift: str
    operator: str = Field(description="name of the account that sent the image")


class Review(Answer):
    """A person's judgement of a decision."""

    timestamp: datetime = Field(validation_alias="created_at")
    verdict: Right = Field(description="the decision that would have been right")
    reviewer: str
    note: str


class ReviewedInspection(StoredInspection):
    """An inspection with its latest review, which is the one that counts."""

    review: Review | None


class InspectionDetail(ReviewedInspection):
    """An inspection with all its reviews, the latest first."""

    reviews: list[Review]
    image_kept: bool = Field(description="whether the image is still stored, so that /image returns it")


class NewReview(Closed):
    """A review of a decision."""

    verdict: Right = Field(
        description="the decision that would have been right: PASS, FAIL, or NO_PART if no part can be judged in it"
    )
    reviewer: Name
    note: Text = ""


class Account(Answer):
    """A person who may sign in by name."""

    name: str
    role: Role
    active: bool = Field(description="whether the account may sign in")


class NewAccount(Closed):
    """Role and password of an account, and whether it may sign in. An existing account keeps what is not given."""

    role: Role | None = None
    password: str | None = Field(None, min_length=PASSWORD_LENGTH, max_length=200)
    active: bool | None = None


class Inspected(StoredInspection):
    """A new inspection. The pictures are null if they were not asked for, or if the model draws no map."""

    heatmap_base64: str | None = Field(None, description="heatmap as PNG with transparency, to be laid over the image")
    overlay_base64: str | None = Field(None, description="image under the heatmap as JPEG, at most 1024 pixels a side")


class Failed(Answer):
    """An image of a batch that could not be inspected."""

    file_name: str
    status: int = Field(description="status code that this image alone would have received")
    detail: str


class Batch(Answer):
    """The results of a batch: one entry for each image, in the order in which the images were sent."""

    results: list[Inspected | Failed]


class Page(Answer):
    """One page of the history, the newest inspections first."""

    total: int
    page: int
    page_size: int
    inspections: list[ReviewedInspection]


Moment = Annotated[AwareDatetime, Field(description="with its time zone, e.g. 2026-01-31T06:00:00+01:00")]


class DayStatistics(Answer):
    """Figures of one model file on one day, in the service's time zone."""

    day: date
    category: str
    model_checksum: str
    inspections: int
    failed: int = Field(description="number of FAIL, and of NO_PART unless --no-part ignore is set")
    no_part: int = Field(description="number of NO_PART alone: photos to be taken again")
    fail_share: float = Field(description="failed, as a share of the inspections that count")
    median_score: float
    low_score: float = Field(description="10 % quantile")
    high_score: float = Field(description="90 % quantile")


class Reference(Answer):
    """Scores of the healthy photos that calibrated a model, to compare the scores of a day with."""

    category: str
    model_checksum: str
    threshold: float
    median_score: float
    low_score: float
    high_score: float


class Statistics(Answer):
    """Figures of each day, and a reference for each model in memory."""

    days: list[DayStatistics]
    references: list[Reference]
    no_part_fails: bool = Field(description="whether NO_PART counts as FAIL here; see --no-part")
