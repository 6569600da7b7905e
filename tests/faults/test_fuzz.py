"""Any bytes, read as any file, give a result or one line that says what is wrong, in bounded time and memory."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import LONG
from readers import READERS, Reader, check

from fastener.common.errors import UserError
from fastener.inspection.inspector import Inspector
from fastener.models.runtime.storage import load_state, save_state

pytestmark = pytest.mark.slow

EXAMPLES = 1000 if LONG else 150
GUIDED_SECONDS = 10
SECONDS, MEGABYTES = 20 * 60 if LONG else 120, 3000
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module", params=READERS)
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return READERS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(autouse=True)
def _bounds() -> Iterator[None]:
    """No example may hang, nor take more memory than a large photo does."""

    def hangs(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"still reading after {SECONDS} s")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    previous = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEGABYTES * 2**20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@st.composite
def damaged(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A good file with bytes replaced, put in, taken out or cut off at the end."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data)))
        taken = draw(st.sampled_from((0, 1, 4, 100, len(data))))
        data[at : at + taken] = draw(st.binary(max_size=8))
    return bytes(data)


def test_what_was_found_before_is_refused(reader: Reader) -> None:
    assert not [data[:60] for data in reader.findings if check(reader, data)]


@pytest.mark.parametrize("name", ["csv", "rle", "xml", "labels", "model", "image"])
def test_good_files_are_read(name: str, tmp_path: Path) -> None:
    reader = READERS[name](tmp_path)
    assert all(check(reader, seed) for seed in reader.seeds)


@fuzz
@given(data=st.data())
def test_damaged_files(reader: Reader, data: st.DataObject) -> None:
    check(reader, data.draw(damaged(reader.seeds)))


@fuzz
@given(data=st.data())
def test_files_of_the_right_words(reader: Reader, data: st.DataObject) -> None:
    words = st.sampled_from(reader.words) if reader.words else st.nothing()
    text = st.lists(words | st.text(max_size=3), max_size=25).map("".join)
    check(reader, data.draw(text.map(lambda one: one.encode("utf-8", "surrogatepass")) | st.binary(max_size=200)))


JUNK: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([]) | st.just({})
)
JUNK |= st.sampled_from((torch.zeros(0), torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64)))


def test_a_tensor_in_the_place_of_all_evidence_is_no_model(model_file: Path, tmp_path: Path) -> None:
    save_state({**load_state(model_file), "evidence": torch.zeros(0)}, tmp_path / "model.pkl")
    with pytest.raises(UserError, match="another version"):
        Inspector.load(tmp_path / "model.pkl", "cpu")


@fuzz
@given(data=st.data())
def test_models_with_other_things_in_them(model_file: Path, tmp_path: Path, data: st.DataObject) -> None:
    state = load_state(model_file)
    node: Any = state
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not (isinstance(node[key], dict | list) and node[key]) or data.draw(st.integers(0, 3)) == 0:
            break
        node = node[key]
    node[key] = data.draw(JUNK)
    save_state(state, tmp_path / "model.pkl")
    with suppress(UserError):
        Inspector.load(tmp_path / "model.pkl", "cpu")


@pytest.mark.skipif(not LONG, reason="part of the long form: FASTENER_FAULTS=long")
@pytest.mark.parametrize("name", READERS)
def test_guided_by_coverage(name: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="Atheris has no package for this Python")
    command = [
        sys.executable,
        str(Path(__file__).with_name("fuzz_guided.py")),
        name,
        str(GUIDED_SECONDS),
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
