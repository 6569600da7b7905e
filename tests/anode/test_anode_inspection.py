"""anode_inspection.py from rendered slices to pictures, tables and a summary."""

from __future__ import annotations

import csv
import json
import os
import shutil
from argparse import Namespace
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from data_factory import ROOT, run_inside
from PIL import Image

from fastener.anode.evaluation import evaluate
from fastener.anode.good_slices import read_good_slices
from fastener.anode.hits import Box, Found, Hit, find_runs
from fastener.anode.patchcore import PatchCoreDetector, train
from fastener.anode.pictures import PictureWriter
from fastener.anode.regions import in_slice
from fastener.anode.settings import AnodeSettings, RegionOfInterest
from fastener.anode.volumes import VolumeResult, inspect_volume
from fastener.commands import ct_jobs
from fastener.common.errors import UserError
from fastener.common.settings import load_settings
from fastener.datasets.ct_folders import list_good_slices, list_volumes
from fastener.datasets.ct_labels import read_labels
from fastener.datasets.ct_slices import CtSlice, Volume
from fastener.datasets.ct_window import Window
from fastener.datasets.images import opened
from fastener.datasets.synthetic.ct import SIZE, write_ct_dataset

PRESET = ROOT / "configs" / "anode.yaml"
SMALL = {"backbone": "filters", "resize_size": [128, 128], "consecutive_slices": 3, "run": {"device": "cpu"}}


