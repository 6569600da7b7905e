"""Pooled features of whole images, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from torch import nn

from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.global_features import GlobalFeatures


class Cells(nn.Module):
    """Mean colour of each cell of 8 x 8 pixels; pooled again it is the image's mean colour."""

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [F.avg_pool2d(images, 8)]


def model(standardise: bool = False) -> GlobalFeatures:
    return GlobalFeatures(FeatureExtractor(Cells(), patch_size=1, standardise=standardise))


def photos(count: int, seed: int = 0) -> np.ndarray:
    """Noise round a colour of its own each: uint8 RGB (n, 16, 24, 3)."""
    rng = np.random.default_rng(seed)
    colours = rng.uniform(60, 190, (count, 1, 1, 3))
    return np.clip(colours + rng.normal(0, 20, (count, 16, 24, 3)), 0, 255).astype(np.uint8)


def vectors(images: np.ndarray) -> np.ndarray:
    """Mean colours in 0 to 1: float64 (n, 3)."""
    return np.asarray(images.mean((1, 2), dtype=np.float64) / 255)


def distances(queries: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """The distance of each query (n, d) to the nearest of the bank (m, d), one pair at a time."""
    return np.array([min(float(np.linalg.norm(query - row)) for row in bank) for query in queries])


def leave_one_out(rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return np.array([distances(rows[[i]], rows[groups != groups[i]])[0] for i in range(len(rows))])


def test_scores_are_distances_to_the_nearest_mean_colour() -> None:
    healthy, new = photos(9), photos(5, seed=1)
    fitted = model().fit([healthy[:4], healthy[4:]], range(9))
    np.testing.assert_allclose(fitted.score(new), distances(vectors(new), vectors(healthy)), atol=1e-5)
    assert fitted.score(healthy) == pytest.approx(np.zeros(9), abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=12).filter(lambda groups: len(set(groups)) > 1))
def test_training_scores_leave_the_whole_group_out(groups: list[int]) -> None:
    healthy = photos(len(groups))
    fitted = model().fit([healthy], groups)
    expected = leave_one_out(vectors(healthy), np.array(groups))
    np.testing.assert_allclose(fitted.training_scores_, expected, atol=1e-5)


def test_channels_are_standardised_where_the_extractor_does_so() -> None:
    healthy, new = photos(12), photos(4, seed=1)
    rows = vectors(healthy)
    mean, std = rows.mean(0), rows.std(0, ddof=1)
    assert (std > 0.05).all()  # below that the extractor's floor would count
    reference = NearestNeighbors(n_neighbors=1).fit((rows - mean) / std)
    expected = reference.kneighbors((vectors(new) - mean) / std)[0][:, 0]
    fitted = model(standardise=True).fit([healthy], range(12))
    np.testing.assert_allclose(fitted.score(new), expected, atol=1e-4)
    np.testing.assert_allclose(fitted.training_scores_, leave_one_out((rows - mean) / std, np.arange(12)), atol=1e-4)


def test_fitting_again_adds_to_the_bank() -> None:
    first, second, new = photos(6), photos(4, seed=1), photos(5, seed=2)
    groups = np.array([6, 6, 7, 8])
    grown = model().fit([first], range(6)).fit([second], groups.tolist())
    together = vectors(np.concatenate([first, second]))
    np.testing.assert_allclose(grown.score(new), distances(vectors(new), together), atol=1e-5)
    expected = leave_one_out(together, np.concatenate([np.arange(6), groups]))[6:]
    np.testing.assert_allclose(grown.training_scores_, expected, atol=1e-5)


def test_scores_do_not_depend_on_the_batch() -> None:
    fitted, new = model().fit([photos(6)], range(6)), photos(5, seed=1)
    one_by_one = np.concatenate([fitted.score(image[None]) for image in new])
    np.testing.assert_allclose(one_by_one, fitted.score(new), atol=1e-6)


@pytest.mark.parametrize(("groups", "complaint"), [([0, 0, 0], "at least two"), ([0, 1], "3 images but 2 groups")])
def test_what_cannot_be_left_out_is_an_error(groups: list[int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        model().fit([photos(3)], groups)
