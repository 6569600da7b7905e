"""The script on rendered series: every file and its content, gaps, missing T0, bad photos, a page without network."""

from __future__ import annotations

import csv
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from corrosion_factory import analyse, rendered, small_inspector, write_photo, write_series

from fastener import corrosion_analysis
from fastener.common.errors import UserError

POINT_KEYS = {
    "mean_score",
    "colour_rust_pct",
    "colour_rust_ci95",
    "white_corrosion_pct",
    "white_corrosion_ci95",
    "dark_pct",
    "dark_ci95",
    "worst_view",
    "colour_tarnish_pct",
    "colour_green_ox_pct",
    "colour_delta_vs_t0",
    "colour_delta_vs_prev",
    "tarnish_delta_vs_t0",
    "green_ox_delta_vs_t0",
    "heatmap_growth_pct",
    "heatmap_growth_delta_vs_t0",
    "is_rusting",
    "status",
    "severity",
    "damage_type",
    "shots",
}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["corrosion_analysis.py", *map(str, arguments)])
    return corrosion_analysis.main()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pkl"
    small_inspector().save(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rusting bolt with T48 missing, a sound one at other hours, one without T0, and a file of another kind."""
    folder = tmp_path_factory.mktemp("components")
    write_series(folder, "Rusty <b>&", [part.image for part in rendered((0.0, 0.1, 0.3))], ["0", "24", "72"])
    write_series(folder, "Sound", [part.image for part in rendered((0.0, 0.0, 0.0))], ["0-1", "2.5", "48"])
    write_series(folder, "Late", [part.image for part in rendered((0.1, 0.2))], ["24", "168"])
    write_photo(folder, "notes.png", rendered((0.0,))[0].image)
    return folder


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, model: Path, photos: Path) -> Path:
    folder = tmp_path_factory.mktemp("report")
    arguments = ["--model", model, "--dir", photos, "--output", folder, "--mm-per-pixel", 0.1, "--until", "Severe"]
    with pytest.MonkeyPatch.context() as patch:
        assert run(patch, *arguments, "--set", "corrosion.frame=256") == 0
    return folder


@pytest.fixture(scope="module")
def report(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / "report.json").read_text())
    return content


def component(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in report["components"] if one["component"] == name)


def test_every_file_is_written(output: Path) -> None:
    assert {path.name for path in output.iterdir()} == {
        "report.json",
        "report.csv",
        "report.html",
        "report.pdf",
        "summary.txt",
        "plots",
        "overlays",
    }
    assert {path.name for path in (output / "plots").iterdir()} == {
        "progression.png",
        "score_timeline.png",
        "delta_bars.png",
        "Late_grid.png",
        "Rusty _b_&_grid.png",
        "Sound_grid.png",
    }
    assert len(list((output / "overlays").glob("*_overlays.png"))) == 3


def test_json_keeps_its_contract(report: dict[str, Any], model: Path) -> None:
    assert report["model"] == str(model)
    assert report["model_threshold"] == pytest.approx(small_inspector().threshold, abs=1e-5)
    assert report["settings"]["corrosion"]["frame"] == 256
    assert report["skipped"] == ["notes.png"]
    for one in report["components"]:
        for point in one["timepoints"].values():
            assert set(point) >= POINT_KEYS | {"rust_area_mm2"}
            low, high = point["colour_rust_ci95"]
            assert 0 <= low <= point["colour_rust_pct"] <= high <= 100


def test_rusting_series_is_reported_as_such(report: dict[str, Any]) -> None:
    rusty = component(report, "Rusty <b>&")
    assert list(rusty["timepoints"]) == ["0", "24", "72"]
    first, middle, last = rusty["timepoints"].values()
    assert (first["status"], middle["status"], last["status"]) == ("BASELINE", "DEGRADING", "DEGRADING")
    assert last["is_rusting"]
    assert last["damage_type"].startswith("rust")
    assert last["severity"] in ("Severe", "Critical")
    assert last["colour_delta_vs_t0"] == pytest.approx(30.0, abs=3.0)
    assert last["colour_delta_vs_prev"] == pytest.approx(20.0, abs=3.0)
    assert last["heatmap_growth_delta_vs_t0"] > middle["heatmap_growth_delta_vs_t0"] > 0
    assert rusty["colour_rate"]["points_per_24h"] == pytest.approx(10.0, abs=1.0)
    assert rusty["forecast"]["reached_at"] is not None


def test_sound_series_is_stable(report: dict[str, Any]) -> None:
    points = component(report, "Sound")["timepoints"]
    assert list(points) == ["0", "2.5", "48"]
    assert [point["status"] for point in points.values()] == ["BASELINE", "STABLE", "STABLE"]
    assert all(point["severity"] == "None" for point in points.values())


def test_component_without_t0_has_no_deltas_and_says_so(report: dict[str, Any], output: Path) -> None:
    late = component(report, "Late")
    assert (late["has_baseline"], late["t0_colour_rust_pct"]) == (False, None)
    for point in late["timepoints"].values():
        assert point["colour_delta_vs_t0"] is None
        assert point["heatmap_growth_pct"] is None
        assert point["status"] is None
    assert late["timepoints"]["168"]["colour_rust_pct"] == pytest.approx(20.0, abs=3.0)
    assert late["timepoints"]["168"]["colour_delta_vs_prev"] == pytest.approx(10.0, abs=2.0)
    assert "No T0 shot" in (output / "summary.txt").read_text()
    assert "No T0 shot" in (output / "report.html").read_text()


def test_rust_area_is_that_of_the_drawn_rust(report: dict[str, Any]) -> None:
    drawn = rendered((0.0, 0.1, 0.3))[-1].defect_mask.sum()
    area = component(report, "Rusty <b>&")["timepoints"]["72"]["rust_area_mm2"]
    assert area == pytest.approx(drawn * 0.01, rel=0.1)


def test_csv_has_a_line_per_component_and_time_point(report: dict[str, Any], output: Path) -> None:
    with (output / "report.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(one["timepoints"]) for one in report["components"]) == 8
    for row in rows:
        point = component(report, row["component"])["timepoints"][row["hours"]]
        assert float(row["colour_rust_pct"]) == point["colour_rust_pct"]
        assert row["severity"] == point["severity"]


class Page(HTMLParser):
    """What a page would fetch, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_needs_no_network_and_escapes_names(report: dict[str, Any], output: Path) -> None:
    text = (output / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.sources
    assert all(source.startswith("data:image/") for source in page.sources)
    assert not page.tags & {"script", "link", "iframe", "b&"}
    assert not re.search(r"@import|url\(", text)
    assert "Rusty <b>&" in page.text
    for one in report["components"]:
        for point in one["timepoints"].values():
            assert f"{point['colour_rust_pct']:.2f} %" in page.text
    assert "no photo" in page.text


def test_same_input_gives_the_same_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path, photos: Path
) -> None:
    for name in ("a", "b"):
        arguments = [
            "--model",
            model,
            "--dir",
            photos,
            "--output",
            tmp_path / name,
            "--component",
            "Sound",
            "--no-plots",
        ]
        assert run(monkeypatch, *arguments, "--set", "corrosion.frame=256") == 0
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "report.csv",
        "report.html",
        "report.json",
        "report.pdf",
        "summary.txt",
    ]
    for name in ("report.json", "report.html", "report.pdf"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_bad_photo_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: Path
) -> None:
    write_series(tmp_path / "in", "Bolt", [part.image for part in rendered((0.0, 0.2))], ["0", "24"])
    (tmp_path / "in" / "Bolt-T48.jpg").write_bytes(b"no photo")
    (tmp_path / "in" / "Lost-T0.jpg").write_bytes(b"no photo")
    (tmp_path / "in" / "late").mkdir()
    (tmp_path / "in" / "late" / "Bolt-T72.HEIC").write_bytes(b"photo of a kind that is not read")
    arguments = ["--model", model, "--dir", tmp_path / "in", "--output", tmp_path / "out"]
    assert run(monkeypatch, *arguments, "--set", "corrosion.frame=256") == 1
    warnings = capsys.readouterr().err
    assert "Bolt-T48.jpg" in warnings
    assert "skipped late/Bolt-T72.HEIC: .HEIC cannot be read; convert it to JPEG" in warnings
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(component(report, "Bolt")["timepoints"]) == ["0", "24"]
    assert "Bolt-T48.jpg" in component(report, "Bolt")["failed"][0]["path"]
    assert component(report, "Lost")["timepoints"] == {}
    assert report["skipped"] == ["late/Bolt-T72.HEIC"]
    assert "late/Bolt-T72.HEIC: .HEIC cannot be read" in (tmp_path / "out" / "summary.txt").read_text()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--component", "Nobody"], "Rusty"),
        (["--set", "preprocess.size=99"], "corrosion."),
        (["--model", "nowhere.pkl"], "nowhere.pkl"),
        (["--dir", "nowhere"], "nowhere"),
    ],
)
def test_usage_errors_are_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Path, photos: Path, extra: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        run(monkeypatch, "--model", model, "--dir", photos, "--output", tmp_path, *extra)
    assert "\n" not in str(caught.value)


def test_several_shots_of_one_view_widen_the_interval_by_how_much_they_differ(tmp_path: Path) -> None:
    low, high = rendered((0.0, 0.1, 0.3))[1:]
    write_series(tmp_path, "A", [rendered((0.0,))[0].image, low.image, high.image], ["0", "24", "24-1"])
    write_series(tmp_path, "B", [rendered((0.0,))[0].image, low.image, low.image], ["0", "24", "24-1"])
    differing, alike = (one.points[1] for one in analyse(tmp_path))
    assert differing.rust == pytest.approx(20.0, abs=2.0)
    half = 1.96 * 10.0  # two shots at 10 and 30 %: standard error of their mean
    assert differing.rust_ci95[1] - differing.rust > 0.8 * half
    assert alike.rust_ci95[1] - alike.rust < 0.3 * half