def write_settings(folder: Path, name: str = "anode.yaml", **changes: object) -> Path:
    tree = yaml.safe_load(PRESET.read_text(encoding="utf-8"))
    tree |= {
        "input_dir": str(folder / "in"),
        "good_images_dir": str(folder / "good"),
        "output_dir_model_patchcore": str(folder / "models"),
        "output_inference_dir": str(folder / "results"),
        **SMALL,
        **changes,
    }
    path = folder / name
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four good batteries to learn from; a good and a cracked one to inspect, of which one slice is cut short."""
    folder = tmp_path_factory.mktemp("anode")
    write_ct_dataset(folder / "good", good=4, cracked=0, slices=5, seed=1)
    write_ct_dataset(folder / "in", good=1, cracked=1, slices=10, seed=2)
    slice_file = folder / "in" / "good_01" / "axial" / "slice_0004.tif"
    slice_file.write_bytes(slice_file.read_bytes()[:5000])
    settings = write_settings(folder)
    done = run_inside("anode_inspection.py", "train-patchcore", "--config", settings)
    assert done.returncode == 0, done.stderr
    assert "region left" in done.stdout
    assert "threshold" in done.stdout
    done = run_inside("anode_inspection.py", "infer-patchcore", "--config", settings)
    assert done.returncode == 1, done.stderr  # one slice could not be read
    (folder / "said").write_text(done.stdout + done.stderr)
    return folder


def results(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "results" / "results.json").read_text(encoding="utf-8")))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_there_is_a_model_for_each_region(home: Path) -> None:
    assert sorted(path.name for path in (home / "models").iterdir()) == ["left.pkl", "right.pkl"]


def test_every_readable_slice_is_in_exactly_one_folder(home: Path) -> None:
    root = home / "results" / "inference_patchcore"
    pictures = [path.relative_to(root).parts for path in root.rglob("*.png")]
    assert {kind for kind, *_ in pictures} == {"anomaly", "normal"}
    slices = sorted(parts[1:] for parts in pictures)
    expected = [
        (battery, "axial", f"slice_{number:04d}.png")
        for battery in ("cracked_01", "good_01")
        for number in range(10)
        if (battery, number) != ("good_01", 4)
    ]
    assert slices == expected


def test_anomalies_are_those_with_a_box_that_counts(home: Path) -> None:
    root = home / "results" / "inference_patchcore" / "anomaly"
    for volume in results(home)["volumes"]:
        for one in volume["slices"]:
            counted = any(box["counts"] for box in one["boxes"])
            assert (one["result"] == "NG") is counted
            picture = root / volume["battery"] / volume["axis"] / Path(one["file_name"]).with_suffix(".png")
            assert picture.is_file() is counted


def test_boxes_are_drawn_in_slice_coordinates(home: Path) -> None:
    volume = next(v for v in results(home)["volumes"] if v["battery"] == "cracked_01")
    one = next(s for s in volume["slices"] if s["result"] == "NG")
    box = next(b for b in one["boxes"] if b["counts"])
    root = home / "results" / "inference_patchcore" / "anomaly" / "cracked_01" / "axial"
    drawn = np.asarray(Image.open(root / Path(one["file_name"]).with_suffix(".png")).convert("RGB")).astype(int)
    assert drawn.shape == (*SIZE, 3)
    middle = (box["ymin"] + box["ymax"]) // 2
    assert drawn[middle, box["xmin"]].tolist() == [255, 64, 64]
    assert drawn[middle, box["xmax"] - 1].tolist() == [255, 64, 64]


def test_tables_hold_each_slice_and_each_box(home: Path) -> None:
    for volume in results(home)["volumes"]:
        battery = volume["battery"]
        folder = home / "results" / "AI_RESULTS" / battery
        log, detected = rows(folder / f"{battery}_log.csv"), rows(folder / f"{battery}_detected.csv")
        assert [(line["file_name"], line["result"]) for line in log] == [
            (one["file_name"], one["result"]) for one in volume["slices"]
        ]
        assert list(detected[0] if detected else {})[:8] in (
            ["file_name", "xmin", "ymin", "xmax", "ymax", "region", "detector", "score"],
            [],
        )
        counted = [(one["file_name"], box) for one in volume["slices"] for box in one["boxes"] if box["counts"]]
        written = sorted((line["file_name"], int(line["xmin"]), line["region"], line["detector"]) for line in detected)
        assert written == sorted((name, box["xmin"], box["region"], "patchcore") for name, box in counted)
        for region in ("left", "right"):
            in_log = sum(int(line[f"patchcore_{region}"]) for line in log)
            assert in_log == sum(line["region"] == region for line in detected)


def test_the_summary_is_honest(home: Path) -> None:
    said, summary = (home / "said").read_text(), results(home)["summary"]
    assert summary["slices"] == 20
    assert summary["slices_failed"] == 1
    assert "2 batteries, 20 slices, 1 could not be inspected" in said
    assert "slice_0004.tif: damaged" in said
    flagged = {volume["battery"] for volume in results(home)["volumes"] if volume["runs"]}
    assert "cracked_01" in flagged
    assert set(summary["detectors"]["patchcore"]["batteries_ng"]) == flagged
    assert "| patchcore |" in said  # there are labels beside the slices
    assert summary["evaluation"]["patchcore"]["cracked_batteries_found"] == 1
    assert summary["evaluation"]["patchcore"]["good_batteries_flagged"] == len(flagged - {"cracked_01"})


def test_a_second_run_replaces_the_pictures_of_the_first(home: Path, tmp_path: Path) -> None:
    changes = {"output_inference_dir": str(tmp_path), "filter_index_range": {"min": 2, "max": 7}}
    first = write_settings(home, "first.yaml", **changes)
    run_inside("anode_inspection.py", "infer-patchcore", "--config", first)
    before = {path.name for path in (tmp_path / "inference_patchcore").rglob("*.png")}
    assert before == {f"slice_{number:04d}.png" for number in range(2, 8)}
    deaf = write_settings(home, "deaf.yaml", **{**changes, "patchcore_threshold": 1e6, "export_ai_csv_files": False})
    done = run_inside("anode_inspection.py", "infer-patchcore", "--config", deaf)
    assert "NG: 0 of 12 slices, batteries: none" in done.stdout
    assert not list((tmp_path / "inference_patchcore" / "anomaly").rglob("*.png"))
    assert len(list((tmp_path / "inference_patchcore" / "normal").rglob("*.png"))) == 11


def test_slices_that_a_range_leaves_out_are_told_and_no_failure(home: Path, tmp_path: Path) -> None:
    changes = {"output_inference_dir": str(tmp_path), "filter_index_range": {"min": 5, "max": 9}}
    done = run_inside(
        "anode_inspection.py", "infer-patchcore", "--config", write_settings(home, "some.yaml", **changes)
    )
    assert done.returncode == 0, done.stderr
    said = "warning: 10 slice(s) with numbers outside filter_index_range are left out; set it to null to take in all\n"
    assert done.stderr.startswith(said)
    others = done.stderr.removeprefix(said).splitlines()
    assert len(others) == 2
    assert all("good slices of 4 battery(ies)" in line for line in others)
    assert "left out" not in (home / "said").read_text()


def test_labels_of_axes_that_are_not_inspected_are_no_error(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "in", tmp_path / "in")
    shutil.copytree(home / "in" / "good_01" / "axial", tmp_path / "in" / "good_01" / "coronal")
    (tmp_path / "in" / "good_01" / "coronal" / "slice_0004.tif").unlink()
    changes = {"input_dir": str(tmp_path / "in"), "output_inference_dir": str(tmp_path / "out")}
    settings = write_settings(home, "axes.yaml", axis_names=["coronal"], **changes)
    done = run_inside("anode_inspection.py", "infer-patchcore", "--config", settings)
    assert done.returncode == 0, done.stderr
    evaluation = json.loads((tmp_path / "out" / "results.json").read_text())["summary"]["evaluation"]["patchcore"]
    assert (evaluation["cracked_batteries"], evaluation["good_batteries"]) == (0, 1)


def test_results_of_an_earlier_run_are_told(home: Path, tmp_path: Path) -> None:
    """They are kept, as nobody knows whether someone needs them."""
    places = [
        "inference_rf_detr/anomaly/cracked_01/axial/slice_0001.png",
        "inference_rf_detr/normal/cracked_01/axial/slice_0002.png",
        "inference_patchcore/anomaly/gone/axial/slice_0001.png",
        "AI_RESULTS/gone/gone_log.csv",
    ]
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_bytes(b"earlier")
    (tmp_path / "inference_patchcore" / "normal" / "gone" / "axial").mkdir(parents=True)
    settings = write_settings(home, "again.yaml", output_inference_dir=str(tmp_path))
    done = run_inside("anode_inspection.py", "infer-patchcore", "--config", settings)
    old = "inference_patchcore/anomaly/gone/axial, inference_rf_detr, AI_RESULTS/gone"
    lines = [line for line in done.stderr.splitlines() if "earlier run" in line]
    assert lines == [
        f"warning: {tmp_path}: {old} are of an earlier run; move them away, so that they are not taken for new ones"
    ]
    assert all((tmp_path / place).read_bytes() == b"earlier" for place in places)
    assert "earlier run" not in (home / "said").read_text()


@pytest.mark.parametrize(
    ("changes", "command", "words"),
    [
        ({"input_dir": "nowhere"}, "infer-patchcore", "nowhere: no such folder"),
        ({"output_dir_model_patchcore": "nowhere"}, "infer-patchcore", "no model at nowhere"),
        ({"axis_names": ["sagittal"]}, "infer-patchcore", "no axis folder is named sagittal; there are: axial"),
        (
            {"roi_config": [{"x_min": 0, "x_max": 999, "y_min": 0, "y_max": 50, "name": "wide"}]},
            "train-patchcore",
            "region wide",
        ),
        ({"backbones": "filters"}, "train-patchcore", "unknown setting 'backbones'"),
    ],
)
def test_errors_are_one_line_and_write_nothing(
    changes: dict[str, Any], command: str, words: str, home: Path, tmp_path: Path
) -> None:
    settings = write_settings(home, "wrong.yaml", output_inference_dir=str(tmp_path / "out"), **changes)
    done = run_inside("anode_inspection.py", command, "--config", settings)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.*"))


def settings_of(home: Path, **changes: object) -> AnodeSettings:
    return load_settings(AnodeSettings, write_settings(home, "other.yaml", **changes))


def test_a_region_is_learned_by_leaving_out_batteries(home: Path) -> None:
    """Slices of one battery do not vouch for one another: the rows of each battery's bank are its own group."""
    settings = settings_of(home)
    good = read_good_slices(list_good_slices(home / "good"), settings)
    inspector = train(good, settings.roi_config[0], settings)
    groups = inspector.evidence["filters"].state()["bank_groups"]
    assert sorted(set(groups.tolist())) == [0, 1, 2, 3]
    assert len(inspector.decision.healthy_joined) == 20
    assert inspector.report is not None
    assert all(one.name.startswith("good_0") and "/axial/slice_0" in one.name for one in inspector.report.highest)


