"""JSON and CSV hold what the inspection says, whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from inspection_factory import inspection

from fastener.common.files import GrowingFile
from fastener.inspection.result import Failure
from fastener.inspection.tables import CSV_COLUMNS, Counts, CsvTable, JsonList, inspected_in_part, record, verdict


def test_record_has_what_is_promised() -> None:
    entry = record(inspection(), is_baseline=True)
    assert entry == {
        "path": "in/bolt 7.png",
        "verdict": "ANOMALOUS",
        "is_anomalous": True,
        "is_baseline": True,
        "score": 5.0,
        "threshold": 3.0,
        "p_value": 0.012346,
        "confidence": 0.9,
        "part_found": True,
        "problem": "",
        "inspected_share": 1.0,
        "evidence": {
            "filters": {"score": 1.5, "p_value": 0.5, "figures": {}, "note": ""},
            "colour": {"score": 0.25, "p_value": 0.01, "figures": {}, "note": ""},
        },
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
    with path.open(newline="", encoding="utf-8-sig") as file:
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


def test_verdict_is_one_line_with_the_facts() -> None:
    assert verdict(inspection(Path("new\nline \x1b[31m ボルト.png"))).startswith("new\\nline \\x1b[31m ボルト.png: ")
    line = verdict(inspection())
    assert line == "bolt 7.png: ANOMALOUS, score 5.00 (threshold 3.00), p = 0.012, confidence 90%"
    assert verdict(inspection(None, 1.0)).startswith("photo: normal")


def test_a_photo_without_a_part_has_no_verdict_on_the_part() -> None:
    empty = replace(inspection(score=1.0), problem="no part was found in it")
    assert verdict(empty) == "bolt 7.png: NO PART, no part was found in it; retake the photo"
    entry = record(empty)
    assert (entry["verdict"], entry["is_anomalous"], entry["confidence"]) == ("NO PART", True, None)
    assert entry["problem"] == "no part was found in it"
    assert replace(inspection(), problem="dark").regions == ()


def test_a_photo_that_passes_says_if_only_a_part_was_inspected() -> None:
    cut = replace(inspection(score=1.0), photo_size=(40, 80))
    assert verdict(cut).startswith("bolt 7.png: normal of the 75% that was inspected, score 1.00")
    assert not inspected_in_part(replace(cut, score=5.0))
    assert not inspected_in_part(replace(cut, mask=np.zeros((20, 30), bool)))
    counts = Counts()
    counts.add(record(cut), inspected_in_part(cut))
    counts.add(record(inspection()))
    assert counts.line() == (
        "1 normal, 1 anomalous, 0 without a part, 0 could not be read; "
        "of 1 that passed only a part was inspected, at least 75%"
    )


def test_a_photo_to_look_at_says_why() -> None:
    passed = replace(inspection(score=1.0), threshold=5.0)
    assert "odder" not in verdict(passed)
    assert verdict(replace(passed, look=True)).endswith("; odder than most healthy photos")
    odd_place = replace(passed, look=True, place_limit=4.0)
    assert verdict(odd_place).endswith("; a place is odder than healthy photos' oddest")
    (box,) = odd_place.regions
    assert (box.x, box.y, box.width, box.height) == (20, 10, 20, 10)
    assert not replace(odd_place, look=False).regions


def test_counts_name_every_verdict() -> None:
    counts = Counts()
    passed = inspection(score=1.0)
    for one in (passed, inspection(), replace(passed, problem="dark"), Failure(Path("x"), "why")):
        counts.add(record(one))
    assert counts.line() == "1 normal, 1 anomalous, 1 without a part, 1 could not be read"
    counts.add(record(replace(passed, look=True)))
    assert counts.line() == "1 normal, 1 to look at, 1 anomalous, 1 without a part, 1 could not be read"
