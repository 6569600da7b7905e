"""Memory does not grow with the photos: features go to a file, and inspecting keeps nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastener.benchmarks.memory_growth import SIGNATURE_MB, inspect, rise, train, write_photos

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc"),
]
FEW, MANY, SIDE = 60, 460, 128
# What heaps differ by from run to run. With the features of 400 photos in memory it would be 100 MB more.
SLACK_MB = 60


def test_memory_does_not_grow_with_the_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is let go goes back at once, so that what counts is what is held, not what glibc keeps.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    peaks = {}
    for count in (FEW, MANY):
        write_photos(tmp_path / "photos", count)
        peaks[count] = float(train(tmp_path, count, limit=0, side=SIDE).private.max())
    assert peaks[MANY] - peaks[FEW] < 2.5 * (MANY - FEW) * SIGNATURE_MB + SLACK_MB
    (tmp_path / "photos").rename(tmp_path / "inspected")
    assert rise(inspect(tmp_path, MANY)) < SLACK_MB
