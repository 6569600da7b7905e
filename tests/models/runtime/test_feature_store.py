"""Features kept in memory and in a file against the tensor they came from."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastener.common.errors import UserError
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.runtime.feature_store import FeatureStore


def batches(sizes: list[int], channels: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(size, 2, 3, channels, generator=generator) for size in sizes]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 900))
def test_rows_are_the_features_in_order_whatever_the_limit(sizes: list[int], limit: int) -> None:
    store, parts = FeatureStore(limit), batches(sizes)
    for part in parts:
        store.append(part)
    assert (store.n_images, store.grid) == (sum(sizes), (2, 3))
    rows = store.rows()
    assert torch.equal(rows, torch.cat(parts).reshape(-1, 5).half())
    assert torch.equal(store.rows(), rows), "asked twice"
    with pytest.raises(AssertionError, match="in use"):
        store.append(parts[0])
    store.close()


@pytest.mark.parametrize("limit", [0, 10**9])
def test_what_is_written_to_rows_stays(limit: int) -> None:
    store = FeatureStore(limit)
    for part in batches([2, 2]):
        store.append(part)
    store.rows()[3] = 7.0
    assert (store.rows()[3] == 7).all()
    store.close()


def test_beyond_the_limit_nothing_is_held_and_the_file_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = FeatureStore(2 * 6 * 5 * 3)  # three images
    for count, part in enumerate(batches([1] * 6), 1):
        store.append(part)
        assert len(store._held) == (6 * count if count <= 3 else 0)
    assert not list(tmp_path.iterdir())
    rows = store.rows()
    store.close()
    gc.collect()
    assert torch.equal(rows, torch.cat(batches([1] * 6)).reshape(-1, 5).half())


def test_a_full_disk_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(UserError, match="No space left on device; set TMPDIR"):
        FeatureStore(0).append(batches([1])[0])


@pytest.mark.parametrize("limit", [0, 10**9])
def test_scales_are_learned_in_chunks_as_on_the_whole(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastener.models.runtime.feature_store._ROWS_AT_ONCE", 7)
    store, parts = FeatureStore(limit), batches([3, 4, 2])
    for part in parts:
        store.append(part * torch.arange(1, 6) + 3)
    extractor = FeatureExtractor(torch.nn.Identity(), standardise=True)
    whole = store.rows().double().clone()
    scaled = extractor.fit(store.rows())
    expected = (whole - whole.mean(0)) / whole.std(0)
    torch.testing.assert_close(scaled.double(), expected, rtol=2e-3, atol=2e-3)
    assert scaled.dtype == torch.float16
    store.close()
