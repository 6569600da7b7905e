"""--tune: halving keeps what is better, the last round has defects of its own, and doubt keeps the default."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from data_factory import run_inside, tiny_config
from PIL import Image

from fastener.common.errors import UserError
from fastener.config import Config, load_config
from fastener.datasets.synthetic.parts import render_part
from fastener.evaluation import tuning_report
from fastener.evaluation.metrics import auroc, paired_difference_ci
from fastener.evaluation.tuning import Judge, Tuning, tune
from fastener.evaluation.tuning_candidates import DEFAULT, Candidate, candidates, together
from fastener.evaluation.tuning_trials import Trial
from fastener.inspection.choice import Choice

GOOD = Candidate("good", "resolution", {"preprocess__size": 96}, 1.5)
POSE = Candidate("pose", "pose", {"preprocess__align": False})
BAD = Candidate("bad", "scale", {"model__whiten": True})
WANTED = (DEFAULT, BAD, GOOD, POSE)
CNN = Choice("efficientnet_lite0", ("cnn", "filters"), None, "")


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [render_part(seed, "nut", size=(96, 96)).image for seed in range(60)]


def judge_of(worth: Callable[[Config], float], ms: Callable[[Config], float] = lambda config: 10.0) -> Judge:
    """Make scores of unit noise, to which defects add ``worth`` of the settings."""

    def judge(
        training: Sequence[np.ndarray], config: Config, images: Sequence[np.ndarray]
    ) -> tuple[list[float], float]:
        plain = [one.tobytes() for one in ORIGINALS]
        rng = np.random.default_rng(len(images))
        noise = rng.normal(size=len(images)).tolist()
        return [noise[i] + worth(config) * (image.tobytes() not in plain) for i, image in enumerate(images)], ms(config)

    return judge


ORIGINALS: list[np.ndarray] = []


def run(photos: list[np.ndarray], judge: Judge, **more: object) -> Tuning:
    ORIGINALS[:] = photos
    settings = {"seconds": 1e6, **more}
    return tune(photos, tiny_config(preprocess={"enabled": True}), WANTED, judge=judge, **settings)  # type: ignore[arg-type]


def worth(config: Config) -> float:
    return 0.5 + 1.0 * (config.preprocess.size == 96) + 0.8 * (not config.preprocess.align) - 0.5 * config.model.whiten


def test_the_best_settings_are_joined_and_chosen(photos: list[np.ndarray]) -> None:
    done = run(photos, judge_of(worth))
    assert done.chosen.changes == {**GOOD.changes, **POSE.changes}
    assert "a gain of" in done.reason


def test_halving_drops_the_worse_and_learns_from_more(photos: list[np.ndarray]) -> None:
    done = run(photos, judge_of(worth))
    by_round = [{trial.name for trial in one.trials} for one in done.rounds]
    assert by_round[0] == {one.name for one in WANTED}
    assert "default" in by_round[2]
    assert [one.default.learned for one in done.rounds] == [30, 40, 40]


def test_no_round_learns_from_the_photos_of_the_round_before(photos: list[np.ndarray]) -> None:
    done = run(photos[:20], judge_of(worth))
    assert [one.default.learned for one in done.rounds] == [13, 13]
    assert len(done.rounds[0].held.images) < len(done.rounds[1].held.images)
    assert {trial.round for trial in done.trials} == {0, 1}


def test_doubt_keeps_the_default(photos: list[np.ndarray]) -> None:
    done = run(photos, judge_of(lambda config: 1.0 + 0.02 * (config.preprocess.size == 96)))
    assert done.chosen is DEFAULT
    assert "cannot tell" in done.reason or "no setting found more" in done.reason


def test_last_round_has_defects_that_no_other_had(photos: list[np.ndarray]) -> None:
    done = run(photos, judge_of(worth))
    early, late = ({one.tobytes() for one in done.rounds[number].held.images[20:]} for number in (0, 2))
    assert early
    assert not early & late
    plain = {one.tobytes() for one in done.rounds[2].held.images[:20]}
    assert plain == {one.tobytes() for one in done.rounds[0].held.images[:20]}


def test_slow_settings_are_not_chosen(photos: list[np.ndarray]) -> None:
    def ms(config: Config) -> float:
        return 50.0 if config.preprocess.size == 96 else 10.0

    done = run(photos, judge_of(worth, ms), target_ms=20.0)
    assert "preprocess__size" not in done.chosen.changes


SMALL = Candidate("small", "resolution", {"preprocess__size": 64}, 0.25)
QUICK = Candidate("quick", "bank", {"model__coreset_ratio": 0.01})


def on_a_slow_machine(photos: list[np.ndarray], small: float, target_ms: float) -> Tuning:
    """Tune where a photo takes 100 ms, a small frame halves that, a small bank takes a tenth off."""

    def worth(config: Config) -> float:
        return 1.5 - small * (config.preprocess.size == 64)

    def ms(config: Config) -> float:
        return 100.0 * (0.5 if config.preprocess.size == 64 else 1) * (0.85 if config.model.coreset_ratio else 1)

    ORIGINALS[:] = photos
    wanted = (DEFAULT, BAD, GOOD, POSE, QUICK, SMALL)
    config = tiny_config(preprocess={"enabled": True, "size": 128}, model={"coreset_ratio": None})
    return tune(photos, config, wanted, judge=judge_of(worth, ms), seconds=1e6, target_ms=target_ms)


def test_a_target_is_met_by_the_most_accurate_fast_setting(photos: list[np.ndarray]) -> None:
    done = on_a_slow_machine(photos, small=0.3, target_ms=60.0)
    assert done.chosen.changes["preprocess__size"] == 64
    assert "where the default takes 100, more than 60; AUROC on synthetic defects" in done.reason
    # What is likely fast is tried first, what is slower than the default not at all.
    assert [one.name for one in done.rounds[0].candidates[:2]] == ["default", "small"]
    good = next(trial for trial in done.trials if trial.name == "good")
    assert good.reason == "slower than the default, which is too slow"


def test_a_target_out_of_reach_takes_the_fastest_that_loses_nothing(photos: list[np.ndarray]) -> None:
    """Both changes together take 43 ms; where the small frame finds no defect, the small bank alone remains."""
    done = on_a_slow_machine(photos, small=0.0, target_ms=20.0)
    assert done.chosen.changes == {**SMALL.changes, **QUICK.changes}
    assert (
        "no setting that was tried inspects a photo within 20 ms here; it takes 42 ms, the default 100" in done.reason
    )
    blind = on_a_slow_machine(photos, small=1.5, target_ms=20.0)
    assert blind.chosen is QUICK
    assert "it takes 85 ms" in blind.reason

    def alike(config: Config) -> float:
        return 10.0

    kept = run(photos, judge_of(worth, alike), target_ms=5.0)
    assert kept.chosen is DEFAULT
    assert "within 5 ms here; the default takes 10 ms, and no faster one keeps its AUROC" in kept.reason


class Clock:
    """Stand for time: each trial takes the seconds that it is worth."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.mark.parametrize("seconds", [0.0, 30.0, 100.0, 300.0, 1000.0])
