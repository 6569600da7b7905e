"""The service as programs see it: the library's scores, reasons for refusals, models that come and go."""

from __future__ import annotations

import base64
import io
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest
from console_factory import console, png_header, scores_of, send, service_of, striped
from data_factory import part, parts, save, tiny_config, write_photos
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy.exc import OperationalError

from fastener.console.pictures import is_large, small_jpeg
from fastener.console.tables import InspectionRow
from fastener.datasets.images import Photo, decode_photo, decode_reduced, shrunk
from fastener.inspection.inspector import Inspector


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("queries"), [*parts(5, 100), *parts(3, 200, "rust")])


@pytest.fixture(scope="module")
def client(console_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with console(console_models, tmp_path_factory.mktemp("console"), max_upload_mb=1) as found:
        yield found


def test_health_and_categories(client: TestClient) -> None:
    health = client.get("/health").json()
    assert health["status"] == "ok"
    assert health["device"] == "cpu"
    assert (health["models"], health["queue"]) == (2, 0)
    assert set(health) == {"status", "history", "device", "cuda_available", "models", "queue", "version"}
    assert [one["name"] for one in client.get("/categories").json()] == ["nut", "research/screw"]


def test_an_inspection_is_the_librarys(client: TestClient, photos: list[Path]) -> None:
    for path, expected in zip(photos, scores_of(client, "nut", photos), strict=True):
        answer = send(client, path).json()
        assert answer["anomaly_score"] == pytest.approx(expected, rel=1e-6)
        assert answer["is_anomaly"] == (expected > answer["threshold"])
        assert answer["decision"] == ("FAIL" if answer["is_anomaly"] else "PASS")
        assert answer["problem"] == ""
        assert answer["inspected_share"] > 0
        assert 0.5 <= answer["confidence"] <= 1
        assert 0 < answer["p_value"] <= 1
        assert bool(answer["regions"]) >= answer["is_anomaly"]
    assert [send(client, path).json()["decision"] for path in photos[5:]] == ["FAIL"] * 3


def test_an_empty_frame_is_a_decision_of_its_own(client: TestClient, tmp_path: Path) -> None:
    empty = save(np.full((96, 96, 3), 128, np.uint8), tmp_path / "empty.png")
    answer = send(client, empty).json()
    assert (answer["decision"], answer["is_anomaly"], answer["confidence"]) == ("NO_PART", True, None)
    assert answer["problem"]
    assert answer["regions"] == []
    found = client.get("/inspections", params={"decision": "NO_PART"}).json()["inspections"]
    assert answer["id"] in [one["id"] for one in found]
    assert 'decision="NO_PART"' in client.get("/metrics").text
    lines = client.get("/export/inspections.csv").text.splitlines()
    assert any("NO_PART" in line and answer["problem"] in line for line in lines)
    (today,) = client.get("/statistics", params={"category": "nut"}).json()["days"]
    assert today["failed"] >= today["no_part"] >= 1
    said = client.patch(f"/inspections/{answer['id']}", json={"verdict": "NO_PART", "reviewer": "Ann"}).json()
    assert said["review"]["verdict"] == "NO_PART"


def test_a_model_says_what_its_threshold_rests_on(client: TestClient) -> None:
    basis = client.get("/model/info/nut").json()["threshold_basis"]
    assert 0 < basis["alpha"] < 1
    assert set(basis["photos_left_out"]) == {one["name"] for one in basis["oddest_photos"] if one["left_out"]}
    defects = basis["synthetic_defects"]
    assert 0 <= defects["recall_low"] <= defects["recall"] <= defects["recall_high"] <= 1
    assert defects["drawn"] == sum(drawn for _, drawn in defects["found"].values())


def test_pictures_show_where(client: TestClient) -> None:
    photo = part(205, "rust")
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, format="PNG")
    answer = send(client, buffer.getvalue()).json()
    heat = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["heatmap_base64"]))))
    assert heat.shape == (*photo.shape[:2], 4)
    region = answer["regions"][0]
    inside = heat[region["y"] : region["y"] + region["height"], region["x"] : region["x"] + region["width"], 3]
    assert inside.max() > 150
    overlay = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["overlay_base64"]))), float)
    opacity = heat[..., 3:] / 255
    expected = (1 - opacity) * photo + opacity * heat[..., :3]
    assert np.abs(overlay - expected).mean() < 4  # JPEG
    plain = send(client, buffer.getvalue(), return_visualizations="false").json()
    assert plain["heatmap_base64"] is None
    assert plain["overlay_base64"] is None


