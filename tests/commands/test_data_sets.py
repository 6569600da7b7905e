"""Research mode end to end on drawn categories: train, inspect, evaluate, resume, choose a threshold."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from data_factory import ROOT, run_inside
from mvtec_factory import write_category
from PIL import Image
from published_factory import mvtec_loco
from sklearn.metrics import roc_auc_score

from fastener.datasets.catalogue import CATALOGUE
from fastener.datasets.layouts import recognise
from fastener.datasets.published import PUBLISHED
from fastener.evaluation.kept_maps import read_map
from fastener.evaluation.pixel_metrics import au_spro
from fastener.inspection.inspector import Inspector

SMALL = ("--set", "preprocess.size=96", "--set", "evidence=[filters]", "--set", "calibration.alpha=0.2")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two categories and a model of each."""
    folder = tmp_path_factory.mktemp("research")
    for name in ("plate", "sheet"):
        write_category(folder / "mvtec" / name, n_train=6, n_good=3, n_defect=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = run_inside("train.py", "--mvtec-dir", "mvtec", "--all", *SMALL)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(autouse=True)
def _work_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def test_each_category_gets_a_model_with_the_preset() -> None:
    for name in ("plate", "sheet"):
        config = Inspector.load(Path("saved_models/mvtec") / f"{name}.pkl").config
        assert not config.preprocess.enabled
        assert config.preprocess.center_crop == 1.0
        assert config.model.colour_weight == 0


def test_inference_writes_pictures_beside_the_ground_truth() -> None:
    done = run_inside("inference.py", "--mvtec-dir", "mvtec", "--category", "plate", "--output", "results")
    assert done.returncode == 0, done.stderr
    written = sorted(str(path.relative_to("results")) for path in Path("results").rglob("*.png"))
    assert len(written) == 2 * 7
    assert "plate/blot/000_result.png" in written
    assert "plate/good/002_heatmap.png" in written
    with (
        Image.open("results/plate/blot/000_result.png") as wide,
        Image.open("results/plate/good/000_result.png") as few,
    ):
        assert wide.width > few.width  # four pictures with a ground truth, three without
    done = run_inside(
        "inference.py", "--mvtec-dir", "mvtec", "--category", "plate", "--no-save", "--output", "nothing",
        "--image", "mvtec/plate/test/blot/000.png",
    )  # fmt: skip
    assert done.returncode == 0
    assert "blot/000.png" in done.stdout
    assert not Path("nothing").exists()


def test_evaluate_all_writes_a_table_and_resumes() -> None:
    command = ("evaluate.py", "--mvtec-dir", "mvtec", "--all", "--output", "all", "--no-plots")
    done = run_inside(*command)
    assert done.returncode == 0, done.stderr
    with Path("all/summary.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["category"] for row in rows] == ["plate", "sheet", "mean"]
    metrics = json.loads(Path("all/plate/metrics.json").read_text())
    assert metrics["n_images"] == 7
    assert metrics["threshold_source"] == "healthy training photos"
    assert float(rows[0]["image_auroc"]) == pytest.approx(metrics["image_auroc"])
    before = Path("all/plate/metrics.json").stat().st_mtime_ns
    assert "taken from" in run_inside(*command).stdout
    assert Path("all/plate/metrics.json").stat().st_mtime_ns == before
    assert "taken from" not in run_inside(*command, "--force").stdout
    assert Path("all/plate/metrics.json").stat().st_mtime_ns > before


def test_figures_of_another_model_or_of_other_images_are_not_taken(tmp_path: Path) -> None:
    shutil.copytree("mvtec", tmp_path / "mvtec")
    shutil.copytree("saved_models", tmp_path / "saved_models")
    flags = ("--category", "plate", "--output", tmp_path / "out", "--no-plots")
    command = ("evaluate.py", "--mvtec-dir", tmp_path / "mvtec", *flags)
    model = tmp_path / "saved_models/mvtec/plate.pkl"
    assert "taken from" not in run_inside(*command, "--model", model).stdout
    assert "taken from" in run_inside(*command, "--model", model).stdout
    Inspector.load(model).with_threshold(9.0, "elsewhere").save(model)
    again = run_inside(*command, "--model", model)
    assert "taken from" not in again.stdout, "an older model's figures"
    assert json.loads((tmp_path / "out/plate/metrics.json").read_text())["threshold"] == 9.0
    moved = ("evaluate.py", "--mvtec-dir", "mvtec", *flags, "--model", model)
    assert "taken from" not in run_inside(*moved).stdout, "figures of images elsewhere"


def test_unreadable_images_and_masks_cost_themselves_and_are_told(tmp_path: Path) -> None:
    shutil.copytree("mvtec/plate", tmp_path / "plate")
    (tmp_path / "plate/test/good/000.png").write_bytes(b"no image")
    mask = next((tmp_path / "plate/ground_truth").rglob("*.png"))
    Image.new("L", (30, 30)).save(mask)
    flags = ("--mvtec-dir", tmp_path, "--category", "plate", "--model", Path("saved_models/mvtec/plate.pkl"))
    done = run_inside("evaluate.py", *flags, "--output", tmp_path / "out", "--no-plots")
    assert done.returncode == 1
    assert "good/000.png: not an image" in done.stderr
    metrics = json.loads((tmp_path / "out/plate/metrics.json").read_text())
    assert metrics["image_auroc"] is not None
    assert metrics["aupro"] is None
    assert "the mask is" in metrics["pixel_metrics_left_out"]
    drawn = run_inside("inference.py", *flags, "--output", tmp_path / "pictures")
    assert drawn.returncode == 1
    assert "the mask is" in drawn.stderr
    assert len(list((tmp_path / "pictures").rglob("*_result.png"))) == 6


def test_one_model_is_not_measured_under_other_names() -> None:
    for flags in (("--all",), ("--category", "plate", "--method", "all")):
        done = run_inside("evaluate.py", "--mvtec-dir", "mvtec", *flags, "--model", "saved_models/mvtec/plate.pkl")
        assert done.returncode == 2
        assert "one model of one category" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("train.py", "--images", "mvtec", "--method", "autoencoder"),
        ("train.py", "--mvtec-dir", "mvtec", "--category", "plate", "--preprocess-only"),
        ("train.py", "--mvtec-dir", "mvtec", "--category", "plate", "--update", "m.pkl"),
        ("evaluate.py", "--data-dir", "data", "--method", "all"),
        ("evaluate.py", "--mvtec-dir", "mvtec", "--all", "--cross-validate", "5"),
        ("evaluate.py", "--mvtec-dir", "mvtec", "--all", "--set", "preprocess.size=320"),
        ("inference.py", "--mvtec-dir", "mvtec", "--category", "plate", "--json"),
    ],
)
def test_flags_of_one_layout_are_refused_with_the_other(words: tuple[str, ...]) -> None:
    before = Path("saved_models/mvtec/plate.pkl").read_bytes()
    done = run_inside(*words)
    assert done.returncode == 2
    assert done.stderr
    assert Path("saved_models/mvtec/plate.pkl").read_bytes() == before


