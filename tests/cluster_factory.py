"""A real Ray cluster of two nodes on this machine, 127.0.0.1 and 127.0.0.2, and what the tests do to it."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from data_factory import ROOT

# Ray of its own for every node; the token lets nobody else in, and marks the processes as ours.
RAY = Path(sys.executable).with_name("ray")
HEAD, OTHER = "127.0.0.1", "127.0.0.2"


class TwoNodes:
    """Two ``ray start --block`` processes of two CPU cores each; ``stop`` ends them by their own process ids."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        with socket.socket() as probe:
            probe.bind((HEAD, 0))
            self.address = f"{HEAD}:{probe.getsockname()[1]}"
        self._folder = tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True)
        port = self.address.split(":")[1]
        head = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self._folder.name}"]
        self._nodes = [self._start(HEAD, *head)]
        wait_for(lambda: _answers(self.address), 60, "the head node")
        self._nodes.append(self._start(OTHER, f"--address={self.address}"))

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to join."""
        ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "RAY_USAGE_STATS_ENABLED": "0"}
        return {**os.environ, **ours, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": ""}

    def launch(self, name: str, *arguments: object) -> subprocess.Popen[str]:
        """Start one of the scripts at the root on this cluster."""
        command = [sys.executable, str(ROOT / name), *map(str, arguments), "--cluster", self.address, "--cores", "1"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, text=True, **pipes)

    def run(self, name: str, *arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run one of the scripts to its end."""
        return finished(self.launch(name, *arguments), timeout)

    def processes(self, title: str) -> list[int]:
        """The ids of this cluster's worker processes that do what ``title`` says."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                doing, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
            except OSError:
                continue
            if doing.startswith(b"ray::") and title.encode() in doing and self.token.encode() in environment:
                found.append(int(folder.name))
        return found

    def stop(self) -> None:
        for node in reversed(self._nodes):
            node.send_signal(signal.SIGTERM)
        for node in self._nodes:
            try:
                node.wait(30)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()
        self._folder.cleanup()

    def _start(self, ip: str, *arguments: str) -> subprocess.Popen[bytes]:
        sizes = ["--num-cpus=2", "--num-gpus=0", "--object-store-memory=200000000"]
        command = [str(RAY), "start", "--block", f"--node-ip-address={ip}", *sizes, *arguments]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, env=self.environment, cwd=ROOT, **silent)


def finished(process: subprocess.Popen[str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Wait for the end; a process that takes longer is killed."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Until it holds; AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come in {seconds:g} s"
        time.sleep(0.02)


def _answers(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
