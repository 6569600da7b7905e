"""Model files read by NumPy alone, against torch."""

from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fastener.common.errors import UserError
from fastener.models.runtime.archive import read_archive
from fastener.models.runtime.storage import load_state, save_state


def archive(tree: Any) -> io.BufferedReader:
    buffer = io.BytesIO()
    torch.save(tree, buffer)
    return io.BufferedReader(io.BytesIO(buffer.getvalue()))


def test_every_kind_of_tensor_is_what_torch_reads() -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    kinds = (torch.float64, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool)
    tensors = {
        **{str(kind): torch.tensor([[0, 1], [1, 3]]).to(kind) for kind in kinds},
        "view": base[1:, ::2].T,
        "shared": base,
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": nn.Parameter(base[0]),
    }
    read = read_archive(archive(OrderedDict(tensors=tensors, plain=[1, "two", None, (3.0, True)])))
    assert read["plain"] == [1, "two", None, (3.0, True)]
    for name, tensor in tensors.items():
        expected = tensor.detach().numpy()
        np.testing.assert_array_equal(read["tensors"][name], expected, err_msg=name)
        assert read["tensors"][name].dtype == expected.dtype, name


def test_a_model_file_is_read_alike(tmp_path: Path) -> None:
    state = {"bank": np.eye(3, dtype=np.float16), "nested": {"threshold": [1.5, "photos"]}}
    save_state(state, tmp_path / "model.pkl")
    by_torch, by_numpy = load_state(tmp_path / "model.pkl"), load_state(tmp_path / "model.pkl", by_numpy=True)
    assert isinstance(by_torch["bank"], torch.Tensor)
    np.testing.assert_array_equal(by_torch["bank"], by_numpy["bank"])
    assert by_numpy["nested"] == state["nested"] == by_torch["nested"]


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.getenv, ("HOME",)


def test_nothing_but_tensors_is_rebuilt(tmp_path: Path) -> None:
    with pytest.raises(pickle.UnpicklingError, match="has no place in a model file"):
        read_archive(archive({"x": Hostile()}))
    save_state({"x": Hostile()}, tmp_path / "model.pkl")
    with pytest.raises(UserError, match="not a model of this toolkit, or it is damaged"):
        load_state(tmp_path / "model.pkl", by_numpy=True)