def test_one_category_draws_its_plots() -> None:
    done = run_inside("evaluate.py", "--mvtec-dir", "mvtec", "--category", "plate", "--output", "one")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in Path("one/plate").iterdir()}
    plots = {"roc_curve.png", "pr_curve.png", "score_distribution.png", "confusion_matrix.png", "examples.png"}
    assert names == plots | {"metrics.json", "scores.csv", "scores.npz", "regions.npz"}


def test_a_failing_category_does_not_stop_the_others() -> None:
    write_category(Path("more/plate"), n_train=2, n_good=3, n_defect=2)
    write_category(Path("more/untrained"), n_train=2, n_good=1, n_defect=1)
    done = run_inside("evaluate.py", "--mvtec-dir", "more", "--all", "--output", "partly", "--no-plots")
    assert done.returncode == 1
    assert "untrained: no model at" in done.stderr
    assert Path("partly/plate/metrics.json").is_file()
    assert "untrained: no model" in Path("partly/summary.md").read_text()


def test_a_threshold_is_chosen_on_test_data_only_when_told() -> None:
    command = ("evaluate.py", "--mvtec-dir", "mvtec", "--category", "sheet", "--output", "search", "--no-plots")
    done = run_inside(*command, "--optimize-threshold", "--min-recall", "1")
    assert done.returncode == 2
    assert "--on-test-data" in done.stderr
    done = run_inside(*command, "--optimize-threshold", "--min-recall", "1", "--on-test-data")
    assert done.returncode == 0, done.stderr
    assert "TEST DATA" in done.stdout
    moved = Path("saved_models/mvtec/sheet-threshold.pkl")
    assert "TEST DATA" in Inspector.load(moved).threshold_source
    done = run_inside(*command, "--model", moved, "--force")
    metrics = json.loads(Path("search/sheet/metrics.json").read_text())
    assert metrics["recall"] == 1.0
    assert "TEST DATA" in metrics["threshold_source"]


