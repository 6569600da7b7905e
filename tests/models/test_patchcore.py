"""PatchCore against the paper written out in numpy: Roth et al. 2022, equations 5 to 7, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from patchcore_factory import Tiny, model, photos
from torch.utils._python_dispatch import TorchDispatchMode

from fastener.common.errors import UserError
from fastener.models.feature_extractor import FeatureExtractor, rescale
from fastener.models.memory_bank import MemoryBank
from fastener.models.moments import Moments
from fastener.models.patchcore import PatchCore
from fastener.models.scores import HealthyScores

HALF = 2e-3  # features are kept in half precision while learning: twice 2**-11, where they are rescaled and kept again


def features_of(patchcore: PatchCore, images: np.ndarray) -> np.ndarray:
    """float64 (n, patches, c)."""
    features = patchcore.extractor(images).double().numpy()
    return features.reshape(len(images), -1, features.shape[-1])


def by_the_paper(features: np.ndarray, bank: np.ndarray, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Patch features (n, p, c) and bank (m, c) -> image scores (n,) and patch distances (n, p)."""
    scores, patch_distances = [], []
    for patches in features:
        distances = np.linalg.norm(patches[:, None] - bank[None], axis=2)
        nearest = distances.min(1)
        test = nearest.argmax()  # eq. 6: the patch farthest from its nearest neighbour ...
        m_star = distances[test].argmin()  # ... which is m*
        s_star = nearest[test]
        neighbours = np.argsort(np.linalg.norm(bank - bank[m_star], axis=1), kind="stable")[:b]  # N_b(m*), with m*
        terms = np.exp(distances[test, neighbours])
        weight = 1 - np.exp(s_star) / terms.sum() if b > 1 else 1.0  # eq. 7
        scores.append(weight * s_star)
        patch_distances.append(nearest)
    return np.array(scores), np.array(patch_distances)


# Scores


@pytest.mark.parametrize("b", [1, 2, 4, 9])
@pytest.mark.parametrize("ratio", [0.1, 1.0])
@pytest.mark.parametrize("colour_weight", [0.0, 2.0])
def test_scores_by_the_paper(b: int, ratio: float, colour_weight: float) -> None:
    patchcore = model(ratio, b, colour_weight=colour_weight).fit([photos(5)], range(5))
    new = photos(4, seed=1)
    expected, distances = by_the_paper(features_of(patchcore, new), patchcore.bank_.features.double().numpy(), b)
    scores = patchcore.score(new)
    np.testing.assert_allclose(scores.images, expected, rtol=1e-4)
    if b == 1:
        np.testing.assert_allclose(scores.images, distances.max(1), rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 2**16))
def test_scores_of_any_bank(rows: int, b: int, seed: int) -> None:
    """A bank smaller than b has only its own rows for neighbours; one row alone cannot weigh, so b counts as 1."""
    generator = np.random.default_rng(seed)
    patchcore = model(b=b)
    patchcore.bank_ = MemoryBank(torch.from_numpy(generator.normal(size=(rows, 20)).astype(np.float32)))
    images = photos(2, seed=seed)
    bank = patchcore.bank_.features.double().numpy()
    expected, distances = by_the_paper(features_of(patchcore, images), bank, min(b, rows))
    farthest = np.sort(distances, axis=1)[:, -2:]
    assume((farthest[:, 1] > (1 + 1e-6) * farthest[:, 0]).all())  # of two equally far patches, rounding chooses one
    np.testing.assert_allclose(patchcore.score(images).images, expected, rtol=1e-4, atol=1e-5)


def test_duplicates_in_the_bank() -> None:
    """m* three times in the bank: each copy is a neighbour, and the score is finite and by the paper."""
    patchcore = model(b=4)
    rows = np.random.default_rng(0).normal(size=(6, 20)).astype(np.float32)
    patchcore.bank_ = MemoryBank(torch.from_numpy(np.repeat(rows, 3, axis=0)))
    images = photos(3)
    expected, _ = by_the_paper(features_of(patchcore, images), np.repeat(rows, 3, axis=0).astype(float), 4)
    np.testing.assert_allclose(patchcore.score(images).images, expected, rtol=1e-4)


def test_far_away_scores_do_not_overflow() -> None:
    patchcore = model(b=3)
    patchcore.bank_ = MemoryBank(torch.randn(30, 20, generator=torch.Generator().manual_seed(0)) + 1e4)
    images = patchcore.score(photos(2)).images
    assert np.isfinite(images).all()
    assert (images > 0).all()


