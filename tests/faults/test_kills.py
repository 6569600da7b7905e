"""Kill -9 at any moment of any script: the files of before or of after are there, whole, and a rerun finishes."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from corrosion_factory import rendered, write_series
from data_factory import FLAGS, part, parts, tiny_config, write_photos
from kills import TEMPORARY, Job, check_whole, files_in
from limits import LONG
from mvtec_factory import write_category
from steel_factory import flags, write_neu, write_severstal, write_weights

from fastener.inspection.inspector import Inspector

pytestmark = pytest.mark.slow

# 50 kills in all in the long form.
KILLS = {"train": 10, "update": 10, "inference": 8, "evaluate": 8, "corrosion": 8, "open-set": 6}
SHORT = 2
ROUND = 4  # kills in a row before a run is let through
AGED = 2 * 24 * 60 * 60


def train(home: Path) -> tuple[Job, Job]:
    write_photos(home / "first", parts(4))
    write_photos(home / "second", parts(12, first=50))
    output = home / "models"
    first, second = (
        Job("train.py", ("--images", home / name, *FLAGS, "--output", output / "model.pkl"), output)
        for name in ("first", "second")
    )
    return first, second


def update(home: Path) -> tuple[Job, Job]:
    first, _ = train(home)
    write_photos(home / "more", parts(6, first=20))
    model = first.output / "model.pkl"
    return first, Job("train.py", ("--update", model, "--images", home / "more", "--device", "cpu"), first.output)


def inference(home: Path) -> tuple[Job, Job]:
    _model(home / "model.pkl")
    write_photos(home / "first", parts(4))
    write_photos(home / "second", [*parts(8), part(7, "rust"), part(8, "rust")])
    common = ("--model", home / "model.pkl", "--visualize", "--json", "--csv", "--device", "cpu")
    output = home / "results"
    first, second = (
        Job("inference.py", ("--dir", home / name, *common, "--output", output), output) for name in ("first", "second")
    )
    return first, second


def evaluate(home: Path) -> tuple[Job, Job]:
    for name in ("plate", "sheet"):
        write_category(home / "data" / name, 6, 3, 3)
        config = tiny_config(preprocess={"enabled": False})
        Inspector.fit(sorted((home / "data" / name / "train/good").iterdir()), config).save(
            home / "saved_models/mvtec" / f"{name}.pkl"
        )
    output = home / "results"
    words = ("--mvtec-dir", home / "data", "--all", "--device", "cpu", "--output", output)
    timed = r".*metrics\.json|summary\.(csv|md)"
    return Job("evaluate.py", words, output, timed), Job("evaluate.py", (*words, "--force"), output, timed)


def corrosion(home: Path) -> tuple[Job, Job]:
    _model(home / "model.pkl")
    photos = [one.image for one in rendered((0.0, 0.1, 0.3), size=(128, 128))]
    write_series(home / "photos", "Bolt", photos, ("0", "24", "48"))
    output = home / "results"
    words: tuple[object, ...] = (
        "--model",
        home / "model.pkl",
        "--dir",
        home / "photos",
        "--device",
        "cpu",
        "--output",
        output,
    )
    words = (*words, "--set", "corrosion.frame=128")
    return Job("corrosion_analysis.py", words, output), Job(
        "corrosion_analysis.py", (*words, "--until", "Severe"), output
    )


def open_set(home: Path) -> tuple[Job, Job]:
    write_neu(home / "neu", 6)
    write_severstal(home / "steel", 16, 2)
    write_weights(home / "weights.npz")
    output = home / "results"
    words = (*([] if LONG else ["run-cascade"]), "--frozen-features", "--splits", "a")
    words += tuple(flags(home / "neu", home / "steel", home / "weights.npz", output))
    # The values of metrics.pt are those of metrics.json; its bytes also tell which steps were read and which computed.
    timed = r".*runtime\.(pt|json)|.*metrics\.pt|summary\.(csv|md)"
    first, second = (Job("open_set_recognition.py", (*words, "--seed", seed), output, timed) for seed in (1, 2))
    return first, second


JOBS: dict[str, Callable[[Path], tuple[Job, Job]]] = {
    "train": train,
    "update": update,
    "inference": inference,
    "evaluate": evaluate,
    "corrosion": corrosion,
    "open-set": open_set,
}


@pytest.mark.parametrize("name", JOBS)
def test_a_killed_run_leaves_whole_files_and_the_next_one_finishes(name: str, tmp_path: Path) -> None:
    earlier, job = JOBS[name](tmp_path)
    before = earlier.finish(tmp_path)
    shutil.copytree(job.output, tmp_path / "before")
    started = time.monotonic()
    after = job.finish(tmp_path)
    duration = time.monotonic() - started
    draw = random.Random(name)
    left = KILLS[name] if LONG else SHORT
    while left:
        put_back(job, tmp_path)
        for number in range(min(left, ROUND)):
            kill(job, tmp_path, draw, duration, by_time=number % 2 == 0, most=3 * len(after))
            check(job, before, after)
            left -= 1
            if files_in(job.output).items() >= after.items():
                put_back(job, tmp_path)  # all was done when it was killed, and there is nothing new to learn
        for path in job.output.rglob("*"):
            if TEMPORARY.fullmatch(path.name):
                os.utime(path, (time.time() - AGED, time.time() - AGED))
        again = job.finish(tmp_path)
        assert again.keys() == before.keys() | after.keys()
        assert not [path for path in job.output.rglob("*") if TEMPORARY.fullmatch(path.name)]
        check(job, {}, before | after)


def two_evaluations(home: Path) -> tuple[Job, Job]:
    """Two evaluations into one folder, of other photos."""
    _, first = evaluate(home)
    for name in ("plate", "sheet"):
        write_category(home / "others" / name, 6, 4, 5)
    words = ("--mvtec-dir", home / "others", *first.arguments[2:])
    return first, Job(first.script, words, first.output, first.timed)


TOGETHER = {"train": train, "inference": inference, "evaluate": two_evaluations}


@pytest.mark.parametrize("name", TOGETHER)
def test_two_runs_at_once_do_not_mix_within_a_file(name: str, tmp_path: Path) -> None:
    jobs = TOGETHER[name](tmp_path)
    alone = []
    for job in jobs:
        shutil.rmtree(job.output, ignore_errors=True)
        alone.append(job.finish(tmp_path))
    for _ in range(3):
        shutil.rmtree(jobs[0].output)
        together(jobs, tmp_path)
        there = files_in(jobs[0].output)
        assert there.keys() == alone[0].keys() | alone[1].keys()
        for path, content in there.items():
            check_whole(jobs[0].output / path)
            if not re.fullmatch(jobs[0].timed, path):
                assert content in (alone[0].get(path), alone[1].get(path)), path


def test_two_updates_at_once_do_not_mix(tmp_path: Path) -> None:
    earlier, one = update(tmp_path)
    write_photos(tmp_path / "others", parts(6, first=30))
    words = [tmp_path / "others" if word == tmp_path / "more" else word for word in one.arguments]
    other = Job(one.script, tuple(words), one.output)
    before = earlier.finish(tmp_path)
    (model,) = before
    expected = set()
    for order in ((one,), (other,), (one, other), (other, one)):
        (one.output / model).write_bytes(before[model])
        expected.add([job.finish(tmp_path) for job in order][-1][model])
    assert len(expected) == 4
    for _ in range(3):
        (one.output / model).write_bytes(before[model])
        together((one, other), tmp_path)
        assert files_in(one.output).keys() == before.keys()
        assert (one.output / model).read_bytes() in expected


def together(jobs: tuple[Job, Job], home: Path) -> None:
    """Run both at once, each to a good end."""
    running = [job.start(home) for job in jobs]
    for process in running:
        process.join()
        assert process.exitcode == 0, (home / "log.txt").read_text()


def kill(job: Job, home: Path, draw: random.Random, duration: float, by_time: bool, most: int) -> None:
    """Run it until it is killed: after a random time, or at or just after a random one of its file operations."""
    for _ in range(100):
        at = (0, 0.0) if by_time else (draw.randint(1, most), draw.choice((0.0, draw.uniform(0, 0.005))))
        process = job.start(home, *at)
        if by_time:
            process.join(draw.uniform(0, duration))
            process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            return
        assert process.exitcode == 0, (home / "log.txt").read_text()
    raise AssertionError("the run always ended before it was killed")


def put_back(job: Job, home: Path) -> None:
    shutil.rmtree(job.output)
    shutil.copytree(home / "before", job.output)


def check(job: Job, before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """No file is gone, and each is the one of before or that of after."""
    there = files_in(job.output)
    assert before.keys() <= there.keys() <= before.keys() | after.keys()
    for name, content in there.items():
        check_whole(job.output / name)
        if not re.fullmatch(job.timed, name):
            assert content in (before.get(name), after.get(name)), name


def _model(path: Path) -> None:
    Inspector.fit(parts(8), tiny_config()).save(path)
