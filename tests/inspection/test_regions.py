"""Boxes of hand-made maps, back through the transform to the photo."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import sklearn.cluster
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors

from fastener.inspection import regions
from fastener.inspection.regions import TOUCHING, cluster, find_regions

IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


def test_identity_boxes_are_exact() -> None:
    map_ = np.zeros((40, 60), np.float32)
    map_[5:9, 10:20] = 2.0
    map_[30:31, 50:51] = 3.0
    one, two = find_regions(map_, 1.0, IDENTITY, (40, 60))
    assert (one.x, one.y, one.width, one.height, one.score) == (50, 30, 1, 1, 3.0)
    assert (two.x, two.y, two.width, two.height, two.score) == (10, 5, 10, 4, 2.0)


def test_the_threshold_itself_is_not_exceeded() -> None:
    assert find_regions(np.ones((4, 4), np.float32), 1.0, IDENTITY, (4, 4)) == ()


def test_diagonal_neighbours_are_one_region() -> None:
    map_ = np.eye(6, dtype=np.float32)
    (region,) = find_regions(map_, 0.5, IDENTITY, (6, 6))
    assert (region.x, region.y, region.width, region.height) == (0, 0, 6, 6)


def test_a_frame_of_half_the_size_doubles_the_boxes() -> None:
    # Pixel centres at whole numbers: photo pixels 2i and 2i + 1 lie in map pixel i.
    to_half = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])
    map_ = np.zeros((20, 30), np.float32)
    map_[4:7, 8:10] = 1
    (region,) = find_regions(map_, 0.5, to_half, (40, 60))
    assert (region.x, region.y, region.width, region.height) == (16, 8, 4, 6)


def test_boxes_are_cut_at_the_photo_and_dropped_beyond() -> None:
    shifted = np.array([[1.0, 0, 10], [0, 1.0, 10]])
    map_ = np.zeros((60, 60), np.float32)
    map_[5:15, 5:15] = 1
    map_[0:3, 0:3] = 2
    (region,) = find_regions(map_, 0.5, shifted, (30, 30))
    assert (region.x, region.y, region.width, region.height) == (0, 0, 5, 5)


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 360), st.floats(0.4, 2.5), st.integers(-10, 10), st.integers(-10, 10))
def test_rotated_boxes_hold_the_area_within_a_pixel(angle: float, scale: float, dx: int, dy: int) -> None:
    a = np.deg2rad(angle)
    linear = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    centre = np.array([100.0, 100.0])
    transform = np.column_stack([linear, np.array([60.0 + dx, 60.0 + dy]) - linear @ centre])
    map_ = np.zeros((120, 120), np.float32)
    map_[50:62, 55:80] = 1.0
    # Brute force: photo points on a fine grid whose map position falls into the marked rectangle.
    fine = np.stack(np.meshgrid(np.arange(-0.5, 199.5, 0.25), np.arange(-0.5, 199.5, 0.25)), -1).reshape(-1, 2)
    at = fine @ linear.T + transform[:, 2]
    inside = (at[:, 0] > 54.5) & (at[:, 0] < 79.5) & (at[:, 1] > 49.5) & (at[:, 1] < 61.5)
    (region,) = find_regions(map_, 0.5, transform, (200, 200))
    low, high = fine[inside].min(0) + 0.5, fine[inside].max(0) + 0.5
    assert [region.x, region.y] == pytest.approx(low, abs=1.3)
    assert [region.x + region.width, region.y + region.height] == pytest.approx(high, abs=1.3)
    assert region.x <= low[0]
    assert region.y <= low[1]


def test_a_flat_map_gives_no_box() -> None:
    """However low the map of this image is, its highest pixel is no hit by being the highest."""
    assert find_regions(np.full((30, 30), 0.2, np.float32), 1.0, IDENTITY, (30, 30)) == ()
    assert find_regions(np.full((30, 30), np.nan, np.float32), 1.0, IDENTITY, (30, 30)) == ()


def test_area_is_that_of_the_pixels_not_of_the_box() -> None:
    map_ = np.eye(6, dtype=np.float32)
    assert find_regions(map_, 0.5, IDENTITY, (6, 6))[0].area == pytest.approx(6)
    to_half = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])
    assert find_regions(map_, 0.5, to_half, (12, 12))[0].area == pytest.approx(24)


def numbered(labels: Iterable[int]) -> list[int]:
    """Clusters by number, in the order in which they first occur; which number a cluster has says nothing."""
    numbers: dict[int, int] = {-1: -1}
    return [numbers.setdefault(label, len(numbers) - 1) for label in labels]


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(1.0, 6.0), st.integers(1, 12))
@example(0, 1.5, 1)
def test_clusters_are_those_of_scikit_learn(seed: int, eps: float, min_samples: int) -> None:
    """On maps small enough to be clustered pixel by pixel, with every pixel a sample of its own."""
    above = np.random.default_rng(seed).random((25, 31)) < 0.12
    labels = cluster(above, eps, min_samples)
    expected = DBSCAN(eps=eps, min_samples=min_samples).fit_predict(np.argwhere(above)) if above.any() else []
    assert numbered(labels[above].tolist()) == numbered(expected)
    assert (labels[~above] == -1).all()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_defaults_find_the_clusters_of_scikit_learn(seed: int) -> None:
    above = np.random.default_rng(seed).random((40, 50)) < 0.3
    labels = cluster(above, TOUCHING, 1)
    expected = DBSCAN(eps=TOUCHING, min_samples=1).fit_predict(np.argwhere(above))
    pairs = set(zip(labels[above].tolist(), expected.tolist(), strict=True))
    assert len(pairs) == expected.max() + 1 == labels.max() + 1
    assert (labels[~above] == -1).all()


@pytest.mark.parametrize(("eps", "min_samples"), [(2.0, 1), (20.0, 5), (500.0, 50)])
def test_a_map_hot_all_over_stays_within_the_bound(
    eps: float, min_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What DBSCAN is given has at most MAX_PAIRS pairs of neighbours, however large the map and eps."""
    seen: list[int] = []

    class Counting(DBSCAN):
        def fit(self, cells: np.ndarray, y: None = None, sample_weight: np.ndarray | None = None) -> DBSCAN:
            neighbours = NearestNeighbors(radius=self.eps).fit(cells[:1000]).radius_neighbors(cells[:1000])[1]
            seen.append(len(cells) * max(map(len, neighbours)))
            assert sample_weight is not None
            assert sample_weight.sum() == 700 * 900
            return super().fit(cells, y, sample_weight)

    monkeypatch.setattr(sklearn.cluster, "DBSCAN", Counting)
    (region,) = find_regions(
        np.ones((700, 900), np.float32), 0.5, IDENTITY, (700, 900), eps=eps, min_samples=min_samples
    )
    assert (region.width, region.height, region.area) == (900, 700, 630_000)
    assert seen[0] <= regions.MAX_PAIRS


