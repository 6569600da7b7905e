"""An exported model: the same scores, in int8 a threshold of its own, no file of weights; every script takes it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_factory import parts, run_inside, tiny_config, write_photos
from random_networks import random_state, without_head

from fastener import runtime
from fastener.benchmarks.work import inspection_flop
from fastener.common.errors import UserError
from fastener.common.files import CONFIGS
from fastener.config import RunSettings, load_config
from fastener.console.catalogue import Catalogue
from fastener.datasets.mvtec import load_category
from fastener.evaluation import precision_cost
from fastener.evaluation.metrics import auroc
from fastener.evaluation.precision_cost import PrecisionCost
from fastener.inspection.evidence import StructureEvidence
from fastener.inspection.inspector import CONFORMAL, Inspector
from fastener.inspection.model_folder import MODEL_FILE, size_of
from fastener.inspection.result import Inspection
from fastener.models.runtime.storage import load_state, save_state

pytestmark = pytest.mark.slow

CONFIG = tiny_config(
    model={"backbone": "resnet18", "layers": ("layer1", "layer2"), "coreset_ratio": 0.05, "target_dim": 64},
    evidence=("cnn", "colour"),
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos to learn from, and two that are not."""
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder / "good", parts(12))
    write_photos(folder / "new", parts(2, 300), "new{:02d}.png")
    return folder


