"""The evidence of numbers: which kinds of parts a photo shows, and whether each is there as often as in whole kits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from fastener.inspection.evidence_base import Evidence, Setup
from fastener.models.scores import HealthyScores, Scores
from fastener.models.shape.clumps import Clump
from fastener.models.shape.division import Item
from fastener.models.shape.kinds import Kit, Tally
from fastener.models.shape.outline import contour, outline_of
from fastener.models.shape.words import Vocabulary, patch_features
from fastener.preprocessing.instances import instances_of
from fastener.preprocessing.morphology import box_of, filled
from fastener.preprocessing.pipeline import Prepared
from fastener.preprocessing.segmentation import COMPARABLE, find_part

_STEP = 2  # of the outline's points every second one tells kinds apart
_LONG = 1.6
_LINE = 5  # width in pixels of the line round a kit that misses parts
_INSIDE = 0.5  # share of a patch's middle from which it belongs to a part
_MEET = 3  # pixels side by side from which two parts touch
_LIKE, _AWAY = 10.0, 15  # CIELab units; pixels a side of the square round a part that is no ground


class CountEvidence(Evidence):
    """Count the parts of a photo by kind: the score is the number of parts that are missing or too many.

    Kinds are told apart by outline, size, hole, colour, and the visual words of their patches. It is used
    only when named.
    """

    family = "count"
    min_unit = 1 / 6  # one part is enough
    prior_spread = 0.0
    in_shards = hands_over = True

    def __init__(self, setup: Setup):
        super().__init__(setup)
        self._collected: list[list[Part]] = []
        self.kit: Kit | None = None
        self.vocabulary: Vocabulary | None = None

    @property
    def top_scored(self) -> bool:
        return True

    def collect_features(self, batch: Sequence[Prepared]) -> None:
        nothing = np.empty((0, 0), bool)  # of no use for learning, and large
        self._collected += [[replace(part, mask=nothing) for part in parts] for parts in self._parts(batch)]

    def handed_over(self) -> list[list[Part]]:
        collected, self._collected = self._collected, []
        return collected

    def take_in(self, collected: Sequence[list[Part]]) -> None:
        self._collected += collected

    def fit_collected(self, groups: Sequence[int]) -> HealthyScores:
        collected = self.handed_over()
        scores = np.zeros(len(collected), np.float32)
        if self.kit is not None:
            scores[:] = [self.kit.tally(self._items(parts)).score if parts else 0 for parts in collected]
        elif any(collected):
            patches = [part.patches for parts in collected for part in parts]
            self.vocabulary = Vocabulary().fit(patches, self.setup.config.run.seed)
            self.kit = Kit()
            scores[:] = self.kit.fit([self._items(parts) for parts in collected])
        return HealthyScores(scores, scores)

    def score(self, batch: Sequence[Prepared]) -> Scores:
        images: list[float] = []
        maps: list[np.ndarray] = []
        figures: list[dict[str, float]] = []
        notes: list[str] = []
        for prepared, found in zip(batch, self._parts(batch), strict=True):
            size = prepared.image.shape[:2]
            if not found or self.kit is None:
                images.append(0.0)
                maps.append(np.zeros(size, np.float32))
                figures.append({})
                notes.append("not judged: no part was found")
                continue
            tally = self.kit.tally(self._items(found))
            images.append(float(tally.score))
            maps.append(tally.score * _drawn([part.mask for part in found], tally))
            figures.append(_figures(tally, self.kit.names_))
            notes.append(words(tally, self.kit.names_))
        return Scores(np.array(images, np.float32), np.stack(maps).astype(np.float32), figures, notes)

    def _parts(self, batch: Sequence[Prepared]) -> list[list[Part]]:
        return [parts_of(prepared, self.setup.config.preprocess.smallest_piece) for prepared in batch]

    def _items(self, parts: Sequence[Part]) -> list[Item]:
        """Add the visual words to each part."""
        if self.vocabulary is None:
            return [part.item for part in parts]
        return [replace(part.item, words=self.vocabulary.shares(part.patches)) for part in parts]

    def state(self) -> dict[str, Any]:
        vocabulary = None if self.vocabulary is None else self.vocabulary.state()
        return {"kit": None if self.kit is None else self.kit.state(), "vocabulary": vocabulary}

    def restore(self, state: dict[str, Any]) -> None:
        vocabulary = state.get("vocabulary")  # missing in files from before words were counted
        self.vocabulary = None if vocabulary is None else Vocabulary().restore(vocabulary)
        self.kit = None if state["kit"] is None else Kit().restore(state["kit"])


@dataclass(frozen=True)
class Part:
    """Hold one part of a photo: what describes it but for its words, its mask, bool (h, w), and its patches (n, d)."""

    item: Item
    mask: np.ndarray
    patches: np.ndarray


def parts_of(prepared: Prepared, smallest: float = COMPARABLE) -> list[Part]:
    """Describe each part of a prepared photo; an empty list if no part was found.

    Where no part was sought, those of at least the share ``smallest`` of the largest one's area are.
    """
    mask = prepared.mask
    if not prepared.part_found:
        return []
    if mask.all():
        part = find_part(prepared.photo, smallest)
        if not part.found:
            return []
        mask = part.mask
    lab = cv2.cvtColor(prepared.photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    zoom = float(np.linalg.norm(prepared.transform[:, 0]))
    masks = instances_of(mask)
    features = patch_features(np.ascontiguousarray(lab[..., 0]))
    grid = (features.shape[1], features.shape[0])
    # Holes are seen as ground whether the mask has them or not.
    hollow = ground_like(lab, np.any(masks, axis=0)) if masks else mask
    pieces = cv2.connectedComponents(mask.astype(np.uint8))[1]
    found = []
    for one in masks:
        try:
            outline = outline_of(contour(one.astype(np.float32)))
        except ValueError:
            continue
        whole = filled(one)
        solid = whole & one & ~hollow
        solid = solid if solid.any() else one
        sides = np.maximum(cv2.minAreaRect(np.argwhere(whole)[:, ::-1].astype(np.float32))[1], 1.0)
        others = mask & ~one
        item = Item(
            outline.curve[::_STEP],
            float(np.log(outline.size / zoom)),
            1 - float(solid.sum() / whole.sum()),
            bool(max(sides) > _LONG * min(sides)),
            lab[solid].mean(axis=0).astype(float),
            np.empty(0),
            bool((cv2.dilate(one.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)[others].sum() > _MEET),
            _clump(pieces, int(pieces[one][0]), hollow, zoom),
        )
        own = cv2.resize(one.astype(np.float32), grid, interpolation=cv2.INTER_AREA) > _INSIDE
        found.append(Part(item, one, features[own]))
    return found


def _clump(pieces: np.ndarray, number: int, hollow: np.ndarray, zoom: float) -> Clump:
    """Cut the piece of a ``number`` out of the labels of pieces, int (h, w)."""
    piece = pieces == number
    box = box_of(piece)
    whole = filled(piece[box])
    return Clump(number, whole.astype(np.uint8) + (piece[box] & ~hollow[box]), zoom)


def ground_like(lab: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Mark the pixels whose colour in CIELab, (h, w, 3), is that of the ground outside of bool ``parts`` (h, w)."""
    away = cv2.dilate(parts.astype(np.uint8), np.ones((_AWAY, _AWAY), np.uint8)) == 0
    if not away.any():
        return np.zeros_like(parts)
    ground = np.median(lab[away], axis=0)
    return np.asarray(np.linalg.norm(lab - ground.astype(np.float32), axis=2) < _LIKE)