def test_a_flat_folder_is_one_volume_and_says_so(home: Path, tmp_path: Path) -> None:
    for path in sorted((home / "good" / "good_01" / "axial").iterdir()):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings, said = settings_of(home), list[str]()
    good = read_good_slices(list_good_slices(tmp_path), settings)
    inspector = train(good, settings.roi_config[0], settings, warn=said.append)
    assert any("good slices of 1 battery" in line for line in said)
    assert len(inspector.training.groups) == 5
    for path in sorted(tmp_path.iterdir())[1:]:
        path.unlink()
    good = read_good_slices(list_good_slices(tmp_path), settings)
    with pytest.raises(UserError, match="at least two are needed"):
        train(good, settings.roi_config[0], settings)


def test_a_number_as_threshold_is_taken_as_it_is(home: Path) -> None:
    calibrated = PatchCoreDetector.load("left", settings_of(home), "cpu")
    assert calibrated.threshold == calibrated.inspector.threshold
    assert PatchCoreDetector.load("left", settings_of(home, patchcore_threshold=7.5), "cpu").threshold == 7.5


def test_slices_of_another_size_cost_themselves(home: Path, tmp_path: Path) -> None:
    source = home / "in" / "cracked_01" / "axial"
    folder = tmp_path / "b" / "axial"
    folder.mkdir(parents=True)
    for path in sorted(source.iterdir())[:3]:
        (folder / path.name).write_bytes(path.read_bytes())
    Image.fromarray(np.random.default_rng(0).integers(0, 9000, (60, 60)).astype(np.uint16)).save(folder / "s_0003.tif")
    settings = settings_of(home)
    detectors = {"patchcore": {n: PatchCoreDetector.load(n, settings, "cpu") for n in ("left", "right")}}
    (volume,) = list_volumes(tmp_path).volumes
    result = inspect_volume(volume, settings, detectors)
    assert list(result.errors) == [3]
    assert "reaches outside slice" in result.errors[3]


