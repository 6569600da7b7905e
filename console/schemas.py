"""What the service answers and takes, as its documentation shows it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

Decision = Literal["PASS", "FAIL"]


def _storable(text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not hold NUL or half characters")
    return text


Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(_storable)]
Name = Annotated[Text, StringConstraints(min_length=1, max_length=80)]
Reason = Annotated[Text, StringConstraints(min_length=1)]


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(from_attributes=True)


class Closed(BaseModel):
    """Base of what the service takes: a field that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Problem(Answer):
    """Why a request was not served, in one line."""

    detail: str


class Health(Answer):
    """Whether the service is up, and how busy."""

    status: Literal["ok"]
    device: str = Field(description="where models compute: cpu or cuda")
    cuda_available: bool
    models: int = Field(description="how many models can be used")
    queue: int = Field(description="images under way")
    version: str


class Calibration(Answer):
    """What the threshold rests on."""

    photos: int = Field(description="healthy photos, copies counted once")
    alpha: float = Field(description="at most this share of healthy parts is flagged, by the threshold in force")
    median: float = Field(description="joined score of the median healthy photo")
    healthy_scores: list[float] = Field(description="joined scores of the healthy photos, ascending")


class Category(Answer):
    """A model that can be used. What is null is known once it is loaded."""

    name: str
    model_loaded: bool
    threshold: float | None
    calibration: Calibration | None


class ModelInfo(Answer):
    """Everything about one model."""

    name: str
    model_checksum: str = Field(description="SHA-256 of the model file")
    description: list[str]
    evidence: list[str]
    threshold: float = Field(description="in force: an image scoring above it fails")
    own_threshold: float = Field(description="the threshold in the model file")
    calibration: Calibration
    threshold_changes: list[ThresholdChange]


class ThresholdChange(Answer):
    """Who changed a threshold, when and why."""

    timestamp: datetime = Field(validation_alias="created_at")
    model_checksum: str
    old: float
    new: float
    changed_by: str
    reason: str


class NewThreshold(Closed):
    """A threshold to decide by from now on."""

    threshold: float = Field(description="any finite number; /model/info tells what each would flag")
    changed_by: Name
    reason: Reason
    model_checksum: str = Field(description="of the model that was looked at; another one in its place is refused")


class Region(Answer):
    """A box in pixels of the image, as it is seen upright."""

    x: int
    y: int
    width: int
    height: int
    score: float


class EvidenceScore(Answer):
    """What one kind of evidence says."""

    score: float
    p_value: float


class StoredInspection(Answer):
    """An inspection as the history has it."""

    id: str
    timestamp: datetime
    category: str
    model_checksum: str
    file_name: str
    image_checksum: str
    width: int
    height: int
    anomaly_score: float
    threshold: float
    is_anomaly: bool
    decision: Decision
    confidence: float = Field(description="0.5 at the threshold to 1")
    p_value: float = Field(description="share of healthy parts that look at least as odd")
    part_found: bool
    evidence: dict[str, EvidenceScore]
    regions: list[Region]
    seconds: float


class Review(Answer):
    """What a person said about a decision."""

    timestamp: datetime = Field(validation_alias="created_at")
    verdict: Decision = Field(description="what the decision should have been")
    reviewer: str
    note: str


class ReviewedInspection(StoredInspection):
    """An inspection, and the review that counts."""

    review: Review | None


class InspectionDetail(ReviewedInspection):
    """An inspection, and all its reviews, the latest first."""

    reviews: list[Review]
    image_kept: bool = Field(description="whether /image still has it")


class NewReview(Closed):
    """A second look."""

    verdict: Decision = Field(description="what the decision should have been: PASS or FAIL")
    reviewer: Name
    note: Text = ""


class Inspected(StoredInspection):
    """A new inspection. Pictures are null if they were not asked for, or no evidence says where."""

    heatmap_base64: str | None = Field(None, description="PNG with transparency, to be laid over the image")
    overlay_base64: str | None = Field(None, description="JPEG, the image under the heatmap, at most 1024 px a side")


class Failed(Answer):
    """An image of a batch that was not inspected."""

    file_name: str
    status: int = Field(description="the status code that it alone would have got")
    detail: str


class Batch(Answer):
    """One entry an image, in the order they were sent."""

    results: list[Inspected | Failed]


class Page(Answer):
    """A page of the history, the newest first."""

    total: int
    page: int
    page_size: int
    inspections: list[ReviewedInspection]


Moment = Annotated[AwareDatetime, Field(description="with its time zone, e.g. 2026-01-31T06:00:00+01:00")]


class DayStatistics(Answer):
    """One day of one model file; days are those of the service's time zone."""

    day: date
    category: str
    model_checksum: str
    inspections: int
    failed: int
    fail_share: float
    median_score: float
    low_score: float = Field(description="10 % quantile")
    high_score: float = Field(description="90 % quantile")


class Reference(Answer):
    """Scores of healthy photos at calibration, for comparison with those of a day."""

    category: str
    model_checksum: str
    threshold: float
    median_score: float
    low_score: float
    high_score: float


class Statistics(Answer):
    """Figures per day, and for the models in memory what they are to be compared with."""

    days: list[DayStatistics]
    references: list[Reference]
