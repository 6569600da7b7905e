"""The result of an inspection, which all consumers share."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from fastener.inspection.naming import Naming
from fastener.inspection.regions import Region as Region
from fastener.inspection.regions import find_regions
from fastener.preprocessing.pipeline import map_to_photo
from fastener.preprocessing.registration import compose, frame_share, frame_transform, invert

Verdict = Literal["normal", "LOOK", "ANOMALOUS", "NO PART"]


@dataclass(frozen=True)
class EvidenceResult:
    """Hold the result of one kind of evidence.

    Attributes
    ----------
    score : float
        Raw score in the unit of this kind of evidence; higher is more anomalous.
    p_value : float, 0 to 1
        Conformal p-value: share of healthy photos that score at least as high.
    figures : dict of str to float
        Named numbers behind the score, such as "bend" in degrees; empty for kinds that have none.
    note : str
        A few words on what was found, or on why this kind could not judge the photo; "" if there is nothing to say.
    """

    score: float
    p_value: float
    figures: dict[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Inspection:
    """Hold the verdict on one photo. In Jupyter it shows itself, with its numbers and a picture.

    Attributes
    ----------
    path : Path or None
        File of the photo; None for a photo that came as an array.
    score : float
        Joined score of all evidence, calibrated: 0 is the median healthy photo, higher is more anomalous.
    threshold : float
        Score above which a part is flagged.
    p_value : float, 0 to 1
        Conformal p-value: share of healthy photos that score at least as high.
    confidence : float, 0.5 to 1
        Distance of the score from the threshold, as a logistic: 0.5 at the threshold, 0.95 at the median healthy
        photo. It is no probability that the verdict is right.
    evidence : dict of str to EvidenceResult
        Result of each kind of evidence by itself.
    map : ndarray of float32, (h, w)
        Anomaly map in the canonical frame, on the scale of ``score``; NaN where nothing was inspected.
    mask : ndarray of bool, (h, w)
        Pixels of the part in the canonical frame.
    transform : ndarray of float64, (2, 3)
        Affine transform from photo pixels to pixels of the canonical frame.
    photo_size : tuple of int
        (height, width) of the photo in pixels.
    part_found : bool
        False if a part was sought and not found, so that the whole photo was judged.
    healthy_score : float
        Joined score of the median healthy photo, at which the colour scale of raw heatmaps begins.
    look : bool
        Whether a person should look at the photo though its score is not above the threshold; see
        ``calibration.look_band``.
    place_limit : float
        Map value that even the highest places of healthy photos rarely exceed; infinite where nobody asked for LOOK.
    problem : str
        Why the photo cannot be judged, in a few words, such as that no part is in it; "" if it can. Such a photo never
        passes.
    inspected_share : float, 0 to 1
        Share of the photo's pixels that lie inside the frame that was looked at.
    notes : tuple of str
        What the user should know about how the photo was read, such as that only the first of its pages was.
    worst_tile : int
        Number of the frame that gave the score, for photos of several frames.
    naming : Naming or None
        Kind of defect; None for models that know no kinds.
    photo : ndarray of uint8, (H, W, 3), or None
        The photo, RGB, as far as it is held; a photo that came from a file is usually not, and is decoded again for
        a picture.

    Examples
    --------
    >>> import numpy as np
    >>> heat = np.zeros((8, 8), np.float32)
    >>> heat[2:4, 3:6] = 5.0
    >>> result = Inspection(
    ...     path=None, score=5.0, threshold=3.0, p_value=0.01, confidence=0.9, evidence={}, map=heat,
    ...     mask=np.ones((8, 8), bool), transform=np.eye(2, 3), photo_size=(8, 8), part_found=True,
    ... )
    >>> result.is_anomalous
    True
    >>> result.regions
    (Region(x=3, y=2, width=3, height=2, score=5.0, area=6.0),)
    """

    path: Path | None
    score: float
    threshold: float
    p_value: float
    confidence: float
    evidence: dict[str, EvidenceResult]
    map: np.ndarray = field(repr=False)
    mask: np.ndarray = field(repr=False)
    transform: np.ndarray = field(repr=False)
    photo_size: tuple[int, int]
    part_found: bool
    photo: np.ndarray | None = field(default=None, repr=False, compare=False)
    problem: str = ""
    healthy_score: float = 0.0
    look: bool = False
    place_limit: float = float("inf")
    notes: tuple[str, ...] = ()
    worst_tile: int = 0
    naming: Naming | None = None

    @property
    def is_anomalous(self) -> bool:
        """Whether the part is flagged: ``score > threshold``, or the photo cannot be judged."""
        return self.score > self.threshold or bool(self.problem)

    @property
    def verdict(self) -> Verdict:
        """The verdict in one or two words: no part, no verdict on it."""
        if self.problem:
            return "NO PART"
        if self.score > self.threshold:
            return "ANOMALOUS"
        return "LOOK" if self.look else "normal"

    @property
    def findings(self) -> str:
        """What kinds of evidence say in words, such as "shape: bent by 12 degrees"; "" if they say nothing."""
        return "; ".join(f"{kind}: {one.note}" for kind, one in self.evidence.items() if one.note)

    @property
    def inspected_share(self) -> float:
        """Share of the photo's pixels that the frame shows, 0 to 1."""
        return frame_share(self.transform, self.photo_size, self.map.shape)

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """Boxes round clusters of map pixels above the threshold, highest score first; found when first asked for.

        A photo that passes has none, nor has a photo without a part: verdict and boxes tell one story. A photo to look
        at has boxes where its map exceeds ``place_limit``.
        """
        if self.verdict not in ("ANOMALOUS", "LOOK"):
            return ()
        limit = self.threshold if self.verdict == "ANOMALOUS" else self.place_limit
        return find_regions(self.map, limit, self.transform, self.photo_size)

    def photo_map(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """Draw the anomaly map in the photo's own frame: float32 (H, W), NaN where the model did not look.

        ``size`` (height, width) draws it for a copy of the photo that was shrunk to that size.
        """
        if size is None or size == self.photo_size:
            return map_to_photo(self.map, self.transform, self.photo_size)
        return map_to_photo(self.map, compose(self.transform, invert(frame_transform(self.photo_size, size))), size)

    def overlay(self, photo: np.ndarray | None = None) -> np.ndarray:
        """Draw the photo, or a shrunk copy of it, under its heatmap: uint8 RGB (H, W, 3).

        ``photo``, uint8 RGB (H, W, 3), is needed only where the inspection does not hold it and has no file. Raises
        UserError if the file cannot be read, and ValueError if there is no photo.
        """
        from fastener.inspection.pictures import overlay_picture

        return overlay_picture(self.picture() if photo is None else photo, self)

    def picture(self) -> np.ndarray:
        """Return the photo, or a copy of it that is shrunk to 1600 pixels a side: uint8 RGB (H, W, 3).

        Raises UserError if the photo's file cannot be read, and ValueError if there is no photo.
        """
        from fastener.datasets.images import shrunk
        from fastener.inspection.pictures import PREVIEW_SIDE, preview

        if self.photo is not None:
            return shrunk(self.photo, PREVIEW_SIDE)
        if self.path is None:
            raise ValueError("the photo is not held; give it: overlay(photo)")
        return preview(self.path)

    def _repr_png_(self) -> bytes | None:
        """Draw photo, heatmap and regions side by side, for Jupyter; None if the photo is gone."""
        sheet = self._sheet()
        return None if sheet is None else _encoded(sheet, "PNG")

    def _sheet(self) -> np.ndarray | None:
        from fastener.common.errors import UserError
        from fastener.inspection.pictures import detection_picture

        try:
            return detection_picture(self.picture(), self)
        except (UserError, ValueError):
            return None

    def _repr_html_(self) -> str:
        """Lay out the verdict, the numbers of each kind of evidence and the picture, for Jupyter."""
        verdict = self.verdict.lower()
        rows = [("all evidence", f"{self.score:.2f}", f"{self.p_value:.3f}")]
        rows += [
            (f"{kind}: {one.note}" if one.note else kind, f"{one.score:.3g}", f"{one.p_value:.3f}")
            for kind, one in self.evidence.items()
        ]
        cells = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{score}</td><td>{p_value}</td></tr>" for name, score, p_value in rows
        )
        sheet = self._sheet()
        # JPEG, as notebooks keep their pictures: a PNG of a photo takes ten times the space.
        encoded = "" if sheet is None else base64.b64encode(_encoded(sheet, "JPEG")).decode()
        shown = f'<img alt="{verdict}" src="data:image/jpeg;base64,{encoded}">' if encoded else ""
        name = "photo" if self.path is None else self.path.name
        found = "" if self.part_found else ", no part found"
        facts = f"{len(self.regions)} region{'' if len(self.regions) == 1 else 's'}{found}"
        return (
            f"<p><b>{html.escape(name)}: {verdict}</b>, score {self.score:.2f}, threshold {self.threshold:.2f}, "
            f"{self.problem or facts}</p>"
            f"<table><tr><th>evidence</th><th>score</th><th>p-value</th></tr>{cells}</table>{shown}"
        )


def _encoded(picture: np.ndarray, format_: str) -> bytes:
    """Encode a picture, uint8 RGB (H, W, 3), as the content of a file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format_, quality=85)
    return buffer.getvalue()


@dataclass(frozen=True)
class Failure:
    """Say why a photo could not be inspected.

    Attributes
    ----------
    path : Path or None
        File of the photo; None for a photo that came as an array.
    error : str
        One line that names the reason and the remedy.
    """

    path: Path | None
    error: str
