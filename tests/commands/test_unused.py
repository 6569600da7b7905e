"""What looks like data and was not used is named once, with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_factory import part, save

from fastener.commands import data
from fastener.datasets.layouts import LAYOUTS


def warnings(root: Path, layout: str, names: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    dataset = LAYOUTS[layout].load(root)
    data.report_unused(dataset, names)
    return capsys.readouterr().err.splitlines()


def test_what_a_category_leaves_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("nut", "bolt"):
        save(part(0), tmp_path / name / "train/good/0.png")
        save(part(1), tmp_path / name / "test/scratch/0.png")
        save(part(1), tmp_path / name / "ground_truth/scratch/0_mask.png")
    assert warnings(tmp_path, "mvtec", ["nut"], capsys) == []
    save(part(1), tmp_path / "nut/ground_truth/scratch/9_mask.png")
    save(part(1), tmp_path / "nut/val/good/0.png")
    save(part(1), tmp_path / "nut/test/loose.png")
    (tmp_path / "nut/test/scratch/1.heic").touch()
    save(part(1), tmp_path / "screw/photos/0.png")
    told = warnings(tmp_path, "mvtec", ["nut"], capsys)
    assert len(told) == 4
    reasons = {"9_mask.png": "no photo", "val/good/0.png": "no split", "1.heic": "cannot", "screw": "no category"}
    for name, reason in reasons.items():
        assert [line for line in told if name in line and reason in line], (name, told)


def test_what_splits_leave_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "valid"):
        save(part(0), tmp_path / split / "0.png")
        (tmp_path / split / "_classes.csv").write_text("filename,good\n0.png,1\n")
    save(part(1), tmp_path / "holdout" / "0.png")
    (line,) = warnings(tmp_path, "csv", [""], capsys)
    assert "holdout/0.png" in line


def test_time_series_beside_splits_are_no_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(part(0), tmp_path / "train" / "0.png")
    (tmp_path / "train" / "_classes.csv").write_text("filename,good\n0.png,1\n")
    for hours in (0, 24):
        save(part(1), tmp_path / "components" / f"Nut Black-T{hours}.png")
    data.report_unused(LAYOUTS["csv"].load(tmp_path), [""])
    told = capsys.readouterr()
    assert told.err == ""
    assert f"{tmp_path / 'components'}: 2 photos of time series; corrosion_analysis.py --dir" in told.out
