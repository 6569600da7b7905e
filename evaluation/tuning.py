"""Choose settings without labels, by healthy photos that are held out, each as it is and with synthetic defects.

Successive halving (Jamieson and Talwalkar 2016): all candidates learn from few photos, the better third from more, and
the best ones from all, beside the default. The last comparison is on synthetic defects that no earlier one has seen, so
that the winner's luck is not taken for merit. Where it cannot tell the winner from the default, the default stays.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fastener.common.errors import UserError
from fastener.config import Config
from fastener.datasets.synthetic.defects import KINDS, add_defect
from fastener.evaluation.metrics import auroc, paired_difference_ci
from fastener.evaluation.tuning_candidates import DEFAULT, Candidate, together
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.inspection.training import with_settings
from fastener.models.progress import Progress, no_progress
from fastener.preprocessing.segmentation import find_part

LEAST_PHOTOS = 12
_HELD_OUT, _MOST_HELD_OUT, _MOST_LEARNED = 1 / 3, 48, 160
_LEARNED = (30, 80)  # photos in the first two rounds
_KEPT = 1 / 3
_FINALISTS = 3
_LAST_DEFECTS = 3  # defects a photo in the last round; one before
# Shares of the time after which each round ends.
_ENDS = (0.5, 0.75, 1.0)

Judge = Callable[[Sequence[np.ndarray], Config, Sequence[np.ndarray]], tuple[list[float], float]]


@dataclass(frozen=True)
class Trial:
    """Record what one candidate did in one round.

    Parameters
    ----------
    name : str
        Name of the candidate.
    round : int
        0, 1 or 2.
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
class Tuning:
    """Report what was tried and what came of it.

    Parameters
    ----------
    chosen : Candidate
        The default, unless another is better beyond doubt or the default is too slow.
    trials : tuple of Trial
        All that was tried, in order.
    held : tuple of HeldOut
        The held-out photos of each round.
    reason : str
        Why it was chosen, one sentence.
    """

    chosen: Candidate
    trials: tuple[Trial, ...]
    held: tuple[HeldOut, ...]
    reason: str


def tune(
    photos: Sequence[np.ndarray],
    config: Config,
    wanted: Sequence[Candidate],
    *,
    judge: Judge,
    seconds: float,
    target_ms: float | None = None,
    known: Mapping[tuple[int, str], Trial] | None = None,
    keep: Callable[[Trial], None] = lambda trial: None,
    progress: Progress = no_progress,
) -> Tuning:
    """Choose among ``wanted`` candidates, the default first, by healthy ``photos``, uint8 RGB (H, W, 3), all different.

    Parameters
    ----------
    photos : sequence of uint8 RGB (H, W, 3)
        Healthy photos, no two of them copies of one.
    config : Config
        Settings that candidates change.
    wanted : sequence of Candidate
        From ``candidates``.
    judge : callable
        ``judge(training, config, images)`` returns the images' scores and milliseconds a photo; see ``by_inspector``.
    seconds : float
        Time for all trials together. A trial that would not end in time is not begun.
    target_ms : float, optional
        Candidates that take longer for a photo are not chosen.
    known : mapping, optional
        Trials of an earlier run, by round and name, which are not repeated.
    keep : callable
        Takes each new trial, to store it.
    progress : callable
        Wraps the trials of a round, see models/progress.py.

    Raises
    ------
    UserError
        For too few photos, if no defect shows on them, or if no candidate is as fast as ``target_ms``.
    """
    pool, late = last_round(photos, config.run.seed)
    early = _with_defects(late.images[: late.n_photos], range(1), config.run.seed)
    runner = _Runner(pool, config, judge, known or {}, keep, seconds)
    alive, trials = list(wanted), list[Trial]()
    for number, most in enumerate(_LEARNED):
        done = runner.run(alive, number, most, early, progress)
        trials += done
        alive = _better_third(alive, done, early, target_ms)
    best = [one for one in alive if one is not DEFAULT][:_FINALISTS]
    worth = {trial.name: early.auroc(trial) for trial in done if trial.scores}
    joined = together([one for one in best if worth[one.name] > worth[DEFAULT.name]])
    last = [DEFAULT, *best, *([joined] if joined else [])]
    done = runner.run(last, len(_LEARNED), _MOST_LEARNED, late, progress)
    chosen, reason = decide(last, done, late, target_ms)
    return Tuning(chosen, (*trials, *done), (early, early, late), reason)


def by_inspector(weights: Path | None = None) -> Judge:
    """Judge by a whole model, learned anew; ``weights`` is the file of the network's weights, if it is not found."""

    def judge(
        training: Sequence[np.ndarray], config: Config, images: Sequence[np.ndarray]
    ) -> tuple[list[float], float]:
        inspector = Inspector.fit(
            list(training), config, weights=weights, groups=range(len(training)), warn=lambda line: None
        )
        begun = time.perf_counter()
        scores = [one.score for one in inspector.inspect(list(images)) if isinstance(one, Inspection)]
        return scores, 1000 * (time.perf_counter() - begun) / len(images)

    return judge


