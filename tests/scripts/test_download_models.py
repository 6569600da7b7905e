"""Weights are fetched from a local server that stands in for the published address."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from fastener import download_models
from fastener.anode.checkpoints import CHECKPOINTS
from fastener.models.backbones import BACKBONES

CONTENT = bytes(range(256)) * 50
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serves tmp_path/www; torch's cache and the weights folder are empty ones below tmp_path."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("FASTENER_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "www").mkdir()
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "www")))
    thread = Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


def publish(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    monkeypatch.setitem(BACKBONES, name, replace(BACKBONES[name], url=url))


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["download_models.py", *arguments])
    return download_models.main()


def test_download_lands_in_the_cache_and_is_described(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"resnet18-{DIGEST[:8]}.pth"
    (tmp_path / "www" / name).write_bytes(CONTENT)
    publish(monkeypatch, "resnet18", f"{server}/{name}")
    assert call(monkeypatch, "--backbone", "resnet18") == 0
    cached = tmp_path / "torch" / "hub" / "checkpoints" / name
    assert cached.read_bytes() == CONTENT
    shown = capsys.readouterr().out
    assert str(cached) in shown
    assert "0.0 MB" in shown
    assert DIGEST in shown
    assert f"scp {cached} OTHER:weights/" in shown
    assert "export FASTENER_WEIGHTS_DIR=$HOME/weights" in shown


def test_output_gets_a_copy_that_is_found_there(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fastener.models.runtime.weights import find_local_weights

    name = f"mobilenet_v2-{DIGEST[:8]}.pth"
    (tmp_path / "www" / name).write_bytes(CONTENT)
    publish(monkeypatch, "mobilenet_v2", f"{server}/{name}")
    assert call(monkeypatch, "--backbone", "mobilenet_v2", "--output", str(tmp_path / "stick")) == 0
    assert (tmp_path / "stick" / name).read_bytes() == CONTENT
    assert f"scp {tmp_path / 'stick' / name} OTHER:weights/" in capsys.readouterr().out
    monkeypatch.setenv("FASTENER_WEIGHTS_DIR", str(tmp_path / "stick"))
    assert find_local_weights(BACKBONES["mobilenet_v2"]) == tmp_path / "stick" / name


def test_what_is_here_already_is_not_downloaded(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "resnet18.pth").write_bytes(b"my own")
    monkeypatch.setenv("FASTENER_WEIGHTS_DIR", str(tmp_path / "mine"))
    publish(monkeypatch, "resnet18", f"{server}/resnet18-00000000.pth")
    assert call(monkeypatch, "--backbone", "resnet18") == 0
    assert hashlib.sha256(b"my own").hexdigest() in capsys.readouterr().out


@pytest.mark.parametrize("wrong", ["missing", "other bytes"])
def test_failure_names_the_commands_and_leaves_no_file(
    wrong: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "resnet18-00000000.pth"
    if wrong == "other bytes":
        (tmp_path / "www" / name).write_bytes(CONTENT)
    publish(monkeypatch, "resnet18", f"{server}/{name}")
    assert call(monkeypatch, "--backbone", "resnet18") == 1
    shown = capsys.readouterr()
    assert f"curl -LO {server}/{name}" in shown.err
    assert "FASTENER_WEIGHTS_DIR" in shown.err
    assert shown.out == ""
    assert not [path for path in (tmp_path / "torch").rglob("*") if path.is_file()]


def test_one_failure_does_not_stop_the_others(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in download_models.NAMES:
        publish(monkeypatch, name, f"{server}/{name}-00000000.pth")
    last = download_models.NAMES[-1]
    (tmp_path / "www" / f"{last}-{DIGEST[:8]}.pth").write_bytes(CONTENT)
    publish(monkeypatch, last, f"{server}/{last}-{DIGEST[:8]}.pth")
    assert call(monkeypatch, "--all") == 1
    shown = capsys.readouterr()
    assert shown.err.count("error: ") == len(download_models.NAMES) - 1
    assert DIGEST in shown.out


def test_unknown_backbone_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "--backbone", "filters")
    assert ended.value.code == 2
    assert "mobilenet_v2" in capsys.readouterr().err


# RF-DETR's checkpoints, and downloads that go on


class Resuming(Quiet):
    """Serves byte ranges as storage servers do, and notes which were asked for."""

    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        content = Path(self.translate_path(self.path)).read_bytes()
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if wanted and first >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first:])


@pytest.fixture
def storage(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server, able to resume."""
    monkeypatch.setattr(Quiet, "do_GET", Resuming.do_GET)
    monkeypatch.setattr(Quiet, "asked", [], raising=False)
    return server


