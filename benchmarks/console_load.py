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
import os
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
_TURN = 16  # requests between turns


def main() -> None:
    arguments = _arguments()
    files = list_images(arguments.images)
    inspector = Inspector.load(arguments.model, "cpu", run=RunSettings(batch_size=BATCH))
    print(f"{len(files)} images, {arguments.requests} requests a setting; {', '.join(inspector.evidence)}")
    with _server(arguments.model) as (port, process):
        if arguments.requests:
            _speed(port, process.pid, inspector, files, arguments.requests)
            _half_open(port, [_body(file, False) for file in files], arguments.requests)
        if arguments.long:
            _memory(port, [_body(file, False) for file in files], arguments.long, process.pid)


def _speed(port: int, process: int, inspector: Inspector, files: list[Path], count: int) -> None:
    """Print latency and throughput of the service beside the library alone."""
    print("| visualizations | clients | p50 ms | p95 ms | images/s | beside the library |\n|---|---|---|---|---|---|")
    for pictures in (False, True):
        bodies = [_body(file, pictures) for file in files]
        _client(port, bodies[:4], 4)
        before = _cpu_ms(process)
        alone, library, library_cpu = _taking_turns(port, bodies, inspector, files, count)
        cpu = (_cpu_ms(process) - before) / count
        added = 1000 * np.median(np.subtract(alone, library))
        _row("library", 1, library, 1 / float(np.mean(library)), f"{library_cpu:.1f} ms of CPU time a photo")
        beside = f"{added:+.1f} ms at the median of pairs; {cpu - library_cpu:+.1f} ms of CPU time"
        _row(pictures, 1, alone, 1 / float(np.mean(alone)), beside)
        for clients in (8, 32):
            first = _batched(inspector, files, count)
            latencies, rate = _load(port, bodies, clients, count)
            batched = np.mean([first, _batched(inspector, files, count)])
            _row(pictures, clients, latencies, rate, f"{rate / batched:.2f} of {batched:.1f} images/s in batches")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--requests", type=int, default=128, help="images a setting (default: 128; 0: memory only)")
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
) -> tuple[list[float], list[float], float]:
    """Ask the service and the library image by image; return the seconds of each, and the library's CPU ms a photo."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    service, library = [], []
    inspector.inspect(files[:2])
    cpu = 0.0
    for body, file in itertools.islice(itertools.cycle(zip(bodies, files, strict=True)), count):
        service.append(_ask(connection, body))
        start, start_cpu = time.perf_counter(), time.process_time()
        inspector.inspect([file])
        library.append(time.perf_counter() - start)
        cpu += time.process_time() - start_cpu
    connection.close()
    return service, library, 1000 * cpu / count


def _cpu_ms(process: int) -> float:
    """Read how many milliseconds of CPU time a process has taken so far."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return 1000 * (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


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
    """Print what 64 connections with half a request each add to a request of one client; with and without by turns."""
    free, beside = [], []
    for _ in range(-(-count // _TURN)):
        free += _client(port, bodies, _TURN)
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]
        for one in held:
            one.sendall(b"POST /inspect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
        beside += _client(port, bodies, _TURN)
        for one in held:
            one.close()
    for share in (50, 95):
        added = 1000 * (np.percentile(beside, share) - np.percentile(free, share))
        print(f"64 half-open connections: {added:+.1f} ms at the {share} % quantile of {len(beside)} requests")


def _memory(port: int, bodies: list[bytes], count: int, process: int) -> None:
    """Print the resident memory of the server after each tenth of ``count`` requests of 8 clients."""
    seen = []
    for _ in range(10):
        _load(port, bodies, 8, count // 10)
        status = Path(f"/proc/{process}/status").read_text()
        seen.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
    shown = ", ".join(f"{one:.0f}" for one in seen)
    print(
        f"memory in MiB after each tenth of {count} requests: {shown}; last beside first {seen[-1] / seen[0] - 1:+.1%}"
    )


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
