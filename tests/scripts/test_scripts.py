"""The three scripts as a user runs them: everything they write, and one clear line for every mistake."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_factory import FLAGS, ROOT, part, run_inside, save, script, write_photos
from PIL import Image
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from fastener.datasets.images import read_image
from fastener.evaluation.kept_maps import read_map
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Failure, Inspection

METRICS = {
    "image_auroc",
    "image_auroc_ci95",
    "image_aupr",
    "f1_max",
    "f1_max_threshold",
    "n_images",
    "n_anomalous",
    "n_excluded_seen_in_training",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "false_positive_rate",
    "evidence",
    "threshold",
}


def fails(done: subprocess.CompletedProcess[str], *words: str, code: int = 2) -> None:
    """One line on stderr (argparse adds its usage above) that holds the words, and no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    last = done.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in last
    if "usage:" not in done.stderr:
        assert [line for line in done.stderr.splitlines()[:-1] if not line.startswith("warning:")] == []


@pytest.fixture(scope="module")
def model(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.py --combine-normals over all splits of ``data_dir``, and its baseline shots."""
    path = tmp_path_factory.mktemp("scripts") / "a folder" / "model ü.pkl"
    sources = ("--data-dir", data_dir, "--combine-normals", "--components-dir", data_dir / "components")
    done = script("train.py", *sources, *FLAGS, "--batch-size", 4, "--output", path)
    assert done.returncode == 0, done.stderr
    assert "train: defect: Rust, Pit, Scratch, Bend; healthy: Good-Part" in done.stdout
    assert "valid: learning from 3 healthy of 5 images" in done.stdout
    assert "19 healthy photos" in done.stdout
    assert f"saved {path}" in done.stdout
    return path


def test_inference_of_a_folder(model: Path, data_dir: Path, tmp_path: Path) -> None:
    photos, output = tmp_path / "in coming", tmp_path / "out"
    save(part(700), photos / "schräg bolt.png")
    save(part(701, "rust"), photos / "rusty.png")
    save(part(701, "rust"), photos / "rusty.jpg", quality=90)
    save(part(702), photos / "Nut-T0.png")
    save(part(703), photos / "bolt01.png")
    save(part(704), photos / "below" / "deeper.png")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    (photos / "folder.png").mkdir()
    (photos / "loop").symlink_to(photos)
    (photos / "dangling.png").symlink_to(photos / "nowhere.png")

    flags = ("--visualize", "--json", "--csv", "--output", output, "--device", "cpu")
    done = script("inference.py", "--model", model, "--dir", photos, *flags)
    assert done.returncode == 1, done.stderr
    assert "broken.jpg" in done.stderr
    assert "dangling.png: a link that leads to no file" in done.stderr
    assert "2 could not be read" in done.stdout
    assert f"not used: {photos / 'below'}" in done.stderr
    assert "--recursive" in done.stderr
    entries = {Path(entry["path"]).name: entry for entry in json.loads((output / "results.json").read_text())}
    readable = {"schräg bolt.png", "rusty.png", "rusty.jpg", "Nut-T0.png", "bolt01.png"}
    assert set(entries) == readable | {"broken.jpg", "dangling.png"}
    assert set(entries["broken.jpg"]) == {"path", "error"}
    assert entries["rusty.png"]["is_anomalous"]
    assert entries["rusty.jpg"]["is_anomalous"]
    assert set(entries["rusty.png"]["evidence"]) == {"filters", "colour", "shape"}
    assert [name for name, entry in entries.items() if entry.get("is_baseline")] == ["Nut-T0.png"]
    for region in entries["rusty.png"]["regions"]:
        assert 0 <= region["x"] < region["x"] + region["width"] <= 96
        assert 0 <= region["y"] < region["y"] + region["height"] <= 96
    with (output / "results.csv").open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    assert [Path(line["path"]).name for line in lines] == list(entries)
    assert [line["score"] for line in lines] == [str(entry.get("score", "")) for entry in entries.values()]
    stems = {"schräg bolt", "rusty.png", "rusty.jpg", "Nut-T0", "bolt01"}
    pictures = {f"{kind}_{stem}.png" for kind in ("det", "overlay") for stem in stems}
    assert {path.name for path in output.iterdir()} == pictures | {"results.json", "results.csv"}
    assert read_image(output / "overlay_rusty.png.png").shape == (96, 96, 3)

    again = run_inside("inference.py", "--model", model, "--dir", photos, "--recursive", "--json", "--output", output)
    names = [Path(entry["path"]).name for entry in json.loads((output / "results.json").read_text())]
    assert again.returncode == 1
    assert "deeper.png" in names
    assert len(names) == len(set(names)) == 8


def test_inference_of_one_image_and_an_adapted_threshold(model: Path, tmp_path: Path) -> None:
    photo = save(part(710), tmp_path / "one" / "Bolt-T0-2.png")
    output = tmp_path / "outputs"
    plain = run_inside("inference.py", "--model", model, "--image", photo, "--output", output)
    assert plain.returncode == 0
    assert plain.stdout.splitlines()[0].startswith("Bolt-T0-2.png: ")
    assert not output.exists()
    adapted = run_inside("inference.py", "--model", model, "--dir", photo.parent, "--adaptive-threshold")
    assert adapted.returncode == 0
    assert "moved to" in adapted.stdout
    renamed = ("--adaptive-threshold", "--baseline-tag", "T24")
    fails(run_inside("inference.py", "--model", model, "--dir", photo.parent, *renamed), "baseline")


def test_an_interrupted_run_keeps_what_was_scored(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tmp_path / "in"
    write_photos(photos, [part(730 + i) for i in range(4)])
    stream = Inspector.stream

    def interrupted(self: Inspector, sources: Iterable[Path], **how: Any) -> Iterator[Inspection | Failure]:
        yield from islice(stream(self, sources, **how), 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(Inspector, "stream", interrupted)
    flags = ("--json", "--csv", "--output", tmp_path / "out")
    done = run_inside("inference.py", "--model", model, "--dir", photos, *flags)
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())) == 3
    assert len((tmp_path / "out" / "results.csv").read_text().splitlines()) == 4
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results.json", "results.csv"}


def test_a_closed_pipe_ends_a_run_quietly(model: Path, tmp_path: Path) -> None:
    write_photos(tmp_path, [part(740)])
    command = [sys.executable, str(ROOT / "inference.py"), "--model", str(model), "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(60) == 1


def test_evaluate_wants_good_photos_that_the_model_does_not_know(model: Path, data_dir: Path, tmp_path: Path) -> None:
    flags = ("--model", model, "--data-dir", data_dir, "--split", "test,valid", "--output", tmp_path / "out")
    done = run_inside("evaluate.py", *flags)
    fails(done, "all 7 good photos are in the model or copies of photos in it")


def test_evaluate_a_model_of_the_train_split(data_dir: Path, tmp_path: Path) -> None:
    model, output = tmp_path / "model.pkl", tmp_path / "out"
    assert run_inside("train.py", "--data-dir", data_dir, *FLAGS, "--alpha", 0.1, "--output", model).returncode == 0
    done = script("evaluate.py", "--model", model, "--data-dir", data_dir, "--output", output)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((output / "metrics.json").read_text())
    assert set(metrics) >= METRICS
    assert (metrics["n_images"], metrics["n_anomalous"], metrics["n_excluded_seen_in_training"]) == (8, 4, 0)
    assert set(metrics["evidence"]) == {"filters", "colour", "shape"}
    written = {path.name for path in output.iterdir()}
    assert written >= {"metrics.json", "roc_curve.png", "pr_curve.png", "score_distribution.png"}
    for name in (name for name in written if name.endswith(".png")):
        assert min(read_image(output / name).shape[:2]) > 150

    before = model.read_bytes()
    update = run_inside("train.py", "--update", model, "--images", data_dir / "train", "--device", "cpu")
    fails(update, "none of the 9 photos is new")
    assert model.read_bytes() == before
    photos = tmp_path / "more"
    write_photos(photos, [part(720), part(721)])
    update = run_inside("train.py", "--update", model, "--images", photos, "--device", "cpu")
    assert update.returncode == 0, update.stderr
    assert "learned 2 new photos" in update.stdout
    assert "11 healthy photos" in update.stdout
    assert model.read_bytes() != before


def test_cross_validate(data_dir: Path, tmp_path: Path) -> None:
    flags = ("--no-plots", "--output", tmp_path / "out", *FLAGS[:2], *FLAGS[4:])
    done = run_inside("evaluate.py", "--data-dir", data_dir, "--cross-validate", 2, *flags)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["n_images"], metrics["n_anomalous"], metrics["protocol"]) == (22, 6, "2-fold")
    assert metrics["splits"] == ["train", "valid", "test"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "metrics.json",
        "scores.csv",
        "scores.npz",
        "regions.npz",
    }


def test_masks_beside_the_splits_tell_how_well_defects_are_found(data_dir: Path, tmp_path: Path) -> None:
    model, output = tmp_path / "model.pkl", tmp_path / "out"
    assert run_inside("train.py", "--data-dir", data_dir, *FLAGS, "--output", model).returncode == 0
    flags = ("--model", model, "--output", output, "--keep-maps", "--no-plots")
    done = run_inside("evaluate.py", "--data-dir", data_dir, *flags)
    assert "where defects are: AUPRO " in done.stdout
    scores, truth = [], []
    with (output / "scores.csv").open(encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            map_, mask_file = read_map(output / row["map"]), data_dir / "masks" / "test" / Path(row["path"]).name
            mask = read_image(mask_file)[..., 0] > 127 if row["is_anomalous"] == "1" else np.zeros(map_.shape, bool)
            counts = ~np.isnan(map_) | mask  # a good pixel that was not inspected is left out
            scores.append(np.nan_to_num(map_[counts], nan=-np.inf))
            truth.append(mask[counts])
    # Ranks, because scikit-learn takes no infinite scores.
    expected = roc_auc_score(np.concatenate(truth), rankdata(np.concatenate(scores)))
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["pixel_auroc"] == pytest.approx(expected, abs=2e-3)  # kept maps are float16
    low, high = metrics["aupro_ci95"]
    assert 0 < low <= metrics["aupro"] <= high < 1

    some = tmp_path / "some"
    shutil.copytree(data_dir, some)
    next((some / "masks" / "test").iterdir()).unlink()
    done = run_inside("evaluate.py", "--data-dir", some, *flags)
    assert "no pixel metrics, because 1 of 4 defective images have no mask" in done.stdout
    assert not (output / "regions.npz").exists()


def test_odd_but_good_photos_are_learned_and_a_sheet_is_drawn(tmp_path: Path) -> None:
    photos = tmp_path / "good"
    save(part(0), photos / "plain.png")
    Image.fromarray(part(1)).convert("CMYK").save(photos / "cmyk.jpg")
    Image.fromarray(part(2)[..., 0].astype(np.uint16) * 257).save(photos / "deep.tif")
    Image.fromarray(np.dstack([part(3), part(3)[..., :1]])).save(photos / "alpha.png")
    done = run_inside("train.py", "--images", photos, *FLAGS, "--output", tmp_path / "m.pkl")
    assert done.returncode == 0, done.stderr
    assert "4 healthy photos, 4 of them different" in done.stdout
    sheet = tmp_path / "sheet.png"
    done = run_inside("train.py", "--images", photos, "--preprocess-only", "--output", sheet)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 photos" in done.stdout
    assert read_image(sheet).shape[0] > 4 * 200


def test_train_mistakes(data_dir: Path, tmp_path: Path) -> None:
    empty, one = tmp_path / "empty", tmp_path / "one"
    empty.mkdir()
    write_photos(one, [part(0)])
    target = tmp_path / "m.pkl"
    cases: list[tuple[tuple[object, ...], tuple[str, ...]]] = [
        (("--images", tmp_path / "none"), ("none", "no such folder")),
        (("--images", empty), ("empty", "no image")),
        (("--data-dir", empty), ("_classes.csv",)),
        (("--combine-normals",), ("--data-dir",)),
        ((), ("--images",)),
        (("--images", one, "--coreset-ratio", 0), ("model.coreset_ratio = 0",)),
        (("--images", one, "--batch-size", 0), ("run.batch_size = 0",)),
        (("--images", one, "--set", "nonsense"), ("--set nonsense", "section.key=value")),
        (("--images", one, "--set", "model.coreset_ration=1"), ("coreset_ratio",)),
        (("--images", one, "--config", tmp_path / "no.yaml"), ("no.yaml",)),
        (("--images", one, "--update", target), ("no model at",)),
        (("--images", one, "--update", target, "--preprocess-only"), ("--preprocess-only",)),
        (("--images", one, "--update", target, "--alpha", 0.2), ("--alpha", "saved model")),
        (("--images", data_dir / "train", "--output", one / "p00.png" / "m.pkl"), ("cannot write",)),
        (("--images", data_dir / "train", "--output", one), ("cannot write", "folder")),
    ]
    for flags, words in cases:
        defaults = () if "--update" in flags or "--output" in flags else ("--output", target)
        fails(
            run_inside("train.py", *flags, "--device", "cpu", *(() if "--update" in flags else FLAGS[:2]), *defaults),
            *words,
        )
    assert not target.exists()


@pytest.mark.parametrize("count", [1, 3])
def test_train_on_copies_of_one_photo_says_that_the_threshold_is_a_guess(count: int, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", [part(0)] * count)
    done = run_inside("train.py", "--images", tmp_path / "photos", *FLAGS, "--output", tmp_path / "m.pkl")
    assert done.returncode == 0, done.stderr
    assert "its threshold is a guess" in done.stderr
    assert "the threshold is a guess" in done.stdout
    assert f"{count} healthy photo" in done.stdout


def test_csv_mistakes(data_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data_dir / "train", copy / "train")
    table = copy / "train" / "_classes.csv"
    text = table.read_text()
    table.write_text(text.replace(",1\n", ",yes\n", 1))
    fails(run_inside("train.py", "--data-dir", copy, *FLAGS), "_classes.csv, line 2", "write 0 or 1")
    table.write_text(text + "missing.png,0,0,0,0,1\n")
    fails(run_inside("train.py", "--data-dir", copy, *FLAGS), "missing.png")
    table.write_text(text)
    (copy / "train" / "000-bolt-silver-good.png").write_bytes(b"no image")
    fails(run_inside("train.py", "--data-dir", copy, *FLAGS, "--output", tmp_path / "m"), "000-bolt-silver-good.png")


def test_inference_and_evaluate_mistakes(model: Path, data_dir: Path, tmp_path: Path) -> None:
    photo = save(part(0), tmp_path / "in" / "a.png")
    garbage, blocked = tmp_path / "garbage.pkl", tmp_path / "blocked"
    garbage.write_bytes(b"not a model")
    blocked.write_text("a file in the way")
    seen = ("--image", photo)
    for_inference: list[tuple[tuple[object, ...], tuple[str, ...]]] = [
        ((*seen, "--model", tmp_path / "none.pkl"), ("no model at", "train.py")),
        ((*seen, "--model", garbage), ("garbage.pkl", "damaged")),
        (("--dir", tmp_path / "none", "--model", model), ("no such folder",)),
        ((*seen, "--model", model, "--json", "--output", blocked), ("cannot write", "blocked")),
        ((*seen, "--model", model, "--set", "calibration.alpha=0.5"), ("saved model", "calibration.alpha")),
        ((*seen, "--model", model, "--baseline-tag", "T 0"), ("baseline_tag",)),
        ((*seen, "--model", model, "--device", "tpu"), ("run.device", "tpu")),
        ((*seen, "--dir", tmp_path), ("not allowed with",)),
        ((), ("name what to inspect", "--dir")),
    ]
    for flags, words in for_inference:
        fails(run_inside("inference.py", *flags), *words)
    assert blocked.read_text() == "a file in the way"
    fails(run_inside("inference.py", "--image", tmp_path / "none.png", "--model", model), "none.png", code=1)

    data = ("--data-dir", data_dir, "--model", model, "--output", tmp_path / "out")
    cases: list[tuple[tuple[object, ...], tuple[str, ...]]] = [
        ((*data, "--split", "tset"), ("tset", "train, valid, test")),
        ((*data, "--split", ","), ("train, valid, test",)),
        ((*data, "--split", "train"), ("nothing to score", "9 images are in the model")),
        ((*data, "--output", blocked), ("cannot write", "blocked")),
        ((*data, "--backbone", "resnet18"), ("--backbone", "saved model")),
        ((*data, "--cross-validate", 1), ("at least 2 folds",)),
        ((*data, "--cross-validate", 99, *FLAGS[:2]), ("16 different healthy photos",)),
        ((*data, "--data-dir", tmp_path / "none"), ("none",)),
    ]
    for flags, words in cases:
        fails(run_inside("evaluate.py", *flags), *words)
