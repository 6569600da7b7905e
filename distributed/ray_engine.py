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

import fastener
from fastener.common.errors import UserError

AUTO, _HERE = "auto", "local"
# A photo or a category that kills its worker more often than this is named instead of being tried for ever.
RETRIES = 3
# CPU cores that a reading operator of Ray Data asks for: none, so that actors which fill a node never starve it.
NO_CPU = 0
# Ray sends no report to its makers, and its C++ part prints no messages: its errors come as exceptions, too.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
# Errors that Ray raises for a worker that dies again and again.
DIED = (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)


@dataclass(frozen=True)
class Workers:
    """Describe the workers that a cluster offers.

    Attributes
    ----------
    count : int
        Number of workers that run side by side.
    cores : int
        CPU cores of each worker.
    gpus : int, 0 or 1
        GPUs of each worker.
    cpus : int
        CPU cores of the whole cluster, for reading images ahead of GPUs.
    """

    count: int
    cores: int
    gpus: int
    cpus: int

    def describe(self) -> str:
        """Describe the workers in words, such as "4 workers of 2 cores" or "2 workers of a GPU"."""
        each = "a GPU" if self.gpus else f"{self.cores} core{'s' if self.cores > 1 else ''}"
        return f"{self.count} worker{'s' if self.count > 1 else ''} of {each}"


@contextmanager
def joined(address: str, cores: int) -> Iterator[Workers]:
    """Work on the cluster at ``address`` (host:port) while the block runs.

    The address "auto" means the cluster that RAY_ADDRESS names. If RAY_ADDRESS is not set, it means this machine alone,
    and its Ray ends with the block. The toolkit's own code travels to the workers. The workers read the images, so all
    of them have to see local paths.

    Raises UserError if no cluster answers, and passes on a UserError that was raised on the cluster.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    where = os.environ.get("RAY_ADDRESS", _HERE) if address == AUTO else address
    if where != _HERE or address != AUTO:
        _check_answers(where)
    try:
        with _silent():
            ray.init(
                where,
                runtime_env={**own_code(), "env_vars": {"OMP_WAIT_POLICY": "PASSIVE"}},
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


def own_code() -> dict[str, Any]:
    """Name the toolkit's own code for Ray's ``runtime_env``, so that it travels to the workers.

    An installed package holds all its code and is shipped as a module. In a clone the packages stand beside the folder
    ``fastener``, so the whole clone is shipped as the working directory.
    """
    package = Path(fastener.__file__).resolve().parent
    if (package / "models").is_dir():
        return {"py_modules": [str(package)]}
    return {"working_dir": str(package.parent), "excludes": [".git", ".venv", "docs", "tests"]}


@dataclass(frozen=True)
class Shipped:
    """Make a file available to every worker.

    Attributes
    ----------
    name : str
        Name of the file, without its folder.
    content : ray.ObjectRef
        Reference to the file's content in Ray's object store.
    """

    name: str
    content: Any

    @classmethod
    def of(cls, path: Path) -> Shipped:
        """Put a file, as it is now, into Ray's object store."""
        return cls(path.name, ray.put(path.read_bytes()))


@contextmanager
def local_copy(shipped: Shipped | None) -> Iterator[Path | None]:
    """Write a shipped file to this worker's disk while the block runs; None stays None."""
    if shipped is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / shipped.name
        path.write_bytes(ray.get(shipped.content))
        yield path


def use_cores(cores: int) -> None:
    """Let the libraries of this worker compute with ``cores`` threads, however many cores the machine has."""
    torch.set_num_threads(cores)
    faiss.omp_set_num_threads(cores)
    cv2.setNumThreads(cores)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep messages of Ray's C++ part about its own log level off stderr; failures come as exceptions."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_answers(address: str) -> None:
    """Check that a cluster answers at ``address``, as Ray itself would wait for minutes. Raises UserError."""
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
    """Find the UserError inside an error of Ray; without one, explain a worker that died too often, or pass it on."""
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
