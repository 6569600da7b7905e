"""Old images go; those that only a wrong clock calls old stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastener.console.retention import Retention
from fastener.console.store import PictureStore

HOUR, DAY = 3600, 24 * 3600


class Clock:
    """Stands in for the module ``time``: a wall clock that can be wrong, and a steady one."""

    def __init__(self, wall: float) -> None:
        self.wall, self.steady = wall, 1000.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock(1_800_000_000.0)
    for name in ("retention", "store"):
        monkeypatch.setattr(f"fastener.console.{name}.time", found)
    return found


def saved(store: PictureStore, clock: Clock, content: bytes) -> Path:
    path = store.path(store.save(content))
    assert path is not None
    os.utime(path, (clock.wall, clock.wall))
    return path


def marked(store: PictureStore, clock: Clock) -> None:
    """The file system's clock is the machine's."""
    os.utime(store.folder / "last-cleanup", (clock.wall, clock.wall))


def test_images_go_after_their_days(clock: Clock, tmp_path: Path) -> None:
    store = PictureStore(tmp_path)
    old = saved(store, clock, b"old")
    retention = Retention(store, 30)
    assert retention.clean() == 0
    for _ in range(31 * 24):
        clock.pass_by(HOUR)
        retention.clean()
    assert not old.exists()


@pytest.mark.parametrize("jump", [400 * DAY, -400 * DAY])
def test_a_clock_that_jumps_while_the_service_runs_deletes_nothing_for_a_day(
    jump: float, clock: Clock, tmp_path: Path
) -> None:
    store = PictureStore(tmp_path)
    image = saved(store, clock, b"image")
    retention = Retention(store, 30)
    retention.clean()
    clock.wall += jump
    clock.pass_by(HOUR)
    assert retention.clean() == 0
    clock.wall -= jump  # somebody mended it
    clock.pass_by(2 * DAY)
    assert retention.clean() == 0
    assert image.exists()


def test_a_clock_that_is_wrong_at_the_start_deletes_nothing_for_a_day(clock: Clock, tmp_path: Path) -> None:
    store = PictureStore(tmp_path)
    image = saved(store, clock, b"image")
    Retention(store, 30).clean()
    marked(store, clock)
    clock.wall += 400 * DAY
    for _ in range(3):  # started again and again
        assert Retention(store, 30).clean() == 0
    retention = Retention(store, 30)
    for _ in range(23):
        clock.pass_by(HOUR)
        assert retention.clean() == 0
    assert image.exists()
    clock.pass_by(HOUR)
    assert retention.clean() == 1  # it was right after all


def test_a_nights_rest_is_no_jump(clock: Clock, tmp_path: Path) -> None:
    store = PictureStore(tmp_path)
    saved(store, clock, b"old")
    clock.pass_by(30 * DAY)
    Retention(store, 31).clean()
    marked(store, clock)
    clock.pass_by(DAY - HOUR)
    assert Retention(store, 30).clean() == 1
