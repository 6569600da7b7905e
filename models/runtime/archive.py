"""Read torch's zip archives by NumPy alone, so that a machine without torch can open a model file.

An archive holds a pickle of the tree and one file for each storage of numbers. The pickle names the few functions that
rebuild tensors; nothing else is ever called, so that reading runs no code from the file.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

_STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def read_archive(file: io.BufferedReader) -> Any:
    """Read what ``torch.save`` wrote from where ``file`` stands: its tree, with an ndarray for each tensor.

    Raises pickle.UnpicklingError, zipfile.BadZipFile or one of the errors of looking up and converting values for
    anything else.
    """
    with zipfile.ZipFile(io.BytesIO(file.read())) as archive:
        (tree,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        return _Reader(archive, tree.removesuffix("data.pkl")).load()


class _Reader(pickle.Unpickler):
    """Unpickles plain values and tensors, and refuses everything else."""

    def __init__(self, archive: zipfile.ZipFile, folder: str):
        super().__init__(io.BytesIO(archive.read(f"{folder}data.pkl")))
        self._archive, self._folder = archive, folder
        self._storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("collections", "OrderedDict"): OrderedDict,
        }
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) in known:
            return known[module, name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a model file")

    def persistent_load(self, pid: Any) -> np.ndarray:
        _, dtype, key, _, count = pid
        if key not in self._storages:
            content = self._archive.read(f"{self._folder}data/{key}")
            self._storages[key] = np.frombuffer(content, np.dtype(dtype).newbyteorder("<"), count)
        return self._storages[key]


def _tensor(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> np.ndarray:
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= len(storage)):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    strides = [step * storage.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)
    return view.astype(storage.dtype.newbyteorder("="))  # a copy, which may be written to


def _parameter(data: np.ndarray, *_: Any) -> np.ndarray:
    return data