def test_a_known_image_scores_nothing_and_a_scratch_is_found() -> None:
    training = photos(4, 96, 96)
    patchcore = model(ratio=1.0, b=1).fit([training], range(4))
    np.testing.assert_allclose(patchcore.score(training).images, 0, atol=10 * HALF)
    scratched = training[:1].copy()
    scratched[0, 32:40, 16:24] = np.tile([0, 0, 0, 0, 255, 255, 255, 255], (8, 1)).T[..., None]
    scores = patchcore.score(scratched)
    assert scores.images[0] > 0.5
    assert scores.maps[0, 24:56, 8:40].max() > 0.5
    assert scores.maps[0, 84:].max() < 10 * HALF  # beyond the reach of pooling and of the coarser layer
    assert scores.maps[0, :, 68:].max() < 10 * HALF


def test_an_image_scores_the_same_alone_and_in_a_batch() -> None:
    patchcore = model(sigma=2.0).fit([photos(5)], range(5))
    new = photos(7, seed=3)
    together = patchcore.score(new)
    for index in range(7):
        alone = patchcore.score(new[index : index + 1])
        np.testing.assert_allclose(alone.images[0], together.images[index], rtol=1e-4)
        np.testing.assert_allclose(alone.maps[0], together.maps[index], rtol=1e-4, atol=1e-5)


# Maps


def test_maps_hold_the_patch_distances() -> None:
    """At the centres of 8-pixel cells the enlarged map lies between the four centres round them: check by hand."""
    patchcore = model().fit([photos(4)], range(4))
    new = photos(2, seed=2)
    _, distances = by_the_paper(features_of(patchcore, new), patchcore.bank_.features.double().numpy(), 1)
    scores = patchcore.score(new)
    assert scores.maps.shape == (2, 32, 48)
    assert scores.maps.dtype == scores.images.dtype == np.float32
    grid = distances.reshape(2, 4, 6)
    for y in (3, 11, 20, 28):
        for x in (4, 19, 43):
            gy, gx = (y + 0.5) / 8 - 0.5, (x + 0.5) / 8 - 0.5
            y0, x0 = min(max(int(np.floor(gy)), 0), 2), min(max(int(np.floor(gx)), 0), 4)
            ty, tx = np.clip(gy - y0, 0, 1), np.clip(gx - x0, 0, 1)
            cell = grid[:, y0 : y0 + 2, x0 : x0 + 2]
            upper = cell[:, 0, 0] * (1 - tx) + cell[:, 0, 1] * tx
            lower = cell[:, 1, 0] * (1 - tx) + cell[:, 1, 1] * tx
            np.testing.assert_allclose(scores.maps[:, y, x], upper * (1 - ty) + lower * ty, rtol=1e-3)


def test_smoothing_spreads_but_keeps_the_mean() -> None:
    training = photos(4)
    sharp, smooth = (model(sigma=sigma).fit([training], range(4)) for sigma in (0.0, 4.0))
    new = photos(1, 64, 64, seed=1)
    new[0, 24:40, 24:40] = 0
    before, after = sharp.score(new).maps[0], smooth.score(new).maps[0]
    assert after.max() < before.max()
    assert after.mean() == pytest.approx(before.mean(), rel=0.1)
    np.testing.assert_array_equal(sharp.score(new).images, smooth.score(new).images)


@pytest.mark.parametrize("size", [(32, 32), (64, 40), (40, 72)])
def test_maps_are_as_large_as_the_image(size: tuple[int, int]) -> None:
    patchcore = model(sigma=1.0).fit([photos(3, *size)], range(3))
    assert patchcore.score(photos(2, *size, seed=1)).maps.shape == (2, *size)
    assert patchcore.training_scores_.peaks.shape == (3,)


# Learning


def test_the_bank_is_a_share_of_the_training_patches() -> None:
    training = photos(5)
    patchcore = model(0.2).fit([training[:2], training[2:]], [3, 3, 8, 8, 9])
    features = features_of(patchcore, training)
    bank = patchcore.bank_.features.double().numpy()
    assert len(bank) == len(patchcore.bank_groups_) == round(0.2 * 5 * 24)
    for row, group in zip(bank, patchcore.bank_groups_.tolist(), strict=True):
        image = np.abs(features - row).max(2).min(1).argmin()
        assert np.abs(features[image] - row).max(1).min() < HALF
        assert [3, 3, 8, 8, 9][image] == group
    to_bank = np.linalg.norm(features.reshape(-1, 1, 20) - bank, axis=2).min(1)
    assert patchcore.cover_radius_ == pytest.approx(to_bank.max(), rel=HALF)
    assert patchcore.cover_radius_ < np.linalg.norm(np.diff(features.reshape(-1, 20), axis=0), axis=1).max()


