"""Backbones of timm: maps as timm itself gives them, and AnomalyDINO as its paper's formulas have it."""

from __future__ import annotations

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import timm
import torch
from data_factory import ROOT, run_inside
from safetensors.torch import save_file

from fastener.common.errors import UserError
from fastener.config import load_config
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.inspection.turns import turned
from fastener.models.backbones import BACKBONES
from fastener.models.runtime.cnn import build_network
from fastener.models.runtime.onnx_network import OnnxNetwork, to_onnx
from fastener.models.runtime.weights import WEIGHTS_DIR_VARIABLE, find_weights, how_to_get

DINO = Path(__file__).resolve().parents[2] / "configs" / "anomaly_dino.yaml"
VIT = "vit_tiny_patch16_224"
SIDE, PATCH = 64, 16


def drawn(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, pretrained=False, dynamic_img_size=True).eval()


@pytest.fixture(scope="module")
def vit_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / f"{VIT}.safetensors"
    save_file(drawn(VIT).state_dict(), path)
    return path


def photos(n: int, seed: int) -> np.ndarray:
    """Textures with a brighter spot each, uint8 RGB (n, 64, 64, 3)."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 120, (n, SIDE, SIDE, 3)).astype(np.uint8)
    for i, (row, column) in enumerate(rng.integers(0, SIDE - 12, (n, 2))):
        images[i, row : row + 12, column : column + 12] += 100
    return images


@pytest.mark.parametrize(
    ("name", "layers", "stride"),
    [
        ("resnet18", ("layer2", "layer3"), 8),
        ("convnext_atto", ("stages.1", "stages.2"), 8),
        (VIT, ("blocks.11",), 16),
        ("vit_small_patch14_dinov2", ("blocks.11",), 14),
    ],
)
def test_default_layers(name: str, layers: tuple[str, ...], stride: int) -> None:
    backbone = BACKBONES[f"timm:{name}"]
    assert (backbone.layers, backbone.stride, backbone.border) == (layers, stride, "inside")
    published = timm.get_pretrained_cfg(name)
    assert published is not None
    assert (backbone.mean, backbone.std) == (published.mean, published.std)


def test_stages_of_a_cnn_are_those_of_timms_feature_api(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = timm.create_model("resnet18", pretrained=False, features_only=True, out_indices=(2, 3)).eval()
    path = tmp_path / "resnet18.safetensors"
    save_file(whole.state_dict(), path)
    backbone = BACKBONES["timm:resnet18"]
    network = build_network(backbone, backbone.layers, path).eval()
    images = torch.rand(2, 3, 96, 64)
    mean, std = (torch.tensor(each)[:, None, None] for each in (backbone.mean, backbone.std))
    for ours, theirs in zip(network(images), whole((images - mean) / std), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_sides_are_rounded_to_the_patch(vit_weights: Path) -> None:
    backbone = BACKBONES[f"timm:{VIT}"]
    network = build_network(backbone, backbone.layers, vit_weights).eval()
    grids = {size: network(torch.rand(1, 3, *size))[0].shape[2:] for size in ((64, 64), (70, 57), (7, 90))}
    assert [tuple(grid) for grid in grids.values()] == [(4, 4), (4, 4), (1, 6)]


def test_onnx_gives_the_same_maps(vit_weights: Path) -> None:
    backbone = BACKBONES[f"timm:{VIT}"]
    network = build_network(backbone, ("blocks.5", "blocks.11"), vit_weights).eval()
    graph = OnnxNetwork(to_onnx(network, "checksum"))
    images = torch.rand(2, 3, 96, 70)
    for ours, theirs in zip(graph(images), network(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def paper_scores(training: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Score images by the formulas of AnomalyDINO: mean of the top 1 % of 1 - max cosine."""
    whole: Any = drawn(VIT)
    backbone = BACKBONES[f"timm:{VIT}"]
    mean, std = (torch.tensor(each)[:, None, None] for each in (backbone.mean, backbone.std))

    def tokens(batch: np.ndarray) -> torch.Tensor:
        scaled = (torch.from_numpy(batch).permute(0, 3, 1, 2) / 255 - mean) / std
        with torch.inference_mode():
            return torch.nn.functional.normalize(whole.forward_features(scaled)[:, 1:], dim=2)

    bank = tokens(training).flatten(0, 1)
    distances = 1 - (tokens(images) @ bank.T).max(2).values
    count = max(1, round(0.01 * distances.shape[1]))
    return np.asarray(distances.topk(count, dim=1).values.mean(1))


