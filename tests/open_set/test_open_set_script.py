"""open_set_recognition.py on drawn steel: all files, resumed steps, same seed same figures, and no peeking."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_factory import run_inside, save
from steel_factory import flags, noise_in_place_of, write_neu, write_severstal, write_weights

from fastener.datasets.neu import CLASSES
from fastener.open_set.left_out import choose_score
from fastener.open_set.one_stage import one_stage
from fastener.open_set.pipeline import Pipeline
from fastener.open_set.settings import load_open_set
from fastener.open_set.splits import OpenSetSplit
from fastener.open_set.summary import COLUMNS

pytestmark = pytest.mark.slow

SCRIPT = "open_set_recognition.py"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steel")
    write_neu(folder / "neu")
    write_severstal(folder / "severstal")
    write_weights(folder / "resnet18.npz")
    return folder


def run(home: Path, output: Path, *arguments: object, neu: Path | None = None) -> list[str]:
    """Run the script; the lines it printed."""
    done = run_inside(
        SCRIPT, *arguments, *flags(neu or home / "neu", home / "severstal", home / "resnet18.npz", output)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def output(home: Path) -> Path:
    """Everything, over the three splits."""
    run(home, home / "output", "--frozen-features")
    return home / "output"


def metrics(output: Path, split: str = "a") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / f"split_{split}" / "metrics.json").read_text())
    return content


def test_all_files_are_there(output: Path) -> None:
    written = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    for split in "abc":
        assert {
            f"split_{split}/{name}"
            for name in (
                "classifier/classifier.pt",
                "embeddings/embeddings.pt",
                "osr/decisions.csv",
                "cascade/decisions.csv",
                "plots/roc.png",
                "plots/embeddings.png",
                "plots/confusion_one_stage.png",
                "plots/confusion_two_stage_plain.png",
                "metrics.json",
                "runtime.json",
            )
        } <= written
    assert {"summary.csv", "summary.md", "patchcore/inspector.pkl"} <= written
    assert not [name for name in written if name.endswith(".tmp")]


def test_the_summary_has_a_row_for_each_split_approach_and_score(output: Path) -> None:
    with (output / "summary.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len({(row["split"], row["approach"], row["score"]) for row in rows}) == len(rows) == 3 * 3 * 7
    by_hand = metrics(output)["results"][0]
    assert float(rows[0]["unknown_auroc"]) == by_hand["unknown_auroc"]
    assert all(float(row["ms_per_image"]) > 0 for row in rows)
    text = (output / "summary.md").read_text()
    assert "a linear head on frozen ImageNet features" in text
    assert "±" in text


def test_the_textures_are_told_apart(output: Path) -> None:
    for split in "abc":
        best = {one["score"]: one for one in metrics(output, split)["results"] if one["approach"] == "one_stage"}
        assert best["knn"]["closed_set_accuracy"] > 0.9
        assert best["knn"]["unknown_auroc"] > 0.8


def test_the_counts_by_unknown_class_are_those_of_the_confusion_table(output: Path) -> None:
    for one in metrics(output)["results"]:
        names, table = one["confusion"]["names"], one["confusion"]["table"]
        unknown = [found for found in one["classes"] if not found["known"]]
        assert sum(found["rejected"] for found in unknown) == table[names.index("unknown")][names.index("unknown")]
        assert one["unknown_rejected"] == pytest.approx(sum(f["rejected"] for f in unknown) / one["n_unknown"])
        for found in one["classes"]:
            assert found["rejected"] + sum(found["called"].values()) == found["n"]
    assert "| a | scratches | " in (output / "summary.md").read_text()


def test_the_score_is_chosen_by_classes_that_were_left_out(output: Path) -> None:
    found = metrics(output)
    assert {row["left_out"] for row in found["left_out"]} == set(found["known"])
    assert choose_score(found["left_out"]) == found["default"]["one_stage"]


def test_every_class_is_unknown_once_and_every_image_has_its_role(output: Path) -> None:
    unknown = [name for split in "abc" for name in metrics(output, split)["unknown"]]
    assert sorted(unknown) == sorted(CLASSES)
    for split in "abc":
        assert sum(metrics(output, split)["n_images"].values()) == 6 * 12


def test_confusion_counts_are_those_of_decisions_csv(output: Path) -> None:
    with (output / "split_b" / "cascade" / "decisions.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    for one in metrics(output, "b")["results"]:
        if one["approach"] == "one_stage":
            assert "no_defect" not in one["confusion"]["names"]
            continue
        names = one["confusion"]["names"]
        assert names[-2:] == ["unknown", "no_defect"]
        column = f"{one['approach']}, {one['score']}: verdict"
        counts = [[sum(r["truth"] == t and r[column] == p for r in rows) for p in names] for t in names]
        assert one["confusion"]["table"] == counts


def test_nothing_is_done_twice(home: Path, output: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.pt")}
    lines = run(home, output, "--frozen-features")
    assert not [line for line in lines if "training" in line or "learning" in line or "timing" in line]
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.pt")} == before


def test_a_killed_run_goes_on_where_it_was(home: Path, output: Path, tmp_path: Path) -> None:
    shutil.copytree(output, tmp_path / "output")
    expected = {split: metrics(output, split) for split in "abc"}
    # As if killed while split b was being decided: what came later is not there, a temporary file is left.
    shutil.rmtree(tmp_path / "output/split_c")
    for step in ("osr", "cascade"):
        shutil.rmtree(tmp_path / "output/split_b" / step)
    for name in ("metrics.json", "metrics.pt"):
        (tmp_path / "output/split_b" / name).unlink()
    cut = tmp_path / "output/split_b/embeddings/embeddings.pt"
    cut.write_bytes(cut.read_bytes()[:100])
    lines = run(home, tmp_path / "output", "--frozen-features")
    said = [line for line in lines if line.startswith(("split", "PatchCore"))]
    assert not [line for line in said if line.startswith(("split a:", "PatchCore")) or "split b: training" in line]
    assert {split: metrics(tmp_path / "output", split) for split in "abc"} == expected


def test_the_same_seed_gives_the_same_metrics_and_another_does_not(home: Path, output: Path, tmp_path: Path) -> None:
    run(home, tmp_path / "same", "--frozen-features", "--splits", "a")
    run(home, tmp_path / "other", "--frozen-features", "--splits", "a", "--seed", "7")
    first = (output / "split_a/metrics.json").read_bytes()
    assert (tmp_path / "same/split_a/metrics.json").read_bytes() == first
    assert (tmp_path / "other/split_a/metrics.json").read_bytes() != first


def test_no_test_image_calibrates_anything(home: Path, output: Path, tmp_path: Path) -> None:
    """Test images become noise, and labels among the unknown are shuffled: no threshold moves, nothing is retrained."""
    settings, splits = load_open_set(
        flags={"data.neu_root": home / "neu", "run.device": "cpu"}, assignments=["classifier.size=48"]
    )
    images = Pipeline(settings, splits)
    tested = images.tested_paths("a")
    shutil.copytree(home / "neu", tmp_path / "neu")
    for seed, path in enumerate(tested):
        save(noise_in_place_of(path, seed), tmp_path / "neu" / path.relative_to(home / "neu"))
    run(home, tmp_path / "output", "--frozen-features", "--splits", "a", neu=tmp_path / "neu")
    before, after = metrics(output), metrics(tmp_path / "output")
    assert before["results"] != after["results"]
    for one, other in zip(before["results"], after["results"], strict=True):
        assert one["threshold"] == other["threshold"], one["score"]
        assert one["thresholds"] == other["thresholds"]
    assert before["patchcore"]["threshold"] == after["patchcore"]["threshold"]


def test_shuffled_test_labels_move_no_threshold(home: Path, output: Path) -> None:
    settings, splits = load_open_set(
        assignments=[word for word in flags(home, home, home, output) if "=" in word],
        flags={"data.neu_root": home / "neu", "output": output, "weights": home / "resnet18.npz",
               "classifier.mode": "frozen", "run.device": "cpu"},
    )  # fmt: skip
    pipeline = Pipeline(settings, splits)
    split, embedded = pipeline.split("a"), pipeline.extract_embeddings("a")
    tested = split.indices("test", "unknown")
    shuffled = np.random.default_rng(0).permutation(tested)
    truth, roles = split.truth.copy(), split.roles.copy()
    truth[tested], roles[tested] = truth[shuffled], roles[shuffled]
    for one, other in zip(
        one_stage(split, embedded, settings.rejection),
        one_stage(OpenSetSplit(split.known, truth, roles, split.names), embedded, settings.rejection),
        strict=True,
    ):
        assert one.truth != other.truth
        assert (one.threshold, one.cutoffs) == (other.threshold, other.cutoffs)


def test_each_step_runs_what_it_needs_and_no_more(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "output/split_a"
    wanted = {
        "train-classifier": "classifier/classifier.pt",
        "extract-embeddings": "embeddings/embeddings.pt",
        "run-osr": "osr/decisions.pt",
        "run-cascade": "cascade/decisions.pt",
        "benchmark-runtime": "runtime.pt",
    }
    for command, file in wanted.items():
        assert not (folder / file).exists()
        if command == "run-cascade":
            run(home, tmp_path / "output", "train-patchcore", "--frozen-features", "--splits", "a")
            assert (tmp_path / "output/patchcore/inspector.pkl").is_file()
        run(home, tmp_path / "output", command, "--frozen-features", "--splits", "a")
        assert (folder / file).is_file()
    assert not (folder / "metrics.json").exists()


def test_fine_tuning_and_scratch_are_named_in_the_report(home: Path, tmp_path: Path) -> None:
    for mode, words in (("fine_tuned", "fine-tuned from ImageNet"), ("scratch", "from scratch, without ImageNet")):
        extra = ["--splits", "c", "--set", f"classifier.mode={mode}", "--set", "classifier.scratch_epochs=1"]
        run(home, tmp_path / mode, *extra)
        assert words in (tmp_path / mode / "summary.md").read_text()
        assert metrics(tmp_path / mode, "c")["classifier"]["mode"] == mode


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--splits", "z"], "neu_split_z.yaml; there are: a, b, c; or name classes"),
        (["--set", "rejection.scores=knn"], "nearest known one is 'rejection.score'"),
        (["--set", "classifier.tune_from=layer4"], "classifier"),
        (["--set", "data.test=0.7"], "data.test = 0.7"),
        (["--neu-root", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, home: Path, tmp_path: Path) -> None:
    given = flags(home / "neu", home / "severstal", home / "resnet18.npz", tmp_path / "output")
    done = run_inside(SCRIPT, *given, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_an_image_that_cannot_be_read_costs_that_image(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "neu", tmp_path / "neu")
    (tmp_path / "neu/images/crazing/crazing_0.png").write_bytes(b"no image")
    given = flags(tmp_path / "neu", home / "severstal", home / "resnet18.npz", tmp_path / "output")
    done = run_inside(SCRIPT, "run-osr", "--frozen-features", "--splits", "a", *given)
    assert done.returncode == 1
    assert "crazing_0.png" in done.stderr
    assert (tmp_path / "output/split_a/osr/decisions.pt").is_file()


def test_a_saved_model_judges_new_photos_as_the_report_does(home: Path, output: Path, tmp_path: Path) -> None:
    """With no weights beside it: the model holds its networks."""
    photos = tmp_path / "photos"
    shutil.copytree(home / "neu/images/scratches", photos)
    shutil.copy(home / "severstal/train_images/000.png", photos / "strip.png")
    (photos / "broken.png").write_bytes(b"no image")
    done = run_inside(
        SCRIPT, "predict", "--model", output / "split_a/model.pt", "--dir", photos, "--json", "--csv", "--visualize",
        "--output", tmp_path / "found", "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    entries = {Path(one["file"]).name: one for one in json.loads((tmp_path / "found/results.json").read_text())}
    with (tmp_path / "found/results.csv").open(encoding="utf-8-sig") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [one["file"] for one in entries.values()]
    assert "error" in entries["broken.png"]
    assert entries["strip.png"]["verdict"] == "no_defect"
    with (output / "split_a/cascade/decisions.csv").open(encoding="utf-8-sig") as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    score = metrics(output)["default"]["two_stage_plain"]
    for seed in range(12):
        name = f"scratches_{seed}.png"
        assert entries[name]["verdict"] == rows[name][f"two_stage_plain, {score}: verdict"]
        shown = float(rows[name][f"two_stage, {score}: score"])
        assert entries[name]["score"] == pytest.approx(shown, rel=1e-3, abs=1e-3)
    assert len(list((tmp_path / "found").glob("*.png"))) == 13


def test_folders_of_other_kinds_without_an_unknown_one(home: Path, tmp_path: Path) -> None:
    for place, (name, like) in enumerate({"dent": "crazing", "stain": "inclusion", "hole": "patches"}.items()):
        for number, path in enumerate(sorted((home / "neu/images" / like).iterdir())[: 5 + 7 * (place > 0)]):
            (tmp_path / "own" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "own" / name / f"in_{number}.png")
    arguments = ["run-osr", "--frozen-features", "--known", "dent", "stain", "hole"]
    lines = run(home, tmp_path / "output", *arguments, neu=tmp_path / "own")
    assert [line for line in lines if line.startswith("split own, one_stage") and "no unknown images" in line]
    assert [line for line in lines if "known classes left out in turn" in line]
    assert [line for line in lines if line.startswith("    dent: ") and " rejected" in line]
