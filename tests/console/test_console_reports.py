"""Where parts come from, as filters, in tables and in the shift report; a setting for photos without a part."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from console_factory import console, send, service_of
from data_factory import part, parts, save, write_photos
from fastapi.testclient import TestClient

from fastener.common.spreadsheet import BOM
from fastener.console.language import Words
from fastener.console.report_pdf import report_pdf
from fastener.console.shift_report import ShiftReport, Stopped, Table
from fastener.console.statistics import per_day


@pytest.fixture(scope="module")
def client(console_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A console in which two lots were inspected; the second has a rusty part and an empty frame."""
    folder = tmp_path_factory.mktemp("reports")
    good, other, rusty = write_photos(folder / "photos", [*parts(2, 100), part(200, "rust")])
    empty = save(np.full((96, 96, 3), 128, np.uint8), folder / "empty.png")
    with console(console_models, folder, no_part="ignore") as found:
        send(found, good, name="a.png", lot=" Löt 1 ", order="47", serial="S1", shift="early")
        send(found, other, name="b.png", lot="L2", shift="late")
        send(found, rusty, name="c.png", lot="L2", shift="late", serial="<b>")
        send(found, empty, name="d.png", lot="L2")
        yield found


def names(client: TestClient, **query: object) -> list[str]:
    answer = client.get("/inspections", params={key: str(value) for key, value in query.items()})
    assert answer.status_code == 200, answer.text
    return [one["file_name"][0] for one in answer.json()["inspections"]]


def test_origins_are_stored_found_and_exported(client: TestClient) -> None:
    assert names(client, lot="LOT 1") == ["a"]
    assert names(client, lot="l2", shift="Late") == ["c", "b"]
    assert names(client, lot="L") == []
    assert names(client, order=47) == names(client, serial="s1") == ["a"]
    lines = list(csv.DictReader(io.StringIO(client.get("/export/inspections.csv?serial=S1").text.removeprefix(BOM))))
    assert [(line["lot"], line["order"], line["serial"], line["shift"]) for line in lines] == [
        ("Löt 1", "47", "S1", "early")
    ]
    assert send(client, b"x", lot="a" * 81).status_code == 422


def test_the_history_is_sorted(client: TestClient) -> None:
    assert names(client) == ["d", "c", "b", "a"]
    assert names(client, sort="file_name", descending="false") == ["a", "b", "c", "d"]
    assert names(client, sort="decision", descending="false")[0] == "c"  # FAIL, NO_PART, PASS
    rows = client.get("/inspections?sort=score").json()["inspections"]
    scores = [row["anomaly_score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert client.get("/inspections?sort=colour").status_code == 422


def test_a_shift_report_counts_names_and_escapes(client: TestClient) -> None:
    (rusty,) = client.get("/inspections?decision=FAIL").json()["inspections"]
    client.patch(f"/inspections/{rusty['id']}", json={"verdict": "PASS", "reviewer": "Ann", "note": "<i>stain</i>"})
    model = client.get("/model/info/nut").json()
    change = {
        "threshold": model["threshold"],
        "replaces": model["threshold"],
        "changed_by": "Bob",
        "reason": "new lamp",
    }
    client.put("/model/threshold/nut", json=change | {"model_checksum": model["model_checksum"]})
    page = re.sub(' data-head="[^"]*"', "", client.get("/report/shift?time_zone=Asia/Tokyo").text)
    assert "Inspections: 4 (2 PASS, 1 FAIL, 1 NO PART)" in page
    # Of lot L2 one of two failed: the empty frame does not count.
    assert "<td class=words>L2</td><td>3</td><td>1</td><td>0</td><td>1</td><td>1</td><td>50.0 %</td><td>1</td>" in page
    assert "overruled, should be PASS, by Ann" in page
    assert "&lt;i&gt;stain&lt;/i&gt;" in page
    assert "new lamp" in page
    assert f"../inspections/{rusty['id']}/image?size=thumbnail" in page
    assert "Inspections: 1 (1 PASS)" in client.get("/report/shift?order=47").text
    assert "Inspections: 0" in client.get("/report/shift?lot=none").text
    assert client.get("/report/shift?time_zone=Mars").status_code == 422
    file = client.get("/report/shift.pdf?lot=L2&lang=ja")
    assert (file.headers["content-type"], file.content[:5]) == ("application/pdf", b"%PDF-")


def test_a_report_of_any_script_is_written() -> None:
    table = Table("Los", ("Los", "n"), [("締結部品 <&>", "1")] * 90)
    stopped = [Stopped("i", "c", "FAIL", ("部品.png", "a" * 200))] * 40
    report = ShiftReport(
        title="検査", summary="ü", facts=[("a", "b")], tables=[table], stopped_title="x", stopped=stopped, further="y",
        signatures=("d",),
    )  # fmt: skip
    assert report_pdf(report, lambda checksum: None).startswith(b"%PDF-")
    assert Words("de")("not in the catalogue {n}", n=1) == "not in the catalogue 1"


def test_a_photo_without_a_part_counts_as_the_setting_says(client: TestClient) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    rows = [(noon, "a", "m", decision, 1.0) for decision in ("PASS", "FAIL", "NO_PART", "NO_PART")]
    shares = [per_day(rows, no_part_fails=fails)[0] for fails in (True, False)]
    assert [(one.inspections, one.failed, one.fail_share) for one in shares] == [(4, 3, 0.75), (4, 1, 0.5)]
    assert per_day(rows[2:], no_part_fails=False)[0].fail_share == 0
    figures = client.get("/statistics").json()
    assert (figures["no_part_fails"], figures["days"][0]["failed"], figures["days"][0]["no_part"]) == (False, 1, 1)
    # Whatever the figures say, such a photo never passes.
    assert client.get("/inspections?decision=NO_PART").json()["inspections"][0]["is_anomaly"] is True


def test_recent_scores_tell_what_another_threshold_would_change(client: TestClient) -> None:
    recent = client.get("/model/recent/nut").json()
    assert [one["file_name"] for one in recent] == ["c.png", "b.png", "a.png"]  # none of the frame without a part
    stored = client.get(f"/inspections/{recent[0]['id']}").json()
    assert (recent[0]["score"], recent[0]["decision"]) == (stored["anomaly_score"], stored["decision"])
    assert len(client.get("/model/recent/nut?last=1").json()) == 1
    assert service_of(client).history.recent("nut", "another file", 5) == []