def test_good_slices_that_cannot_be_read_are_counted_and_told_by_the_exit_code(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(home / "good" / "good_01" / "axial", tmp_path / "good")
    (tmp_path / "good" / "slice_0001.tif").write_bytes(b"no slice")
    settings = settings_of(home, good_images_dir=str(tmp_path / "good"))
    settings = settings.model_copy(update={"output_dir_model_patchcore": tmp_path / "models"})
    assert ct_jobs.train_patchcore(settings, Namespace(update=False, weights=None)) == 1
    said = capsys.readouterr()
    assert "slice_0001.tif" in said.err
    assert "1 file(s), slice(s) or folder(s) were not read" in said.out
    assert "with one stretch of neighbouring slices left out" in said.out
    assert "How batteries differ is not known from one" in said.err


class Blind:
    def find(self, images: Sequence[np.ndarray]) -> list[Found]:
        return [Found([]) for _ in images]


def test_each_slice_is_decoded_once(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the time grows with the square of the pages of a stack: it is opened once for window, boxes and pictures."""
    rng = np.random.default_rng(0)
    first, *more = (Image.fromarray(rng.integers(0, 60_000, SIZE).astype(np.uint16)) for _ in range(12))
    folder = tmp_path / "in" / "b" / "axial"
    folder.mkdir(parents=True)
    first.save(folder / "scan_0000.tif", save_all=True, append_images=more)
    listing = list_volumes(tmp_path / "in")
    settings = settings_of(home, run={"device": "cpu", "workers": 2, "batch_size": 3})
    openings: list[Path] = []

    def counting(path: Path) -> AbstractContextManager[Image.Image]:
        openings.append(path)
        return opened(path)

    monkeypatch.setattr("fastener.datasets.ct_slices.opened", counting)
    blind = {region.name: Blind() for region in settings.roi_config}
    volume, detectors = listing.volumes[0], {"patchcore": blind}
    result = inspect_volume(volume, settings, detectors, show=PictureWriter(volume, detectors, tmp_path / "out"))
    assert not result.errors
    assert len(list((tmp_path / "out").rglob("*.png"))) == 12
    assert len(openings) == 1
    openings.clear()
    read_good_slices(listing, settings)
    assert len(openings) == 1
    openings.clear()
    monkeypatch.setattr("fastener.datasets.ct_slices._KEPT_BYTES", 0)  # a volume too large to be kept in memory
    inspect_volume(volume, settings, detectors)
    assert len(openings) <= 1 + 2


def test_a_model_of_another_size_is_not_used(home: Path) -> None:
    settings = settings_of(home)
    other = settings.model_copy(update={"resize_size": (64, 32)})
    with pytest.raises(UserError, match=r"was trained with resize_size .* not \(64, 32\); train it again"):
        PatchCoreDetector.load("left", other, "cpu")


def test_a_region_that_moved_or_another_grey_window_is_noticed(home: Path) -> None:
    settings = settings_of(home)
    moved = tuple(one.model_copy(update={"x_max": one.x_max + 1}) for one in settings.roi_config)
    for update, words in (
        ({"roi_config": moved}, r"trained with roi_config x 24 to 152, y 64 to 192, not x 24 to 153, y 64 to 192;"),
        ({"window_percentiles": (1.0, 99.0)}, r"trained with window_percentiles 0\.5 to 99\.5, not 1 to 99;"),
    ):
        with pytest.raises(UserError, match=words):
            PatchCoreDetector.load("left", settings.model_copy(update=update), "cpu")


def test_boxes_move_outwards_to_whole_pixels() -> None:
    """A box within one column keeps an area; beyond the region it is cut."""
    region = RegionOfInterest(x_min=10, x_max=50, y_min=20, y_max=40, name="left")
    hit = in_slice(Box(0.2, 3.0, 0.4, 30.0, 2.0, "crack", 7.0), region, 5)
    assert hit == Hit(5, "left", Box(10, 23, 11, 40, 2.0, "crack", 7.0))


@pytest.mark.slow
def test_synthetic_batteries_forty_slices_each(tmp_path: Path) -> None:
    """Every cracked battery is found, no good one has four slices in a row, and boxes fit."""
    write_ct_dataset(tmp_path / "good", good=3, cracked=0, slices=10, seed=21)
    write_ct_dataset(tmp_path / "in", good=3, cracked=3, slices=40, seed=22)
    settings = load_settings(AnodeSettings, PRESET, ["backbone=filters", "run.device=cpu", "resize_size=[224, 224]"])
    good = read_good_slices(list_good_slices(tmp_path / "good"), settings)
    detectors = {
        "patchcore": {r.name: PatchCoreDetector(train(good, r, settings), settings) for r in settings.roi_config}
    }
    volumes = list_volumes(tmp_path / "in").volumes
    found = [inspect_volume(volume, settings, detectors) for volume in volumes]
    figures = evaluate(found, read_labels(tmp_path / "in" / "labels.csv", volumes), settings)["patchcore"]
    assert (figures["cracked_batteries_found"], figures["good_batteries_flagged"]) == (3, 0)
    assert figures["mean_iou"] >= 0.5


def test_the_lesser_part_of_a_crack_is_neither_missed_nor_false() -> None:
    """40 of 100 pixels of the crack lie in the region: a box there is no false one, and the battery no good one."""
    region = RegionOfInterest(x_min=0, x_max=50, y_min=0, y_max=50, name="left")
    settings = AnodeSettings(roi_config=[region], consecutive_slices=1)
    slices = tuple(CtSlice(Path(f"s_{number}.tif"), 0, number, f"s_{number}") for number in (0, 1))
    hit = Hit(0, "left", Box(46, 0, 50, 10, 2.0, "crack"))
    result = VolumeResult(Volume("b", "x", slices), Window(0, 1), {}, {"any": [hit]}, {"any": find_runs([hit], 1)})
    figures = evaluate([result], {("b", "x", 0): [(46.0, 0.0, 56.0, 10.0)]}, settings)["any"]
    assert (figures["defects"], figures["false_boxes_per_good_image"]) == (0, 0)
    assert (figures["cracked_batteries"], figures["good_batteries"], figures["good_batteries_flagged"]) == (0, 0, 0)


def test_names_of_any_script_come_through(home: Path, tmp_path: Path) -> None:
    source = home / "in" / "cracked_01" / "axial"
    folder = tmp_path / "in" / "电池 7" / "ось"
    folder.mkdir(parents=True)
    for number, path in enumerate(sorted(source.iterdir())[:2]):
        (folder / f"срез_{number}.tif").write_bytes(path.read_bytes())
    (folder / os.fsdecode(b"\xff_2.tif")).write_bytes(path.read_bytes())
    changes = {
        "input_dir": str(tmp_path / "in"),
        "output_inference_dir": str(tmp_path / "out"),
        "consecutive_slices": 1,
    }
    done = run_inside(
        "anode_inspection.py", "infer-patchcore", "--config", write_settings(home, "names.yaml", **changes)
    )
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "out" / "AI_RESULTS" / "电池 7" / "电池 7_log.csv").read_text(encoding="utf-8")
    assert "срез_1.tif,ось," in log
    assert len(list((tmp_path / "out" / "inference_patchcore").rglob("*.png"))) == 3
    assert json.loads((tmp_path / "out" / "results.json").read_text())["volumes"][0]["battery"] == "电池 7"
