"""An open-set model in the console: PatchCore decides, the classifier names; without PatchCore every photo fails."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from console_factory import LOCAL, send, service_of
from data_factory import save
from fastapi.testclient import TestClient
from steel_factory import strip, texture, write_neu, write_severstal, write_weights

from fastener.commands.serving import read_servable
from fastener.common.errors import UserError
from fastener.config import RunSettings
from fastener.console.app import LOCAL_NAMES, create_app
from fastener.console.service import Service
from fastener.console.settings import ConsoleSettings
from fastener.datasets.images import read_image
from fastener.inspection import model_folder
from fastener.models.runtime import storage
from fastener.open_set import model as open_set_model
from fastener.open_set.model import OpenSetModel, load_open_set_model
from fastener.open_set.pipeline import Pipeline
from fastener.open_set.saving import model_of
from fastener.open_set.settings import load_open_set

NO_NAMING = {"kind", "most_like", "most_like_share", "unlike_known", "unknown_above"}


@pytest.fixture(scope="module")
def models(console_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Steel with and without PatchCore, and a model that names no kinds."""
    folder = tmp_path_factory.mktemp("steel")
    settings, splits = load_open_set(
        None,
        [
            "classifier.backbone=resnet18", "classifier.mode=frozen", "classifier.size=48", "rejection.score=knn",
            "steel.backbone=filters", "steel.size=48", "steel.coreset_ratio=0.05", "run.workers=0", "run.device=cpu",
        ],
        {
            "data.neu_root": write_neu(folder / "neu"), "data.severstal_root": write_severstal(folder / "severstal"),
            "weights": write_weights(folder / "resnet18.npz"), "output": folder / "output", "splits": ["a"],
        },
    )  # fmt: skip
    pipeline = Pipeline(settings, splits)
    served = folder / "models"
    served.mkdir()
    model_of(pipeline, "a").save(served / "steel.pkl")
    model_of(pipeline, "a", with_gate=False).save(served / "kinds.pkl")
    (served / "nut.pkl").write_bytes((console_models / "nut.pkl").read_bytes())
    return served


@pytest.fixture(scope="module")
def model(models: Path) -> OpenSetModel:
    return load_open_set_model(models / "steel.pkl", "cpu")


