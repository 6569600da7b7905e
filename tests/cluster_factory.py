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
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from data_factory import ROOT

# The program that comes with this Python's Ray.
RAY = Path(sys.executable).with_name("ray")
HEAD, OTHER = "127.0.0.1", "127.0.0.2"
PATIENCE_S = 300
T = TypeVar("T")


class TwoNodes:
    """Two ``ray start --block`` processes of two CPU cores each; ``stop`` ends them."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        with socket.socket() as probe:
            probe.bind((HEAD, 0))
            self.address = f"{HEAD}:{probe.getsockname()[1]}"
        self._folder = tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True)
        port = self.address.split(":")[1]
        head = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self._folder.name}"]
        self._sessions: list[int] = []
        self._drivers: list[subprocess.Popen[str]] = []
        self._nodes = [self._start(HEAD, *head)]
        try:
            wait_for(lambda: _answers(self.address), "the head node")
            self._nodes.append(self._start(OTHER, f"--address={self.address}"))
            wait_for(lambda: len(self.workers("RuntimeEnvAgent")) > 1, "both nodes")
        except BaseException:
            self.stop()
            raise

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to join."""
        ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "RAY_USAGE_STATS_ENABLED": "0"}
        return {**os.environ, **ours, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": ""}

    def launch(self, name: str, *arguments: object, cwd: Path = ROOT) -> subprocess.Popen[str]:
        """Start one of the scripts at the root on this cluster."""
        command = [sys.executable, str(ROOT / name), *map(str, arguments), "--cluster", self.address, "--cores", "1"]
        out, err = subprocess.PIPE, subprocess.PIPE
        driver = subprocess.Popen(command, cwd=cwd, env=self.environment, text=True, stdout=out, stderr=err)
        self._drivers.append(driver)
        return driver

    def run(self, name: str, *arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Run one of the scripts to its end."""
        return finished(self.launch(name, *arguments, cwd=cwd))

    def workers(self, title: str) -> list[int]:
        """The ids of the worker processes that do what ``title`` says."""
        return [
            number
            for number, doing in _processes(self._sessions).items()
            if doing.startswith("ray::") and title in doing
        ]

    def kill_node(self) -> None:
        """End all processes of the second node at once, as a power cut does."""
        node = self._nodes.pop()
        _kill(_processes([node.pid]))
        node.wait()

    def end_drivers(self) -> None:
        """Kill scripts that a failed test left running."""
        while self._drivers:
            with self._drivers.pop() as driver:
                driver.kill()

    def stop(self) -> None:
        """End all that the two nodes started, by process id: a graceful end of a crippled cluster takes minutes."""
        while left := _processes(self._sessions):
            _kill(left)
            for node in self._nodes:
                node.wait()
            time.sleep(0.1)
        self._folder.cleanup()

    def _start(self, ip: str, *arguments: str) -> subprocess.Popen[bytes]:
        sizes = ["--num-cpus=2", "--num-gpus=0", "--object-store-memory=200000000"]
        command = [str(RAY), "start", "--block", f"--node-ip-address={ip}", *sizes, *arguments]
        nowhere = subprocess.DEVNULL
        node = subprocess.Popen(
            command, env=self.environment, cwd=ROOT, start_new_session=True, stdout=nowhere, stderr=nowhere
        )
        self._sessions.append(node.pid)  # a session of its own holds all that a node starts
        return node


def finished(process: subprocess.Popen[str], timeout: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """Wait for the end; a process that takes longer is killed."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_for(condition: Callable[[], T], what: str) -> T:
    """Until it holds, and what it gave; AssertionError after what is long even for a busy machine."""
    end = time.monotonic() + PATIENCE_S
    while not (given := condition()):
        assert time.monotonic() < end, f"{what} did not come in {PATIENCE_S} s"
        time.sleep(0.02)
    return given


def _processes(sessions: Iterable[int]) -> dict[int, str]:
    """Process ids of these sessions, with their command lines; those that have ended have none."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            doing = (folder / "cmdline").read_bytes().decode(errors="replace")
            if doing and os.getsid(int(folder.name)) in sessions:
                found[int(folder.name)] = doing
    return found


def _kill(processes: Iterable[int]) -> None:
    for number in processes:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def _answers(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
