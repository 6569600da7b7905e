"""A category's figures against scikit-learn and against counting by hand."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_factory import ROOT
from mvtec_factory import write_category
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from fastener.common.errors import UserError
from fastener.common.spreadsheet import BOM
from fastener.config import load_config
from fastener.datasets.mvtec import load_category, read_mask
from fastener.evaluation.categories import category_metrics, measure_category
from fastener.evaluation.category_report import examples
from fastener.evaluation.kept_maps import read_map
from fastener.evaluation.measure import Measurement
from fastener.evaluation.pixel_metrics import pixel_metrics
from fastener.evaluation.score_tables import write_scores
from fastener.evaluation.summary_table import (
    defect_rows,
    defects_csv,
    defects_markdown,
    summary_csv,
    summary_markdown,
    summary_rows,
)
from fastener.inspection.inspector import Inspector

CONFIG = load_config(
    ROOT / "configs/mvtec.yaml",
    [
        "evidence=[filters]",
        "preprocess.size=96",
        "model.coreset_ratio=0.2",
        "calibration.alpha=0.2",
        "preprocess.center_crop=0.875",
    ],
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mvtec")
    write_category(folder / "plate")
    return folder


@pytest.fixture(scope="module")
def inspector(root: Path) -> Inspector:
    return Inspector.fit(load_category(root, "plate").train, CONFIG)


@pytest.fixture(scope="module")
def measurement(root: Path, inspector: Inspector) -> Measurement:
    return measure_category(inspector, load_category(root, "plate"))[0]


def test_figures_agree_with_scikit_learn(measurement: Measurement) -> None:
    metrics = category_metrics(measurement, 0.5)
    labels, scores = measurement.labels, measurement.scores
    assert metrics["image_auroc"] == pytest.approx(roc_auc_score(labels, scores))
    maps = np.concatenate([one.photo_map().ravel() for one in measurement.inspections])
    masks = np.concatenate(
        [
            read_mask(image.mask_path, one.photo_size).ravel()
            if image.mask_path
            else np.zeros(one.photo_size, bool).ravel()
            for image, one in zip(measurement.images, measurement.inspections, strict=True)
        ]
    )
    # The centre crop leaves a border that was not inspected: good pixels there are left out, bad ones count as missed.
    kept = ~np.isnan(maps) | masks
    filled = np.where(np.isnan(maps), -1.0, maps)
    assert metrics["pixel_auroc"] == pytest.approx(roc_auc_score(masks[kept], filled[kept]), abs=1e-4)
    assert np.isnan(maps).any()
    assert metrics["pixel_metrics_left_out"] is None
    assert metrics["seconds_per_image"] == 0.5


def test_confusion_and_defects_are_counts(measurement: Measurement) -> None:
    metrics = category_metrics(measurement, 0.0)
    flagged = [one.is_anomalous for one in measurement.inspections]
    pairs = [(image.is_anomalous, flag) for image, flag in zip(measurement.images, flagged, strict=True)]
    assert metrics["confusion"] == {
        "tn": pairs.count((False, False)),
        "fp": pairs.count((False, True)),
        "fn": pairs.count((True, False)),
        "tp": pairs.count((True, True)),
    }
    assert list(metrics["per_defect"]) == ["big_blot", "blot"]
    for name, one in metrics["per_defect"].items():
        member = np.array([image.labels == (name,) for image in measurement.images])
        good = ~measurement.labels
        assert one["n"] == member.sum() == 4
        assert one["mean_score"] == pytest.approx(measurement.scores[member].mean())
        assert one["recall"] == np.mean([flag for flag, inside in zip(flagged, member, strict=True) if inside])
        assert one["image_auroc"] == roc_auc_score(member[member | good], measurement.scores[member | good])
        assert 0.5 < one["aupro"] <= 1


def test_missing_masks_leave_pixel_figures_out_with_the_reason(tmp_path: Path, inspector: Inspector) -> None:
    write_category(tmp_path / "plate", masks=False)
    measurement, seconds = measure_category(inspector, load_category(tmp_path, "plate"))
    metrics = category_metrics(measurement, seconds)
    assert metrics["pixel_auroc"] is metrics["aupro"] is None
    assert metrics["pixel_metrics_left_out"].startswith("8 of 8 defective images have no mask (")
    assert metrics["image_auroc"] is not None
    assert examples(measurement).dtype == np.uint8


def test_a_category_without_test_images_cannot_be_measured(tmp_path: Path, inspector: Inspector) -> None:
    write_category(tmp_path / "plate", n_train=2, n_good=0, n_defect=0)
    with pytest.raises(UserError, match="no test images"):
        measure_category(inspector, load_category(tmp_path, "plate"))


def test_summary_means_skip_what_is_missing() -> None:
    keys = (
        "image_auroc", "image_aupr", "image_f1_max", "pixel_auroc", "pixel_aupr", "pixel_f1_max", "aupro",
        "seconds_per_image",
    )  # fmt: skip
    shares = {
        "n_images": 46, "n_good": 14, "n_anomalous": 32, "n_defects_found": 31, "n_false_alarms": 1, "n_no_part": 0,
        "recall": 31 / 32, "recall_ci95": [0.843, 0.995], "false_positive_rate": 1 / 14,
        "false_positive_rate_ci95": [0.013, 0.315], "image_auroc_ci95": [0.4, 0.6], "threshold_source": "good photos",
    }  # fmt: skip
    one = dict.fromkeys(keys, 0.5) | shares
    other = {**dict.fromkeys(keys, 1.0), "aupro": None, "recall": 1 / 32, "n_no_part": 2, "n_images": 9}
    rows = summary_rows({"bolt": one, "nut": other})
    assert [row["category"] for row in rows] == ["bolt", "nut", "mean"]
    assert rows[-1]["image_auroc"] == 0.75
    assert rows[-1]["aupro"] == 0.5
    assert rows[-1]["recall"] == 0.5
    assert rows[-1]["false_positive_rate"] == 1 / 14
    bolt, nut, mean = csv.DictReader(summary_csv(rows).removeprefix(BOM).splitlines())
    assert [bolt[key] for key in ("recall", "recall_low", "recall_high")] == ["0.96875", "0.843", "0.995"]
    assert [bolt[key] for key in ("n_false_alarms", "n_good", "image_auroc_low")] == ["1", "14", "0.4"]
    assert [nut[key] for key in (*keys, "recall_low")] == ["1.0"] * 6 + ["", "1.0", ""]
    assert mean["n_images"] == "", "a sum among means"
    text = summary_markdown(rows)
    table = [re.sub(" +", " ", line) for line in text.splitlines()]
    assert "| bolt | 46 | 0.500 [0.400, 0.600] | 31/32 97% [84, 100] | 1/14 7% [1, 32] | 0.500 | 0.500 | 500 |" in table
    assert "| mean | - | 0.750 | 50.0% | 7.1% | 0.750 | 0.500 | 750 |" in table
    assert "- nut: 2 of 9 images are NO PART; they count as flagged" in table
    assert "- thresholds: from good photos" in table
    assert max(map(len, table)) <= 120
    assert len({len(line) for line in text.splitlines() if line.startswith("|")}) == 1
    assert len(summary_rows({"bolt": one})) == 1


def test_defects_have_rows_of_their_own(measurement: Measurement) -> None:
    rows = defect_rows({"plate": category_metrics(measurement, 0.5)})
    big, small = csv.DictReader(defects_csv(rows).removeprefix(BOM).splitlines())
    assert [big[key] for key in ("category", "defect_type", "n")] == ["plate", "big_blot", "4"]
    member = measurement.has_defect("blot")
    expected = binomtest(int(measurement.flagged[member].sum()), 4).proportion_ci(method="wilson")
    assert [float(small["recall_low"]), float(small["recall_high"])] == pytest.approx([expected.low, expected.high])
    assert f"{big['n_found']}/4 " in defects_markdown(rows).splitlines()[2]


def test_an_image_without_a_part_counts_as_flagged(measurement: Measurement) -> None:
    good = np.flatnonzero(~measurement.labels)[0]
    inspections = list(measurement.inspections)
    inspections[good] = replace(inspections[good], score=-1.0, problem="no part in it")
    changed = replace(measurement, inspections=tuple(inspections)).judged_by(1e9)
    metrics = category_metrics(changed, 0.5)
    assert (metrics["n_no_part"], metrics["n_false_alarms"], metrics["n_defects_found"]) == (1, 1, 0)
    assert metrics["confusion"] == {"tn": 3, "fp": 1, "fn": 8, "tp": 0}
    assert metrics["false_positive_rate"] == 0.25


def test_kept_maps_give_the_pixel_figures_again(measurement: Measurement, tmp_path: Path) -> None:
    write_scores(measurement, tmp_path, keep_maps=True)
    names = np.load(tmp_path / "scores.npz", allow_pickle=False)["map"]
    again = [read_map(tmp_path / name) for name in names]
    for one, map_ in zip(measurement.inspections, again, strict=True):
        np.testing.assert_allclose(map_, one.photo_map(), rtol=1e-3, atol=1e-3)
    masks = [image.mask(map_.shape) for image, map_ in zip(measurement.images, again, strict=True)]
    truths = [np.zeros(map_.shape, bool) if one is None else one for one, map_ in zip(masks, again, strict=True)]
    figures = pixel_metrics(truths, again)
    assert figures["aupro"] == pytest.approx(category_metrics(measurement, 0.5)["aupro"], abs=1e-3)
    (tmp_path / "maps/other.npz").write_bytes(b"")
    write_scores(measurement, tmp_path)
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["other.npz"]
    with pytest.raises(UserError, match="--keep-maps"):
        read_map(tmp_path / "maps/other.npz")


def test_scores_are_the_same_in_both_files(measurement: Measurement, tmp_path: Path) -> None:
    write_scores(measurement, tmp_path, measurement.part(measurement.labels))
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    arrays = np.load(tmp_path / "scores.npz", allow_pickle=False)
    columns = [
        "path", "is_anomalous", "defect_type", "score", "score_filters", "threshold", "verdict", "problem",
    ]  # fmt: skip
    assert list(rows[0]) == list(arrays) == columns
    assert [Path(row["path"]) for row in rows] == [image.path for image in measurement.images]
    assert [float(row["score"]) for row in rows] == arrays["score"].tolist() == measurement.scores.tolist()
    assert [row["is_anomalous"] == "1" for row in rows] == measurement.labels.tolist()
    assert {row["defect_type"] for row in rows} == {"", "blot", "big_blot"}
    assert arrays["verdict"].tolist() == [one.verdict for one in measurement.inspections]
    assert len((tmp_path / "validation_scores.csv").read_text().splitlines()) == 9
    before = (tmp_path / "scores.npz").read_bytes()
    write_scores(measurement, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.csv", "scores.npz"]
    assert (tmp_path / "scores.npz").read_bytes() == before
