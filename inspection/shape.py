"""The evidence of shape: how far a part's outline, symmetry and thread differ from the nearest healthy parts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np

from fastener.config import Config
from fastener.inspection.evidence_base import Evidence, Setup
from fastener.models.scores import HealthyScores, Scores
from fastener.models.shape.figures import Shape, shape_of
from fastener.models.shape.healthy import CHECKS, FEWEST, Comparison, HealthyShapes
from fastener.preprocessing.cover import NEIGHBOURHOOD, cover_of, sharp_points, without_shadow
from fastener.preprocessing.pieces import piece_of
from fastener.preprocessing.pipeline import Prepared
from fastener.preprocessing.shadows import without_shadows

# In parts of what healthy parts reach: shape keeps silent up to the first, so that it does not drown weak voices, and
# stands at _UNITS units of the decision's scale, the usual threshold, at the second.
_SILENT, _ODD, _UNITS = 0.6, 1.15, 3.0
# Where preprocessing seeks no part, the one that shape finds is small in the frame and lies at any angle: deviations
# count from so much farther on. On MVTec screws, good ones were flagged otherwise.
_WHOLE_PHOTO = 0.65
_LEAST_SEEN = 0.5  # share of healthy photos whose part has an outline; with fewer, shape says nothing
_BAND = 9  # width in pixels of the band along the outline that the map marks
# If hardly any of the first healthy photos shows an outline, as textures do not, none is sought in the others.
_TRIED, _HARDLY = 24, 0.1
_TOO_FEW = "too few healthy outlines were learned"


class ShapeEvidence(Evidence):
    """Score how far a part's shape differs from the nearest healthy ones; 0 where its shape cannot be seen.

    Where no part was sought, it is sought in the whole photo; photos that show none, such as textures, teach nothing.
    ``score`` is the largest deviation in parts of what healthy parts reach, less ``_SILENT``. A photo without an
    outline scores 0, as a part that is like the healthy ones does: it is never flagged for that.
    """

    family = "shape"
    min_unit = (_ODD - _SILENT) / _UNITS
    prior_spread = 0.0  # most healthy parts score zero
    in_shards = hands_over = True

    def __init__(self, setup: Setup):
        super().__init__(setup)
        self._collected: list[Shape | str] = []
        self.healthy: HealthyShapes | None = None
        self._enough = False
        stricter = _WHOLE_PHOTO if setup.config.preprocess.enabled is False else 0.0
        self.silent, self.odd = _SILENT + stricter, _ODD + stricter

    @classmethod
    def is_default(cls, config: Config, backbone: str) -> bool:
        # A frame that is cut out of the photo's middle cuts parts, too.
        return config.preprocess.enabled is not False or config.preprocess.center_crop == 1

    @property
    def top_scored(self) -> bool:
        return True

    @property
    def says_nothing(self) -> bool:
        return self.healthy is None and self._enough

    def collect_features(self, batch: Sequence[Prepared]) -> None:
        for prepared in batch:
            seen = sum(not isinstance(one, str) for one in self._collected)
            hopeless = len(self._collected) >= _TRIED and seen <= _HARDLY * len(self._collected)
            self._collected.append(_TOO_FEW if hopeless else seen_shape(prepared))

    def handed_over(self) -> list[Shape | str]:
        collected, self._collected = self._collected, []
        return collected

    def take_in(self, collected: Sequence[Shape | str]) -> None:
        self._collected += collected

    def fit_collected(self, groups: Sequence[int]) -> HealthyScores:
        collected = self.handed_over()
        at = [i for i, one in enumerate(collected) if not isinstance(one, str)]
        shapes = [one for one in collected if not isinstance(one, str)]
        own = np.asarray(groups)[at]
        self._enough = len(np.unique(np.asarray(groups))) >= FEWEST
        scores = np.zeros(len(collected))
        if self.healthy is not None:
            scores[at] = self.healthy.extend(shapes, own)
        elif len(np.unique(own)) >= FEWEST and len(at) >= _LEAST_SEEN * len(collected):
            self.healthy = HealthyShapes()
            scores[at] = self.healthy.fit(shapes, own, self.setup.config.calibration.alpha)
        images = self._loud(scores).astype(np.float32)
        return HealthyScores(images, images)

    def score(self, batch: Sequence[Prepared]) -> Scores:
        return self._score(batch, None)

    def score_unseen(self, batch: Sequence[Prepared], group: int) -> Scores:
        return self._score(batch, group)

    def _score(self, batch: Sequence[Prepared], group: int | None) -> Scores:
        images: list[float] = []
        maps: list[np.ndarray] = []
        figures: list[dict[str, float]] = []
        notes: list[str] = []
        for prepared in batch:
            size = prepared.image.shape[:2]
            shape = seen_shape(prepared) if self.healthy is not None else _TOO_FEW
            if isinstance(shape, str) or self.healthy is None:
                images.append(0.0)
                maps.append(np.zeros(size, np.float32))
                figures.append({})
                notes.append(f"not judged: {shape}")
                continue
            found = self.healthy.compare(shape, group)
            images.append(float(self._loud(np.array(found.score))))
            maps.append(self._loud(found.score * _drawn(shape, found, prepared.mask, size)).astype(np.float32))
            figures.append(_figures(shape, found))
            notes.append(words(found) if found.score >= self.odd else "")
        return Scores(np.array(images, np.float32), np.stack(maps), tuple(figures), tuple(notes))

    def _loud(self, scores: np.ndarray) -> np.ndarray:
        return np.maximum(scores - self.silent, 0.0)

    def state(self) -> dict[str, Any]:
        return {"healthy": None if self.healthy is None else self.healthy.state()}

    def restore(self, state: dict[str, Any]) -> None:
        saved = state["healthy"]
        self.healthy = None if saved is None else HealthyShapes().restore(saved)


def seen_shape(prepared: Prepared) -> Shape | str:
    """Measure the shape of the part in a prepared photo, or say in a few words why it cannot be seen."""
    piece = piece_of(prepared)
    if isinstance(piece, str):
        return piece
    # Only the part and its neighbourhood are looked at: the frame may be much larger.
    x, y, width, height = cv2.boundingRect(piece.view(np.uint8))
    left, top = max(0, x - NEIGHBOURHOOD), max(0, y - NEIGHBOURHOOD)
    box = np.s_[top : y + height + NEIGHBOURHOOD, left : x + width + NEIGHBOURHOOD]
    photo, piece = np.ascontiguousarray(prepared.photo[box]), np.ascontiguousarray(piece[box])
    piece = without_shadows(photo, piece)
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    try:
        mend, look = (partial(how, grey=grey) for how in (without_shadow, sharp_points))
        return shape_of(cover_of(photo, piece), mend, look).moved(complex(left, top))
    except ValueError as error:
        return str(error)


_WORDS = {
    "outline": "outline off by {value:.1f} % of the part's size",
    "thread": "thread missing, worn or flattened on a part of the shank",
    "bend": "bent by {value:.0f} degrees",
    "asymmetry": "lopsided by {value:.1f} % of the part's size",
    "ovality": "long axis {value:.0f} % over the short one, healthy parts {usual:.0f} %",
    "pitch": "turn of the thread {value:.0f} % of the shank's width, healthy parts {usual:.0f} %",
    "hole share": "hole takes {value:.0f} % of the outline, healthy parts {usual:.0f} %",
    "hole offset": "hole off centre by {value:.1f} % of the part's size",
    "holes": "{value:.0f} holes, healthy parts have {usual:.0f}",
    "flare": "head spread at its end by {value:.0f} % of the shank's width, healthy parts {usual:.0f} %",
}


_GENERAL = ("kind", "outline", "asymmetry")


def words(found: Comparison) -> str:
    """Say in a few words how a part differs: every check beyond what healthy parts reach."""
    # What has a name of its own comes first.
    general = np.array([check.name in _GENERAL for check in CHECKS])
    order = np.lexsort((-found.excess, general))
    said = ["kind not seen among the healthy parts"] if found.new_kind else []
    for i in order[found.excess[order] >= 1].tolist():
        name = "outline" if CHECKS[i].name == "kind" else CHECKS[i].name
        at = next(k for k, check in enumerate(CHECKS) if check.name == name)
        said.append(_WORDS[name].format(value=found.values[at], usual=found.usual[at]))
    return ", ".join(dict.fromkeys(said))


def _figures(shape: Shape, found: Comparison) -> dict[str, float]:
    """Figures by name, rounded to three digits after the point; those of the nearest healthy parts as "usual ..."."""
    measured = dict(shape.figures)
    measured |= {check.name: value for check, value in zip(CHECKS[:3], found.values[:3].tolist(), strict=True)}
    usual = {f"usual {check.name}": value for check, value in zip(CHECKS, found.usual.tolist(), strict=True)}
    named = measured | {name: value for name, value in usual.items() if name.removeprefix("usual ") in measured}
    named["kind not seen"] = float(found.new_kind)
    return {name.replace(" ", "_"): round(float(value), 3) for name, value in named.items() if np.isfinite(value)}


def _drawn(shape: Shape, found: Comparison, mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw the places that bear out the worst check: float32 (h, w), at most 1; the whole part if its kind is new.

    In a whole photo, whose ``mask`` is everything, a new kind is mostly a broken part: its outline says where.
    """
    if found.new_kind and not mask.all():
        return mask.astype(np.float32)
    drawn = np.zeros(size, np.float32)
    points = shape.outline.pixels
    x = np.clip(np.rint(points.real), 0, size[1] - 1).astype(int)
    y = np.clip(np.rint(points.imag), 0, size[0] - 1).astype(int)
    np.maximum.at(drawn, (y, x), found.places.astype(np.float32))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_BAND, _BAND))
    return cv2.dilate(drawn, disc)
