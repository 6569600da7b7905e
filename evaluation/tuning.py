"""Choose settings without labels, by healthy photos that are held out, each as it is and with synthetic defects.

Successive halving (Jamieson and Talwalkar 2016): all candidates learn from few photos, the better third from more, and
the best ones from all, beside the default. The last comparison is on synthetic defects that no earlier one has seen, so
that the winner's luck is not taken for merit. Where it cannot tell the winner from the default, the default stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastener.common.errors import UserError
from fastener.config import Config
from fastener.evaluation.tuning_candidates import DEFAULT, Candidate
from fastener.evaluation.tuning_choice import better_third, decide, finalists, keeps_to
from fastener.evaluation.tuning_trials import HeldOut, Round, Trial, drawn_apart, for_early_rounds, for_last_round
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.inspection.training import with_settings
from fastener.models.progress import Progress, no_progress

_LEARNED, _MOST_LEARNED = (30, 80), 160  # photos in the first rounds, and in the last
# Shares of the time after which each round ends, by the number of rounds.
_ENDS = {2: (0.65, 1.0), 3: (0.5, 0.75, 1.0)}
_MARGIN = 1.2  # a bank takes more than twice the time for twice the photos

Judge = Callable[[Sequence[np.ndarray], Config, Sequence[np.ndarray]], tuple[list[float], float]]


@dataclass(frozen=True)
class Tuning:
    """Report what was tried and what came of it.

    Parameters
    ----------
    chosen : Candidate
        The default, unless another is better beyond doubt or the default is too slow.
    rounds : tuple of Round
        All that was tried, in order.
    reason : str
        Why it was chosen, one sentence.
    """

    chosen: Candidate
    rounds: tuple[Round, ...]
    reason: str

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trials of all rounds, in order."""
        return tuple(trial for one in self.rounds for trial in one.trials)


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

    A round that would learn from no more photos than the round before is left out, unless it is the last, whose
    defects are new.

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
        Time for all trials together. A trial that by those before it would not end in time is not begun; the very
        first trial always is.
    target_ms : float, optional
        Candidates that take longer for a photo are not chosen while there are others. Those likely to be fast are tried
        first.
    known : mapping, optional
        Trials of an earlier run, by round and name, which are not repeated.
    keep : callable
        Takes each new trial, to store it.
    progress : callable
        Wraps the trials of a round, see models/progress.py.

    Raises
    ------
    UserError
        For too few photos, or if no defect shows on them.
    """
    started = time.perf_counter()
    pool, held_out = drawn_apart(photos, config.run.seed)
    early, late = (draw(held_out, config.run.seed) for draw in (for_early_rounds, for_last_round))
    sizes = sorted({min(most, len(pool)) for most in _LEARNED})
    ends = [started + share * seconds for share in _ENDS[len(sizes) + 1]]
    runner = _Runner(pool, config, judge, known or {}, keep, target_ms, ends, progress)
    alive, rounds = list(wanted), list[Round]()
    if target_ms is not None:
        alive.sort(key=lambda one: (one is not DEFAULT, one.cost))
    for learned in sizes:
        rounds.append(runner.run(alive, learned, early))
        alive = better_third(rounds[-1], target_ms)
    rounds.append(runner.run(finalists(rounds, alive, target_ms), min(_MOST_LEARNED, len(pool)), late))
    chosen, reason = decide(rounds, target_ms)
    return Tuning(chosen, tuple(rounds), reason)


def by_inspector(weights: Path | None = None) -> Judge:
    """Judge by a whole model, learned anew; ``weights`` is the file of the network's weights, if it is not found."""

    def judge(
        training: Sequence[np.ndarray], config: Config, images: Sequence[np.ndarray]
    ) -> tuple[list[float], float]:
        inspector = Inspector.fit(
            list(training),
            config,
            weights=weights,
            groups=range(len(training)),
            warn=lambda line: None,
            report=False,
        )
        begun = time.perf_counter()
        scores = [one.score for one in inspector.inspect(list(images)) if isinstance(one, Inspection)]
        return scores, 1000 * (time.perf_counter() - begun) / len(images)

    return judge


class _Runner:
    """Run rounds of candidates one after another while there is time, unless their trials are known."""

    def __init__(
        self,
        pool: Sequence[np.ndarray],
        config: Config,
        judge: Judge,
        known: Mapping[tuple[int, str], Trial],
        keep: Callable[[Trial], None],
        target_ms: float | None,
        ends: Sequence[float],
        progress: Progress,
    ):
        self.pool, self.config, self.judge, self.known, self.keep = pool, config, judge, known, keep
        self.target_ms, self.ends, self.progress = target_ms, ends, progress
        self.rounds = 0
        self._past: list[tuple[Candidate, float]] = []  # trials that were run, with seconds an image

    def run(self, wanted: Sequence[Candidate], learned: int, held: HeldOut) -> Round:
        """Try each candidate once with ``learned`` photos."""
        number, done = self.rounds, list[Trial]()
        for one in self.progress(wanted, len(wanted), f"tuning, round {number + 1} of {len(self.ends)}"):
            trial = self.known.get((number, one.name))
            if trial is None or trial.learned != learned or len(trial.scores) not in (0, len(held.images)):
                reason = self._reason_against(one, done, learned + len(held.images))
                if reason:
                    done.append(Trial(one.name, number, learned, reason=reason))
                    continue
                trial = self._tried(one, number, learned, held)
                self.keep(trial)
            if trial.scores:
                self._past.append((one, trial.seconds / (learned + len(held.images))))
            done.append(trial)
        self.rounds += 1
        return Round(tuple(wanted), tuple(done), held)

    def _reason_against(self, one: Candidate, done: Sequence[Trial], images: int) -> str:
        """Say why a trial that learns from and inspects so many ``images`` is not begun; "" if it is."""
        if done and not done[0].scores:
            return "no time left"  # without the default there is nothing to compare with
        if done and one.cost > 1 and not keeps_to(done[0], self.target_ms):
            return "slower than the default, which is too slow"
        # The default of a later round may take the time of the rounds to come, as it is what all are compared with.
        end = self.ends[-1] if one is DEFAULT else self.ends[self.rounds]
        expected = self._seconds_an_image(one) * images
        return "no time left" if self._past and time.perf_counter() + expected > end else ""

    def _seconds_an_image(self, one: Candidate) -> float:
        """Estimate from trials of the same candidate, else from all others by what they cost."""
        own = [seconds for other, seconds in self._past if other.name == one.name]
        others = [seconds / other.cost * one.cost for other, seconds in self._past]
        return _MARGIN * float(own[-1] if own else np.median(others) if others else 0.0)

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
