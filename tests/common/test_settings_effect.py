"""Every setting does something: for each one a case that changes what the toolkit computes, or how."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from corrosion_factory import CHANGES as CORROSION_CHANGES
from data_factory import SMALL

from fastener import train
from fastener.commands import training
from fastener.common.errors import UserError
from fastener.common.settings import known_settings
from fastener.config import Config, load_config
from fastener.datasets.images import read_image
from fastener.inspection.evidence import StructureEvidence
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.runtime.onnx_network import OnnxNetwork
from fastener.preprocessing.pipeline import Preprocessor

pytestmark = pytest.mark.slow

CNN = {"model.backbone": "mobilenet_v2", "evidence": ("cnn",), "model.colour_weight": 0.0}
PLAIN = {"preprocess.enabled": False}
REDRAWN = {
    "evidence": ("autoencoder",),
    "autoencoder.side": 32,
    "autoencoder.width": 2,
    "autoencoder.latent": 4,
    "autoencoder.epochs": 4,
}
# A step so large that the error on held-out photos soon rises.
RESTLESS = {**REDRAWN, "autoencoder.epochs": 12, "autoencoder.learning_rate": 0.1}

# Setting -> (settings to start from, another value). The same training and test photos must then give another result.
CHANGES: dict[str, tuple[dict[str, Any], Any]] = {
    "preprocess.enabled": ({"evidence": ("filters",)}, False),
    "preprocess.size": ({}, (64, 80)),
    "preprocess.keep_aspect": ({**PLAIN, "preprocess.size": 128}, False),
    "preprocess.upright": (PLAIN, False),
    "preprocess.center_crop": (PLAIN, 0.7),
    "preprocess.white_balance": ({}, False),
    "preprocess.inpaint_highlights": ({}, False),
    "preprocess.highlight_level": ({}, 255),
    "preprocess.clahe_clip_limit": ({}, 0.0),
    "preprocess.clahe_tiles": ({}, 2),
    "preprocess.padding": ({}, 0.3),
    "preprocess.align": ({}, False),
    "preprocess.background": ({}, 0),
    "model.backbone": ({}, "mobilenet_v2"),
    "model.layers": (CNN, ("features.4",)),
    "model.target_dim": (CNN, 16),
    "model.patch_size": ({}, 5),
    "model.coreset_ratio": ({}, 0.2),
    "model.coreset_projection": ({}, 8),
    "model.num_neighbors": ({"model.top_share": None}, 1),
    "model.top_share": ({}, None),
    "model.top_of": ({}, "patches"),
    "model.cosine": ({**CNN, "model.unit_length": True}, True),
    "model.turns": ({}, 4),
    "model.smoothing_sigma": ({}, 0.0),
    "model.filter_log_floor": ({}, 0.1),
    "model.colour_weight": ({}, 0.0),
    "model.unit_length": (CNN, True),
    "model.whiten": ({}, True),
    "model.per_position": ({}, True),
    "model.line_length": ({}, 40),
    "autoencoder.side": (REDRAWN, 48),
    "autoencoder.width": (REDRAWN, 3),
    "autoencoder.latent": (REDRAWN, 8),
    "autoencoder.learning_rate": (REDRAWN, 0.01),
    "autoencoder.epochs": (REDRAWN, 1),
    "autoencoder.patience": (RESTLESS, 1),
    "autoencoder.held_out": (REDRAWN, 0.5),
    "autoencoder.top_share": (REDRAWN, 0.5),
    "colour.hue_min": ({}, 70.0),
    "colour.hue_max": ({}, 35.0),
    "colour.min_chroma": ({}, 80.0),
    "colour.max_lightness": ({}, 5.0),
    "calibration.alpha": ({}, 0.5),
    "calibration.threshold": ({}, "conformal"),
    "calibration.upper_quantile": ({}, 0.6),
    "calibration.rule": ({}, "max"),
    "calibration.look_band": ({"calibration.alpha": 0.34}, True),
    "run.precision": (CNN, "bf16"),
    "run.seed": ({**CNN, "model.target_dim": 16}, 7),
    "evidence": ({}, ("filters",)),
}


def photo(seed: int, rust: bool = False) -> np.ndarray:
    """A turned, textured bolt with a highlight, on light ground in yellowish light; uint8 RGB (90, 120, 3)."""
    rng = np.random.default_rng(seed)
    picture = np.full((90, 120, 3), 225.0)
    bolt = np.zeros((90, 120), np.uint8)
    cv2.rectangle(bolt, (25, 38), (95, 52), 1, -1)
    cv2.rectangle(bolt, (20, 28), (40, 62), 1, -1)
    turn = cv2.getRotationMatrix2D((60, 45), float(rng.uniform(-25, 25)), 1.0)
    bolt = np.asarray(cv2.warpAffine(bolt, turn, (120, 90), flags=cv2.INTER_NEAREST), np.uint8)
    metal = cv2.GaussianBlur(rng.normal(0, 60, (90, 120)), (0, 0), 1.2) + np.linspace(60, 140, 120)[None, :]
    picture[bolt > 0] = metal[bolt > 0, None]
    inside = cv2.erode(bolt, np.ones((7, 7), np.uint8))
    rows, columns = np.nonzero(inside)
    if rust:
        spot = (np.hypot(np.arange(90)[:, None] - rows[-1], np.arange(120)[None] - columns[-1]) < 14) & (bolt > 0)
        picture[spot] = (150, 80, 40)
    picture = np.clip(np.rint(picture * (1.0, 0.99, 0.96) + rng.normal(0, 1.5, picture.shape)), 0, 255)
    cv2.circle(picture, (int(columns[0]), int(rows[0])), 2, (255.0, 255.0, 255.0), -1)
    return picture.astype(np.uint8)


HEALTHY = [photo(seed) for seed in range(8)]
TEST = [photo(10), photo(11, rust=True)]


@pytest.fixture(autouse=True, scope="module")
def random_network(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Weights of mobilenet_v2, drawn at random: enough to tell one setting from another."""
    from torchvision.models import mobilenet_v2

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = mobilenet_v2(weights=None)
    folder = tmp_path_factory.mktemp("weights")
    torch.save(network.state_dict(), folder / "mobilenet_v2.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTENER_WEIGHTS_DIR", str(folder))
        yield


