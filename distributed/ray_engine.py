"""The Ray cluster a run works on: joining it, what it offers, and how files and errors travel through it."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import faiss
import ray
import torch

from fastener.common.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
AUTO, _HERE = "auto", "local"
RETRIES = 3  # a photo or a category that kills its worker so often is named instead of tried for ever
# Ray Data's operators ask for no more than this, so that actors which fill a node never starve what feeds them.
NO_CPU = 0
# No report to Ray's makers; no messages of its C++ part, whose errors come as exceptions too.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
# What a worker that dies again and again is raised as.
DIED = (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)


@dataclass(frozen=True)
class Workers:
    """What a cluster offers: ``count`` workers side by side, each of ``cores`` CPU cores and ``gpus`` GPUs (0 or 1).

    ``cpus``: CPU cores of the cluster, for reading images ahead of GPUs.
    """

    count: int
    cores: int
    gpus: int
    cpus: int

    def describe(self) -> str:
        """ "4 workers of 2 cores", or "2 workers of a GPU"."""
        each = "a GPU" if self.gpus else f"{self.cores} core{'s' if self.cores > 1 else ''}"
        return f"{self.count} worker{'s' if self.count > 1 else ''} of {each}"


@contextmanager
def joined(address: str, cores: int) -> Iterator[Workers]:
    """Work on the cluster at ``address`` (host:port) while the block runs.

    ``auto`` is the cluster that RAY_ADDRESS names; without one it is this machine alone, whose Ray ends with the block.
    The toolkit's own code travels to the workers; images are read by them, so local paths have to be seen by all.

    Raises UserError if no cluster answers, and for what went wrong in it, where that was a UserError too.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    where = os.environ.get("RAY_ADDRESS", _HERE) if address == AUTO else address
    if where != _HERE or address != AUTO:
        _check_answers(where)
    code = {"working_dir": str(ROOT), "excludes": [".git", ".venv", "docs", "tests"]}
    try:
        with _silent():
            ray.init(
                where,
                runtime_env={**code, "env_vars": {"OMP_WAIT_POLICY": "PASSIVE"}},
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                **({"include_dashboard": False} if where == _HERE else {}),
            )
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise _no_cluster(where, " ".join(str(error).split())[:200]) from error
    try:
        yield _offered(cores)
    except ray.exceptions.RayError as error:
        told = _told(error)
        if told is error:
            raise
        raise told from error
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class Shipped:
    """A file that every worker can have: its name, and a reference to its content in Ray's object store."""

    name: str
    content: Any

    @classmethod
    def of(cls, path: Path) -> Shipped:
        """The file as it is now."""
        return cls(path.name, ray.put(path.read_bytes()))


@contextmanager
def local_copy(shipped: Shipped | None) -> Iterator[Path | None]:
    """The file on this worker's disk while the block runs; None stays None."""
    if shipped is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / shipped.name
        path.write_bytes(ray.get(shipped.content))
        yield path


def use_cores(cores: int) -> None:
    """Within a worker: let the libraries compute with so many threads, whatever the machine has."""
    torch.set_num_threads(cores)
    faiss.omp_set_num_threads(cores)
    cv2.setNumThreads(cores)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what Ray's C++ part says of its own log level off stderr; what fails comes as an exception."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_answers(address: str) -> None:
    """Ray itself would wait for minutes."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal() and "/" not in host):
        raise UserError(f"--cluster {address}: give HOST:PORT of a running Ray cluster, or auto")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, str(error)) from None


def _no_cluster(address: str, reason: str) -> UserError:
    return UserError(
        f"--cluster {address}: no Ray cluster could be joined there ({reason}); start one with 'ray start --head', "
        "give this process its token, or use auto"
    )


def _offered(cores: int) -> Workers:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = (int(sum(node.get(kind, 0) for node in nodes)) for kind in ("CPU", "GPU"))
    if gpus:
        return Workers(gpus, cores, 1, cpus)
    cores = min(cores, max(1, *(int(node.get("CPU", 0)) for node in nodes)))
    return Workers(max(1, sum(int(node.get("CPU", 0)) // cores for node in nodes)), cores, 0, cpus)


def _told(error: Exception) -> Exception:
    """The UserError behind what Ray wrapped, or one that says a worker died too often; else the error itself."""
    cause: BaseException | None = error
    while cause is not None:
        inner = getattr(cause, "cause", None)
        for one in (cause, inner):
            if isinstance(one, UserError) and not isinstance(one, ray.exceptions.RayError):
                return one
        cause = cause.__cause__ or (inner if isinstance(inner, BaseException) else None)
    if isinstance(error, DIED):
        return UserError(
            f"a worker died {RETRIES + 1} times at the same work, as when it is out of memory (ray logs say why); "
            "what was written is kept, and the same command goes on from there"
        )
    return error