def dino(vit_weights: Path, training: np.ndarray, **flags: object) -> Inspector:
    small = {"model.backbone": f"timm:{VIT}", "preprocess.size": SIDE, "run.device": "cpu", **flags}
    return Inspector.fit(list(training), load_config(DINO, flags=small), weights=vit_weights, warn=lambda line: None)


def test_anomaly_dino_scores_as_its_paper(vit_weights: Path) -> None:
    training, images = photos(6, seed=0), photos(4, seed=1)
    found = dino(vit_weights, training).inspect(list(images))
    scores = [one.evidence["cnn"].score for one in found if isinstance(one, Inspection)]
    np.testing.assert_allclose(scores, paper_scores(training, images), rtol=0.01)


def test_turned_photos_are_known_at_each_angle(vit_weights: Path) -> None:
    training = photos(5, seed=0)
    sideways = [np.ascontiguousarray(np.rot90(image)) for image in training]
    plain, turning = (dino(vit_weights, training, **{"model.turns": turns}) for turns in (1, 4))
    before, after = (
        np.array([one.evidence["cnn"].score for one in inspector.inspect(sideways) if isinstance(one, Inspection)])
        for inspector in (plain, turning)
    )
    assert after.max() < 1e-3 < before.min()
    assert turning.training.n_photos == 5


def test_quarter_turns_are_exact() -> None:
    images = photos(2, seed=3)
    expected = [np.rot90(image, quarter) for image in images for quarter in range(4)]
    np.testing.assert_allclose(turned(images, 4), np.stack(expected), atol=1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:resnt18", "similar names: resnet18"),
        ("timm:resnet18.nonsense", "there are resnet18.a1_in1k"),
    ],
)
def test_unknown_networks(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        BACKBONES[name]


def test_unknown_stage() -> None:
    with pytest.raises(UserError, match=r"has no stage 'layer9'; it has act1, layer1"):
        build_network(BACKBONES["timm:resnet18"], ("layer9",), None)


def test_cosine_needs_features_of_length_one() -> None:
    with pytest.raises(UserError, match="cosine needs unit_length"):
        load_config(flags={"model.cosine": True})


def test_weights_are_found_in_the_folder(monkeypatch: pytest.MonkeyPatch, vit_weights: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    backbone = BACKBONES[f"timm:{VIT}"]
    assert f"{VIT}.safetensors" in how_to_get(backbone)
    monkeypatch.setenv(WEIGHTS_DIR_VARIABLE, str(vit_weights.parent))
    assert find_weights(backbone, download=False) == vit_weights


@pytest.mark.slow
def test_script_trains_and_inspects(good_photos: list[Path], vit_weights: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.pkl"
    flags = ("--backbone", f"timm:{VIT}", "--weights", vit_weights, "--set", "preprocess.size=64", "--device", "cpu")
    trained = run_inside("train.py", "--config", DINO, "--images", good_photos[0].parent, "--output", model, *flags)
    assert trained.returncode == 0, trained.stderr
    loaded = Inspector.load(model, weights=vit_weights)
    assert isinstance(loaded.inspect(good_photos[:1])[0], Inspection)


class Hub(BaseHTTPRequestHandler):
    """One file at the address where the Hugging Face hub has it, with the headers that its library asks for."""

    content = b""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        if self.answer():
            self.wfile.write(self.content)

    def answer(self) -> bool:
        found = self.path == f"/{BACKBONES[f'timm:{VIT}'].hub}/resolve/main/model.safetensors"
        self.send_response(200 if found else 404)
        for name, value in {"ETag": '"1"', "X-Repo-Commit": "0" * 40, "Content-Length": len(self.content)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        return found

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.mark.slow
def test_weights_are_downloaded_into_the_hubs_cache(vit_weights: Path, tmp_path: Path) -> None:
    Hub.content = vit_weights.read_bytes()
    ask = (
        "from fastener.models.backbones import BACKBONES; from fastener.models.runtime.weights import find_weights;"
        f"one = BACKBONES['timm:{VIT}']; print(find_weights(one)); print(find_weights(one, download=False))"
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        settings = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", ask], cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True
        )
        server.shutdown()
    assert done.returncode == 0, done.stderr
    downloaded, cached = done.stdout.split()
    assert downloaded == cached
    assert Path(downloaded).read_bytes() == vit_weights.read_bytes()
