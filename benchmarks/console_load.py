"""Measure latency and throughput of the console with 1, 8 and 32 clients, compared with the library alone.

All values come from one run and are compared as differences and ratios, so that the speed of the machine cancels out.
The server runs in a process of its own, started as a user starts it; the clients are threads of this process on the
same cores. One client and the library take turns image by image. Throughput at 8 and 32 clients is compared with the
library's throughput in batches of the same size, measured before and after. Then 64 connections send half a request
each and stay open, while one client goes on; with ``--long`` many requests tell whether the memory stays flat.

    python benchmarks/console_load.py --model saved_models/demo.pkl --images data/demo/test
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.config import RunSettings
from fastener.datasets.images import list_images
from fastener.inspection.inspector import Inspector

ROOT = Path(__file__).resolve().parents[1]
BATCH = 16
BOUNDARY = "part-of-a-form"


def main() -> None:
    arguments = _arguments()
    files = list_images(arguments.images)
    inspector = Inspector.load(arguments.model, "cpu", run=RunSettings(batch_size=BATCH))
    print(f"{len(files)} images, {arguments.requests} requests a setting; {', '.join(inspector.evidence)}")
    print("| visualizations | clients | p50 ms | p95 ms | images/s | beside the library |\n|---|---|---|---|---|---|")
    with _server(arguments.model) as (port, process):
        for pictures in (False, True):
            bodies = [_body(file, pictures) for file in files]
            _client(port, bodies[:4], 4)
            alone, library = _taking_turns(port, bodies, inspector, files, arguments.requests)
            added = 1000 * (np.median(alone) - np.median(library))
            _row("library", 1, library, 1 / float(np.mean(library)), "")
            _row(pictures, 1, alone, 1 / float(np.mean(alone)), f"{added:+.1f} ms at the median")
            for clients in (8, 32):
                before = _batched(inspector, files, arguments.requests)
                latencies, rate = _load(port, bodies, clients, arguments.requests)
                batched = np.mean([before, _batched(inspector, files, arguments.requests)])
                _row(pictures, clients, latencies, rate, f"{rate / batched:.2f} of {batched:.1f} images/s in batches")
        bodies = [_body(file, False) for file in files]
        _half_open(port, bodies, arguments.requests)
        if arguments.long:
            _memory(port, bodies, arguments.long, process.pid)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--requests", type=int, default=128, help="images a setting (default: 128)")
    parser.add_argument("--long", type=int, default=0, help="requests for the memory of the server (default: none)")
    return parser.parse_args()


@contextmanager
def _server(model: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "models").mkdir()
        shutil.copy(model, folder / "models" / "model.pkl")
        command = [sys.executable, str(ROOT / "start_app.py"), "--port", "0", "--no-browser", "--device", "cpu"]
        command += ["--batch-size", str(BATCH), "--models", "models", "--database", "sqlite:///history.db"]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield int(process.stdout.readline().split("/")[2].rpartition(":")[2]), process
            finally:
                process.terminate()


def _body(file: Path, pictures: bool) -> bytes:
    head = ""
    for name, value in (("category", "model"), ("return_visualizations", str(pictures))):
        head += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
    head += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{file.name}"\r\n\r\n'
    return head.encode() + file.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


def _client(port: int, bodies: list[bytes], count: int) -> list[float]:
    """Send ``count`` images one after the other over one connection, and return the seconds of each."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    seconds = []
    for body in itertools.islice(itertools.cycle(bodies), count):
        seconds.append(_ask(connection, body))
    connection.close()
    return seconds


def _ask(connection: http.client.HTTPConnection, body: bytes) -> float:
    start = time.perf_counter()
    connection.request("POST", "/inspect", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    answer = connection.getresponse()
    content = answer.read()
    took = time.perf_counter() - start
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {json.loads(content)['detail']}")
    return took


def _taking_turns(
    port: int, bodies: list[bytes], inspector: Inspector, files: list[Path], count: int
) -> tuple[list[float], list[float]]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    service, library = [], []
    inspector.inspect(files[:2])
    for body, file in itertools.islice(itertools.cycle(zip(bodies, files, strict=True)), count):
        service.append(_ask(connection, body))
        start = time.perf_counter()
        inspector.inspect([file])
        library.append(time.perf_counter() - start)
    connection.close()
    return service, library


def _load(port: int, bodies: list[bytes], clients: int, count: int) -> tuple[list[float], float]:
    """Run all clients at once, and return the latencies in seconds and the images per second."""
    found: list[list[float]] = []
    each = -(-count // clients)
    threads = [
        threading.Thread(target=lambda shift=k: found.append(_client(port, bodies[shift:] + bodies[:shift], each)))
        for k in (i % len(bodies) for i in range(clients))
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - start
    return [seconds for one in found for seconds in one], each * clients / took


def _half_open(port: int, bodies: list[bytes], count: int) -> None:
    """Print what 64 connections with half a request each add to a request of one client."""
    free = _client(port, bodies, count)
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]
    for one in held:
        one.sendall(b"POST /inspect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
    beside = _client(port, bodies, count)
    for one in held:
        one.close()
    added = 1000 * (np.median(beside) - np.median(free))
    print(f"64 half-open connections: {added:+.1f} ms at the median of {count} requests, {len(held)} were held")


def _memory(port: int, bodies: list[bytes], count: int, process: int) -> None:
    """Print the resident memory of the server after a tenth of ``count`` requests, and after all."""
    seen = []
    for part in (count // 10, count - count // 10):
        _client(port, bodies, part)
        status = Path(f"/proc/{process}/status").read_text()
        seen.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
    print(f"memory: {seen[0]:.0f} MiB after {count // 10} requests, {seen[1]:.0f} MiB after {count}")


def _batched(inspector: Inspector, files: list[Path], count: int) -> float:
    wanted = list(itertools.islice(itertools.cycle(files), count))
    start = time.perf_counter()
    inspector.inspect(wanted)
    return count / (time.perf_counter() - start)


def _row(pictures: bool | str, clients: int, seconds: list[float], rate: float, beside: str) -> None:
    p50, p95 = 1000 * np.percentile(seconds, [50, 95])
    print(f"| {pictures} | {clients} | {p50:.1f} | {p95:.1f} | {rate:.1f} | {beside} |", flush=True)


if __name__ == "__main__":
    main()
