"""Who goes on to the next round of tuning, and which setting is taken in the end, with the reason in words.

A target for the time of a photo comes before accuracy: of the settings that keep to it, the one with the highest AUROC
is taken. Where none keeps to it, the fastest that loses no AUROC beyond chance is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastener.evaluation.tuning_candidates import DEFAULT, Candidate, together
from fastener.evaluation.tuning_trials import HeldOut, Round, Trial

FINALISTS = 3
_KEPT = 1 / 3
_FASTER = 0.9  # of the default's time: less of a difference may be noise


def better_third(of: Round, target_ms: float | None) -> list[Candidate]:
    """Keep the default and the third of the candidates with the highest AUROC among those fast enough, best first.

    If none is fast enough, the fastest are kept.
    """
    count = max(FINALISTS, math.ceil(_KEPT * len(of.candidates)))
    others = [(one, trial) for one, trial in of.tried if one is not DEFAULT]
    fast = [pair for pair in others if keeps_to(pair[1], target_ms)]
    if fast or keeps_to(of.default, target_ms):
        best = sorted(fast, key=lambda pair: -of.held.auroc(pair[1]))
    else:
        best = sorted(others, key=lambda pair: pair[1].ms)
    return [DEFAULT, *(one for one, _ in best[:count])]


def finalists(rounds: Sequence[Round], alive: Sequence[Candidate], target_ms: float | None) -> list[Candidate]:
    """Take the default, the best of those ``alive``, and the better changes joined into one more candidate.

    Better is what raises AUROC; if nothing alone is fast enough, what saves time and loses no AUROC beyond chance.
    """
    best = [one for one in alive if one is not DEFAULT][:FINALISTS]
    first, latest = rounds[0], rounds[-1]
    if any(keeps_to(trial, target_ms) for one in rounds for trial in one.trials):
        trials = {one.name: trial for one, trial in latest.tried}
        worth = {name: latest.held.auroc(trial) for name, trial in trials.items()}
        default = worth.get(DEFAULT.name, math.nan)
        joined = together([one for one in best if worth.get(one.name, math.nan) > default])
    else:
        quick = [pair for pair in first.tried if pair[1].ms < _FASTER * first.default.ms and _is_sound(pair, first)]
        joined = together([one for one, _ in sorted(quick, key=lambda pair: pair[1].ms)])
        return [DEFAULT, *([joined] if joined else []), *best]  # most likely to reach the target, so it comes first
    return [DEFAULT, *best, *([joined] if joined else [])]


def keeps_to(trial: Trial, target_ms: float | None) -> bool:
    """Tell whether a trial was run and was fast enough."""
    return bool(trial.scores) and (target_ms is None or trial.ms <= target_ms)


def decide(rounds: Sequence[Round], target_ms: float | None = None) -> tuple[Candidate, str]:
    """Choose among the candidates of all rounds, and say why; the last round counts most."""
    default = next(one.default for one in reversed(rounds) if one.default.scores)
    if not keeps_to(default, target_ms):
        assert target_ms is not None
        return _in_time(rounds, default, target_ms)
    last = rounds[-1]
    if not any(one is not DEFAULT for one, _ in last.tried):
        return DEFAULT, "no other setting could be tried in the last round; raise --budget"
    return _most_accurate(last, target_ms)


def _most_accurate(last: Round, target_ms: float | None) -> tuple[Candidate, str]:
    """Take another candidate than the default only if its AUROC is higher beyond doubt."""
    fast = [pair for pair in last.tried if keeps_to(pair[1], target_ms)]
    best, trial = max(fast, key=lambda pair: last.held.auroc(pair[1]))
    if best is DEFAULT:
        return DEFAULT, "no setting found more synthetic defects than the default"
    figures, (low, _) = _compared(trial, last)
    if low > 0:
        return best, f"AUROC on synthetic defects {figures}"
    return DEFAULT, f"the synthetic defects cannot tell the settings apart: {best.name} has an AUROC of {figures}"


def _in_time(rounds: Sequence[Round], default: Trial, target_ms: float) -> tuple[Candidate, str]:
    """Choose where the default is too slow: by AUROC among the fast ones, else by time among the sound ones."""
    latest = _latest(rounds)
    for number, pairs in latest:
        fast = [pair for pair in pairs if keeps_to(pair[1], target_ms)]
        if fast:
            best, trial = max(fast, key=lambda pair: rounds[number].held.auroc(pair[1]))
            figures, _ = _compared(trial, rounds[number])
            return best, (
                f"it takes {trial.ms:.0f} ms a photo, where the default takes {default.ms:.0f}, more than "
                f"{target_ms:g}; AUROC on synthetic defects {figures}"
            )
    missed = f"no setting that was tried inspects a photo within {target_ms:g} ms here"
    for number, pairs in latest:
        sound = [pair for pair in pairs if pair[1].ms < default.ms and _is_sound(pair, rounds[number])]
        if sound:
            best, trial = min(sound, key=lambda pair: pair[1].ms)
            figures, _ = _compared(trial, rounds[number])
            return best, (
                f"{missed}; it takes {trial.ms:.0f} ms, the default {default.ms:.0f}, and no faster one keeps the "
                f"AUROC on synthetic defects: {figures}"
            )
    return DEFAULT, f"{missed}; the default takes {default.ms:.0f} ms, and no faster one keeps its AUROC"


def _latest(rounds: Sequence[Round]) -> list[tuple[int, list[tuple[Candidate, Trial]]]]:
    """List the rounds that have a default to compare with, the last first: number, and who came no farther."""
    seen: set[str] = set()
    found = []
    for number in range(len(rounds) - 1, -1, -1):
        if rounds[number].default.scores:
            new = [pair for pair in rounds[number].tried if pair[0] is not DEFAULT and pair[0].name not in seen]
            found.append((number, new))
            seen |= {one.name for one, _ in new}
    return found


def _is_sound(pair: tuple[Candidate, Trial], of: Round) -> bool:
    """Tell whether a candidate loses no AUROC against the default beyond chance."""
    one, trial = pair
    return one is not DEFAULT and of.held.gain(trial, of.default)[2] >= 0


def _compared(trial: Trial, of: Round) -> tuple[str, tuple[float, float]]:
    """Compare a trial with the default in words, and give the interval of the difference."""
    held: HeldOut = of.held
    gain, low, high = held.gain(trial, of.default)
    change = f"{'gain' if gain >= 0 else 'loss'} of {abs(gain):.3f}"
    ends = (low, high) if gain >= 0 else (-high, -low)
    words = f"{held.auroc(trial):.3f} against {held.auroc(of.default):.3f}, a {change} ({ends[0]:.3f} to {ends[1]:.3f})"
    return words, (low, high)