@pytest.fixture(scope="module")
def model(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.save(without_head(random_state("resnet18")), folder / "resnet18.pth")
    sources = sorted((photos / "good").iterdir())
    Inspector.fit(sources, CONFIG, weights=folder / "resnet18.pth").save(folder / "mine.pkl")
    return folder / "mine.pkl"


@pytest.fixture(scope="module")
def exported(model: Path, photos: Path) -> dict[str, Path]:
    """The folders of both precisions, written by the script; the photos lie among others."""
    folders = {}
    for precision, flags in (("fp32", ()), ("int8", ("--images", photos))):
        done = run_inside("export.py", "--model", model, "--weights", weights(model), "--precision", precision, *flags)
        assert done.returncode == 0, done.stderr
        # Tiny models find few defects, and say so.
        assert all("of synthetic defects are found" in line for line in done.stderr.splitlines())
        folders[precision] = model.with_name(f"mine-{precision}")
    return folders


@pytest.fixture(autouse=True)
def no_weights_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever a test loads, it finds no file of weights that it does not name."""
    monkeypatch.delenv("FASTENER_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    monkeypatch.setattr("fastener.models.runtime.weights.download_weights", lambda backbone, progress=False: None)


def weights(model: Path) -> Path:
    return model.with_name("resnet18.pth")


def scored(model: Inspector, images: list[np.ndarray]) -> list[Inspection]:
    return [result for result in model.inspect(images) if isinstance(result, Inspection)]


def test_the_folder_holds_a_graph_for_each_network_and_one_file(exported: dict[str, Path]) -> None:
    for folder in exported.values():
        names = sorted(path.name.rsplit("-", 1)[0] for path in folder.iterdir())
        assert names == ["cnn", "cnn_features", MODEL_FILE]


def test_fp32_gives_the_scores_of_the_saved_model(model: Path, exported: dict[str, Path]) -> None:
    original, other = Inspector.load(model, "cpu", weights=weights(model)), Inspector.load(exported["fp32"], "cpu")
    images = [*parts(3, 100), *parts(3, 200, "rust")]
    assert other.threshold == original.threshold
    for one, same in zip(scored(original, images), scored(other, images), strict=True):
        assert same.score == pytest.approx(one.score, abs=1e-3)
        assert same.is_anomalous == one.is_anomalous
        np.testing.assert_allclose(same.map, one.map, atol=1e-3 * float(np.abs(one.map).max()))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_without_torch_the_folder_gives_the_same_scores(exported: dict[str, Path], precision: str) -> None:
    images = [*parts(3, 100), *parts(3, 200, "rust")]
    theirs, ours = Inspector.load(exported[precision], "cpu"), runtime.load(exported[precision])
    for one, other in zip(ours.inspect(images), scored(theirs, images), strict=True):
        assert isinstance(one, Inspection)
        assert one.score == pytest.approx(other.score, rel=1e-3)
        assert one.verdict == other.verdict


def test_the_least_arithmetic_is_that_of_the_same_network(model: Path, exported: dict[str, Path]) -> None:
    """ONNX Runtime tells nothing of what it computes."""
    original, other = Inspector.load(model, "cpu", weights=weights(model)), Inspector.load(exported["fp32"], "cpu")
    assert inspection_flop(other) == inspection_flop(original)


def test_int8_has_a_bank_and_a_threshold_of_its_own(model: Path, exported: dict[str, Path], photos: Path) -> None:
    original, small = Inspector.load(model, "cpu", weights=weights(model)), Inspector.load(exported["int8"], "cpu")
    bank, other = (one.evidence["cnn"].state()["bank"] for one in (original, small))
    assert bank.shape == other.shape
    assert not torch.equal(bank, other)
    assert small.threshold_source == CONFORMAL
    assert small.threshold == small.decision.threshold()[0] != original.threshold
    assert small.training.checksums == original.training.checksums
    config = CONFIG.model_copy(update={"run": CONFIG.run.model_copy(update={"precision": "int8"})})
    trained = Inspector.fit(sorted((photos / "good").iterdir()), config, weights=weights(model))
    assert trained.threshold == small.threshold


def test_int8_finds_what_fp32_finds(model: Path, exported: dict[str, Path]) -> None:
    images = [*parts(8, 100), *parts(8, 200, "rust")]
    labels = np.arange(16) >= 8
    original, small = Inspector.load(model, "cpu", weights=weights(model)), Inspector.load(exported["int8"], "cpu")
    found = [auroc(labels, [one.evidence["cnn"].score for one in scored(m, images)]) for m in (original, small)]
    assert found[0] > 0.9  # below, the random network tells the photos apart by chance only
    assert found[1] >= found[0] - 0.05  # two of the 64 pairs, and a bit


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_folder_saved_as_a_file_and_back_is_the_same_model(
    exported: dict[str, Path], precision: str, tmp_path: Path
) -> None:
    loaded = Inspector.load(exported[precision], "cpu")
    loaded.save(tmp_path / "one.pkl")
    Inspector.load(tmp_path / "one.pkl", "cpu").save(tmp_path / "again" / MODEL_FILE)
    images = parts(2, 100)
    expected = [one.score for one in scored(loaded, images)]
    for path in (tmp_path / "one.pkl", tmp_path / "again", tmp_path / "again" / MODEL_FILE):
        assert [one.score for one in scored(Inspector.load(path, "cpu"), images)] == expected


def test_every_script_takes_the_folder(exported: dict[str, Path], photos: Path, data_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported["int8"], tmp_path / "copied")
    commands: list[tuple[object, ...]] = [
        ("inference.py", "--dir", photos / "new", "--model", folder, "--json", "--output", tmp_path / "out"),
        (
            "evaluate.py",
            "--data-dir",
            data_dir,
            "--split",
            "test",
            "--model",
            folder,
            "--output",
            tmp_path / "measured",
        ),
        ("benchmark.py", "latency", "--model", folder, "--dir", photos / "new", "--target-ms", 1e9),
        ("train.py", "--update", folder, "--images", photos / "new"),
        ("inference.py", "--dir", photos / "new", "--model", folder),
    ]
    for script, *flags in commands:
        done = run_inside(str(script), *flags)
        assert done.returncode == 0, done.stderr
    assert len(Inspector.load(folder, "cpu").training.checksums) == 14


def test_the_console_lists_the_folder_by_its_name(exported: dict[str, Path], model: Path) -> None:
    catalogue = Catalogue(
        model.parent, device="cpu", run=RunSettings(), memory_mb=4096, saved_threshold=lambda category, checksum: None
    )
    assert list(catalogue.categories()) == ["mine", "mine-fp32", "mine-int8"]
    served = catalogue.load("mine-int8")
    assert isinstance(served.inspector, Inspector)
    assert served.inspector.config.run.precision == "int8"
    assert catalogue.loaded("mine-int8") is served


def test_an_update_leaves_no_old_graph(exported: dict[str, Path], model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported["fp32"], tmp_path / "model")
    (folder / "notes.txt").touch()
    Inspector.load(exported["int8"], "cpu").save(folder)
    assert sorted(path.name.rsplit("-", 1)[0] for path in folder.glob("*.onnx")) == ["cnn", "cnn_features"]
    assert (folder / "notes.txt").exists()
    assert Inspector.load(folder, "cpu").config.run.precision == "int8"


def test_a_folder_that_is_not_whole_is_one_line(exported: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"without {MODEL_FILE}"):
        Inspector.load(tmp_path, "cpu")
    folder = shutil.copytree(exported["fp32"], tmp_path / "model")
    graph = next(folder.glob("cnn-*.onnx"))
    content = bytearray(graph.read_bytes())
    content[1000] ^= 1
    graph.write_bytes(content)
    with pytest.raises(UserError, match=r"cnn-.*\.onnx is damaged"):
        Inspector.load(folder, "cpu")
    graph.unlink()
    with pytest.raises(UserError, match="copied as a whole"):
        Inspector.load(folder, "cpu")


def test_a_saved_model_keeps_its_precision(model: Path, exported: dict[str, Path]) -> None:
    on_onnx = Inspector.load(model, "cpu", weights=weights(model), run=RunSettings(runtime="onnx"))
    on_torch = Inspector.load(exported["fp32"], "cpu", weights=weights(model), run=RunSettings(runtime="torch"))
    images = parts(2, 100)
    first, second = ([one.score for one in scored(m, images)] for m in (on_onnx, on_torch))
    assert first == pytest.approx(second, abs=1e-3)
    for path, run, words in (
        (model, RunSettings(precision="bf16"), r"in fp32; make a model in bf16 with train\.py"),
        (model, RunSettings(precision="int8"), r"in fp32; make a model in int8 with export\.py"),
        (exported["int8"], RunSettings(precision="fp32"), r"in int8; make a model in fp32 with train\.py"),
        (exported["int8"], RunSettings(runtime="torch"), "leave out --runtime torch"),
    ):
        with pytest.raises(UserError, match=words):
            Inspector.load(path, "cpu", weights=weights(model), run=run)


def test_settings_of_the_machine_are_those_of_this_one(model: Path) -> None:
    here = RunSettings(batch_size=3, workers=1, memory_limit_mb=5, seed=9)
    loaded = Inspector.load(model, "cpu", weights=weights(model), run=here)
    assert (loaded.config.run.batch_size, loaded.config.run.workers, loaded.config.run.seed) == (3, 1, 42)
    evidence = loaded.evidence["cnn"]
    assert isinstance(evidence, StructureEvidence)
    assert evidence.patchcore.memory_limit == 5 * 2**20


def test_a_model_of_another_precision_is_learned_anew_or_refused_at_once(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    in_bf16 = CONFIG.model_copy(update={"run": CONFIG.run.model_copy(update={"precision": "bf16"})})
    Inspector.fit(sorted((photos / "good").iterdir()), in_bf16, weights=weights(model)).save(tmp_path / "model.pkl")
    flags = ("--model", tmp_path / "model.pkl", "--weights", weights(model), "--output", tmp_path / "out")
    refused = run_inside("export.py", *flags)
    assert refused.returncode == 2
    assert "is in bf16; --precision fp32 is learned from the training photos: name their folder" in refused.stderr
    done = run_inside("export.py", *flags, "--precision", "fp32", "--images", photos)
    assert done.returncode == 0, done.stderr
    exported = Inspector.load(tmp_path / "out", "cpu")
    original = Inspector.load(model, "cpu", weights=weights(model))
    assert exported.threshold == pytest.approx(original.threshold, rel=1e-3), "that of the same photos, in fp32"


def test_a_model_in_fp16_is_read_on_a_cpu_in_fp32(model: Path, tmp_path: Path) -> None:
    """As one that a GPU made."""
    state = load_state(model)
    assert state["config"]["run"]["precision"] == "fp32", "what auto means on a CPU"
    state["config"]["run"]["precision"] = "fp16"
    save_state(state, tmp_path / "model.pkl")
    assert Inspector.load(tmp_path / "model.pkl", "cpu", weights=weights(model)).config.run.precision == "fp32"


def test_auto_takes_int8_only_where_it_costs_little(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it warns of training photos that it does not find."""
    some = shutil.copytree(photos / "good", tmp_path / "some")
    for path in sorted(some.iterdir())[:2]:
        path.unlink()
    flags = ("--model", model, "--weights", weights(model), "--images", some, "--output", tmp_path / "out")
    for exact, small, ms, expected, learned in (
        (0.9, 0.8951, 9.0, "int8", 10),
        (0.9, 0.8949, 5.0, "fp32", 12),
        (0.69, 0.75, 5.0, "fp32", 12),  # too near to chance to tell
        (0.9, 0.9, 9.1, "fp32", 12),  # a tenth of the time is not worth it
    ):
        found = PrecisionCost({"fp32": exact, "int8": small}, 7, {"fp32": 10.0, "int8": ms})
        monkeypatch.setattr("fastener.export._add_features", lambda inspector: None)  # it takes seconds
        monkeypatch.setattr(precision_cost, "auroc_by_setting", lambda *_, found=found, **options: found)
        done = run_inside("export.py", *flags)
        reason = next(line for line in done.stdout.splitlines() if line.endswith(f"{expected} it is"))
        assert f"fp32 10.0, int8 {ms}" in reason
        assert "2 of 12 training photos are not in" in done.stderr
        chosen = Inspector.load(tmp_path / "out", "cpu")
        assert (chosen.config.run.precision, len(chosen.training.checksums)) == (expected, learned)
        assert chosen.notes["export"].startswith(f"{reason}; network, ms a photo on this machine: PyTorch")


def test_the_cost_is_measured_on_photos_that_were_not_learned(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[list[Path]] = []
    fit = Inspector.fit

    def watched(sources: list[Path], *rest: Any, **named: Any) -> Inspector:
        learned.append(sources)
        return fit(sources, *rest, **named)

    monkeypatch.setattr(Inspector, "fit", watched)
    good = sorted((photos / "good").iterdir())
    config = tiny_config()
    cost = precision_cost.auroc_by_setting(good, {"one": config, "other": config})
    assert learned[0] == learned[1]
    assert (len(learned[0]), cost.n) == (8, 4)
    assert cost.auroc["one"] == cost.auroc["other"]
    with pytest.raises(UserError, match="8 different photos are too few"):
        precision_cost.auroc_by_setting(good[:8], {"one": config})


def test_pooled_features_are_exported_too(model: Path, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"evidence": ("global",)})
    pooled = Inspector.fit(parts(6), config, weights=weights(model))
    pooled.save(tmp_path / "pooled.pkl")
    done = run_inside("export.py", "--model", tmp_path / "pooled.pkl", "--weights", weights(model))
    assert done.returncode == 0, done.stderr
    exported = scored(Inspector.load(tmp_path / "pooled-fp32", "cpu"), parts(2, 100))
    assert [one.score for one in exported] == pytest.approx([o.score for o in scored(pooled, parts(2, 100))], abs=1e-3)


def test_what_cannot_be_exported(model: Path, photos: Path, tmp_path: Path) -> None:
    cases: list[tuple[tuple[object, ...], str]] = [
        (("--model", model, "--weights", weights(model), "--precision", "int8"), "name their folder with --images"),
        (("--model", model, "--weights", weights(model), "--images", photos / "new"), "none of the 12 training photos"),
        (("--model", model), "no weights for resnet18"),
        (("--model", model, "--precision", "bf16"), "fp32 or int8"),
        (("--model", model, "--runtime", "torch"), "ONNX Runtime"),
        (("--model", tmp_path / "none.pkl"), "no model at"),
    ]
    for flags, words in cases:
        done = run_inside("export.py", *flags)
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1 or "usage" in done.stderr


REAL = Path(os.environ.get("FASTENER_WEIGHTS_DIR", "")) / "resnet18.npz"
SCREW = Path(os.environ.get("FASTENER_DATA_DIR", "")) / "mvtec" / "screw"


@pytest.mark.real_data
@pytest.mark.skipif(not (REAL.is_file() and SCREW.is_dir()), reason="FASTENER_WEIGHTS_DIR or FASTENER_DATA_DIR unset")
def test_on_real_photos_onnx_is_torch_and_int8_costs_little(tmp_path: Path) -> None:
    """MVTec screw in the papers' frame, with ImageNet weights. A minute."""
    category = load_category(SCREW.parent, "screw")
    learning, testing = list(category.train)[::4], list(category.test)
    labels = np.array([image.is_anomalous for image in testing])
    settings = ["model.backbone=resnet18", "evidence=[cnn]", "model.coreset_ratio=0.05", "run.device=cpu"]
    config = load_config(CONFIGS / "mvtec_paper.yaml", settings)
    in_int8 = config.model_copy(update={"run": config.run.model_copy(update={"precision": "int8"})})
    Inspector.fit(learning, config, weights=REAL).save(tmp_path / "model.pkl")
    models = {
        "torch": Inspector.load(tmp_path / "model.pkl", "cpu", weights=REAL),
        "onnx": Inspector.load(tmp_path / "model.pkl", "cpu", weights=REAL, run=RunSettings(runtime="onnx")),
        "int8": Inspector.fit(learning, in_int8, weights=REAL),
    }
    photos = [image.path for image in testing]
    scores = {
        name: [r.evidence["cnn"].score for r in model.inspect(photos) if isinstance(r, Inspection)]
        for name, model in models.items()
    }
    np.testing.assert_allclose(scores["onnx"], scores["torch"], rtol=1e-3)
    # A quarter of the photos makes a weak model, which int8 moves by a point; where sums saturated, it took four.
    assert auroc(labels, scores["int8"]) >= auroc(labels, scores["torch"]) - 0.02


def test_a_bank_is_saved_in_half_the_bytes_without_losing_a_digit(model: Path, exported: dict[str, Path]) -> None:
    saved, loaded = load_state(model)["evidence"]["cnn"]["bank"], Inspector.load(exported["fp32"], "cpu")
    assert saved.dtype == torch.float16
    assert torch.equal(saved.float(), loaded.evidence["cnn"].patchcore.bank_.features)  # type: ignore[union-attr]
    text = size_of(exported["fp32"])
    assert "network" in text
    assert "(float16)" in text
