"""What a run says about itself: doubts, proposals, bridged slices, legends; with figures that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_factory import ROOT

from fastener.anode.doubts import about_threshold, doubts, suggestion
from fastener.anode.hits import Box, Hit, counted_in, find_runs, length
from fastener.anode.overview import HitSheet, write_overview
from fastener.anode.pictures import PictureWriter
from fastener.anode.report import told, write_json, write_tables
from fastener.anode.settings import AnodeSettings
from fastener.anode.strip import strip_picture
from fastener.anode.volumes import InspectedSlice, VolumeResult
from fastener.anode.wording import of_slices
from fastener.common.settings import load_settings
from fastener.datasets.ct_slices import CtSlice, Volume
from fastener.datasets.ct_window import Window
from fastener.inspection import fonts


def settings(folder: Path, *changes: str) -> AnodeSettings:
    preset = ROOT / "configs" / "anode.yaml"
    return load_settings(AnodeSettings, preset, [f"output_inference_dir={folder}", "consecutive_slices=3", *changes])


def hit(number: int, label: str = "crack") -> Hit:
    return Hit(number, "left", Box(30, 70, 60, 90, 3.0, label))


def result(battery: str, peak: float, hits: tuple[int, ...] = (), unreadable: tuple[int, ...] = ()) -> VolumeResult:
    """Ten slices that all peak at about the same score."""
    slices = tuple(CtSlice(Path(f"{battery}/s_{n}.tif"), 0, n, f"s_{n}") for n in range(10))
    found = [hit(n) for n in hits]
    runs = find_runs(found, 3, 1, unreadable)
    peaks = {(n, "left"): peak + n / 100 for n in range(10) if n not in unreadable}
    profiles = {key: np.full(8, value, np.float32) for key, value in peaks.items()}
    return VolumeResult(
        Volume(battery, "axial", slices, spacing=0.5),
        Window(0, 255),
        dict.fromkeys(unreadable, "cannot be read"),
        {"patchcore": found},
        {"patchcore": runs},
        {"patchcore": peaks},
        {"patchcore": profiles},
    )


def test_slices_that_cannot_be_read_are_passed_over() -> None:
    numbers = (2, 3, 5, 6)
    assert find_runs([hit(n) for n in numbers], 3) == []
    (run,) = find_runs([hit(n) for n in numbers], 3, 1, {4})
    assert (run.first, run.last, run.bridged, length(run, 1)) == (2, 6, (4,), 4)
    # Unreadable slices are no hits: three slices are not made out of two.
    assert find_runs([hit(2), hit(5)], 3, 1, {3, 4}) == []
    by_number = {n: [hit(n)] for n in numbers}
    assert all(counted_in(n, by_number, 3, 1, {4}) for n in numbers)


def test_nearly_all_slices_ng_is_doubted(tmp_path: Path) -> None:
    bad, good = result("a", 9.0, tuple(range(10))), result("b", 1.0)
    assert any("10 of 10 slices are NG" in line for line in doubts([bad], settings(tmp_path)))
    assert list(doubts([bad, good], settings(tmp_path))) == []


def test_a_battery_unlike_all_others_is_named(tmp_path: Path) -> None:
    alike = [result(f"b{n}", 1 + n / 20) for n in range(6)]
    assert list(doubts(alike, settings(tmp_path))) == []
    (line,) = doubts([*alike, result("odd", 9.0)], settings(tmp_path))
    assert "battery odd is unlike all others" in line


def test_a_number_as_threshold_is_set_beside_the_calibrated_one(tmp_path: Path) -> None:
    (line,) = about_threshold(settings(tmp_path, "patchcore_threshold=2.5"), {"left": 3.25})
    assert "2.5 is used" in line
    assert "3.250" in line
    assert list(about_threshold(settings(tmp_path), {"left": 3.25})) == []


def test_a_suggestion_lies_between_good_slices_and_a_cracked_battery(tmp_path: Path) -> None:
    runs = [*(result(f"b{n}", 1 + n / 50) for n in range(12)), result("cracked", 8.0)]
    lines = list(suggestion(runs, settings(tmp_path), {"left": 2.0}))
    assert "is a guess by 130 slices" in lines[0]
    assert 1.3 < float(lines[-1].rsplit(" ", 1)[1]) < 8


def test_a_guess_that_can_be_worth_nothing_says_when(tmp_path: Path) -> None:
    chosen, good = settings(tmp_path), [result(f"b{n}", 1 + n / 50) for n in range(3)]
    cracked = [result(f"c{n}", 8.0) for n in range(4)]
    assert "if they are cracked" in next(suggestion([*good, *cracked], chosen, {"left": 2.0}))
    learned = [result(f"b{n}", 0.05) for n in range(3)]
    assert "slices that the model has learned say nothing" in next(suggestion(learned, chosen, {"left": 2.0}))
    few = result("b", 1.0, unreadable=tuple(range(6)))
    assert next(suggestion([few], chosen, {"left": 2.0})) == (
        "region left: 4 slices are too few for a guess; 8 are needed"
    )


def test_what_an_inspector_says_is_said_of_slices() -> None:
    assert of_slices(
        "only 60% of synthetic defects are found at this threshold: look at the oddest training photos "
        "(train.py --review), add healthy photos, or choose a larger --alpha"
    ) == (
        "only 60% of synthetic defects are found at this threshold: look at the oddest good slices, add good slices, "
        "or choose a larger patchcore.alpha"
    )
    assert of_slices("no model; train.py, --model") == (
        "no model; anode_inspection.py train-patchcore, output_dir_model_patchcore"
    )


def test_results_hold_peaks_and_bridges(tmp_path: Path) -> None:
    one = result("a", 1.0, (2, 3, 5), unreadable=(4,))
    chosen = settings(tmp_path)
    write_tables([one], chosen)
    write_json([one], {}, chosen)
    header, first, *_ = (tmp_path / "AI_RESULTS/a/a_log.csv").read_text().splitlines()
    assert header.endswith("patchcore_left,patchcore_right,patchcore_left_peak,patchcore_right_peak")
    assert first == "s_0.tif,axial,OK,0,0,1.0,"
    text = (tmp_path / "results.json").read_text()
    assert '"bridged": [\n      4\n     ]' in text
    assert '"length_mm": 2.0' in text  # slices 2 to 5, 0.5 mm apart


def test_the_overview_has_a_strip_a_region_and_a_sheet_of_hits(tmp_path: Path) -> None:
    one, chosen = result("a", 1.0, (2, 3, 4), unreadable=(7,)), settings(tmp_path)
    sheet = HitSheet(chosen)
    for part in one.volume.slices:
        counted = {"patchcore": one.counted["patchcore"].get(part.number, [])}
        sheet(InspectedSlice(part, np.full((256, 384), 90, np.uint8), counted))
    written = write_overview(one, sheet, chosen, {"patchcore": {"left": 2.0, "right": 2.0}})
    assert [path.name for path in written] == ["axial_patchcore_left_strip.png", "axial_hits.png"]
    assert len(sheet.pictures) == 3


def test_a_strip_shows_where_a_crack_is_and_marks_its_run(tmp_path: Path) -> None:
    one = result("a", 1.0, (2, 3, 4))
    strip = np.zeros((16, 10), np.float32)
    strip[4:6, 2:5], strip[:, 7] = 20.0, np.nan
    (run,) = one.runs["patchcore"]
    text = told(run, one.volume)
    assert text == "slices 2 to 4: 3 slices, 1.5 mm"
    drawn = strip_picture(strip, 2.0, title="a", numbers=list(range(10)), runs={run: text})
    assert drawn[20 + 50, 315].tolist() == [252, 255, 164]  # the brightest of inferno, at the crack
    assert drawn[20 + 50, 100].tolist() == [0, 0, 4]
    assert drawn[20 + 50, 675].tolist() == [255, 255, 255]
    bar = (drawn[180:] == (255, 64, 64)).all(axis=2).any(axis=0).nonzero()[0]
    assert (bar[0], bar[-1]) == (180, 449)


def test_a_label_without_a_font_becomes_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_of_system", lambda: ())
    fonts.font_file.cache_clear()
    volume = Volume("a", "axial", (CtSlice(Path("s.tif"), 0, 0, "s"),))
    writer = PictureWriter(volume, ["patchcore"], tmp_path)
    shown = {"patchcore": [hit(0, "亀裂"), hit(0, "crack")]}
    writer(InspectedSlice(volume.slices[0], np.full((256, 384), 90, np.uint8), shown))
    assert fonts.drawable("亀裂 1") == "?? 1"
    assert (tmp_path / "inference_patchcore/legend.txt").read_text(encoding="utf-8") == "1: 亀裂\n"
    fonts.font_file.cache_clear()


def test_a_font_of_the_system_is_taken_for_other_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fonts.font_file("crack Ω ü") == fonts.bundled()
    other = tmp_path / "NotoSansCJK.ttc"
    monkeypatch.setattr(fonts, "_of_system", lambda: (other,))
    monkeypatch.setattr(fonts, "_characters", lambda path: frozenset(map(ord, "亀裂" if path == other else "abc")))
    fonts.font_file.cache_clear()
    assert fonts.font_file("亀裂") == other
    fonts.font_file.cache_clear()
