"""The flags of the laboratory on rendered series: file names, lots, requirement, scale bar, animations and the PDF."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from corrosion_factory import rendered, small_inspector, write_photo
from PIL import Image

from fastener import corrosion_analysis


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pkl"
    small_inspector().save(path)
    return path


def with_bar(photo: np.ndarray, length: int) -> np.ndarray:
    drawn = photo.copy()
    bottom = drawn.shape[0] - 12
    cv2.rectangle(drawn, (10, bottom), (10 + length - 1, bottom + 2), (0, 0, 0), -1)
    return drawn


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model: Path) -> tuple[int, Path, str]:
    """Two specimens of a lot, one of which rusts, with a scale bar of 2 mm in all photos but one."""
    photos, output = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("report")
    new, rusty = (part.image for part in rendered((0.0, 0.2)))
    for name, photo in (("Bolt-S1_0d", new), ("Bolt-S1_1d", rusty), ("Bolt-S2_0d", new)):
        write_photo(photos, f"{name}.png", with_bar(photo, 80))
    write_photo(photos, "Bolt-S2_1d.png", new)
    write_photo(photos, "Nut 3h.png", new)
    sheet = photos / "sheet.yaml"
    sheet.write_text("test: neutral salt spray\noperator: A & B\n")
    arguments = ["--model", model, "--dir", photos, "--output", output, "--pattern", "{component}-S{sample}_{days}d"]
    arguments += ["--require", "red 24", "--scale-bar", "2", "--gif", "--sheet", sheet, "--set", "corrosion.frame=256"]
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr(sys, "argv", ["corrosion_analysis.py", *map(str, arguments)])
        patch.setattr("fastener.commands.cli.warn", said.append)
        code = corrosion_analysis.main()
    return code, output, "\n".join(said)


@pytest.fixture(scope="module")
def report(run: tuple[int, Path, str]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run[1] / "report.json").read_text())
    return content


def test_the_lot_fails_and_so_does_the_script(run: tuple[int, Path, str], report: dict[str, Any]) -> None:
    assert run[0] == 1
    (lot,) = report["lots"]
    assert (lot["lot"], lot["specimens"]) == ("Bolt", ["Bolt #1", "Bolt #2"])
    assert lot["requirements"]["all"] == "fail"
    assert lot["first_red_corrosion_h"] == [0.0, 24.0]
    assert {one["component"]: one["requirements"]["all"] for one in report["components"]} == {
        "Bolt #1": "fail",
        "Bolt #2": "pass",
    }
    assert lot["timepoints"]["24"]["colour_rust_pct"]["worst"] == pytest.approx(20.0, abs=3.0)


def test_areas_come_from_the_bar_and_a_missing_one_is_named(run: tuple[int, Path, str], report: dict[str, Any]) -> None:
    first, second = report["components"]
    part = rendered((0.0, 0.2))[1]
    area = first["timepoints"]["24"]["rust_area_mm2"]
    assert area == pytest.approx(part.defect_mask.sum() * (2 / 80) ** 2, rel=0.1)
    late = second["timepoints"]["24"]
    assert late["rust_area_mm2"] is None
    assert any("no scale bar" in flag for flag in late["shots"][0]["quality"])
    assert "no scale bar found in 1 of 4 photos" in run[2]


def test_a_name_that_does_not_fit_is_named_with_a_pattern(run: tuple[int, Path, str], report: dict[str, Any]) -> None:
    assert "--pattern '{component} {hours}h[-{view}]' would fit" in report["skipped_because"]["Nut 3h.png"]


def test_the_report_rests_on_photos_with_checksums(report: dict[str, Any]) -> None:
    assert len(report["photos"]) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", photo["sha256"]) for photo in report["photos"])
    assert report["sheet"] == {"Test": "neutral salt spray", "Operator": "A & B"}
    assert report["software"]["fastener"]


def test_an_animation_shows_each_moment(run: tuple[int, Path, str]) -> None:
    with Image.open(run[1] / "animations" / "Bolt #1_view1.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 2
        assert animation.info["loop"] == 0
    assert "A &amp; B" in (run[1] / "report.html").read_text()


def test_the_pdf_has_pages_of_a4(run: tuple[int, Path, str]) -> None:
    content = (run[1] / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    pages = re.findall(rb"/MediaBox \[ 0 0 ([0-9.]+) ([0-9.]+) \]", content)
    assert len(pages) >= 3
    assert {(round(float(width)), round(float(height))) for width, height in pages} == {(595, 842)}
