"""A JPEG of thousands of scans is refused before it is decoded; ordinary progressive files are not."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from fastener.common.errors import UserError
from fastener.datasets.images import decode_image
from fastener.datasets.jpeg_scans import MOST_SCANS, has_too_many_scans, most_scans


def progressive(side: int = 64) -> bytes:
    picture = np.random.default_rng(0).integers(0, 255, (side, side, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", progressive=True, quality=90)
    return buffer.getvalue()


def bomb(scans: int) -> bytes:
    """The last scan of a progressive file, repeated: each repetition costs a pass over all pixels."""
    whole = progressive()
    last = whole.rindex(b"\xff\xda")
    end = whole.rindex(b"\xff\xd9")
    return whole[:last] + whole[last:end] * scans + whole[end:]


def test_ordinary_files_are_read() -> None:
    assert progressive().count(b"\xff\xda") > 5
    assert decode_image(io.BytesIO(progressive()), "a").shape == (64, 64, 3)
    assert not has_too_many_scans(io.BytesIO(bomb(MOST_SCANS // 2)))


def test_a_bomb_is_refused_at_once() -> None:
    content = io.BytesIO(bomb(5000))
    begun = time.perf_counter()
    with pytest.raises(UserError, match="more than 100 scans"):
        decode_image(content, "a.jpg")
    assert time.perf_counter() - begun < 1.0


@pytest.mark.parametrize("offset", range(3))
def test_markers_across_chunks_count(monkeypatch: pytest.MonkeyPatch, offset: int) -> None:
    monkeypatch.setattr("fastener.datasets.jpeg_scans._CHUNK", 7 + offset)
    file = io.BytesIO(b"\xff\xda1" * (MOST_SCANS + 1))
    file.seek(5)
    assert has_too_many_scans(file)
    assert file.tell() == 5
    assert not has_too_many_scans(io.BytesIO(b"\xff\xda1" * MOST_SCANS))


def test_large_files_may_have_fewer_scans() -> None:
    assert [most_scans(10**n) for n in range(5, 9)] == [100, 100, 100, 16]
    assert most_scans(25_000_000) == 40