def publish_checkpoint(monkeypatch: pytest.MonkeyPatch, url: str, content: bytes = CONTENT) -> None:
    known = replace(CHECKPOINTS["nano"], url=url, md5=hashlib.md5(content).hexdigest())
    monkeypatch.setitem(CHECKPOINTS, "nano", known)


def test_a_checkpoint_lands_in_the_models_folder_and_is_described(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "www" / "any.pth").write_bytes(CONTENT)
    publish_checkpoint(monkeypatch, f"{server}/any.pth")
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--rf-detr", "nano") == 0
    target = tmp_path / "saved_models" / "rf-detr-nano.pth"
    assert target.read_bytes() == CONTENT
    shown = capsys.readouterr().out
    assert DIGEST in shown
    assert f"scp {target} OTHER:saved_models/" in shown
    assert "rf_detr.start_from: saved_models/rf-detr-nano.pth" in shown
    # It is there now: nothing is fetched again.
    (tmp_path / "www" / "any.pth").unlink()
    assert call(monkeypatch, "--rf-detr", "nano") == 0


def test_an_interrupted_download_goes_on_where_it_stopped(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "www" / "any.pth").write_bytes(CONTENT)
    publish_checkpoint(monkeypatch, f"{storage}/any.pth")
    part = tmp_path / "stick" / "rf-detr-nano.pth.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[:5000])
    assert call(monkeypatch, "--rf-detr", "nano", "--output", str(tmp_path / "stick")) == 0
    assert [path.name for path in part.parent.iterdir()] == ["rf-detr-nano.pth"]
    assert (part.parent / "rf-detr-nano.pth").read_bytes() == CONTENT
    assert Quiet.asked == ["bytes=5000-"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("there", [CONTENT, CONTENT + b"more", b"x" * 5000])
def test_what_was_kept_must_have_the_right_checksum(
    there: bytes, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it there: taken. Something else there: thrown away, and right at the next try."""
    (tmp_path / "www" / "any.pth").write_bytes(CONTENT)
    publish_checkpoint(monkeypatch, f"{storage}/any.pth")
    folder = tmp_path / "stick"
    folder.mkdir()
    (folder / "rf-detr-nano.pth.part").write_bytes(there)
    codes = [call(monkeypatch, "--rf-detr", "nano", "--output", str(folder)) for _ in range(2)]
    assert codes == [0 if there == CONTENT else 1, 0]
    assert [path.name for path in folder.iterdir()] == ["rf-detr-nano.pth"]
    if there != CONTENT:
        assert "is not the file expected (md5" in capsys.readouterr().err


def test_a_server_that_cannot_resume_begins_anew(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "www" / "any.pth").write_bytes(CONTENT)
    publish_checkpoint(monkeypatch, f"{server}/any.pth")
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / "rf-detr-nano.pth.part").write_bytes(CONTENT[:5000])
    assert call(monkeypatch, "--rf-detr", "nano", "--output", str(tmp_path / "stick")) == 0
    assert (tmp_path / "stick" / "rf-detr-nano.pth").read_bytes() == CONTENT


def test_a_checkpoint_that_cannot_be_had_names_the_command(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_checkpoint(monkeypatch, f"{server}/gone.pth")
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--rf-detr", "nano") == 1
    assert f"curl -L -o rf-detr-nano.pth {server}/gone.pth" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "saved_models").rglob("*") if path.is_file()]
