"""JSON, CSV and pictures hold what the inspection says, whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from data_factory import part, tiny_config

from fastener.common.errors import UserError
from fastener.common.files import GrowingFile, check_writable, write_atomically
from fastener.inspection.drawing import save_picture
from fastener.inspection.result import EvidenceResult, Failure, Inspection, Region
from fastener.inspection.writers import (
    CSV_COLUMNS,
    CsvTable,
    JsonList,
    detection_picture,
    overlay_picture,
    preprocessing_sheet,
    record,
    regions_picture,
    shrunk,
    verdict,
)
from fastener.preprocessing.pipeline import Preprocessor


def inspection(path: Path | None = Path("in/bolt 7.png"), score: float = 5.0) -> Inspection:
    """A 40 x 60 photo seen at half its size; one hot square."""
    heat = np.full((20, 30), 0.1, np.float32)
    heat[5:10, 10:20] = 4.5
    return Inspection(
        path=path,
        score=score,
        threshold=3.0,
        p_value=0.012345678,
        confidence=0.9,
        evidence={"filters": EvidenceResult(1.5, 0.5), "colour": EvidenceResult(0.25, 0.01)},
        regions=(Region(20, 10, 20, 10, 4.5, 150.0), Region(1, 2, 3, 4, 3.25, 12.0)),
        map=heat,
        mask=np.ones((20, 30), bool),
        transform=np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]]),
        photo_size=(40, 60),
        part_found=True,
    )


def test_record_has_what_is_promised() -> None:
    entry = record(inspection(), is_baseline=True)
    assert entry == {
        "path": "in/bolt 7.png",
        "is_anomalous": True,
        "is_baseline": True,
        "score": 5.0,
        "threshold": 3.0,
        "p_value": 0.012346,
        "confidence": 0.9,
        "part_found": True,
        "evidence": {"filters": {"score": 1.5, "p_value": 0.5}, "colour": {"score": 0.25, "p_value": 0.01}},
        "regions": [
            {"x": 20, "y": 10, "width": 20, "height": 10, "score": 4.5, "area": 150.0},
            {"x": 1, "y": 2, "width": 3, "height": 4, "score": 3.25, "area": 12.0},
        ],
    }
    assert record(Failure(Path("x.png"), "why")) == {"path": "x.png", "error": "why"}
    assert not record(inspection(score=3.0))["is_anomalous"]


def test_json_list_grows_to_valid_json(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"
    table = JsonList(GrowingFile(path))
    assert not path.exists()
    entries = [record(inspection()), record(Failure(Path('quote " and ü.png'), "line"))]
    for entry in entries:
        table.write(entry)
    table.close()
    assert json.loads(path.read_text(encoding="utf-8")) == entries
    assert [one.name for one in path.parent.iterdir()] == ["results.json"]
    empty = JsonList(GrowingFile(path))
    empty.close()
    assert json.loads(path.read_text()) == []


def test_csv_has_the_same_per_line(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    table = CsvTable(GrowingFile(path), ("filters", "colour"))
    entry = record(inspection(Path('a, "b"\n.png')))
    table.write(entry)
    table.write(record(Failure(Path("broken.png"), "damaged")))
    table.close()
    with path.open(newline="", encoding="utf-8") as file:
        good, bad = csv.DictReader(file)
    assert good["path"] == 'a, "b"\n.png'
    assert [good[name] for name in ("is_anomalous", "score", "threshold")] == ["True", "5.0", "3.0"]
    assert float(good["colour_p_value"]) == 0.01
    assert json.loads(good["regions"]) == entry["regions"]
    assert good["n_regions"] == "2"
    assert (bad["path"], bad["error"], bad["score"], bad["regions"]) == ("broken.png", "damaged", "", "")
    assert list(good)[: len(CSV_COLUMNS)] == list(CSV_COLUMNS)


def test_names_that_are_not_unicode_do_not_stop_a_table(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(b"bolt-\xff.png"))
    for name, kind in (("r.csv", CsvTable), ("r.json", JsonList)):
        file = GrowingFile(tmp_path / name)
        table = CsvTable(file, ()) if kind is CsvTable else JsonList(file)
        table.write(record(inspection(odd)))
        table.close()
        assert "bolt-\\udcff.png" in (tmp_path / name).read_text(encoding="utf-8")


def test_old_leftovers_of_killed_runs_are_removed_and_nothing_else(tmp_path: Path) -> None:
    names = {
        ".model.pkl.71-140.tmp": 2,
        ".new\nline.png.7-8.tmp": 2,
        ".model.pkl.72-140.tmp": 0,
        ".mine.tmp": 2,
        "a.tmp": 2,
    }
    for name, days in names.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, time.time() - days * 24 * 60 * 60))
    write_atomically(tmp_path / "b.txt", "b")
    assert {path.name for path in tmp_path.iterdir()} == {".model.pkl.72-140.tmp", ".mine.tmp", "a.tmp", "b.txt"}


def test_a_file_that_nothing_was_written_to_does_not_replace_one(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("before")
    GrowingFile(tmp_path / "results.csv").close()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("results.csv", "before")]


def test_an_interrupted_piece_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = JsonList(GrowingFile(tmp_path / "results.json"))
    table.write({"number": 1})
    put, calls = GrowingFile._put, []

    def interrupted(self: GrowingFile, data: bytes) -> None:
        put(self, data)
        calls.append(data)
        if len(calls) == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GrowingFile, "_put", interrupted)
        with pytest.raises(KeyboardInterrupt):
            table.write({"number": 2})
    table.write({"number": 3})
    table.close()
    assert json.loads((tmp_path / "results.json").read_text()) == [{"number": 1}, {"number": 3}]


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "below.json", tmp_path, Path()):
        for attempt in (check_writable, GrowingFile, lambda p: write_atomically(p, "text")):
            with pytest.raises(UserError, match="cannot write"):
                attempt(path)
    assert (tmp_path / "file").read_text() == "x"
    check_writable(tmp_path / "new" / "model.pkl")
    assert list((tmp_path / "new").iterdir()) == []


def test_regions_are_drawn_where_they_are_also_on_a_shrunk_photo() -> None:
    photo = np.full((400, 600, 3), 200, np.uint8)
    one = inspection()
    large = Inspection(**{**vars(one), "photo_size": (400, 600), "regions": (Region(200, 100, 100, 50, 9.0, 5000.0),)})
    for scale in (1.0, 0.5):
        small = shrunk(photo, round(600 * scale))
        drawn = (regions_picture(small, large) != small).any(2)
        rows, columns = np.nonzero(drawn)
        assert [columns.min(), rows.min()] == pytest.approx([200 * scale, 100 * scale], abs=2)
        assert [columns.max(), rows.max()] == pytest.approx([300 * scale, 150 * scale], abs=2)
        assert not drawn[round(125 * scale), round(250 * scale)]
    assert (photo == 200).all()


def test_overlay_leaves_healthy_places_alone_and_marks_the_others() -> None:
    photo = np.full((40, 60, 3), 200, np.uint8)
    overlay = overlay_picture(photo, inspection())
    assert (overlay[2:6, 2:10] == 200).all()
    assert np.abs(overlay[14, 30].astype(int) - 200).max() > 60
    # The colour scale is the model's: another score of the same part changes no colour.
    assert np.array_equal(overlay, overlay_picture(photo, inspection(score=0.1)))


def test_overlay_of_a_shrunk_photo_marks_the_same_place() -> None:
    photo = np.full((40, 60, 3), 200, np.uint8)
    half = overlay_picture(photo[::2, ::2], inspection())
    whole = overlay_picture(photo, inspection())
    assert half.shape == (20, 30, 3)
    assert np.abs(half[7, 15].astype(int) - whole[14, 30]).max() < 20


def test_pictures_can_be_saved(tmp_path: Path) -> None:
    sheet = detection_picture(np.full((40, 60, 3), 90, np.uint8), inspection(Path("x" * 200 + ".png")))
    save_picture(sheet, tmp_path / "det.png")
    assert sheet.shape[1] > 3 * 420
    preprocessor = Preprocessor(tiny_config().preprocess)
    rows = preprocessing_sheet([(Path(f"{i}.png"), preprocessor(part(i))) for i in range(3)])
    assert rows.shape[0] > 3 * 200


def test_verdict_is_one_line_with_the_facts() -> None:
    assert verdict(inspection(Path("new\nline \x1b[31m ボルト.png"))).startswith("new\\nline \\x1b[31m ボルト.png: ")
    line = verdict(inspection())
    assert line == "bolt 7.png: ANOMALOUS, score 5.00 (threshold 3.00), p = 0.012, confidence 90%"
    assert verdict(inspection(None, 1.0)).startswith("photo: normal")


def test_shrunk_keeps_small_photos_and_proportions() -> None:
    photo = np.zeros((30, 50, 3), np.uint8)
    assert shrunk(photo) is photo
    assert shrunk(np.zeros((1000, 4000, 3), np.uint8), 400).shape == (100, 400, 3)