@dataclass
class _Runner:
    """Run candidates one after another while there is time, unless their trials are known."""

    pool: Sequence[np.ndarray]
    config: Config
    judge: Judge
    known: Mapping[tuple[int, str], Trial]
    keep: Callable[[Trial], None]
    seconds: float
    started: float = field(default_factory=time.perf_counter)

    def run(
        self, wanted: Sequence[Candidate], number: int, most: int, held: HeldOut, progress: Progress
    ) -> list[Trial]:
        """Try each candidate once with up to ``most`` photos; the first, the default, even if time is over."""
        learned = min(most, len(self.pool))
        done: list[Trial] = []
        for one in progress(wanted, len(wanted), f"tuning, round {number + 1} of {len(_ENDS)}"):
            trial = self.known.get((number, one.name))
            if trial is None or trial.learned != learned:
                if done and self._is_late(number, done):
                    done.append(Trial(one.name, number, learned, reason="no time left"))
                    continue
                trial = self._tried(one, number, learned, held)
                self.keep(trial)
            done.append(trial)
        return done

    def _is_late(self, number: int, done: Sequence[Trial]) -> bool:
        """Tell whether one more trial as long as the longest of this round would end too late."""
        longest = max(trial.seconds for trial in done)
        return time.perf_counter() - self.started + longest > _ENDS[number] * self.seconds

    def _tried(self, one: Candidate, number: int, learned: int, held: HeldOut) -> Trial:
        begun = time.perf_counter()
        try:
            config = with_settings(self.config, dict(one.changes))
            scores, ms = self.judge(self.pool[:learned], config, held.images)
        except UserError as error:
            if one is DEFAULT:
                raise
            return Trial(one.name, number, learned, reason=str(error), seconds=time.perf_counter() - begun)
        return Trial(one.name, number, learned, tuple(scores), ms, time.perf_counter() - begun)


def _split(photos: Sequence[np.ndarray], seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw the photos to learn from, in random order, and those that are held out."""
    if len(photos) < LEAST_PHOTOS:
        raise UserError(
            f"--tune needs at least {LEAST_PHOTOS} different healthy photos, got {len(photos)}: leave it out"
        )
    order = np.random.default_rng(seed).permutation(len(photos)).tolist()
    n_held = min(_MOST_HELD_OUT, round(_HELD_OUT * len(photos)))
    return [photos[i] for i in order[n_held:]], [photos[i] for i in order[:n_held]]


def last_round(photos: Sequence[np.ndarray], seed: int) -> tuple[list[np.ndarray], HeldOut]:
    """Draw the photos to learn from, and the held-out ones with the synthetic defects of the last round."""
    pool, held_out = _split(photos, seed)
    return pool, _with_defects(held_out, range(1, 1 + _LAST_DEFECTS), seed)


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


def _better_third(
    alive: Sequence[Candidate], done: Sequence[Trial], held: HeldOut, target_ms: float | None
) -> list[Candidate]:
    """Keep the third of the candidates with the highest AUROC among those that are fast enough, best first."""
    tried = [(held.auroc(trial), one) for one, trial in zip(alive, done, strict=True) if _fits(trial, target_ms)]
    best = sorted(tried, key=lambda pair: -pair[0])[: max(_FINALISTS, math.ceil(_KEPT * len(alive)))]
    return [DEFAULT, *(one for _, one in best if one is not DEFAULT)]


def _fits(trial: Trial, target_ms: float | None) -> bool:
    return bool(trial.scores) and (target_ms is None or trial.ms <= target_ms)


def decide(
    last: Sequence[Candidate], done: Sequence[Trial], held: HeldOut, target_ms: float | None
) -> tuple[Candidate, str]:
    """Choose among the finalists, the default first, and say why."""
    default = done[0]
    fast = [(one, trial) for one, trial in zip(last, done, strict=True) if _fits(trial, target_ms)]
    if not fast:
        least = min(trial.ms for trial in done if trial.scores)
        raise UserError(f"no setting inspects a photo within {target_ms:g} ms here; the fastest takes {least:.0f} ms")
    if not any(trial.scores for trial in done[1:]):
        return DEFAULT, "no other setting could be tried in the last round; raise --budget"
    best, trial = max(fast, key=lambda pair: held.auroc(pair[1]))
    if not _fits(default, target_ms):
        return best, f"the default takes {default.ms:.0f} ms a photo, more than {target_ms:g}"
    if best is DEFAULT:
        return DEFAULT, "no setting found more synthetic defects than the default"
    gain, low, high = held.gain(trial, default)
    figures = (
        f"{held.auroc(trial):.3f} against {held.auroc(default):.3f}, a gain of {gain:.3f} ({low:.3f} to {high:.3f})"
    )
    if low > 0:
        return best, f"AUROC on synthetic defects {figures}"
    return DEFAULT, f"the synthetic defects cannot tell the settings apart: {best.name} has an AUROC of {figures}"
