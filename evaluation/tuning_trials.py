"""Trials of settings, and the held-out photos with synthetic defects that they are judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.synthetic.defects import KINDS, add_defect
from fastener.evaluation.metrics import auroc, paired_difference_ci
from fastener.evaluation.tuning_candidates import Candidate
from fastener.preprocessing.segmentation import find_part

LEAST_PHOTOS = 12
_HELD_OUT, _MOST_HELD_OUT = 1 / 3, 48
_LAST_DEFECTS = 3  # defects a photo in the last round; one before


@dataclass(frozen=True)
class Trial:
    """Record what one candidate did in one round.

    Parameters
    ----------
    name : str
        Name of the candidate.
    round : int
        Number of the round, from 0.
    learned : int
        Number of photos it learned from.
    scores : tuple of float
        Of the held-out photos as they are, then of those with defects; empty if it was not tried.
    ms : float
        Milliseconds a photo took to inspect.
    seconds : float
        Time of the whole trial.
    reason : str
        Why it was not tried; "" if it was.
    """

    name: str
    round: int
    learned: int
    scores: tuple[float, ...] = ()
    ms: float = float("nan")
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class HeldOut:
    """Held-out photos: ``images`` as they are, then with defects; ``groups`` numbers the photo behind each."""

    images: tuple[np.ndarray, ...]
    labels: np.ndarray
    groups: np.ndarray

    @property
    def n_photos(self) -> int:
        """Number of held-out photos."""
        return int((~self.labels).sum())

    def auroc(self, trial: Trial) -> float:
        """AUROC of a trial; NaN if it was not tried."""
        return auroc(self.labels, trial.scores) if trial.scores else float("nan")

    def gain(self, trial: Trial, over: Trial) -> tuple[float, float, float]:
        """Difference of two AUROCs on the same images, with its 95 % interval over photos."""
        low, high = paired_difference_ci(self.labels, trial.scores, over.scores, groups=self.groups)
        return self.auroc(trial) - self.auroc(over), low, high


@dataclass(frozen=True)
class Round:
    """One round: its candidates, the default first, the trial of each, and the photos they were judged by."""

    candidates: tuple[Candidate, ...]
    trials: tuple[Trial, ...]
    held: HeldOut

    @property
    def default(self) -> Trial:
        """The trial of the default."""
        return self.trials[0]

    @property
    def tried(self) -> list[tuple[Candidate, Trial]]:
        """The candidates that have scores, with their trials."""
        return [pair for pair in zip(self.candidates, self.trials, strict=True) if pair[1].scores]


def drawn_apart(photos: Sequence[np.ndarray], seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw the photos to learn from, in random order, and those that are held out. Raises UserError for too few."""
    if len(photos) < LEAST_PHOTOS:
        raise UserError(
            f"--tune needs at least {LEAST_PHOTOS} different healthy photos, got {len(photos)}: leave it out"
        )
    order = np.random.default_rng(seed).permutation(len(photos)).tolist()
    n_held = min(_MOST_HELD_OUT, round(_HELD_OUT * len(photos)))
    return [photos[i] for i in order[n_held:]], [photos[i] for i in order[:n_held]]


def for_early_rounds(held_out: Sequence[np.ndarray], seed: int) -> HeldOut:
    """Take held-out photos, each also with one synthetic defect."""
    return _with_defects(held_out, range(1), seed)


def for_last_round(held_out: Sequence[np.ndarray], seed: int) -> HeldOut:
    """Take held-out photos, each also with three synthetic defects that no earlier round had."""
    return _with_defects(held_out, range(1, 1 + _LAST_DEFECTS), seed)


def _with_defects(photos: Sequence[np.ndarray], turns: range, seed: int) -> HeldOut:
    """List photos as they are, then each with one synthetic defect a turn; kinds take turns."""
    images, groups, kinds = list(photos), list(range(len(photos))), list(KINDS)
    for number, photo in enumerate(photos):
        part = find_part(photo).mask
        for turn in turns:
            kind = kinds[(number + turn) % len(kinds)]
            try:
                images.append(add_defect(photo, part, (seed * 97 + turn) * 1_000_003 + number, kind).image)
            except UserError:  # too even a surface for this kind
                continue
            groups.append(number)
    if len(images) == len(photos):
        raise UserError("--tune draws synthetic defects on healthy photos, and none shows on these: leave it out")
    return HeldOut(tuple(images), np.arange(len(images)) >= len(photos), np.array(groups))
