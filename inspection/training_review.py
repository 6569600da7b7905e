"""The oddest healthy photos of a training set, each scored by the model as if it had not seen the photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastener.common.errors import UserError
from fastener.inspection.drawing import Picture, contact_sheet
from fastener.inspection.evidence_base import Evidence
from fastener.inspection.judging import judge
from fastener.inspection.pictures import PREVIEW_SIDE, heatmap_picture
from fastener.inspection.reading import Source, load
from fastener.inspection.result import Failure, Inspection
from fastener.models.scores import Scores
from fastener.preprocessing.pipeline import Prepared

if TYPE_CHECKING:
    from fastener.inspection.inspector import Inspector

MOST_SHOWN = 12
_IN_A_ROW = 3


@dataclass(frozen=True)
class OddPhoto:
    """A healthy training photo that looks unlike the rest.

    Parameters
    ----------
    name : str
        File name, or "photo N".
    score : float
        Joined score as if the model had not seen the photo.
    places : tuple of int
        Numbers of the photo and its copies in the training set, from 0.
    left_out : bool
        Whether the photo is so far above the rest that the threshold does not heed it.
    odd_outline : bool
        Whether the part's outline is unlike all others, as where its mask was cut.
    """

    name: str
    score: float
    places: tuple[int, ...]
    left_out: bool
    odd_outline: bool = False

    @property
    def remark(self) -> str:
        """What is to be known of the photo beside its score; "" if nothing is."""
        return ", ".join(["left out"] * self.left_out + ["outline unlike all others"] * self.odd_outline)


def oddest_photos(inspector: Inspector, most: int = MOST_SHOWN) -> list[OddPhoto]:
    """List the ``most`` photos with the highest scores, and those with odd outlines; copies of a photo count once.

    The photo with the highest score comes first.
    """
    decision, training = inspector.decision, inspector.training
    scores = decision.healthy_joined
    left_out = set(decision.tail().outliers.tolist())
    names = training.names_of(decision.groups)
    outlines = set() if inspector.report is None else set(inspector.report.odd_outlines)
    found = []
    for rank, i in enumerate(np.argsort(-scores, kind="stable").tolist()):
        if rank >= most and names[i] not in outlines:
            continue
        places = tuple(np.flatnonzero(training.groups == decision.groups[i]).tolist())
        found.append(OddPhoto(names[i], float(scores[i]), places, i in left_out, names[i] in outlines))
    return found


def review_sheet(inspector: Inspector, photos: Sequence[OddPhoto], sources: Sequence[Source]) -> Picture:
    """Draw each photo beside its heatmap under its number, from 1. ``sources`` are all training photos, in order."""
    panels = []
    for number, photo in enumerate(photos, 1):
        group = int(inspector.training.left_out[photo.places[0]])
        result = inspect_unseen(inspector, sources[photo.places[0]], group)
        assert result.photo is not None
        row = [result.photo, heatmap_picture(result.photo, result)] if inspector.decision.localises else [result.photo]
        above = "over the threshold" if photo.score > inspector.threshold and not photo.left_out else ""
        caption = ", ".join(filter(None, (f"{number}. {photo.name}: {photo.score:.2f}", above, photo.remark)))
        panels.append(contact_sheet([row], [caption], cell=220))
    blank = np.full_like(panels[0], panels[0][0, 0])
    panels += [blank] * (-len(panels) % _IN_A_ROW)
    rows = [panels[i : i + _IN_A_ROW] for i in range(0, len(panels), _IN_A_ROW)]
    return np.vstack([np.hstack(row) for row in rows])


def inspect_unseen(inspector: Inspector, source: Source, group: int) -> Inspection:
    """Inspect a training photo as if the model had seen no photo of its ``group``.

    Raises UserError if the photo can no longer be read.
    """
    loaded = load(source, inspector.preprocessor, photo_side=PREVIEW_SIDE)
    unseen = {kind: _Unseen(one, group) for kind, one in inspector.evidence.items()}
    at_once = inspector.config.run.batch_size
    (result,) = judge([loaded], unseen, inspector.decision, threshold=inspector.threshold, at_once=at_once)
    if isinstance(result, Failure):
        raise UserError(result.error)
    return result


@dataclass(frozen=True)
class _Unseen:
    """Score by a kind of evidence as if the training photos of ``group`` had not been there."""

    evidence: Evidence
    group: int

    def score(self, batch: Sequence[Prepared]) -> Scores:
        """Score prepared images."""
        return self.evidence.score_unseen(batch, self.group)