def test_selection_by_a_projection_keeps_whole_patches_and_covers_nearly_as_well() -> None:
    training = photos(5)
    exact, approximate = model(0.3), model(0.3)
    approximate.coreset_projection = 16
    for patchcore in (exact, approximate):
        patchcore.fit([training[:2], training[2:]], range(5))
    features = features_of(approximate, training).reshape(-1, 1, 20)
    bank = approximate.bank_.features.double().numpy()
    assert len(bank) == len(exact.bank_)
    assert not torch.equal(approximate.bank_.features, exact.bank_.features)
    to_patches = np.abs(bank[:, None] - features[:, 0]).max(2).min(1)
    assert to_patches.max() < HALF
    to_bank = np.linalg.norm(features - bank, axis=2).min(1)
    assert approximate.cover_radius_ == pytest.approx(to_bank.max(), rel=HALF)
    assert approximate.cover_radius_ < 1.5 * exact.cover_radius_


class NoLargeFloats(TorchDispatchMode):
    """Raises where an operation makes float32 or float64 numbers, ``limit`` of them or more."""

    def __init__(self, limit: int):
        super().__init__()
        self.limit = limit

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, tuple | list) else (result,):
            if isinstance(made, torch.Tensor) and made.dtype in (torch.float32, torch.float64):
                assert made.numel() < self.limit, f"{func} made {tuple(made.shape)}"
        return result