def words(tally: Tally, names: Sequence[str]) -> str:
    """Say which parts are missing, too many or unknown; "" for a whole kit."""
    said = []
    for name, found, expected in zip(names, tally.found, tally.expected, strict=True):
        if found != expected:
            said.append(f"{name}: {found} found, {expected} expected")
    unknown = _unknown(tally)
    if unknown:
        said.append(f"{unknown} of a kind not seen")
    if tally.doubt:
        said.append("parts that touch hardly have the size of those that are missing")
    return ", ".join(said)


def _figures(tally: Tally, names: Sequence[str]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, found, expected in zip(names, tally.found, tally.expected, strict=True):
        figures |= {
            f"{name} found".replace(" ", "_"): float(found),
            f"{name} expected".replace(" ", "_"): float(expected),
        }
    return {**figures, "kind_not_seen": float(_unknown(tally))}


def _unknown(tally: Tally) -> int:
    """Count the parts like none of the healthy ones, without clumps that hold what is missing."""
    return sum(tally.kinds[i] < 0 for i in tally.odd)


def _drawn(masks: Sequence[np.ndarray], tally: Tally) -> np.ndarray:
    """Mark the parts that are too many; if parts are missing, also a line round all that are there: (h, w), 0 or 1."""
    drawn = np.zeros(masks[0].shape, np.uint8)
    for i in tally.odd:
        drawn |= masks[i].astype(np.uint8)
    if any(expected > found for expected, found in zip(tally.expected, tally.found, strict=True)):
        x, y, width, height = cv2.boundingRect(np.argwhere(np.any(masks, axis=0))[:, ::-1].astype(np.int32))
        cv2.rectangle(drawn, (x, y), (x + width - 1, y + height - 1), 1, _LINE)
    return drawn.astype(np.float32)