@pytest.fixture(scope="module")
def client(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("console")
    settings = ConsoleSettings(models=models, database=f"sqlite:///{folder}/history.db", pictures=folder / "pictures")
    service = Service(settings, "cpu", RunSettings(device="cpu"), read=read_servable)
    with TestClient(create_app(service, LOCAL_NAMES), LOCAL) as found:
        yield found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("photos")
    shown = {"known": texture("crazing", 70), "good": strip(70)[0], "cracked": strip(71, cracked=True)[0]}
    shown["unknown"] = texture("scratches", 70)
    return {name: save(photo, folder / f"{name}.png") for name, photo in shown.items()}


def test_the_console_answers_as_predict(client: TestClient, model: OpenSetModel, photos: dict[str, Path]) -> None:
    for name, file in photos.items():
        answer = send(client, file, "steel", f"{name}.png").json()
        expected = asdict(model.judge(read_image(file)))
        assert answer["anomaly_score"] == pytest.approx(expected.pop("gate_score"), rel=1e-5)
        assert answer["threshold"] == pytest.approx(expected.pop("gate_threshold"))
        assert {key: answer["naming"][key] for key in ("verdict", "named")} == {
            key: expected[key] for key in ("verdict", "named")
        }
        for key in ("confidence", "score", "threshold"):
            assert answer["naming"][key] == pytest.approx(expected[key], rel=1e-4)
        assert answer["decision"] == ("PASS" if expected["verdict"] == "no_defect" else "FAIL")
        assert answer["has_heatmap"]
        assert client.get(f"/inspections/{answer['id']}").json()["naming"] == answer["naming"]
    assert send(client, photos["good"], "steel").json()["decision"] == "PASS"
    assert send(client, photos["cracked"], "steel").json()["decision"] == "FAIL"


def test_healthy_parts_are_the_strips_that_set_the_threshold(client: TestClient, model: OpenSetModel) -> None:
    info = client.get("/model/info/steel").json()
    assert model.gate is not None
    assert info["kinds"] == list(model.known)
    assert info["calibration"]["photos"] == 10  # calibration strips of 24, and not tiles that were trained on
    assert info["calibration"]["alpha"] == pytest.approx(
        (1 + sum(score > model.gate.threshold for score in info["calibration"]["healthy_scores"])) / 11
    )
    assert info["threshold_basis"] is None
    assert client.get("/model/info/nut").json()["kinds"] == []


def test_another_threshold_decides_and_names_alike(client: TestClient, photos: dict[str, Path]) -> None:
    info = client.get("/model/info/steel").json()
    change = {"changed_by": "Ann", "reason": "test", "model_checksum": info["model_checksum"]}
    own, lowest = info["threshold"], info["calibration"]["lowest_threshold"]
    for replaces, threshold, decision in ((own, lowest, "FAIL"), (lowest, own, "PASS")):
        new = {"threshold": threshold, "replaces": replaces, **change}
        assert client.put("/model/threshold/steel", json=new).status_code == 200
        answer = send(client, photos["good"], "steel").json()
        assert answer["decision"] == decision
        assert (answer["naming"]["verdict"] == "no_defect") == (decision == "PASS")


def test_without_patchcore_every_photo_fails_and_nothing_is_marked(
    client: TestClient, photos: dict[str, Path], models: Path
) -> None:
    answer = send(client, photos["good"], "kinds").json()
    expected = load_open_set_model(models / "kinds.pkl", "cpu").judge(read_image(photos["good"]))
    assert (answer["decision"], answer["naming"]["verdict"]) == ("FAIL", expected.verdict)
    assert answer["p_value"] is answer["confidence"] is answer["heatmap_base64"] is None
    assert answer["regions"] == []
    assert not answer["has_heatmap"]
    assert client.get(f"/inspections/{answer['id']}/heatmap").status_code == 404
    info = client.get("/model/info/kinds").json()
    assert info["calibration"] is None
    assert "cannot say that there is none" in " ".join(info["description"])
    change = {
        "threshold": 5.0,
        "replaces": 1.0,
        "changed_by": "Ann",
        "reason": "test",
        "model_checksum": info["model_checksum"],
    }
    assert client.put("/model/threshold/kinds", json=change).status_code == 409
    assert "kinds" not in {one["category"] for one in client.get("/statistics").json()["references"]}


def test_the_table_and_the_report_name_the_kind(client: TestClient, photos: dict[str, Path]) -> None:
    named = send(client, photos["known"], "kinds", "named.png").json()["naming"]
    plain = send(client, photos["known"], "nut", "plain.png").json()
    assert plain["naming"] is None
    table = csv.DictReader(io.StringIO(client.get("/export/inspections.csv").text.lstrip("\ufeff")))
    rows = {row["file_name"]: row for row in table}
    assert rows["named.png"]["kind"] == named["verdict"]
    assert rows["named.png"]["p_value"] == ""
    assert float(rows["named.png"]["unlike_known"]) == pytest.approx(named["score"])
    assert {rows["plain.png"][column] for column in NO_NAMING} == {""}
    shown = named["verdict"].replace("unknown", "unknown kind").replace("_", " ")
    report = client.get("/report/shift").text
    assert "Kinds of defects" in report
    assert f"FAIL, {shown}</p>" in report  # without a score, which says nothing
    assert client.get("/report/shift.pdf").content.startswith(b"%PDF")


def test_a_model_is_read_from_its_file_once(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    load = storage.load_state

    def counted(path: Path, **how: bool) -> dict[str, Any]:
        if path.suffix == ".pkl" and path.parent == models:
            read.append(path.name)
        return load(path, **how)

    monkeypatch.setattr(model_folder, "load_state", counted)
    monkeypatch.setattr(open_set_model, "load_state", counted)
    assert read_servable(models / "steel.pkl", "cpu", RunSettings()).kinds
    assert read == ["steel.pkl"]


def test_other_files_are_refused_as_before(client: TestClient, models: Path, tmp_path: Path) -> None:
    (tmp_path / "no.pkl").write_bytes(b"no model")
    with pytest.raises(UserError, match="not a model"):
        read_servable(tmp_path / "no.pkl", "cpu", RunSettings())
    assert service_of(client).catalogue.load("nut").inspector.kinds == ()
