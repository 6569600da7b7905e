"""The classifier's three modes: what learns, what stays, and that it comes back from its state as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from random_networks import random_state
from steel_factory import texture, write_weights
from torchvision.models import get_model

from fastener.common.errors import UserError
from fastener.config import RunSettings
from fastener.open_set.classifier import FINE_TUNED, FROZEN, SCRATCH, Classifier
from fastener.open_set.network import as_square, as_tensor
from fastener.open_set.settings import ClassifierSettings

RUN = RunSettings(device="cpu", batch_size=8)
CPU = torch.device("cpu")
CLASSES = ("crazing", "inclusion", "scratches")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "resnet18.npz")


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    return np.stack([texture(name, seed) for name in CLASSES for seed in range(16)]), np.repeat([0, 1, 2], 16)


def make(mode: str, weights: Path | None, **settings: object) -> Classifier:
    chosen = ClassifierSettings.model_validate({"backbone": "resnet18", "epochs": 2, "scratch_epochs": 12, **settings})
    return Classifier(chosen, mode, weights=weights, run=RUN, device=CPU)


def fitted(mode: str, weights: Path | None, images: tuple[np.ndarray, np.ndarray], **settings: object) -> Classifier:
    classifier = make(mode, weights, **settings)
    return classifier.fit(classifier.run_frozen_stages([images[0]]), images[1])


def test_the_embedding_is_torchvisions(weights: Path, images: tuple[np.ndarray, np.ndarray]) -> None:
    full = get_model("resnet18", weights=None).eval()
    full.load_state_dict(random_state("resnet18"))
    x = torch.from_numpy(images[0][:3]).permute(0, 3, 1, 2) / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.inference_mode():
        second = full.layer2(full.layer1(full.maxpool(full.relu(full.bn1(full.conv1(x))))))
        expected = torch.cat([second.mean((2, 3)), full.layer3(second).mean((2, 3))], 1)
        for mode in (FROZEN, FINE_TUNED):
            assert torch.allclose(make(mode, weights).network(as_tensor(images[0][:3], CPU)), expected, atol=1e-5)


@pytest.mark.parametrize("mode", [FROZEN, FINE_TUNED, SCRATCH])
def test_every_mode_learns_its_images_and_comes_back_from_its_state(
    mode: str, weights: Path, images: tuple[np.ndarray, np.ndarray]
) -> None:
    file = None if mode == SCRATCH else weights
    classifier = fitted(mode, file, images)
    told = classifier(images[0])
    assert (told.classes == images[1]).mean() > 0.9
    assert len(classifier.losses_) == {FROZEN: 0, FINE_TUNED: 2, SCRATCH: 12}[mode]
    restored = make(mode, file).restore(classifier.state())
    again = restored(images[0])
    assert np.array_equal(again.logits, told.logits)
    assert np.array_equal(again.embeddings, told.embeddings)


def test_fine_tuning_changes_its_stages_only_and_lowers_the_loss(
    weights: Path, images: tuple[np.ndarray, np.ndarray]
) -> None:
    tuned, frozen = fitted(FINE_TUNED, weights, images, epochs=4), make(FROZEN, weights)
    before, after = frozen.network.state_dict(), tuned.network.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert all(key.startswith("stages.layer3.") and "running" not in key for key in changed)
    assert tuned.losses_[-1] < tuned.losses_[0]


def test_the_same_seed_gives_the_same_network(weights: Path, images: tuple[np.ndarray, np.ndarray]) -> None:
    state = torch.random.get_rng_state()
    first, second = (fitted(SCRATCH, None, images, scratch_epochs=2)(images[0]).logits for _ in range(2))
    assert np.array_equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_two_classes_have_two_logits_with_the_right_difference(
    weights: Path, images: tuple[np.ndarray, np.ndarray]
) -> None:
    classifier = fitted(FROZEN, weights, (images[0][:32], images[1][:32]))
    told = classifier(images[0][:32])
    assert told.logits.shape == (32, 2)
    assert (told.classes == images[1][:32]).all()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", weight=np.zeros(3))
    with pytest.raises(UserError, match=r"other\.npz does not fit resnet18"):
        make(FROZEN, tmp_path / "other.npz")


def test_squares_average_when_they_shrink() -> None:
    checks = np.kron(np.indices((40, 40)).sum(0) % 2, np.ones((2, 2)))[..., None].repeat(3, 2).astype(np.uint8) * 200
    assert np.abs(as_square(checks, 20).astype(int) - 100).max() <= 1
    assert as_square(checks[:, :30], 96).shape == (96, 96, 3)
