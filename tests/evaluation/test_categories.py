"""A category's figures against scikit-learn and against counting by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_factory import ROOT
from mvtec_factory import write_category
from sklearn.metrics import roc_auc_score

from fastener.common.errors import UserError
from fastener.config import load_config
from fastener.datasets.mvtec import load_category, read_mask
from fastener.evaluation.categories import category_metrics, measure_category
from fastener.evaluation.category_report import examples, summary_csv, summary_markdown, summary_rows
from fastener.evaluation.measure import Measurement
from fastener.inspection.inspector import Inspector

CONFIG = load_config(
    ROOT / "configs/mvtec.yaml",
    ["evidence=[filters]", "preprocess.size=96", "model.coreset_ratio=0.2", "calibration.alpha=0.2"],
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
    assert metrics["pixel_metrics_left_out"] == "8 of 8 defective images have no mask in ground_truth"
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
    one = dict.fromkeys(keys, 0.5)
    other = {**dict.fromkeys(keys, 1.0), "aupro": None}
    rows = summary_rows({"bolt": one, "nut": other})
    assert [row["category"] for row in rows] == ["bolt", "nut", "mean"]
    assert rows[-1]["image_auroc"] == 0.75
    assert rows[-1]["aupro"] == 0.5
    assert summary_csv(rows).splitlines()[2] == "nut,1.0,1.0,1.0,1.0,1.0,1.0,,1.0"
    assert "| nut | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 | - | 1.000 |" in summary_markdown(rows)
    assert len(summary_rows({"bolt": one})) == 1
