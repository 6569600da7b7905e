"""Image scores by the highest share of the map, for new images and for training images scored as unseen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from patchcore_factory import Tiny, photos

from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.image_scores import TopScore
from fastener.models.patchcore import PatchCore


def fitted(n: int = 8, share: float = 0.05, ratio: float = 0.3) -> PatchCore:
    extractor = FeatureExtractor(Tiny(), colour_weight=0.0)
    model = PatchCore(extractor, coreset_ratio=ratio, top_score=TopScore(share), smoothing_sigma=2.0)
    return model.fit([photos(n)], range(n))


def test_score_is_the_mean_of_the_highest_pixels() -> None:
    scores = fitted().score(photos(3, seed=5))
    pixels = np.sort(scores.maps.reshape(3, -1), axis=1)
    count = round(0.05 * pixels.shape[1])
    np.testing.assert_allclose(scores.images, pixels[:, -count:].mean(1), rtol=1e-5)


def test_training_scores_are_of_a_bank_without_the_photo() -> None:
    model = fitted()
    for group in range(8):
        alone = model.score_unseen(photos(8)[group : group + 1], group)
        assert alone.images[0] == pytest.approx(model.training_scores_.images[group], rel=1e-3)
        assert alone.maps.max() == pytest.approx(model.training_scores_.peaks[group], rel=1e-3)


def test_unseen_scores_lie_above_the_scores_of_a_bank_that_knows_the_photo() -> None:
    model = fitted(ratio=1.0)
    known = model.score(photos(8)).images
    assert (model.training_scores_.images > known).all()


def test_whole_bank_needs_no_refill() -> None:
    """With every patch in the bank nothing is covered by another photo's row but its own twin."""
    model = fitted(ratio=1.0)
    features = model.extractor(photos(8)).reshape(8, -1, model.bank_.features.shape[1])
    for group in range(8):
        others = torch.cat([features[i] for i in range(8) if i != group])
        expected = torch.cdist(features[group], others).min(1)[0].reshape(1, *model.extractor(photos(1)).shape[1:3])
        assert model.top_score is not None
        reference = model.top_score(expected.numpy(), (32, 48), model.smoothing_sigma).images[0]
        assert model.training_scores_.images[group] == pytest.approx(reference, rel=1e-3)


def test_group_that_was_not_trained_on_sees_the_whole_bank() -> None:
    model = fitted()
    new = photos(2, seed=9)
    np.testing.assert_allclose(model.score_unseen(new, 99).images, model.score(new).images)