def test_photos_kept_back_for_the_search_are_in_no_figure(tmp_path: Path) -> None:
    shutil.copytree("saved_models", tmp_path / "saved_models")
    model = tmp_path / "saved_models/mvtec/plate.pkl"
    command = (
        "evaluate.py", "--mvtec-dir", "mvtec", "--category", "plate", "--model", model, "--output", tmp_path / "out",
        "--no-plots", "--validate-share", "0.5",
    )  # fmt: skip
    done = run_inside(*command, "--optimize-threshold", "--min-recall", "1")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out/plate/metrics.json").read_text())
    assert metrics["n_images"] + metrics["n_validation"] == 7
    assert metrics["n_validation"] == metrics["threshold_search"]["shipped"]["confusion"]["tp"] + sum(
        metrics["threshold_search"]["shipped"]["confusion"][key] for key in ("tn", "fp", "fn")
    )
    scored, kept = (
        {Path(row["path"]) for row in csv.DictReader(_lines(tmp_path / "out/plate" / name))}
        for name in ("scores.csv", "validation_scores.csv")
    )
    assert len(scored) == metrics["n_images"]
    assert len(kept) == metrics["n_validation"]
    assert scored.isdisjoint(kept)
    saved = Inspector.load(model.with_name("plate-threshold.pkl"))
    assert saved.threshold == metrics["threshold"]
    for text in (saved.threshold_source, metrics["threshold_source"], done.stdout):
        assert "--validate-share 0.5, seed 42" in text
    assert metrics["at_shipped_threshold"]["threshold"] == Inspector.load(model).threshold
    assert "at the shipped threshold" in done.stdout
    plain = run_inside(*command)
    assert "taken from" not in plain.stdout, "figures at the threshold of the search"
    again = json.loads((tmp_path / "out/plate/metrics.json").read_text())
    assert again["n_images"] == metrics["n_images"]
    assert again["threshold_source"] == "healthy training photos"
    assert "taken from" in run_inside(*command).stdout
    assert "taken from" not in run_inside(*command, "--seed", "7").stdout


def test_figures_of_changed_images_or_masks_are_not_taken(tmp_path: Path) -> None:
    shutil.copytree("mvtec/plate", tmp_path / "plate")
    command = (
        "evaluate.py", "--mvtec-dir", tmp_path, "--category", "plate", "--output", tmp_path / "out", "--no-plots",
    )  # fmt: skip
    for change in (
        lambda: None,
        lambda: (tmp_path / "plate/test/good/000.png").rename(tmp_path / "plate/test/good/900.png"),
        lambda: (tmp_path / "plate/test/good/001.png").touch(),
        lambda: (tmp_path / "plate/ground_truth/blot/000_mask.png").touch(),
    ):
        change()
        assert "taken from" not in run_inside(*command).stdout
        assert "taken from" in run_inside(*command).stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--max-false-alarms", "0.1"),
        ("--validate-share", "1"),
        ("--validate-share", "0.3", "--optimize-threshold", "--on-test-data"),
    ],
)
def test_flags_of_the_search_that_do_not_fit_are_refused(words: tuple[str, ...]) -> None:
    done = run_inside("evaluate.py", "--mvtec-dir", "mvtec", "--category", "plate", *words)
    assert done.returncode == 2
    assert words[0] in done.stderr