def outcome(flags: dict[str, Any]) -> tuple[Any, ...]:
    """Everything that the inspector says about the test photos, comparable."""
    return _outcome(tuple(flags.items()))


@cache
def _outcome(flags: tuple[tuple[str, Any], ...]) -> tuple[Any, ...]:
    nulls = [f"{key}=null" for key, value in flags if value is None]  # a flag that is None was not given
    inspector = Inspector.fit(HEALTHY, load_config(flags={**SMALL, **dict(flags)}, assignments=nulls))
    said: list[Any] = []
    for result in inspector.inspect(TEST):
        assert isinstance(result, Inspection)
        said += [
            result.verdict,
            result.score,
            result.threshold,
            result.p_value,
            tuple(result.evidence),
            result.map.shape,
        ]
        said += [result.map.tobytes(), result.mask.tobytes(), result.transform.tobytes()]
    return tuple(said)


def test_same_settings_same_outcome() -> None:
    """Without this, a difference below would prove nothing."""
    _outcome.cache_clear()
    for flags in ({}, CNN):
        first = outcome(flags)
        _outcome.cache_clear()
        assert outcome(flags) == first


@pytest.mark.parametrize("key", CHANGES)
def test_setting_changes_the_result(key: str) -> None:
    start, value = CHANGES[key]
    assert outcome({**start, key: value}) != outcome(start)


def run_batch_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    passes: list[int] = []
    call = FeatureExtractor.__call__

    def counted(self: FeatureExtractor, images: np.ndarray) -> torch.Tensor:
        passes.append(len(images))
        return call(self, images)

    monkeypatch.setattr(FeatureExtractor, "__call__", counted)
    for size, expected in ((3, [3, 3, 2]), (4, [4, 4])):
        passes.clear()
        Inspector.fit(HEALTHY, load_config(flags={**SMALL, "run.batch_size": size}))
        assert passes[: len(expected)] == expected
        assert set(passes[len(expected) :]) <= {1, 2}  # synthetic defects, two a photo


def run_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    threads: set[int] = set()
    call = Preprocessor.__call__

    def watched(self: Preprocessor, picture: np.ndarray) -> Any:
        threads.add(threading.get_ident())
        return call(self, picture)

    monkeypatch.setattr(Preprocessor, "__call__", watched)
    for workers in (0, 1):
        threads.clear()
        Inspector.fit(HEALTHY, load_config(flags={**SMALL, "run.workers": workers}))
        assert (threading.get_ident() in threads) is (workers == 0)


def run_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert Inspector.fit(HEALTHY, load_config(flags={**SMALL, "run.device": "auto"})).device.type == "cpu"
    with pytest.raises(UserError, match="--device cuda"):
        Inspector.fit(HEALTHY, load_config(flags={**SMALL, "run.device": "cuda"}))


def runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, expected in (("torch", False), ("onnx", True)):
        flags = {**SMALL, **CNN, "model.layers": ("features.4",), "run.runtime": name}
        inspector = Inspector.fit(HEALTHY, load_config(flags=flags))
        (structure,) = inspector.evidence.values()
        assert isinstance(structure, StructureEvidence)
        assert isinstance(structure.extractor.network, OnnxNetwork) is expected


def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in ("auto", "flat", "ivf", "hnsw", "pq"):
        flags = {**SMALL, "evidence": ("filters",), "model.index": kind, "model.coreset_ratio": 0.1}
        inspector = Inspector.fit(HEALTHY, load_config(flags=flags))
        (structure,) = inspector.evidence.values()
        assert isinstance(structure, StructureEvidence)
        found = structure.patchcore.bank_.index
        assert (found.kind if found else "flat") == kind.replace("auto", "flat")


def max_photos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    many = [*HEALTHY, *(photo(20 + seed) for seed in range(4))]
    for most, expected in ((1000, 12), (10, 10)):
        flags = {**SMALL, "evidence": ("filters",), "calibration.max_photos": most}
        inspector = Inspector.fit(many, load_config(flags=flags))
        assert len(inspector.decision.healthy_joined) == expected


def baseline_tag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number, name in enumerate(("Bolt-T0.png", "Bolt-start.png", "Nut-start.png")):
        cv2.imwrite(str(tmp_path / name), HEALTHY[number])
    for tag, expected in (("T0", ["Bolt-T0.png"]), ("start", ["Bolt-start.png", "Nut-start.png"])):
        seen: list[Path] = []
        monkeypatch.setattr(
            training, "write_sheet", lambda jobs, config, output, seen=seen: seen.extend(jobs[0].photos)
        )
        command = ["train.py", "--components-dir", str(tmp_path), "--preprocess-only", "--set", f"baseline_tag={tag}"]
        monkeypatch.setattr("sys.argv", command)
        train.main()
        assert [path.name for path in seen] == expected


def memory_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same model, from a file."""
    before, files, make = outcome({}), [], tempfile.TemporaryFile

    def counted() -> object:
        files.append(make())
        return files[-1]

    monkeypatch.setattr("tempfile.TemporaryFile", counted)
    _outcome.cache_clear()
    assert outcome({}) == before
    assert not files
    assert outcome({"run.memory_limit_mb": 0}) == before
    assert files


# Settings that change how, or on what, things are computed rather than the result.
def white_level(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Photos of 12 bits in files of 16 are as bright as the level says."""
    photo_of_12_bits = np.full((32, 32), 2000, np.uint16)
    assert cv2.imwrite(str(tmp_path / "deep.png"), photo_of_12_bits)
    bright, dark = (
        read_image(tmp_path / "deep.png", load_config(flags={"preprocess.white_level": level}).preprocess.white_level)
        for level in (4095.0, 65535.0)
    )
    assert bright.mean() > dark.mean() + 50


def smallest_piece(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    picture = photo(0)
    cv2.circle(picture, (20, 80), 4, (70.0, 70.0, 70.0), -1)
    counts = []
    for share in (0.2, 0.01):
        flags = {"preprocess.size": 128, "preprocess.smallest_piece": share}
        mask = Preprocessor(load_config(flags=flags).preprocess)(picture).mask
        counts.append(cv2.connectedComponents(mask.astype(np.uint8))[0] - 1)
    assert counts == [1, 2]


MANNERS: dict[str, Callable[[pytest.MonkeyPatch, Path], None]] = {
    "preprocess.smallest_piece": smallest_piece,
    "preprocess.white_level": white_level,
    "run.device": run_device,
    "run.batch_size": run_batch_size,
    "run.workers": run_workers,
    "run.runtime": runtime,
    "model.index": index,
    "run.memory_limit_mb": memory_limit,
    "calibration.max_photos": max_photos,
    "baseline_tag": baseline_tag,
}


@pytest.mark.parametrize("key", MANNERS)
def test_setting_changes_the_manner(key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    MANNERS[key](monkeypatch, tmp_path)


def test_no_setting_lacks_a_case() -> None:
    of_corrosion = [f"corrosion.{name}" for name in CORROSION_CHANGES]
    assert sorted([*CHANGES, *MANNERS, *of_corrosion]) == sorted(known_settings(Config))


@pytest.mark.parametrize("key", ["run.batch_size", "run.workers"])
def test_speed_settings_do_not_change_the_verdicts(key: str) -> None:
    """As their section says: batches may move scores by rounding, no more."""
    one, other = (outcome({key: value}) for value in (1, 3))
    each = len(one) // len(TEST)
    assert one[::each] == other[::each]
    np.testing.assert_allclose(one[1::each], other[1::each], rtol=1e-4)