def test_time_is_a_bound(photos: list[np.ndarray], seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """No trial begins that cannot end in time, by what it learns from and inspects; the first one always does."""
    clock, plain = Clock(), judge_of(worth)
    monkeypatch.setattr("fastener.evaluation.tuning.time", clock)

    def judge(
        training: Sequence[np.ndarray], config: Config, images: Sequence[np.ndarray]
    ) -> tuple[list[float], float]:
        clock.now += (len(training) + len(images)) * (1.5 if config.preprocess.size == 96 else 1.0)
        return plain(training, config, images)

    done = run(photos, judge, seconds=seconds)
    assert clock.now <= max(seconds, 70.0)
    if seconds < 1000:
        assert any(trial.reason == "no time left" for trial in done.trials)
        assert done.chosen is DEFAULT
        assert "raise --budget" in done.reason


def test_an_earlier_run_does_not_loosen_the_bound(photos: list[np.ndarray]) -> None:
    kept: dict[tuple[int, str], Trial] = {}
    run(photos, judge_of(worth), keep=lambda trial: kept.update({(trial.round, trial.name): trial}))
    slow = {key: replace(trial, seconds=60.0) for key, trial in kept.items() if trial.round == 0}

    def refuse(*arguments: object) -> tuple[list[float], float]:
        raise AssertionError("begun")

    done = run(photos, refuse, known=slow, seconds=50.0)
    assert {trial.reason for one in done.rounds[1:] for trial in one.trials} == {"no time left"}
    rows = {row["candidate"]: row for row in tuning_report.rows(done)}
    assert all(rows[one.name]["round"] == 1 for one in WANTED)
    assert all(rows[one.name]["auroc"] is not None for one in WANTED), "what was measured stays in the table"
    assert rows["good"]["note"] == "round 2: no time left"


def test_known_trials_are_not_repeated(photos: list[np.ndarray]) -> None:
    kept: dict[tuple[int, str], Trial] = {}

    def keep(trial: Trial) -> None:
        kept[trial.round, trial.name] = trial

    def refuse(*arguments: object) -> tuple[list[float], float]:
        raise AssertionError("judged again")

    first = run(photos, judge_of(worth), keep=keep)
    again = run(photos, refuse, known=kept)
    assert again.chosen == first.chosen


def test_too_few_photos(photos: list[np.ndarray]) -> None:
    with pytest.raises(UserError, match="at least 12 different healthy photos, got 8"):
        run(photos[:8], judge_of(worth))


def test_candidates_turn_one_knob_and_load(photos: list[np.ndarray]) -> None:
    mvtec = load_config(flags={"preprocess.enabled": False})
    found = candidates(mvtec, CNN)
    assert found[0] is DEFAULT
    assert len({one.name for one in found}) == len(found)
    knobs = {one.knob for one in found}
    assert knobs >= {"resolution", "pose", "crop", "layers", "evidence", "scale", "bank", "score"}
    assert {"preprocess__size": 128} in [one.changes for one in candidates(mvtec, CNN, fast=True)]
    costs = {one.name: one.cost for one in found}
    assert costs["192 px"] == (192 / 256) ** 2
    assert costs["network alone"] == 0.5
    without = candidates(mvtec, Choice("filters", ("filters",), None, ""))
    assert not {one.knob for one in without} & {"layers", "evidence"}
    upright = load_config(flags={"preprocess.enabled": False, "preprocess.upright": True})
    turned = {one.name: one for one in candidates(upright, Choice("filters", ("filters",), None, ""))}
    assert turned["photos taken whole"].changes == {"preprocess__upright": False}
    assert not any(one.knob == "crop" for one in turned.values())


def test_together_takes_one_of_each_knob() -> None:
    other = Candidate("other", "pose", {"preprocess__align": True})
    joined = together([POSE, other, GOOD])
    assert joined is not None
    assert (joined.name, joined.changes) == ("pose + good", {**POSE.changes, **GOOD.changes})
    assert together([POSE, other]) is None


def test_paired_interval_is_narrower_than_the_difference_of_two(photos: list[np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(200) >= 100
    first = rng.normal(size=200) + labels
    second = first + rng.normal(0, 0.1, 200)
    low, high = paired_difference_ci(labels, first, second)
    assert low < auroc(labels, first) - auroc(labels, second) < high
    # The same scores differ by nothing, in every resample.
    assert paired_difference_ci(labels, first, first) == (0.0, 0.0)
    assert high - low < 0.04


def test_report_has_a_row_for_each_candidate(photos: list[np.ndarray]) -> None:
    done = run(photos, judge_of(worth))
    table = tuning_report.rows(done)
    assert {row["candidate"] for row in table} >= {one.name for one in WANTED}
    assert [row["note"] for row in table].count("chosen") == 1
    assert len(tuning_report.figure(table, done.chosen.name).axes[0].get_yticklabels()) == len(table)


@pytest.mark.slow
def test_script_tunes_resumes_and_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good = tmp_path / "good"
    good.mkdir()
    for seed in range(14):
        Image.fromarray(render_part(seed, "nut", size=(96, 96)).image).save(good / f"{seed:02d}.png")
    flags = ("--backbone", "filters", "--evidence", "filters", "--set", "preprocess.size=64", "--device", "cpu")
    command = ("train.py", "--images", good, "--tune", "--budget", "0.2", "--output", tmp_path / "m.pkl", *flags)
    done = run_inside(*command)
    assert done.returncode == 0, done.stderr
    assert "tuning chose" in done.stdout
    folder = tmp_path / "outputs" / "tuning"
    assert {path.name for path in folder.iterdir()} == {"trials.json", "trials.csv", "tuning.png", "chosen.yaml"}
    load_config(folder / "chosen.yaml")
    assert isinstance(yaml.safe_load((folder / "chosen.yaml").read_text()), dict)
    before = json.loads((folder / "trials.json").read_text())["trials"]
    assert run_inside(*command).returncode == 0
    assert json.loads((folder / "trials.json").read_text())["trials"][: len(before)] == before
    wrong = run_inside("train.py", "--images", good, "--budget", "3")
    assert wrong.returncode == 2
    assert "--budget is for --tune" in wrong.stderr
