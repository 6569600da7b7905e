"""Where weights are looked for, in which order, and how their files are read. No test leaves this machine."""

from __future__ import annotations

import hashlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from fastener.common.errors import UserError
from fastener.common.settings import known_settings
from fastener.config import Config, load_config
from fastener.inspection.choice import choose
from fastener.models.backbones import BACKBONES, DEFAULT_BACKBONE, Backbone
from fastener.models.runtime import download as download_module
from fastener.models.runtime.weights import (
    cache_path,
    download_weights,
    find_local_weights,
    find_weights,
    how_to_get,
)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty hub cache, no weights folder, and no proxy in the way of 127.0.0.1."""
    monkeypatch.delenv("FASTENER_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))


@pytest.fixture(scope="module")
def published() -> bytes:
    buffer = io.BytesIO()
    torch.save({"conv1.weight": torch.arange(6.0)}, buffer)
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Answers every request with ``reply``, raw, and counts the requests."""

    def __init__(self, reply: bytes):
        self.reply, self.requests = reply, 0
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        self.wfile.write(self.server.reply)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


def http(status: str, body: bytes, announced: int | None = None) -> bytes:
    length = len(body) if announced is None else announced
    return f"HTTP/1.0 {status}\r\nContent-Length: {length}\r\n\r\n".encode() + body


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], Server]]:
    servers: list[tuple[Server, threading.Thread]] = []

    def start(reply: bytes) -> Server:
        server = Server(reply)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def backbone_at(port: int, content: bytes, name: str = "resnet18") -> Backbone:
    prefix = hashlib.sha256(content).hexdigest()[:8]
    return replace(BACKBONES[name], url=f"http://127.0.0.1:{port}/models/{name}-{prefix}.pth")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def put(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# Where


def test_the_registry_is_what_the_settings_allow() -> None:
    for name in ("auto", *BACKBONES):
        assert load_config(flags={"model.backbone": name}).model.backbone == name
        assert name in known_settings(Config)["model.backbone"]
    with pytest.raises(UserError, match=r"is not allowed: .*resnet18, mobilenet_v2"):
        load_config(flags={"model.backbone": "resnet"})
    assert DEFAULT_BACKBONE in BACKBONES
    for name, backbone in BACKBONES.items():
        assert backbone.name == name
        if backbone.url is not None:
            file = backbone.url.rsplit("/", 1)[-1]
            assert file.startswith(f"{name}-")
            assert len(bytes.fromhex(file.removeprefix(f"{name}-").removesuffix(".pth"))) == 4


def test_the_order_of_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[[bytes], Server], published: bytes
) -> None:
    """All four places hold a file; each is found once those before it are empty."""
    server = serve(http("200 OK", published))
    backbone = backbone_at(server.server_port, published)
    given, cached = put(tmp_path / "given.npz"), put(cache_path(backbone))
    in_folder = put(tmp_path / "folder" / "resnet18.pth")
    monkeypatch.setenv("FASTENER_WEIGHTS_DIR", str(in_folder.parent))

    assert find_weights(backbone, given) == given
    assert find_weights(backbone) == find_local_weights(backbone) == in_folder
    in_folder.unlink()
    assert find_weights(backbone) == find_local_weights(backbone) == cached
    cached.unlink()
    assert find_local_weights(backbone) is None
    assert find_weights(backbone, download=False) is None
    assert server.requests == 0
    assert find_weights(backbone) == cached
    assert server.requests == 1
    assert cached.read_bytes() == published
    assert find_weights(backbone) == cached
    assert server.requests == 1


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    for missing in (tmp_path / "no.pth", tmp_path):
        with pytest.raises(UserError, match=rf"^--weights {missing}: no such file$"):
            find_weights(BACKBONES["resnet18"], missing)


@pytest.mark.parametrize("variable", ["TORCH_HOME", "set_dir"])
def test_the_hub_cache_is_torchs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    hub = tmp_path / "elsewhere" / "hub"
    if variable == "TORCH_HOME":
        monkeypatch.setenv("TORCH_HOME", str(hub.parent))
    else:
        torch.hub.set_dir(hub)
    backbone = BACKBONES["wide_resnet50_2"]
    expected = hub / "checkpoints" / "wide_resnet50_2-95faca4d.pth"
    assert find_weights(backbone, download=False) is None
    put(expected)
    assert find_weights(backbone, download=False) == expected


def test_names_in_the_weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    monkeypatch.setenv("FASTENER_WEIGHTS_DIR", str(folder))
    assert find_local_weights(BACKBONES["resnet50"]) is None  # no such folder
    for other in ("wide_resnet50_2.pth", "resnet50.txt", "resnet50x.pth", "resnet5.npz"):
        put(folder / other)
    (folder / "resnet50.pth").mkdir()
    assert find_local_weights(BACKBONES["resnet50"]) is None
    # In ascending preference: a suffix after the name, the earliest of those, the name alone.
    for name in ("resnet50_tf.npz", "resnet50-0676ba61.pth", "resnet50.safetensors"):
        put(folder / name)
        assert find_local_weights(BACKBONES["resnet50"]) == folder / name


# The download


def test_an_empty_network_gives_none_quickly(published: bytes) -> None:
    backbone = backbone_at(closed_port(), published)
    start = time.monotonic()
    assert find_weights(backbone) is None
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "reply",
    [
        http("200 OK", b"other bytes"),
        http("404 Not Found", b""),
        http("200 OK", b"cut short", announced=10_000),
        b"this is not HTTP\r\n\r\n",
        b"",
    ],
    ids=["wrong hash", "missing", "cut short", "not http", "hung up"],
)
def test_a_bad_download_leaves_nothing(serve: Callable[[bytes], Server], published: bytes, reply: bytes) -> None:
    """But for the beginning of a file that was cut short, which no one takes for weights."""
    backbone = backbone_at(serve(reply).server_port, published)
    assert download_weights(backbone) is None
    left = [path.name for path in cache_path(backbone).parent.iterdir()]
    assert left == ([f"{cache_path(backbone).name}.part"] if b"cut short" in reply else [])


def test_a_silent_server_does_not_hang(monkeypatch: pytest.MonkeyPatch, published: bytes) -> None:
    monkeypatch.setattr(download_module, "_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        assert download_weights(backbone_at(silent.getsockname()[1], published)) is None
        assert 0.2 < time.monotonic() - start < 5
    assert socket.getdefaulttimeout() is None


def test_a_cache_that_cannot_be_written(tmp_path: Path, serve: Callable[[bytes], Server], published: bytes) -> None:
    put(tmp_path / "torch_home")
    assert find_weights(backbone_at(serve(http("200 OK", published)).server_port, published)) is None


# What the user is told


def test_a_named_backbone_without_weights_says_what_to_type(monkeypatch: pytest.MonkeyPatch, published: bytes) -> None:
    unreachable = backbone_at(closed_port(), published)
    monkeypatch.setitem(BACKBONES, "resnet18", unreachable)
    with pytest.raises(UserError) as error:
        choose(load_config(flags={"model.backbone": "resnet18"}))
    file = cache_path(unreachable).name
    assert str(error.value).startswith("no weights for resnet18 on this machine")
    assert f"'curl -LO {unreachable.url}'" in str(error.value)
    assert f"'--weights {file}'" in str(error.value)
    assert "FASTENER_WEIGHTS_DIR" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_commands_name_the_published_file() -> None:
    line = how_to_get(BACKBONES["wide_resnet50_2"])
    assert "curl -LO https://download.pytorch.org/models/wide_resnet50_2-95faca4d.pth" in line
    assert "--weights wide_resnet50_2-95faca4d.pth" in line
