"""The history: searched, reviewed, exported, counted, forgotten, upgraded, and whole after a killed process."""

from __future__ import annotations

import csv
import io
import os
import shutil
import sqlite3
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from console_factory import console, running, send, service_of
from data_factory import part, parts, run_inside, save, write_photos
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, inspect, text

from fastener.common.errors import UserError
from fastener.common.spreadsheet import BOM
from fastener.console.database import open_database, upgrade
from fastener.console.filters import Filter
from fastener.console.history import History
from fastener.console.statistics import per_day
from fastener.console.store import PictureStore
from fastener.console.tables import Base, InspectionRow
from fastener.datasets.csv_splits import load_split
from fastener.models.calibration import false_alarm_rate

HEAD = "0008"


@pytest.fixture
def client(console_models: Path, tmp_path: Path) -> Iterator[TestClient]:
    with console(console_models, tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("photos"), [*parts(2, 100), part(200, "rust"), part(201, "rust")])


def row(number: int, at: datetime, **more: object) -> InspectionRow:
    values: dict[str, object] = {
        "id": f"{number:032x}", "created_at": at, "category": "nut", "model_checksum": "m",
        "file_name": f"{number}.png", "image_checksum": "i", "heatmap_checksum": None, "width": 1, "height": 1,
        "score": 1.0, "threshold": 2.0, "p_value": 0.5, "confidence": 0.9, "decision": "PASS", "part_found": True,
        "problem": "", "evidence": {}, "regions": [], "seconds": 0.1,
    }  # fmt: skip
    return InspectionRow(**(values | more))


def test_search_by_date_model_decision_name_and_review(client: TestClient) -> None:
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)
    history = service_of(client).history
    for number in range(10):
        more = {"decision": "FAIL" if number % 2 else "PASS", "category": "nut" if number < 6 else "bolt"}
        history.add(row(number, start + timedelta(days=number), file_name=f"100%_{number}.png", **more))

    def found(**query: object) -> list[int]:
        answer = client.get("/inspections", params={key: str(value) for key, value in query.items()})
        assert answer.status_code == 200, answer.text
        return [int(one["id"], 16) for one in answer.json()["inspections"]]

    assert found() == list(range(9, -1, -1))
    assert found(since="2026-03-04T12:00:00Z", until="2026-03-07T14:00:00+02:00") == [5, 4, 3]
    assert found(category="bolt") == [9, 8, 7, 6]
    assert found(decision="FAIL", category="nut") == [5, 3, 1]
    assert found(text="%_3") == [3]
    assert found(text="_%") == []
    assert found(page=2, page_size=4) == [5, 4, 3, 2]
    for number, verdict in ((1, "FAIL"), (2, "FAIL")):
        body = {"verdict": verdict, "reviewer": "Ann", "note": "seen"}
        assert client.patch(f"/inspections/{number:032x}", json=body).status_code == 200
    assert (found(reviewed="confirmed"), found(reviewed="overruled")) == ([1], [2])
    assert (found(reviewed="any"), len(found(reviewed="none"))) == ([2, 1], 8)


@pytest.mark.parametrize(
    "query",
    [
        {"page": 0}, {"page": 10**30}, {"page_size": 501}, {"decision": "MAYBE"}, {"since": "yesterday"},
        {"since": "2026-01-01T00:00:00"}, {"until": "0001-01-01T00:00:00+14:00"}, {"text": "a\0b"}, {"colour": "red"},
    ],
    ids=str,
)  # fmt: skip
def test_filters_that_mean_nothing_are_refused(client: TestClient, query: dict[str, str]) -> None:
    answer = client.get("/inspections", params=query)
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_reviews_are_kept_and_the_latest_counts(client: TestClient, photos: list[Path]) -> None:
    made = send(client, photos[0]).json()
    for verdict, reviewer in (("FAIL", "Ann"), ("PASS", "Bob")):
        body = {"verdict": verdict, "reviewer": reviewer, "note": "<b>look</b>"}
        said = client.patch(f"/inspections/{made['id']}", json=body).json()
    assert said["decision"] == made["decision"]
    assert (said["review"]["reviewer"], said["review"]["verdict"]) == ("Bob", "PASS")
    assert [one["reviewer"] for one in said["reviews"]] == ["Bob", "Ann"]
    for wrong in (
        {},
        {"verdict": "MAYBE", "reviewer": "A"},
        {"verdict": "PASS", "reviewer": " "},
        {"verdict": "PASS", "reviewer": "A", "x": 1},
    ):
        assert client.patch(f"/inspections/{made['id']}", json=wrong).status_code == 422


