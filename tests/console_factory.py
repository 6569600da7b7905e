"""A console to talk to: inside the test's process, or as a process of its own."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
from data_factory import ROOT
from fastapi.testclient import TestClient

from fastener.config import RunSettings
from fastener.console.app import LOCAL_NAMES, create_app
from fastener.console.service import Service
from fastener.console.settings import ConsoleSettings
from fastener.datasets.images import decode_image
from fastener.inspection.inspector import Inspector

LOCAL = "http://127.0.0.1"


def service_in(models: Path, folder: Path, **more: Any) -> Service:
    """A service whose history lies in ``folder``; ``more`` are its settings."""
    settings = ConsoleSettings.model_validate(
        {"models": models, "database": f"sqlite:///{folder}/history.db", "pictures": folder / "pictures", **more}
    )
    return Service(settings, "cpu", RunSettings(device="cpu"))


@contextmanager
def console(
    models: Path, folder: Path, hosts: frozenset[str] | None = LOCAL_NAMES, **more: Any
) -> Iterator[TestClient]:
    """A client of ``service_in``."""
    app = create_app(service_in(models, folder, **more), hosts)
    with TestClient(app, LOCAL, raise_server_exceptions=False) as client:
        yield client


def service_of(client: TestClient) -> Service:
    """What stands behind the client."""
    service = client.app.state.service  # type: ignore[attr-defined]
    assert isinstance(service, Service)
    return service


def send(
    client: httpx.Client, file: Path | bytes, category: str = "nut", name: str = "a.png", **form: Any
) -> httpx.Response:
    """POST /inspect."""
    content = file if isinstance(file, bytes) else file.read_bytes()
    return client.post("/inspect", data={"category": category, **form}, files={"image": (name, content)})


def scores_of(client: TestClient, category: str, files: list[Path]) -> list[float]:
    """What the library says, one image at a time."""
    model = service_of(client).catalogue.load(category)
    assert isinstance(model.inspector, Inspector)
    photos = []
    for file in files:
        with file.open("rb") as content:
            photos.append(decode_image(content, str(file)))
    return [model.inspector.inspect([photo])[0].score for photo in photos]  # type: ignore[union-attr]


@contextmanager
def running(
    models: Path, folder: Path, *flags: str, code: str | None = None
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``start_app.py``, or ``code``, as a process: its address, and the process, which is killed at the end."""
    start = [str(ROOT / "start_app.py")] if code is None else ["-c", code]
    command = [sys.executable, *start, "--models", str(models), "--port", "0", "--no-browser"]
    command += ["--database", f"sqlite:///{folder}/history.db", "--device", "cpu", *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("http"), line + process.stdout.read()
            address = line.split()[0].rstrip("/")
            _wait_for(address)
            yield address, process
        finally:
            process.kill()


def _wait_for(address: str) -> None:
    for _ in range(200):
        try:
            httpx.get(f"{address}/health")
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise TimeoutError(address)


def striped(side: int = 64) -> np.ndarray:
    """A picture of nothing in particular."""
    return np.tile(np.arange(side, dtype=np.uint8)[:, None, None] * 3, (1, side, 3))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
