"""Model files: the way there and back, and everything that is not a model."""

from __future__ import annotations

import io
import operator
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from data_factory import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastener.common.errors import UserError
from fastener.models.runtime.storage import FORMAT, load_state, save_state

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TENSORS = {
    "float": torch.linspace(-1, 1, 12).reshape(3, 4),
    "half": torch.linspace(0, 1, 5).half(),
    "whole": torch.arange(7),
    "none": torch.empty(0, 3),
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    save_state({"tensor": torch.arange(200.0), "name": "old"}, path)
    return path


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=8), PLAIN, max_size=4))
def test_plain_values_come_back(tmp_path: Path, state: dict[str, Any]) -> None:
    save_state(state, tmp_path / "model.pt")
    assert load_state(tmp_path / "model.pt") == state


def test_tensors_come_back_bit_by_bit(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "model.pt"
    save_state({"nested": [TENSORS]}, path)
    loaded = load_state(path)["nested"][0]
    assert loaded.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)
    assert [file.name for file in path.parent.iterdir()] == ["model.pt"]


class Hostile:
    """Unpickling this calls ``function``: by REDUCE, or through what NEWOBJ and BUILD do."""

    def __init__(self, function: Callable[..., Any], *arguments: Any):
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def hostile(trap: Path) -> dict[str, Hostile]:
    """Objects that make the file ``trap`` when they are unpickled without care."""
    code = f"open({str(trap)!r}, 'w').close()"
    return {
        "function": Hostile(Path.touch, trap),
        "shell": Hostile(os.system, f"touch '{trap}'"),
        "eval": Hostile(eval, code),
        "exec": Hostile(exec, code),
        "new process": Hostile(subprocess.call, ["touch", str(trap)]),
        "attribute": Hostile(operator.methodcaller("touch"), trap),
    }


def sealed(archive: bytes) -> bytes:
    """``archive`` under a header that fits, so that only the unpickler stands in the way."""
    header = f"fastener-anomaly-detection model, format {FORMAT}, sha256 {sha256(archive).hexdigest()}\n"
    return header.encode() + archive


@pytest.mark.parametrize("kind", hostile(Path()))
@pytest.mark.parametrize("form", ["sealed", "old", "pickle"])
def test_code_in_a_file_does_not_run(tmp_path: Path, kind: str, form: str) -> None:
    trap, path = tmp_path / "trap", tmp_path / "model.pt"
    found = FORMAT if form == "sealed" else 1
    content = {"kind": "fastener-anomaly-detection", "format": found, "state": {"evil": hostile(trap)[kind]}}
    archive = io.BytesIO()
    pickle.dump(content, archive, protocol=2) if form == "pickle" else torch.save(content, archive)
    path.write_bytes(sealed(archive.getvalue()) if form == "sealed" else archive.getvalue())
    with pytest.raises(UserError, match="not a model of this toolkit"):
        load_state(path)
    assert not trap.exists()
    archive.seek(0)
    pickle.load(archive) if form == "pickle" else torch.load(archive, weights_only=False)
    assert trap.exists()  # the trap was live


def test_any_damaged_byte_is_noticed(model: Path) -> None:
    whole = model.read_bytes()
    for place in {*range(200), *range(200, len(whole), 7)}:
        model.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"model\.pt (is .*damaged|has format)"):
            load_state(model)
    model.write_bytes(whole + b"\0")
    with pytest.raises(UserError, match="damaged"):
        load_state(model)


def test_models_of_format_1_load_and_their_numbers_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    tensor = torch.arange(1000.0)
    torch.save({"kind": "fastener-anomaly-detection", "format": 1, "state": {"tensor": tensor}}, path)
    assert torch.equal(load_state(path)["tensor"], tensor)
    whole = path.read_bytes()
    number = whole.index(tensor[500:].numpy().tobytes())
    path.write_bytes(whole[:number] + bytes([whole[number] ^ 1]) + whole[number + 1 :])
    with pytest.raises(UserError, match="checksum does not fit"):
        load_state(path)


def test_truncated_anywhere(model: Path) -> None:
    whole = model.read_bytes()
    lengths = sorted({0, 1, 2, 4, len(whole) - 1, len(whole) - 22, *range(0, len(whole), len(whole) // 40)})
    for length in lengths:
        model.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"model\.pt is .*damaged"):
            load_state(model)
    model.write_bytes(whole)
    assert load_state(model)["name"] == "old"


def foreign_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"hello")


@pytest.mark.parametrize(
    "write",
    [
        foreign_zip,
        lambda path: torch.save({"conv1.weight": torch.zeros(2)}, path),
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save(torch.zeros(3), path),
        lambda path: path.write_text("not a model"),
    ],
    ids=["zip", "state dict", "list", "tensor", "text"],
)
def test_foreign_files(tmp_path: Path, write: Callable[[Path], Any]) -> None:
    path = tmp_path / "model.pt"
    write(path)
    with pytest.raises(UserError, match=r"model\.pt is not a model of this toolkit.*train"):
        load_state(path)


@pytest.mark.parametrize("header", [{"format": 0}, {"format": FORMAT + 1}, {}])
def test_other_formats_are_named(tmp_path: Path, header: dict[str, int]) -> None:
    path = tmp_path / "model.pt"
    torch.save({"kind": "fastener-anomaly-detection", "state": {}, **header}, path)
    with pytest.raises(
        UserError, match=rf"has format {header.get('format')}, this version reads formats 1 and {FORMAT}"
    ):
        load_state(path)


def test_a_missing_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no model at .*nowhere\.pt; train one"):
        load_state(tmp_path / "nowhere.pt")
    with pytest.raises(UserError, match="no model at"):
        load_state(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write .*model\.pt"):
        save_state({}, tmp_path / "file" / "model.pt")


@pytest.mark.parametrize(
    ("step", "failure", "raised"),
    [
        ("fsync", OSError(28, "No space left on device"), UserError),
        ("replace", OSError(13, "Permission denied"), UserError),
        ("fsync", KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_write_that_fails_leaves_the_old_file(
    monkeypatch: pytest.MonkeyPatch, model: Path, step: str, failure: BaseException, raised: type[BaseException]
) -> None:
    def fail(*arguments: Any) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(os if step == "fsync" else Path, step, fail)
        with pytest.raises(raised, match=str(failure.args[-1]) if failure.args else None):
            save_state({"name": "new"}, model)
    assert load_state(model)["name"] == "old"
    assert [file.name for file in model.parent.iterdir()] == [model.name]
    save_state({"name": "new"}, model)
    assert load_state(model)["name"] == "new"


def test_a_process_killed_while_writing_leaves_the_old_file(model: Path) -> None:
    script = (
        "import os, sys, pathlib; from fastener.common import files; os.fsync = lambda handle: os._exit(9); "
        "files.write_atomically(pathlib.Path(sys.argv[1]), b'half')"
    )
    root = ROOT
    assert subprocess.run([sys.executable, "-c", script, str(model)], cwd=root).returncode == 9
    assert load_state(model)["name"] == "old"
