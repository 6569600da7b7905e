"""The autoencoder: what it learns, that it shows defects in their place, and that it can be interrupted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fastener.models.autoencoder import Autoencoder, Epoch
from fastener.models.image_scores import top_mean
from fastener.models.runtime.storage import load_state, save_state

SIDE = 32


pytestmark = pytest.mark.usefixtures("one_thread")


def bars(count: int, seed: int = 0) -> np.ndarray:
    """Healthy: a light upright bar on darker ground, both of varying brightness; uint8 RGB (n, 32, 32, 3)."""
    rng = np.random.default_rng(seed)
    images = np.broadcast_to(rng.uniform(60, 120, (count, 1, 1, 1)), (count, SIDE, SIDE, 3)).copy()
    images[:, 3:29, 12:20] = rng.uniform(150, 220, (count, 1, 1, 1))
    return np.clip(images + rng.normal(0, 2, images.shape), 0, 255).astype(np.uint8)


def small(seed: int = 0, learning_rate: float = 5e-3) -> Autoencoder:
    return Autoencoder(SIDE, width=4, latent=8, learning_rate=learning_rate, seed=seed)


def train(model: Autoencoder, epochs: int, patience: int = 1000, count: int = 24) -> list[Epoch]:
    return list(model.training(bars(count), bars(6, seed=1), epochs, patience))


@pytest.fixture(scope="module")
def trained() -> Autoencoder:
    model = small()
    train(model, 100, count=64)
    return model


def test_learns_to_redraw_what_it_has_not_seen(trained: Autoencoder) -> None:
    new = bars(20, seed=2)
    blind = np.abs(new - np.median(bars(64), axis=0)).mean() / 255  # the best that ignores the image it is to redraw
    assert trained.error_maps(new).mean() < blind / 2


def test_a_defect_stands_out_in_its_place(trained: Autoencoder) -> None:
    healthy = bars(20, seed=2)
    defect = healthy.copy()
    defect[:, 20:26, 2:8] = (200, 40, 40)
    errors = trained.error_maps(defect)
    inside = errors[:, 20:26, 2:8].mean((1, 2))
    elsewhere = errors.copy()
    elsewhere[:, 18:28, :10] = 0
    assert (inside > 2 * trained.error_maps(healthy).mean((1, 2))).all()
    assert (inside > elsewhere.mean((1, 2))).all()
    assert top_mean(errors, 0.02).min() > top_mean(trained.error_maps(healthy), 0.02).max()


def test_errors_are_absolute_and_in_parts_of_white() -> None:
    model = small()
    model.restore({key: torch.zeros_like(tensor) for key, tensor in model.weights().items()})
    images = np.random.default_rng(0).integers(0, 256, (20, SIDE, SIDE, 3), dtype=np.uint8)
    np.testing.assert_allclose(model.error_maps(images), images.mean(3) / 255, atol=1e-6)


def test_same_seed_same_network_whatever_ran_before() -> None:
    torch.manual_seed(1)
    one = small()
    torch.manual_seed(2)
    other, different = small(), small(seed=1)
    assert train(one, 3) == train(other, 3) != train(different, 3)
    for key, tensor in one.weights().items():
        assert torch.equal(tensor, other.weights()[key])


def test_training_leaves_the_global_random_numbers_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    train(small(), 1)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("stop_after", [1, 4])
def test_resumed_training_ends_where_an_uninterrupted_one_does(stop_after: int, tmp_path: Path) -> None:
    whole = small()
    epochs = train(whole, 7)
    interrupted = small()
    for epoch in interrupted.training(bars(24), bars(6, seed=1), 7, 1000):
        if epoch.number == stop_after:
            save_state(interrupted.progress_state(), tmp_path / "state")
            break
    resumed = small()
    resumed.resume(load_state(tmp_path / "state"))
    assert resumed.epochs_done == stop_after
    assert train(resumed, 7) == epochs[stop_after:]
    for key, tensor in whole.weights().items():
        assert torch.equal(tensor, resumed.weights()[key])


def test_progress_state_is_a_snapshot() -> None:
    model = small()
    train(model, 2)
    state = model.progress_state()
    before = {key: tensor.clone() for key, tensor in state["network"].items()}
    train(model, 4)
    assert all(torch.equal(tensor, before[key]) for key, tensor in state["network"].items())


def test_stops_when_patience_ends_and_keeps_the_best() -> None:
    model = small(learning_rate=0.05)  # so coarse a step that the error rises and falls
    losses = [epoch.stopping_loss for epoch in train(model, 200, patience=3)]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 3 < 200
    assert model.error_maps(bars(6, seed=1)).mean() == losses[best] < losses[-1]


def test_epochs_are_the_most_that_is_trained() -> None:
    assert [epoch.number for epoch in train(small(), 4)] == [1, 2, 3, 4]


def test_weights_carry_everything(trained: Autoencoder) -> None:
    other, images = small(seed=9), bars(3, seed=2)
    other.restore(trained.weights())
    assert np.array_equal(other.error_maps(images), trained.error_maps(images))


def test_side_must_fit_the_halvings() -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        Autoencoder(side=40)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (2, 5, 7), elements=st.floats(0, 1, width=32)), st.floats(1e-4, 1.0))
def test_top_mean_is_the_mean_of_the_highest(maps: np.ndarray, share: float) -> None:
    count = max(1, round(share * 35))
    expected = [np.sort(one.ravel())[::-1][:count].mean() for one in maps]
    np.testing.assert_allclose(top_mean(maps, share), expected, rtol=1e-5, atol=1e-7)