def test_32_clients_at_once_get_the_librarys_scores(client: TestClient, photos: list[Path]) -> None:
    expected = scores_of(client, "nut", photos) + scores_of(client, "research/screw", photos)
    jobs = [(category, path) for category in ("nut", "research/screw") for path in photos]
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda job: send(client, job[1], job[0], return_visualizations=False), jobs * 2))
    assert [answer.status_code for answer in answers] == [200] * 32
    np.testing.assert_allclose([one.json()["anomaly_score"] for one in answers], expected * 2, rtol=1e-6)
    metrics = client.get("/metrics").text
    sizes = {
        line.split()[0]: float(line.split()[1]) for line in metrics.splitlines() if line.startswith("console_batch")
    }
    assert sizes["console_batch_images_count"] < sizes["console_batch_images_sum"]  # some went together


def test_a_batch_keeps_order_and_says_which_image_failed(client: TestClient, photos: list[Path]) -> None:
    files = [("images", (path.name, path.read_bytes())) for path in photos[:2]]
    files.insert(1, ("images", ("note.txt", b"not an image")))
    results = client.post("/inspect/batch", data={"category": "nut"}, files=files).json()["results"]
    assert [one["file_name"] for one in results] == [photos[0].name, "note.txt", photos[1].name]
    assert (results[1]["status"], "not an image" in results[1]["detail"]) == (415, True)
    assert [results[0]["anomaly_score"], results[2]["anomaly_score"]] == pytest.approx(
        scores_of(client, "nut", photos[:2]), rel=1e-6
    )


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 415, "not an image"),
        (b"GIF89a but not really", 415, "image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", 415, "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not an image"),
        (png_header(10_001, 10_000), 413, "100 megapixels"),
        (png_header(60_000, 60_000), 413, "100 megapixels"),
        (png_header(64, 64), 415, "damaged"),
        (b"x" * (2**20 + 70_000), 413, "1 MiB"),
    ],
    ids=["empty", "gif", "eps", "svg", "large", "bomb", "cut", "too long"],
)
def test_what_is_no_usable_image(client: TestClient, content: bytes, status: int, reason: str) -> None:
    answer = send(client, content)
    assert answer.status_code == status
    assert reason in answer.json()["detail"]


def test_fields_that_are_missing_or_wrong(client: TestClient, photos: list[Path]) -> None:
    assert client.post("/inspect", data={"category": "nut"}).status_code == 422
    assert client.post("/inspect", files={"image": b"x"}).json()["detail"].startswith("category: ")
    assert client.post("/inspect", data={"category": "nut", "image": "text"}).status_code == 422
    assert send(client, photos[0], return_visualizations="perhaps").status_code == 422
    assert client.post("/inspect", content=b"{", headers={"content-type": "application/json"}).status_code == 422
    broken = client.post("/inspect", content=b"--x", headers={"content-type": "multipart/form-data; boundary=y"})
    assert broken.status_code in (400, 422)


@pytest.mark.parametrize(
    "name", ["", "nope", "../nut", "nut.pkl", "nut/../nut", "/etc/passwd", "nut\0", "..", "%2e%2e/nut", "NUT"]
)
def test_path_tricks_are_unknown_categories(client: TestClient, photos: list[Path], name: str) -> None:
    assert send(client, photos[0], name).status_code in ((422, 404) if not name else (404,))
    # Clients tidy paths up before they send them; escaped they arrive as they are.
    escaped = quote(name, safe="").replace(".", "%2E")
    assert client.get(f"/model/info/{escaped}").status_code == 404
    assert client.post(f"/model/reload/{escaped}").status_code == 404


@pytest.mark.parametrize("id", ["0", "..", "../../etc/passwd", "a" * 32, "A" * 32, "1\0", "' or 1=1 --", "é"])
def test_path_tricks_are_unknown_inspections(client: TestClient, id: str) -> None:
    escaped = quote(id, safe="").replace(".", "%2E")
    for tail in ("", "/image", "/heatmap"):
        assert client.get(f"/inspections/{escaped}{tail}").status_code == 404
    assert client.patch(f"/inspections/{escaped}", json={"verdict": "PASS", "reviewer": "Ann"}).status_code == 404
    assert client.get("/static/%2E%2E/app.py").status_code == 404


