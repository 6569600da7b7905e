"""What a threshold rests on: the healthy photos that set it, and the share of synthetic defects that it finds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from fastener.common.errors import UserError
from fastener.common.intervals import wilson_interval
from fastener.common.sampling import evenly
from fastener.datasets.synthetic.defects import KINDS, add_defect
from fastener.inspection import few_photos
from fastener.inspection.decision import Decision
from fastener.inspection.evidence_base import Evidence
from fastener.preprocessing.pipeline import Prepared

MOST_PHOTOS = 24  # training photos that synthetic defects are drawn on; a sample, so that training stays quick
_DEFECTS_A_PHOTO = 2
_FEW_FOUND = 0.5  # share of synthetic defects, most of them small; see INTERPRET.md for that of real ones beside it
_SHOWN = 3


@dataclass(frozen=True)
class HealthyPhoto:
    """A training photo as a part of the threshold's basis.

    Parameters
    ----------
    name : str
        File name, or "photo N" for a photo that came as an array.
    score : float
        Joined score as if the model had not seen the photo.
    left_out : bool
        Whether the photo is so far above the rest that the threshold does not heed it.
    """

    name: str
    score: float
    left_out: bool


@dataclass(frozen=True)
class ThresholdReport:
    """Say what a threshold rests on.

    Parameters
    ----------
    threshold : float
        Score above which a part is flagged.
    bound : float, 0 to 1
        Share of healthy parts above the threshold that the training photos vouch for, see ``HealthyTail``.
    n_photos : int
        Number of different healthy photos that were scored as unseen.
    highest : tuple of HealthyPhoto
        The oddest healthy photos, the highest score first.
    without_highest : float
        Threshold if the photos of ``highest`` had not been there; NaN where these are all, or all but one.
    found : dict of str to (int, int)
        For each kind of synthetic defect, how many were found, of how many.
    above : int
        Number of these photos whose score lies above the threshold.
    disturbed : int
        Number of these photos that are disturbed copies of a single photo: the threshold is then a guess.
    odd_outlines : tuple of str
        Names of photos whose part has an outline unlike all others, the oddest first.
    """

    threshold: float
    bound: float
    n_photos: int
    highest: tuple[HealthyPhoto, ...]
    without_highest: float
    found: dict[str, tuple[int, int]] = field(default_factory=dict)
    above: int = 0
    disturbed: int = 0
    odd_outlines: tuple[str, ...] = ()

    @property
    def left_out(self) -> tuple[HealthyPhoto, ...]:
        """The healthy photos that the threshold does not heed."""
        return tuple(photo for photo in self.highest if photo.left_out)

    @property
    def recall(self) -> tuple[float, float, float] | None:
        """Share of synthetic defects found, and its 95 % interval (Wilson 1927); None where none were drawn."""
        found, total = (sum(counts) for counts in zip(*self.found.values(), strict=True)) if self.found else (0, 0)
        return (found / total, *wilson_interval(found, total)) if total else None

    def lines(self) -> list[str]:
        """Describe the basis in a few lines."""
        lines = [
            f"{self.above} of {self.n_photos} healthy photos lie above the threshold when scored as unseen: "
            f"expect up to {self.bound:.1%} false alarms"
        ]
        lines = [*few_photos.lines(self.n_photos, self.disturbed), *(lines if not self.disturbed else [])]
        if self.left_out and not self.disturbed:  # nobody can look at a copy that was made for the threshold alone
            shown = ", ".join(f"{photo.name} ({photo.score:.1f})" for photo in self.left_out[:_SHOWN])
            more = len(self.left_out) - _SHOWN
            lines.append(f"too odd to set it: {shown}" + (f" and {more} more" if more > 0 else ""))
        if self.odd_outlines:
            shown = ", ".join(self.odd_outlines[:_SHOWN])
            more = len(self.odd_outlines) - _SHOWN
            advice = "was the mask cut, or is it another part? train.py --preprocess-only shows masks"
            lines.append(
                f"outline unlike all others: {shown}" + (f" and {more} more" if more > 0 else "") + f"; {advice}"
            )
        setters = [photo for photo in self.highest if not photo.left_out][:_SHOWN]
        if setters:
            names = ", ".join(f"{photo.name} ({photo.score:.2f})" for photo in setters)
            without = f"; without them the threshold is {self.without_highest:.2f}"
            lines.append(f"highest healthy photos: {names}{'' if math.isnan(self.without_highest) else without}")
        if self.recall is not None:
            share, low, high = self.recall
            total = sum(count for _, count in self.found.values())
            kinds = ", ".join(f"{kind} {found}/{count}" for kind, (found, count) in self.found.items())
            lines.append(
                f"finds {share:.0%} of {total} synthetic defects (95 % interval {low:.0%} to {high:.0%}): {kinds}"
            )
        return lines

    def others(self, said: Sequence[str]) -> list[str]:
        """Keep the lines that a fit has ``said`` of anything but its threshold."""
        own = self.warnings()
        return [line for line in said if line not in own]

    def warnings(self) -> list[str]:
        """List what the user should look at before trusting the threshold."""
        if self.disturbed:
            return [few_photos.GUESS]
        warnings = []
        if self.left_out:
            names = ", ".join(photo.name for photo in self.left_out[:_SHOWN])
            warnings.append(
                f"{len(self.left_out)} training photo(s) look unlike all others and were not heeded, e.g. {names}: "
                "look at them (train.py --review), and leave them out with --drop if they are not good"
            )
        if self.recall is not None and self.recall[0] < _FEW_FOUND:
            warnings.append(
                f"only {self.recall[0]:.0%} of synthetic defects are found at this threshold: look at the oddest "
                "training photos (train.py --review), add healthy photos, or choose a larger --alpha"
            )
        return warnings

    def state(self) -> dict[str, Any]:
        """Return plain values that ``from_state`` takes back."""
        return {
            "threshold": self.threshold,
            "bound": self.bound,
            "n_photos": self.n_photos,
            "highest": [[photo.name, photo.score, photo.left_out] for photo in self.highest],
            "without_highest": self.without_highest,
            "found": {kind: list(counts) for kind, counts in self.found.items()},
            "above": self.above,
            "disturbed": self.disturbed,
            "odd_outlines": list(self.odd_outlines),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ThresholdReport:
        """Restore a report from its ``state``."""
        n_photos, bound = int(state["n_photos"]), float(state["bound"])
        return cls(
            float(state["threshold"]),
            bound,
            n_photos,
            tuple(HealthyPhoto(str(name), float(score), bool(odd)) for name, score, odd in state["highest"]),
            float(state["without_highest"]),
            {str(kind): (int(found), int(total)) for kind, (found, total) in state["found"].items()},
            int(state.get("above", round(bound * (n_photos + 1)) - 1)),
            int(state.get("disturbed", 0)),
            tuple(str(name) for name in state.get("odd_outlines", ())),
        )


def report_of(decision: Decision, names: Sequence[str]) -> ThresholdReport:
    """Describe the threshold of a decision; ``names`` (n,) are those of its healthy photos, in their order."""
    tail, scores = decision.tail(), decision.healthy_joined
    odd = set(tail.outliers.tolist())
    order = np.argsort(-scores, kind="stable")
    shown = order[: len(odd) + _SHOWN]
    highest = tuple(HealthyPhoto(names[i], float(scores[i]), i in odd) for i in shown.tolist())
    rest = np.sort(order[len(shown) :])
    without = math.nan
    if len(rest) > 1:
        others = {kind: each[rest] for kind, each in decision.healthy.items()}
        without = replace(decision, healthy=others).threshold()[0]
    above = int((scores > tail.threshold).sum())
    return ThresholdReport(tail.threshold, tail.bound, len(scores), highest, without, above=above)


def find_synthetic_defects(
    photos: Sequence[tuple[Prepared, int]],
    evidence: Mapping[str, Evidence],
    decision: Decision,
    *,
    threshold: float,
    seed: int = 0,
) -> dict[str, tuple[int, int]]:
    """Draw defects on healthy training photos, and count by kind how many a threshold finds.

    ``photos`` holds prepared photos and the training group of each. Every photo is scored by a model that has not seen
    its group. At most ``MOST_PHOTOS`` are used, evenly spread, with two defects each; kinds take turns.
    """
    counts = {kind: [0, 0] for kind in KINDS}
    kinds = list(KINDS)
    for number, i in enumerate(evenly(len(photos), MOST_PHOTOS).tolist()):
        prepared, group = photos[i]
        drawn = {}
        for turn in range(number * _DEFECTS_A_PHOTO, (number + 1) * _DEFECTS_A_PHOTO):
            kind = kinds[turn % len(kinds)]
            damaged = with_defect(prepared, kind, seed + turn)
            if damaged is not None:
                drawn[kind] = damaged
        if not drawn:
            continue
        scores = {name: one.score_unseen(list(drawn.values()), group).images for name, one in evidence.items()}
        for kind, score in zip(drawn, decision.join(scores).tolist(), strict=True):
            counts[kind][0] += score > threshold
            counts[kind][1] += 1
    return {kind: (found, total) for kind, (found, total) in counts.items() if total}


def with_defect(prepared: Prepared, kind: str, seed: int) -> Prepared | None:
    """Draw one synthetic defect on a prepared photo; None if none of this kind shows on it.

    The same defect is drawn on the image that networks see and on the photo's own colours.
    """
    # Centres lie inside the part: at its border a defect would be half background.
    inner = cv2.erode(prepared.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    part = inner if inner.any() else prepared.mask
    try:
        image = add_defect(prepared.image, part, seed, kind)
    except UserError:
        return None
    try:
        photo = add_defect(prepared.photo, part, seed, kind).image
    except UserError:
        photo = np.where(image.mask[..., None], image.image, prepared.photo)
    return replace(prepared, image=image.image, photo=photo)
