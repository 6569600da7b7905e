"""Reading ahead: order, bounds, errors; and what identifies a photo."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from data_factory import part, save
from PIL import Image

from fastener.common.errors import UserError
from fastener.config import PreprocessSettings
from fastener.datasets.images import read_image
from fastener.datasets.synthetic.parts import render_part
from fastener.inspection.reading import ahead, batches, fingerprint, load
from fastener.preprocessing.pipeline import Preprocessor


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_order_is_kept_whatever_finishes_first(workers: int) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    assert list(ahead(slow_first, range(20), workers, 6)) == [n * n for n in range(20)]


@pytest.mark.parametrize("workers", [1, 3])
def test_never_more_than_the_window_ahead(workers: int) -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    for done, _ in enumerate(ahead(lambda n: n, source(), workers, 6)):
        assert len(taken) <= done + 6


def test_work_goes_on_while_the_consumer_is_busy() -> None:
    started = threading.Event()
    stream = ahead(lambda n: started.set() if n == 3 else None, range(10), 1, 6)
    next(stream)
    assert started.wait(5)


def test_an_exception_comes_out_in_its_turn() -> None:
    stream = ahead(lambda n: 1 // (n - 2), range(5), 2, 3)
    assert [next(stream), next(stream)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(stream)


def test_leaving_early_stops_the_work() -> None:
    done: list[int] = []

    def slowly(number: int) -> None:
        time.sleep(0.01)
        done.append(number)

    stream = ahead(slowly, range(1000), 1, 50)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    count = len(done)
    time.sleep(0.05)
    assert len(done) == count < 50


def test_batches() -> None:
    assert list(batches(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches([], 3)) == []


def test_load_and_fingerprint_of_a_file_and_of_its_pixels(tmp_path: Path) -> None:
    image = part(0)
    path = save(image, tmp_path / "a.png")
    preprocessor = Preprocessor(PreprocessSettings(size=64))
    from_file, from_array = load(path, preprocessor), load(image, preprocessor)
    assert from_file.path == path
    assert from_array.path is None
    assert from_file.tiles
    assert from_array.tiles
    assert np.array_equal(from_file.tiles[0].image, from_array.tiles[0].image)
    identity = fingerprint(path)
    assert identity.checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    assert fingerprint(image).checksum == ""
    assert np.array_equal(identity.signature, fingerprint(image).signature)


def test_a_broken_file_is_a_result_for_load_and_an_error_for_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no image")
    loaded = load(path, Preprocessor(PreprocessSettings()))
    assert loaded.tiles == ()
    assert "broken.jpg" in loaded.error
    assert "\n" not in loaded.error
    with pytest.raises(UserError, match=r"broken\.jpg"):
        fingerprint(path)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_large_jpeg_is_prepared_as_its_whole_self(tmp_path: Path, enabled: bool) -> None:
    photo = render_part(3, "bolt", size=(2250, 3000)).image
    Image.fromarray(photo).save(tmp_path / "large.jpg", quality=97)
    preprocessor = Preprocessor(PreprocessSettings(size=128, enabled=enabled))
    whole = preprocessor(read_image(tmp_path / "large.jpg"))
    loaded = load(tmp_path / "large.jpg", preprocessor).tiles[0]
    assert loaded is not None
    assert loaded.photo_size == (2250, 3000)
    np.testing.assert_allclose(loaded.transform, whole.transform, rtol=0.01, atol=0.5)
    # Frames of both differ by less than what JPEG itself changes.
    assert np.abs(loaded.image.astype(int) - whole.image).mean() < 2.0
    assert (loaded.mask == whole.mask).mean() > 0.99


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_came_before_an_interruption_is_not_lost(workers: int) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise KeyboardInterrupt

    found: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        found.extend(ahead(lambda item: 10 * item, items(), workers, 8))
    assert found == [0, 10, 20, 30, 40]