@pytest.mark.parametrize("projection", [None, 8])
@pytest.mark.parametrize("memory_limit", [0, 2**31])
def test_features_of_all_images_are_never_held_in_single_precision(
    memory_limit: int, projection: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastener.models.runtime.feature_store._ROWS_AT_ONCE", 64)
    monkeypatch.setattr("fastener.models.coreset.CHUNK", 64)
    for name in ("BLOCK", "SMALLEST_BLOCK", "LARGEST_BLOCK"):
        monkeypatch.setattr(f"fastener.models.coreset.{name}", 64)
    training = photos(120)
    patchcore = PatchCore(
        FeatureExtractor(Tiny(), colour_weight=2.0),
        coreset_ratio=0.05,
        memory_limit=memory_limit,
        coreset_projection=projection,
    )
    everything = 120 * 24 * 26
    with NoLargeFloats(everything // 2):
        patchcore.fit((training[at : at + 2] for at in range(0, 120, 2)), range(120))
    assert len(patchcore.bank_) == 144
    with pytest.raises(AssertionError), NoLargeFloats(everything // 2):
        torch.zeros(everything)


def test_a_ratio_of_one_keeps_every_patch() -> None:
    training = photos(3)
    patchcore = model(1.0).fit([training], range(3))
    assert patchcore.cover_radius_ == 0
    expected = features_of(patchcore, training).reshape(-1, 20)
    np.testing.assert_allclose(patchcore.bank_.features.numpy(), expected, rtol=2**-11, atol=2**-24)
    assert patchcore.bank_groups_.tolist() == [0] * 24 + [1] * 24 + [2] * 24


def test_batches_make_no_difference() -> None:
    training = photos(6)
    one = model().fit([training], range(6))
    many = model().fit((training[at : at + 1] for at in range(6)), range(6))
    # What differs by rounding in single precision may fall on either side of a step of half precision.
    torch.testing.assert_close(one.bank_.features, many.bank_.features, rtol=HALF, atol=HALF)
    np.testing.assert_allclose(one.training_scores_.images, many.training_scores_.images, rtol=HALF)


@pytest.mark.parametrize("b", [1, 4])
@pytest.mark.parametrize("ratio", [0.25, 1.0])
def test_leave_one_out_is_scoring_without_the_rows_of_the_group(b: int, ratio: float) -> None:
    training, groups = photos(6), np.array([0, 0, 1, 2, 2, 5])
    training[1] = training[0]
    patchcore = model(ratio, b, colour_weight=2.0).fit([training], groups.tolist())
    bank, row_groups = patchcore.bank_.features.double().numpy(), patchcore.bank_groups_.numpy()
    features = features_of(patchcore, training)
    for image, group in enumerate(groups):
        others = bank[row_groups != group]
        expected, distances = by_the_paper(features[image : image + 1], others, b)
        assert patchcore.training_scores_.images[image] == pytest.approx(expected[0], rel=HALF)
        assert distances.max() > 0.05  # a copy in the same group does not vouch for it
        without = model(ratio, b)
        without.extractor = patchcore.extractor
        without.bank_ = MemoryBank(torch.from_numpy(others.astype(np.float32)))
        alone = without.score(training[image : image + 1])
        assert patchcore.training_scores_.peaks[image] == pytest.approx(alone.maps.max(), rel=1e-2)


def test_fitting_again_extends_the_bank() -> None:
    first, second = photos(4), np.clip(photos(3, seed=5).astype(int) + 40, 0, 255).astype(np.uint8)
    patchcore = model(0.25, colour_weight=2.0).fit([first], range(4))
    before, scale = patchcore.bank_.features.clone(), patchcore.extractor.state()
    radius = patchcore.cover_radius_
    unknown = patchcore.score(second).images
    patchcore.fit([second], [10, 11, 12])

    after = patchcore.bank_.features
    assert torch.equal(after[: len(before)], before)
    assert len(after) == len(before) + round(0.25 * 3 * 24)
    assert set(patchcore.bank_groups_[len(before) :].tolist()) <= {10, 11, 12}
    assert patchcore.extractor.state()["std"] is scale["std"]
    assert len(patchcore.training_scores_.images) == 3
    assert (patchcore.score(second).images < unknown).all()

    rows = after.double().numpy()
    to_bank = [
        np.linalg.norm(features_of(patchcore, images).reshape(-1, 1, 26) - rows, axis=2).min(1).max()
        for images in (first, second)
    ]
    assert patchcore.cover_radius_ >= max(to_bank) * (1 - HALF)
    assert patchcore.cover_radius_ >= radius
    for image, group in enumerate([10, 11, 12]):
        others = rows[patchcore.bank_groups_.numpy() != group]
        expected, _ = by_the_paper(features_of(patchcore, second[image : image + 1]), others, 4)
        assert patchcore.training_scores_.images[image] == pytest.approx(expected[0], rel=HALF)


def test_one_photo_may_extend_a_bank_and_be_picked_nowhere_twice() -> None:
    patchcore = model(0.25).fit([photos(3)], range(3))
    kept = len(patchcore.bank_)
    patchcore.fit([photos(1, seed=8)], [3])
    assert len(patchcore.bank_) == kept + 6
    assert len(patchcore.bank_.features.unique(dim=0)) == len(patchcore.bank_)


def test_same_photos_same_bank() -> None:
    one, two = (model().fit([photos(4)], range(4)) for _ in range(2))
    assert torch.equal(one.bank_.features, two.bank_.features)
    np.testing.assert_array_equal(one.training_scores_.peaks, two.training_scores_.peaks)


def test_what_cannot_be_learned() -> None:
    with pytest.raises(ValueError, match="at least two different training images"):
        model().fit([photos(3)], [7, 7, 7])
    with pytest.raises(ValueError, match="3 images but 2 groups"):
        model().fit([photos(3)], [0, 1])
    with pytest.raises(UserError, match="all rows of the bank come from one photo; raise coreset_ratio"):
        model(1e-6).fit([photos(2)], [0, 1])


# Learning elsewhere


@pytest.mark.parametrize("colour_weight", [0.0, 2.0])
def test_features_that_were_handed_out_in_parts_are_learned_as_one(colour_weight: float) -> None:
    """What distributed/training.py does with shards: centred alike, scaled alike, scored by the one bank."""
    images, groups = photos(6), [0, 1, 2, 2, 3, 4]
    whole = model(colour_weight=colour_weight).fit([images], groups)
    first = model(colour_weight=colour_weight)
    first.extractor.centre_on(first.extractor(images[:1]))
    parts = []
    for shard in (images[:2], images[2:]):
        worker = model(colour_weight=colour_weight)
        worker.extractor.restore(first.extractor.state())
        worker.collect_features(shard)
        parts.append(worker.take_features())
    if first.extractor.learns_scale:
        moments = Moments.join([Moments.of(part.flatten(0, 2)) for part in parts])
        scale = first.extractor.fit_to(moments)
        parts = [rescale(part.flatten(0, 2), *scale).reshape(part.shape) for part in parts]
    assert first.extractor.mean_ is not None
    assert whole.extractor.mean_ is not None
    torch.testing.assert_close(first.extractor.mean_, whole.extractor.mean_, rtol=1e-5, atol=1e-6)
    first.set_bank(whole.bank_.features, whole.bank_groups_)
    scores = [first.calibrate(part, own, (32, 48)) for part, own in zip(parts, ([0, 1], [2, 2, 3, 4]), strict=True)]
    joined = HealthyScores.join(scores)
    np.testing.assert_allclose(joined.images, whole.training_scores_.images, rtol=HALF)
    np.testing.assert_allclose(joined.peaks, whole.training_scores_.peaks, rtol=HALF)
