"""From prepared photos to verdicts: score every tile, join kinds of evidence and tiles, compare with healthy photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Protocol

import numpy as np

from fastener.inspection.decision import Decision
from fastener.inspection.input_check import InputCheck
from fastener.inspection.reading import Loaded, batches
from fastener.inspection.result import EvidenceResult, Failure, Inspection
from fastener.models.calibration import confidence
from fastener.models.scores import Scores
from fastener.preprocessing.pipeline import Prepared
from fastener.preprocessing.tiles import stitch

LOOK_BAND = 3.0  # a photo that passes is looked at if its p-value is at most this many times alpha


class Scorer(Protocol):
    """Scores prepared images, as every kind of evidence does."""

    def score(self, batch: Sequence[Prepared]) -> Scores:
        """Score prepared images."""


def judge(
    photos: Sequence[Loaded],
    evidence: Mapping[str, Scorer],
    decision: Decision,
    *,
    threshold: float,
    at_once: int,
    check: InputCheck | None = None,
    look_below: float = 0.0,
) -> list[Inspection | Failure]:
    """Judge photos in forward passes of at most ``at_once`` tiles; a photo that could not be read gives a Failure.

    ``check`` tells photos that cannot be judged; without one every photo is taken for a photo of a part. A person
    should look at photos that pass with a p-value of at most ``look_below``, if that is above 0, or with a place above
    what healthy places reach.
    """
    readable = [one for one in photos if one.tiles]
    judged = iter(_judged(readable, evidence, decision, threshold, at_once, check, look_below) if readable else ())
    return [next(judged) if one.tiles else Failure(one.path, one.error) for one in photos]


def _judged(
    photos: Sequence[Loaded],
    evidence: Mapping[str, Scorer],
    decision: Decision,
    threshold: float,
    at_once: int,
    check: InputCheck | None,
    look_below: float,
) -> list[Inspection]:
    """Judge photos that could be read.

    The score of a photo is the highest calibrated score of its tiles; so is the raw score of each kind of evidence.
    """
    tiles = [tile for photo in photos for tile in photo.tiles]
    raw, told, joined, maps = _scored(tiles, evidence, decision, at_once)
    bounds = list(pairwise(accumulate((len(photo.tiles) for photo in photos), initial=0)))
    scores = _worst(joined, bounds)
    worst = {kind: _worst(values, bounds) for kind, values in raw.items()}
    overall = decision.p_values(scores)
    healthy = float(np.median(decision.healthy_joined))
    certain = confidence(scores, threshold, healthy)
    place_limit = decision.place_limit() if look_below else float("inf")
    by_kind = {kind: decision.evidence_p_values(kind, values) for kind, values in worst.items()}
    results = []
    for at, (photo, (first, end)) in enumerate(zip(photos, bounds, strict=True)):
        map_, mask, transform = _of_photo(photo.tiles, maps[first:end])
        results.append(
            Inspection(
                path=photo.path,
                score=float(scores[at]),
                threshold=threshold,
                p_value=float(overall[at]),
                confidence=float(certain[at]),
                evidence={
                    kind: EvidenceResult(
                        float(worst[kind][at]),
                        float(by_kind[kind][at]),
                        *told[kind][first + int(raw[kind][first:end].argmax())],
                    )
                    for kind in evidence
                },
                map=map_,
                mask=mask,
                transform=transform,
                photo_size=photo.tiles[0].photo_size,
                part_found=any(tile.part_found for tile in photo.tiles),
                photo=photo.photo,
                notes=photo.notes,
                worst_tile=int(joined[first:end].argmax()),
                problem=_problem(photo.tiles, check),
                healthy_score=healthy,
                look=bool(scores[at] <= threshold and (overall[at] <= look_below or (map_ > place_limit).any())),
                place_limit=place_limit,
            )
        )
    return results


def _scored(
    tiles: Sequence[Prepared], evidence: Mapping[str, Scorer], decision: Decision, at_once: int
) -> tuple[dict[str, np.ndarray], dict[str, list[tuple[dict[str, float], str]]], np.ndarray, list[np.ndarray]]:
    """Score tiles, n of them.

    The results are raw scores (n,) by kind of evidence, figures and note of each tile by kind, joined scores (n,), and
    one joined map (h, w) for each tile.
    """
    raw: dict[str, list[np.ndarray]] = {kind: [] for kind in evidence}
    told: dict[str, list[tuple[dict[str, float], str]]] = {kind: [] for kind in evidence}
    joined: list[np.ndarray] = []
    maps: list[np.ndarray] = []
    for batch in batches(tiles, at_once):
        scores = {kind: one.score(batch) for kind, one in evidence.items()}
        for kind, one in scores.items():
            raw[kind].append(one.images)
            figures, notes = one.figures or [{}] * len(batch), one.notes or [""] * len(batch)
            told[kind] += [(dict(numbers), note) for numbers, note in zip(figures, notes, strict=True)]
        joined.append(decision.join({kind: one.images for kind, one in scores.items()}))
        maps.extend(decision.join_maps({kind: one.maps for kind, one in scores.items()}))
    return {kind: np.concatenate(parts) for kind, parts in raw.items()}, told, np.concatenate(joined), maps


def _problem(tiles: Sequence[Prepared], check: InputCheck | None) -> str:
    """Say why a photo cannot be judged: every one of its tiles has a problem. "" if it can."""
    problems = [check.problem(tile) for tile in tiles] if check is not None else [""]
    return problems[0] if all(problems) else ""


def _worst(values: np.ndarray, bounds: Sequence[tuple[int, int]]) -> np.ndarray:
    """Highest value between each pair of bounds: the worst tile of each photo."""
    return np.maximum.reduceat(values, [first for first, _ in bounds])


def _of_photo(tiles: Sequence[Prepared], maps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Map, mask and transform of a photo; several tiles are stitched together."""
    if len(tiles) == 1:
        return maps[0], tiles[0].mask, tiles[0].transform
    return stitch(maps, tiles)
