"""Models of anomalib in an experiment: by a small stand-in with its interface, and by anomalib itself where it is."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from data_factory import run_inside
from mvtec_factory import write_category

from fastener.common.errors import UserError
from fastener.datasets.images import read_image
from fastener.evaluation.experiments.anomalib_bridge import AnomalibModel
from fastener.evaluation.experiments.paired import paired_tests
from fastener.evaluation.experiments.settings import Experiment

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ("model.backbone=filters", "preprocess.size=64", "run.device=cpu", "run.workers=0")


class MeanPhoto(torch.nn.Module):
    """A model with anomalib's interface: the distance from the mean of the training photos, at 32 x 32 px."""

    def __init__(self, **switched_off: bool):
        super().__init__()
        assert switched_off == {"post_processor": False, "evaluator": False, "visualizer": False}
        self.mean = torch.nn.Parameter(torch.zeros(3, 32, 32), requires_grad=False)
        self.seen: list[str] = []

    def learn(self, batch: Any) -> None:
        self.mean.data += torch.nn.functional.interpolate(batch.image, (32, 32)).sum(0)
        self.seen += batch.image_path
        assert not batch.gt_label.any()

    def forward(self, images: torch.Tensor) -> Any:
        small = torch.nn.functional.interpolate(images, (32, 32))
        heat = (small - self.mean / len(self.seen)).abs().mean(1, keepdim=True)
        return SimpleNamespace(anomaly_map=heat, pred_score=heat.amax((1, 2, 3)))


@pytest.fixture
def anomalib(monkeypatch: pytest.MonkeyPatch) -> None:
    class Item(SimpleNamespace):
        pass

    def collate(items: list[Item]) -> SimpleNamespace:
        return SimpleNamespace(
            image=torch.stack([one.image for one in items]),
            image_path=[one.image_path for one in items],
            gt_label=torch.tensor([one.gt_label for one in items]),
        )

    class Engine:
        def __init__(self, **settings: Any):
            assert Path(settings["default_root_dir"]).is_dir()

        def fit(self, model: MeanPhoto, train_dataloaders: Any) -> None:
            for batch in train_dataloaders:
                model.learn(batch)

    names: dict[str, dict[str, Any]] = {"anomalib": {"__version__": "9.9"}}
    names["anomalib.models"] = {"list_models": lambda: {"mean_photo"}, "get_model": lambda name, **on: MeanPhoto(**on)}
    names["anomalib.data"] = {"ImageItem": Item, "ImageBatch": SimpleNamespace(collate=collate)}
    names["anomalib.engine"] = {"Engine": Engine}
    for name, attributes in names.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture(scope="module")
def mvtec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mvtec")
    write_category(folder / "plate", n_train=4, n_good=3, n_defect=3)
    return folder


@pytest.mark.usefixtures("anomalib")
def test_its_scores_are_in_the_same_tables_and_tests(mvtec: Path, tmp_path: Path) -> None:
    asked = Experiment(data=(mvtec,), methods=("global", "anomalib:MeanPhoto"), shots=(2, "all"), settings=SMALL)
    results = asked.run(tmp_path)
    assert (results.errors, results.missing) == ({}, 0)
    assert [name for name, _ in results.table().rows] == ["global", "anomalib:MeanPhoto"]
    (one,) = results.of("plate", "anomalib:MeanPhoto", "all")
    assert (one["backbone"], one["n_train"], one["threshold"], one["recall"]) == ("anomalib 9.9", 4, None, None)
    assert one["folder"].parent.parent.name == "anomalib-MeanPhoto"
    assert one["aupro"] is not None
    assert any(line.startswith("plate: global") and "anomalib:MeanPhoto" in line for line in paired_tests(results))
    rows = list(csv.DictReader((one["folder"] / "scores.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert {row["verdict"] for row in rows} == {"LOOK"}  # nobody has judged them
    mean = np.mean([_small(path) for path in sorted((mvtec / "plate/train/good").iterdir())], axis=0)
    for row in rows:
        expected = np.abs(_small(Path(row["path"])) - mean).mean(0).max()
        assert float(row["score"]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.usefixtures("anomalib")
def test_an_unknown_model_and_a_missing_library_are_one_line(mvtec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="anomalib:magic: anomalib has no such model; it has mean_photo"):
        AnomalibModel("anomalib:magic")
    monkeypatch.setitem(sys.modules, "anomalib.models", None)
    with pytest.raises(UserError, match="pip install anomalib"):
        AnomalibModel("anomalib:mean_photo")


@pytest.mark.skipif("anomalib" in sys.modules, reason="anomalib is imported")
def test_the_command_says_what_is_missing(mvtec: Path, tmp_path: Path) -> None:
    done = run_inside(
        "evaluate.py",
        "--data-dir",
        mvtec,
        "--category",
        "plate",
        "--method",
        "anomalib:none_such",
        "--output",
        tmp_path,
    )
    assert done.returncode == 2
    assert "anomalib" in done.stderr
    assert "Traceback" not in done.stderr
    refused = run_inside("train.py", "--data-dir", mvtec, "--category", "plate", "--method", "anomalib:padim")
    assert (refused.returncode, "anomalib:padim" in refused.stderr) == (2, True)


def test_anomalib_itself_learns_and_scores(mvtec: Path, tmp_path: Path) -> None:
    pytest.importorskip("anomalib", exc_type=ImportError)
    asked = Experiment(data=(mvtec,), methods=("anomalib:dfkde", "anomalib:padim"), settings=SMALL)
    results = asked.run(tmp_path)
    if results.errors:  # it fetches its networks itself
        pytest.skip(f"anomalib could not train here: {next(iter(results.errors.values()))}")
    assert {one["method"] for one in results.cells} == {"anomalib:dfkde", "anomalib:padim"}


def _small(path: Path) -> np.ndarray:
    photo = torch.from_numpy(read_image(path).transpose(2, 0, 1).copy())[None].float() / 255
    return torch.nn.functional.interpolate(photo, (32, 32))[0].numpy()