def test_a_threshold_wants_a_reason_is_logged_and_outlives_a_restart(console_models: Path, tmp_path: Path) -> None:
    with console(console_models, tmp_path) as client:
        before = client.get("/model/info/nut").json()
        bent = save(part(200, "bend"), tmp_path / "bent.png")
        failing = send(client, bent).json()
        wanted = failing["anomaly_score"] + 1
        body = {
            "threshold": wanted,
            "replaces": before["threshold"],
            "changed_by": "Ann",
            "reason": "new lamp",
            "model_checksum": before["model_checksum"],
        }
        for wrong in ({"reason": ""}, {"reason": " "}, {"changed_by": ""}, {"threshold": "x"}):
            assert client.put("/model/threshold/nut", json=body | wrong).status_code == 422
        assert client.put("/model/threshold/nut", content=b'{"threshold": NaN}').status_code == 422
        assert client.put("/model/threshold/nut", json=body | {"model_checksum": "another"}).status_code == 409
        assert client.put("/model/threshold/nope", json=body).status_code == 404
        # Nobody overwrites blindly, or sets what no photo of this model could reach.
        blind = client.put("/model/threshold/nut", json={key: body[key] for key in body if key != "replaces"})
        assert (blind.status_code, "`replaces` is missing" in blind.json()["detail"]) == (422, True)
        low, high = (before["calibration"][f"{end}_threshold"] for end in ("lowest", "highest"))
        assert (low, high) == (0, pytest.approx(10 * max(before["calibration"]["healthy_scores"])))
        for beyond in (-5, 1e6, high + 1):
            refused = client.put("/model/threshold/nut", json=body | {"threshold": beyond})
            assert (refused.status_code, f"between 0 and {high:g}" in refused.json()["detail"]) == (422, True)
        assert client.get("/model/info/nut").json() == before
        after = client.put("/model/threshold/nut", json=body).json()
        assert (after["threshold"], after["own_threshold"]) == (wanted, before["threshold"])
        assert after["threshold_changes"][0]["reason"] == "new lamp"
        healthy = np.array(after["calibration"]["healthy_scores"])
        assert after["calibration"]["alpha"] == false_alarm_rate(healthy, wanted)
        passing = send(client, bent).json()
        assert (passing["decision"], passing["threshold"]) == ("PASS", wanted)
        assert client.get(f"/inspections/{failing['id']}").json()["decision"] == "FAIL"
        assert send(client, bent, "research/screw").json()["threshold"] != wanted
    with console(console_models, tmp_path) as client:
        assert send(client, bent).json()["threshold"] == wanted
        # It was chosen for this model file; one that is trained anew has its own.
        assert service_of(client).history.saved_threshold("nut", "another file") is None