def test_large_maps_keep_distant_clusters_apart() -> None:
    """Cells are joined on a map this hot, but not the two halves."""
    map_ = np.ones((800, 800), np.float32)
    map_[:, 390:410] = 0
    boxes = sorted((region.x, region.width) for region in find_regions(map_, 0.5, IDENTITY, (800, 800), eps=2))
    assert boxes == [(0, 390), (410, 390)]


def test_few_pixels_are_noise() -> None:
    map_ = np.zeros((40, 40), np.float32)
    map_[5:7, 5:7] = 5.0
    map_[20:26, 20:26] = 2.0
    (region,) = find_regions(map_, 1.0, IDENTITY, (40, 40), eps=2.0, min_samples=9)
    assert (region.x, region.y, region.width, region.height) == (20, 20, 6, 6)


def test_extent_cuts_the_halo_and_parts_what_only_the_halo_joined() -> None:
    map_ = np.zeros((20, 60), np.float32)
    map_[5:15, 5:55] = 2.0  # the halo of two defects
    map_[8:12, 10:14] = 9.0
    map_[8:12, 40:50] = 7.0
    assert len(find_regions(map_, 1.0, IDENTITY, (20, 60))) == 1
    one, two = find_regions(map_, 1.0, IDENTITY, (20, 60), extent=0.5)
    assert (one.x, one.y, one.width, one.height, one.score) == (10, 8, 4, 4, 9.0)
    assert (two.x, two.y, two.width, two.height, two.score) == (40, 8, 10, 4, 7.0)


def test_extent_measures_each_cluster_by_its_own_peak() -> None:
    map_ = np.zeros((20, 60), np.float32)
    map_[5:9, 5:9] = 50.0
    map_[5:9, 40:50] = 1.5
    assert len(find_regions(map_, 1.0, IDENTITY, (20, 60), extent=0.5)) == 2