def test_a_body_without_length_is_stopped_while_it_is_read(client: TestClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        while sent < 64:
            sent += 1
            yield b"x" * 2**18

    answer = client.post("/inspect", content=endless(), headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 413
    assert "MiB" in answer.json()["detail"]


def test_a_strip_of_an_image_is_an_image(client: TestClient) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.tile(striped(30), (1, 1000, 1))).save(buffer, format="PNG")
    answer = send(client, buffer.getvalue()).json()
    assert (answer["width"], answer["height"]) == (30_000, 30)
    assert client.get(f"/inspections/{answer['id']}/image?size=thumbnail").status_code == 200


def test_what_cannot_be_stored_is_not_answered(console_models: Path, tmp_path: Path, photos: list[Path]) -> None:
    with console(console_models, tmp_path) as client:
        service_of(client).pictures.folder.write_text("a file where a folder should be")
        refused = send(client, photos[0])
        assert (refused.status_code, "cannot write" in refused.json()["detail"]) == (503, True)
        batch = client.post("/inspect/batch", data={"category": "nut"}, files=[("images", photos[0].read_bytes())])
        assert "cannot write" in batch.text
        assert str(tmp_path) not in refused.text + batch.text
        service_of(client).pictures.folder.unlink()
        with service_of(client).history._engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE inspections")
        refused = send(client, photos[0])
        assert (refused.status_code, "history" in refused.json()["detail"]) == (503, True)


def test_in_a_batch_an_image_that_cannot_be_stored_costs_only_itself(
    client: TestClient, photos: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    history = service_of(client).history
    failures = {
        "full.png": OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full")),
        "odd.png": MemoryError("a secret"),
    }
    add = history.add

    def failing(row: InspectionRow) -> None:
        if row.file_name in failures:
            raise failures[row.file_name]
        add(row)

    monkeypatch.setattr(history, "add", failing)
    names = ["a.png", *failures, "b.png"]
    files = [("images", (name, path.read_bytes())) for name, path in zip(names, photos, strict=False)]
    answer = client.post("/inspect/batch", data={"category": "nut"}, files=files)
    assert answer.status_code == 200
    first, full, odd, last = answer.json()["results"]
    for made, score in zip((first, last), scores_of(client, "nut", [photos[0], photos[3]]), strict=True):
        assert made["anomaly_score"] == pytest.approx(score, rel=1e-6)
        assert client.get(f"/inspections/{made['id']}").status_code == 200
    assert (full["file_name"], full["status"], "history" in full["detail"]) == ("full.png", 503, True)
    assert (odd["file_name"], odd["status"], "internal error" in odd["detail"]) == ("odd.png", 500, True)
    assert "secret" not in answer.text
    assert "disk is full" in caplog.text
    assert "MemoryError: a secret" in caplog.text
    for status in (500, 503):
        assert f'console_refused_total{{status="{status}"}} 1.0' in client.get("/metrics").text


def test_names_are_data(client: TestClient, photos: list[Path]) -> None:
    for name in ("../../x.png", "<img src=x onerror=alert(1)>.png", "a" * 300 + ".png", "Schraube ü 🔩.png"):
        answer = send(client, photos[0], name=name).json()
        assert answer["file_name"] == name[:255]
        stored = client.get(f"/inspections/{answer['id']}").json()
        assert stored["file_name"] == name[:255]
    folder = service_of(client).pictures.folder
    assert all(len(path.name.split("-")[0]) == 64 for path in folder.rglob("*") if path.is_file())


def test_full_queue_says_when_to_come_again(console_models: Path, tmp_path: Path, photos: list[Path]) -> None:
    with console(console_models, tmp_path, queue_size=2) as client:
        service = service_of(client)
        go_on = threading.Event()
        service._batcher.submit(service.catalogue.load("nut").inspector, _Waiting(go_on))  # type: ignore[arg-type]
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(send, client, photos[0]) for _ in range(2)]
            while service.in_flight < 2:
                time.sleep(0.01)
            refused = send(client, photos[0])
            assert client.get("/health").json()["queue"] == 2
            go_on.set()
            assert [one.result().status_code for one in waiting] == [200, 200]
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert send(client, photos[0]).status_code == 200


def test_a_batch_larger_than_the_queue_is_told_what_fits(
    console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    with console(console_models, tmp_path, queue_size=2) as client:
        three = [("images", ("a.png", photos[0].read_bytes()))] * 3
        refused = client.post("/inspect/batch", data={"category": "nut"}, files=three)
        assert (refused.status_code, "at most 2" in refused.json()["detail"]) == (413, True)
        assert "retry-after" not in refused.headers
        with service_of(client).admitted():
            busy = client.post("/inspect/batch", data={"category": "nut"}, files=three[:2])
        assert (busy.status_code, "retry-after" in busy.headers) == (503, True)
        assert client.post("/inspect/batch", data={"category": "nut"}, files=three[:2]).status_code == 200


class _Waiting:
    """A photo whose turn takes until ``go_on``."""

    def __init__(self, go_on: threading.Event):
        self._go_on = go_on

    @property
    def prepared(self) -> None:
        self._go_on.wait(20)
        raise ValueError("no photo")


def test_models_appear_are_replaced_and_vanish(
    console_models: Path, tmp_path: Path, photos: list[Path], good_photos: list[Path]
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    with console(models, tmp_path) as client:
        assert client.get("/categories").json() == []
        assert "train.py" in send(client, photos[0]).json()["detail"]
        shutil.copy(console_models / "nut.pkl", models / "nut.pkl")
        before = send(client, photos[0]).json()
        assert client.get("/categories").json()[0]["model_loaded"]
        Inspector.fit(good_photos[:6], tiny_config()).save(models / "nut.pkl")
        after = send(client, photos[0]).json()
        assert after["model_checksum"] != before["model_checksum"]
        assert after["anomaly_score"] == pytest.approx(scores_of(client, "nut", photos[:1])[0], rel=1e-6)
        (models / "nut.pkl").write_bytes(b"not a model")
        broken = send(client, photos[0])
        assert (broken.status_code, "damaged" in broken.json()["detail"]) == (503, True)
        assert str(tmp_path) not in broken.json()["detail"]  # clients need not know where files lie
        (models / "nut.pkl").unlink()
        assert send(client, photos[0]).status_code == 404


def test_the_least_recently_used_model_goes(
    console_models: Path, tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastener.console.catalogue.MIB", 1000)
    with console(console_models, tmp_path, model_memory_mb=1) as client:
        for name in ("nut", "research/screw", "nut"):
            assert send(client, photos[0], name).status_code == 200
            assert service_of(client).catalogue.loaded_categories() == [name]
    with console(console_models, tmp_path, model_memory_mb=10**6) as client:
        for name in ("nut", "research/screw", "nut"):
            assert client.post(f"/model/reload/{name}").json()["name"] == name
        assert service_of(client).catalogue.loaded_categories() == ["research/screw", "nut"]


def test_stored_images_are_upright_and_small_where_asked(client: TestClient, tmp_path: Path) -> None:
    photo = np.zeros((300, 900, 3), np.uint8)
    photo[:, :450] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(photo, tmp_path / "turned.jpg", exif=exif)
    id = send(client, path, name="turned.jpg").json()["id"]
    original = client.get(f"/inspections/{id}/image")
    assert original.content == path.read_bytes()
    assert original.headers["content-type"] == "image/jpeg"
    small = np.asarray(Image.open(io.BytesIO(client.get(f"/inspections/{id}/image?size=thumbnail").content)))
    assert small.shape == (192, 64, 3)
    assert small[:60].mean() > 250
    assert client.get(f"/inspections/{id}/image?size=huge").status_code == 422
    assert client.get(f"/inspections/{id}/heatmap").headers["content-type"] == "image/png"


def test_a_stored_photo_is_made_small_without_decoding_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = cv2.resize(part(1), (3072, 2048))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(photo, tmp_path / "phone.jpg", exif=exif)
    decoded: list[tuple[int, ...]] = []

    def noting(photo: np.ndarray, side: int) -> np.ndarray:
        decoded.append(photo.shape)
        return shrunk(photo, side)

    monkeypatch.setattr("fastener.console.pictures.shrunk", noting)
    small = np.asarray(Image.open(io.BytesIO(small_jpeg(path, 192))), float)
    assert decoded == [(384, 256, 3)]
    expected = cv2.resize(np.rot90(photo, -1), (128, 192), interpolation=cv2.INTER_AREA)
    assert small.shape == expected.shape
    assert np.abs(small - expected).mean() < 3


def test_what_is_large_is_told_from_the_header(tmp_path: Path) -> None:
    assert is_large(io.BytesIO(png_header(5001, 5000)), 192)
    assert not is_large(io.BytesIO(png_header(5000, 5000)), 192)
    assert not is_large(io.BytesIO(b"not an image"), 192)
    photo = io.BytesIO()
    Image.new("L", (6001, 5001)).save(photo, format="JPEG")
    assert not is_large(photo, 1000)
    assert is_large(photo, 4000)


def test_large_images_are_decoded_one_at_a_time_and_hold_up_no_others(
    console_models: Path, tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    large = io.BytesIO()
    Image.fromarray(np.kron(part(1), np.ones((4, 4, 1), np.uint8))).save(large, format="PNG")
    height, width = 4 * part(1).shape[0], 4 * part(1).shape[1]
    in_flight, most, go_on = 0, 0, threading.Event()
    lock = threading.Lock()

    def slowly(size: tuple[int, int]) -> None:
        nonlocal in_flight, most
        if size == (height, width):
            with lock:
                in_flight += 1
                most = max(most, in_flight)
            go_on.wait(20)
            with lock:
                in_flight -= 1

    def decode(*arguments: Any, **more: Any) -> Photo:
        photo = decode_photo(*arguments, **more)
        slowly(photo.size)
        return photo

    def decode_small(*arguments: Any) -> tuple[np.ndarray, tuple[int, int]]:
        pixels, size = decode_reduced(*arguments)
        slowly(size)
        return pixels, size

    with console(console_models, tmp_path) as client:
        id = send(client, large.getvalue()).json()["id"]
        monkeypatch.setattr("fastener.console.pictures.LARGE_PIXELS", height * width - 1)
        monkeypatch.setattr("fastener.console.preparing.decode_photo", decode)
        monkeypatch.setattr("fastener.console.pictures.decode_reduced", decode_small)
        with ThreadPoolExecutor(12) as pool:
            waiting = [pool.submit(send, client, large.getvalue()) for _ in range(8)]
            waiting += [
                pool.submit(client.get, f"/inspections/{id}/image?size={size}") for size in ("thumbnail", "preview")
            ]
            while service_of(client).in_flight < 8 or not in_flight:
                time.sleep(0.01)
            assert pool.submit(send, client, photos[0]).result(15).status_code == 200
            go_on.set()
            assert [one.result().status_code for one in waiting] == [200] * 10
    assert most == 1


@pytest.mark.slow
def test_the_event_loop_is_never_held_up(client: TestClient, photos: list[Path]) -> None:
    """While a large image is decoded and judged, /health goes on answering."""
    large = io.BytesIO()
    Image.fromarray(np.kron(striped(), np.ones((60, 60, 1), np.uint8))).save(large, format="PNG")
    slowest = 0.0
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(send, client, large.getvalue()) for _ in range(4)]
        while not all(one.done() for one in waiting):
            slowest = max(slowest, client.get("/health").elapsed.total_seconds())
        durations = [one.result().elapsed.total_seconds() for one in waiting]
    assert slowest < max(durations) / 2


def test_openapi_names_every_route(client: TestClient) -> None:
    described = set(client.get("/openapi.json").json()["paths"])
    assert described >= {
        "/health", "/categories", "/inspect", "/inspect/batch", "/model/info/{category}", "/model/reload/{category}",
        "/inspections", "/inspections/{id}", "/inspections/{id}/image", "/inspections/{id}/heatmap",
        "/statistics", "/metrics",
    }  # fmt: skip
    assert "cdn" not in client.get("/docs").text


def test_a_locked_history_asks_to_come_again(
    console_models: Path, tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with console(console_models, tmp_path) as client:

        def locked(row: object) -> None:
            raise OperationalError("INSERT", {}, Exception("database is locked"))

        monkeypatch.setattr(service_of(client).history, "add", locked)
        refused = send(client, photos[0])
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
