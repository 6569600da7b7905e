"""The worker: what waits together goes together, by model, and one bad photo costs only itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from fastener.console.batching import Batcher
from fastener.inspection.inspector import Inspector
from fastener.inspection.reading import Loaded
from fastener.inspection.result import Failure, Inspection


class FakeInspector:
    """Notes the batches it is given; the first waits until ``go_on``."""

    def __init__(self, go_on: threading.Event):
        self.go_on = go_on
        self.batches: list[list[str]] = []

    def inspect_loaded(self, batch: Sequence[Loaded]) -> Iterator[Inspection | Failure]:
        self.go_on.wait(10)
        self.batches.append([one.error for one in batch])
        if any(one.error == "explodes" for one in batch):
            raise MemoryError("too much")
        for one in batch:
            yield Inspection(None, float(len(one.error)), *cast(Any, [None] * 9))


def submitted(batcher: Batcher, inspector: FakeInspector, names: Sequence[str]) -> list[Any]:
    return [batcher.submit(cast(Inspector, inspector), Loaded(None, (), name)) for name in names]


def test_what_waits_goes_together_by_model_and_at_most_batch_size() -> None:
    go_on = threading.Event()
    one, other = FakeInspector(go_on), FakeInspector(go_on)
    sizes: list[int] = []
    batcher = Batcher(3, sizes.append)
    first = submitted(batcher, one, ["first"])
    while not sizes:
        time.sleep(0.001)
    rest = [
        *submitted(batcher, one, ["a", "bb"]),
        *submitted(batcher, other, ["x"]),
        *submitted(batcher, one, ["ccc", "dddd"]),
    ]
    go_on.set()
    assert [job.result(10).score for job in first + rest] == [5, 1, 2, 1, 3, 4]
    assert one.batches == [["first"], ["a", "bb", "ccc"], ["dddd"]]
    assert other.batches == [["x"]]
    batcher.close()


def test_a_photo_that_fails_costs_only_itself() -> None:
    go_on = threading.Event()
    inspector = FakeInspector(go_on)
    batcher = Batcher(8)
    jobs = submitted(batcher, inspector, ["a", "explodes", "ccc"])
    go_on.set()
    assert jobs[0].result(10).score == 1
    with pytest.raises(MemoryError):
        jobs[1].result(10)
    assert jobs[2].result(10).score == 3
    batcher.close()
    with pytest.raises(RuntimeError, match="stopped"):
        submitted(batcher, inspector, ["late"])


def test_what_was_taken_on_is_finished_before_it_stops() -> None:
    go_on = threading.Event()
    batcher = Batcher(1)
    jobs = submitted(batcher, FakeInspector(go_on), ["a", "bb", "ccc"])
    closing = threading.Thread(target=batcher.close)
    closing.start()
    go_on.set()
    closing.join(10)
    assert [job.result(0).score for job in jobs] == [1, 2, 3]