def test_two_servers_agree_on_a_threshold_and_the_faster_person_wins(
    console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    with console(console_models, tmp_path) as one, console(console_models, tmp_path) as other:
        known = {name: client.get("/model/info/nut").json() for name, client in (("one", one), ("other", other))}
        body = {"changed_by": "Ann", "reason": "new lamp", "model_checksum": known["one"]["model_checksum"]}
        own = known["one"]["threshold"]
        assert one.put("/model/threshold/nut", json=body | {"threshold": own + 1, "replaces": own}).status_code == 200
        late = other.put("/model/threshold/nut", json=body | {"threshold": own + 9, "replaces": own})
        assert (late.status_code, f"{own + 1:g} by now" in late.json()["detail"]) == (409, True)
        assert send(other, photos[2]).json()["threshold"] == own + 1
        assert [each["threshold"] for each in other.get("/categories").json() if each["name"] == "nut"] == [own + 1]
        after = other.put("/model/threshold/nut", json=body | {"threshold": own + 2, "replaces": own + 1}).json()
        assert after["threshold_changes"][0]["old"] == own + 1


def test_export_as_csv_runs_no_formula(client: TestClient, photos: list[Path]) -> None:
    for name in ("\u202egnp.exe", "=1+1.png", "-2.png", "com,ma.png"):
        send(client, photos[0], name=name)
    lines = list(csv.DictReader(io.StringIO(client.get("/export/inspections.csv").text.removeprefix(BOM))))
    assert [line["file_name"] for line in lines] == ["com,ma.png", "'-2.png", "'=1+1.png", r"\u202egnp.exe"]
    assert {line["decision"] for line in lines} <= {"PASS", "FAIL"}
    found = client.get("/export/inspections.csv?text=com").text.removeprefix(BOM)
    assert len(list(csv.DictReader(io.StringIO(found)))) == 1


def test_wrong_decisions_become_a_split_that_train_and_evaluate_read(
    client: TestClient, tmp_path: Path, photos: list[Path], good_photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/export/labelled.zip").status_code == 404
    for path, verdict in [
        (photos[0], "PASS"),
        (photos[1], "FAIL"),
        (photos[2], "PASS"),
        (photos[2], "FAIL"),
        (good_photos[0], "PASS"),
    ]:
        id = send(client, path, name="../" + path.name).json()["id"]
        client.patch(f"/inspections/{id}", json={"verdict": verdict, "reviewer": "Ann"})
    wrong = client.get("/inspections?reviewed=overruled").json()["total"]
    for reviewed, count in (("any", 4), ("overruled", None)):
        answer = client.get("/export/labelled.zip", params={"split": "test", "reviewed": reviewed})
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            archive.extractall(tmp_path / reviewed)
        split = load_split(tmp_path / reviewed, "test")
        assert len(split.images) == (count or wrong)
        assert split.columns is not None
        assert split.columns.describe() == "defect: defect; healthy: good"
        assert not split.unlisted
    labels = {image.path.read_bytes(): image.is_anomalous for image in load_split(tmp_path / "any", "test").images}
    assert [labels[path.read_bytes()] for path in photos[:3]] == [False, True, True]  # the latest review counts
    shutil.copytree(tmp_path / "any" / "test", tmp_path / "any" / "train")
    monkeypatch.chdir(tmp_path)
    flags = ["--set", "preprocess.size=64", "--backbone", "filters", "--coreset-ratio", "0.1", "--device", "cpu"]
    done = run_inside("train.py", "--data-dir", "any", "--output", "m.pkl", *flags)
    assert done.returncode == 0, done.stderr
    done = run_inside(
        "evaluate.py",
        "--data-dir",
        "any",
        "--split",
        "test",
        "--model",
        service_of(client).settings.models / "nut.pkl",
        "--output",
        "e",
    )
    assert done.returncode == 0, done.stderr


def test_statistics_per_day(client: TestClient, photos: list[Path]) -> None:
    noon = datetime(2026, 3, 1, 12).astimezone()
    found = per_day(
        [
            (noon, "a", "m", "PASS", 1.0),
            (noon, "a", "m", "FAIL", 3.0),
            (noon, "a", "other", "PASS", 9.0),
            (noon + timedelta(1), "a", "m", "PASS", 2.0),
        ]
    )
    assert [(one.day.day, one.model_checksum, one.inspections, one.failed, one.median_score) for one in found] == [
        (1, "m", 2, 1, 2.0), (1, "other", 1, 0, 9.0), (2, "m", 1, 0, 2.0),
    ]  # fmt: skip
    for path in photos:
        send(client, path)
    figures = client.get("/statistics").json()
    (today,) = figures["days"]
    assert today["inspections"] == 4
    assert today["fail_share"] == today["failed"] / 4 >= 0.5
    healthy = client.get("/model/info/nut").json()["calibration"]["healthy_scores"]
    assert figures["references"][0]["median_score"] == pytest.approx(np.median(healthy))
    assert client.get("/statistics?category=other").json()["days"] == []


def test_images_are_kept_once_and_forgotten_in_time(console_models: Path, tmp_path: Path, photos: list[Path]) -> None:
    with console(console_models, tmp_path) as client:
        ids = [send(client, path).json()["id"] for path in (photos[0], photos[0], photos[2])]
        store = service_of(client).pictures
        assert (
            sum(path.read_bytes() == photos[0].read_bytes() for path in store.folder.rglob("*") if path.is_file()) == 1
        )
        assert client.get(f"/inspections/{ids[0]}/image?size=thumbnail").status_code == 200
        for file in store.folder.glob("??/*"):
            if "-" not in file.name:  # the smaller copy is newer, and must not stay behind
                os.utime(file, (0, 0))
        send(client, photos[2])
    with console(console_models, tmp_path, retention_days=30) as client:
        while client.get(f"/inspections/{ids[0]}/image").status_code == 200:
            time.sleep(0.01)
        service_of(client).pictures.delete_older_than(30)
        for tail in ("image", "image?size=thumbnail", "heatmap"):
            assert client.get(f"/inspections/{ids[0]}/{tail}").status_code == 404
            assert client.get(f"/inspections/{ids[2]}/{tail}").status_code == 200
        assert not client.get(f"/inspections/{ids[0]}").json()["image_kept"]


def test_forgetting_leaves_files_of_others_and_writes_in_progress_alone(tmp_path: Path) -> None:
    store = PictureStore(tmp_path)
    checksum = store.save(b"picture")
    assert store.derived(checksum, 192, lambda file, side: b"small") is not None
    beside, other = tmp_path / checksum[:2], "0" if checksum[2] != "0" else "1"
    foreign = [
        tmp_path / "ab" / "notes.txt",
        tmp_path / "me" / "a.jpg",
        tmp_path / "AB" / ("AB" + 62 * "0"),
        tmp_path / "ab" / ("cd" + 62 * "0"),
        beside / checksum[:-1],
        beside / f"{checksum}.jpg",
        beside / f"{checksum}-copy",
        beside / f".{checksum}.1-2.tmp",
        beside / (checksum[:2] + 62 * other) / "a.jpg",
    ]
    for file in foreign:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not the console's")
    for path in tmp_path.rglob("*"):
        os.utime(path, (0, 0))
    assert store.delete_older_than(30) == 2
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(foreign)


def test_forgetting_goes_on_where_another_process_was_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PictureStore(tmp_path)
    for content in (b"a", b"b", b"c"):
        os.utime(store._path_of(store.save(content)), (0, 0))
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / ("ab" + 62 * "0")).symlink_to("gone")
    unlink = Path.unlink

    def second(path: Path, missing_ok: bool = False) -> None:
        unlink(path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", second)
    store.delete_older_than(30)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.slow
def test_killed_under_load_it_loses_nothing_that_was_answered(
    console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    answered: list[dict[str, str]] = []
    with running(console_models, tmp_path) as (address, process):

        def ask(number: int) -> None:
            with httpx.Client(base_url=address, timeout=60) as client:
                while True:
                    try:
                        answer = send(client, photos[number % 4], name=f"{number}.png", return_visualizations="false")
                    except httpx.TransportError:
                        return
                    answered.append(answer.raise_for_status().json())

        clients = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for one in clients:
            one.start()
        while len(answered) < 40 and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        for one in clients:
            one.join()
    with closing(sqlite3.connect(tmp_path / "history.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        kept = dict(database.execute("SELECT id, score FROM inspections").fetchall())
    assert {one["id"]: one["anomaly_score"] for one in answered}.items() <= kept.items()
    with console(console_models, tmp_path, pictures=tmp_path / "history-pictures") as client:
        for made in answered[:: len(answered) // 10]:
            assert client.get(f"/inspections/{made['id']}/image").status_code == 200


def test_an_old_database_is_upgraded_and_keeps_its_rows(console_models: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    engine = create_engine(url)
    upgrade(engine, "0001")
    assert "reviews" not in inspect(engine).get_table_names()
    columns = ", ".join(column["name"] for column in inspect(engine).get_columns("inspections"))
    values = f"'{'a' * 32}', '2026-01-31 12:00:00.000000', 'nut', 'm', 'old.png', 'i', NULL, 1, 1, 1, 2, .5, .9"
    values += ", 'LOOK', 1, '{}', '[]', .1"
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO inspections ({columns}) VALUES ({values})"))
    engine.dispose()
    with console(console_models, tmp_path) as client:
        old = client.get("/inspections").json()["inspections"][0]
        assert (old["file_name"], old["timestamp"], old["review"]) == ("old.png", "2026-01-31T12:00:00Z", None)
        assert old["decision"] == "REVIEW"  # as LOOK is called by now
        said = client.patch(f"/inspections/{old['id']}", json={"verdict": "FAIL", "reviewer": "Ann"}).json()
        assert said["review"]["verdict"] == "FAIL"


def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/history.db")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == HEAD
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("history.db", "not a URL"),
        ("sqlite://", "in memory"),
        ("mysql+nothing://x/y", "not supported"),
        ("postgresql://ann:secret@127.0.0.1:1/x", "cannot be opened"),
        ("sqlite:///{folder}/text.db", "cannot be opened"),
        ("sqlite:///{folder}/newer.db", "newer version"),
    ],
)  # fmt: skip
def test_a_database_that_cannot_be_used_is_named_in_one_line(tmp_path: Path, url: str, reason: str) -> None:
    (tmp_path / "text.db").write_text("this is a text, not a database\n" * 50)
    engine = open_database(f"sqlite:///{tmp_path}/newer.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(UserError, match=reason) as error:
        open_database(url.format(folder=tmp_path))
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL server of our own, or a skip."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    folder = tmp_path_factory.mktemp("postgres")
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    if user:
        for place in (folder, *folder.parents):
            if place.owner() == "root" and place.name.startswith(("pytest-", "popen-")):
                place.chmod(0o755)
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        command = [str(programs[-1] / program), *arguments]
        subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60)

    data = folder / "data"
    run("initdb", "-D", str(data), "-U", "tester", "--auth=trust", "--no-sync")
    run(
        "pg_ctl",
        "-D",
        str(data),
        "-w",
        "-l",
        str(folder / "log"),
        "-o",
        f"-k {folder} -c listen_addresses= -c fsync=off",
        "start",
    )
    try:
        yield f"postgresql://tester@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


def test_postgresql_through_the_same_option(
    postgres: str, console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    with console(console_models, tmp_path, database=postgres) as client:
        made = send(client, photos[2], name="'; drop table inspections --.png").json()
        client.patch(f"/inspections/{made['id']}", json={"verdict": "PASS", "reviewer": "Ann", "note": "clean"})
        (found,) = client.get("/inspections", params={"reviewed": "overruled", "text": "DROP"}).json()["inspections"]
        assert found["anomaly_score"] == made["anomaly_score"]
        assert found["timestamp"] == made["timestamp"]
        assert client.get("/inspections?text=%00").status_code == 422
        assert client.get("/inspections/a%00").status_code == 404
        assert client.get("/statistics").json()["days"][0]["failed"] == 1
        assert client.get("/export/labelled.zip").status_code == 200
        with service_of(client).history._engine.connect() as connection:
            assert connection.dialect.name == "postgresql"
            assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_answers_stay_in_order_of_time(tmp_path: Path) -> None:
    history = History(open_database(f"sqlite:///{tmp_path}/h.db"))
    at = datetime(2026, 3, 1, tzinfo=UTC)
    for number, shift in enumerate((0, 2, 1)):
        history.add(row(number, at + timedelta(hours=shift)))
    assert [one.id[-1] for one in history.all(Filter())] == ["1", "2", "0"]
    history.close()