def test_mistakes_name_what_is_there() -> None:
    done = run_inside("train.py", "--mvtec-dir", "mvtec", "--category", "plates")
    assert done.returncode == 2
    assert "did you mean plate?" in done.stderr
    done = run_inside("evaluate.py", "--mvtec-dir", "mvtec")
    assert done.returncode == 2
    assert "plate, sheet" in done.stderr


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8-sig").splitlines()


def test_the_catalogue_names_layouts_that_exist_and_a_folder_is_described() -> None:
    listed = run_inside("commands.data_sets", "--list")
    assert listed.returncode == 0
    assert [line.split("  ")[0] for line in listed.stdout.splitlines()[1:-1]] == [one.name for one in CATALOGUE]
    assert {name for one in CATALOGUE for name in one.layout.split(" or ")} == {"mvtec", *PUBLISHED}
    page = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    assert all(one.site in page for one in CATALOGUE)
    told = run_inside("commands.data_sets", "--data-dir", "mvtec", "--layout", "mvtec")
    assert "plate     6 good  3 good, 4 defective  4            big_blot, blot" in told.stdout
    assert run_inside("commands.data_sets").returncode == 2


def test_a_folder_in_another_shape_is_learned_and_measured_by_patterns() -> None:
    patterns = "good={category}/train/good/*,test={category}/test/good/*,defect={category}/test/{defect}/*"
    patterns += ",mask={category}/ground_truth/{defect}/{name}_mask.png"
    shared = ("--data-dir", "mvtec", "--layout", patterns, "--category", "plate")
    done = run_inside("train.py", *shared, *SMALL, "--output", "by_patterns.pkl")
    assert done.returncode == 0, done.stderr
    done = run_inside(
        "evaluate.py", *shared, "--model", "by_patterns.pkl", "--output", "by", "--no-plots", "--keep-maps"
    )
    assert done.returncode == 0, done.stderr
    plain = ("--mvtec-dir", "mvtec", "--category", "plate", "--no-plots")
    run_inside("evaluate.py", *plain, "--model", "by_patterns.pkl", "--output", "as_mvtec")
    figures = [json.loads(Path(f"{folder}/plate/metrics.json").read_text()) for folder in ("by", "as_mvtec")]
    assert [one["aupro"] for one in figures] == [figures[0]["aupro"]] * 2
    assert len(list(Path("by/plate/maps").iterdir())) == 7


def test_logical_and_structural_anomalies_have_figures_of_their_own() -> None:
    mvtec_loco(Path("loco"))
    assert run_inside("train.py", "--data-dir", "loco", *SMALL).returncode == 0
    assert Path("saved_models/mvtec-loco/pushpins.pkl").is_file()
    done = run_inside("evaluate.py", "--data-dir", "loco", "--output", "loco_out", "--no-plots", "--keep-maps")
    assert done.returncode == 0, done.stderr
    assert "AU-sPRO" in done.stdout
    metrics = json.loads(Path("loco_out/pushpins/metrics.json").read_text())
    test = {image.path: image for image in recognise(Path("loco")).load(Path("loco")).category("pushpins").test}
    kept = np.load("loco_out/pushpins/scores.npz", allow_pickle=False)
    maps = [read_map(Path("loco_out/pushpins") / name) for name in kept["map"]]
    images = [test[Path(path)] for path in kept["path"]]
    for kind in ("logical_anomalies", "structural_anomalies"):
        own = [i for i, image in enumerate(images) if image.labels[0] in ("good", kind)]
        expected = au_spro([images[i].regions(maps[i].shape) or [] for i in own], [maps[i] for i in own])
        assert metrics["per_defect"][kind]["au_spro"] == pytest.approx(expected, abs=0.02)  # float16
        truth, scores = kept["is_anomalous"][own], kept["score"][own]
        assert metrics["per_defect"][kind]["image_auroc"] == pytest.approx(roc_auc_score(truth, scores))
    assert metrics["au_spro"] == pytest.approx(np.mean([one["au_spro"] for one in metrics["per_defect"].values()]))
