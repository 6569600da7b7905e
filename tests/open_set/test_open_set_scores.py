"""Unknown-ness scores against formulas, rejection against counting, splits against their promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from fastener.common.errors import UserError
from fastener.open_set.classifier import Embedded
from fastener.open_set.rejection import Rejector
from fastener.open_set.scores import (
    SCORES,
    Energy,
    Gaussian,
    Mahalanobis,
    MaxSoftmax,
    NearestNeighbour,
    RelativeMahalanobis,
    WhitenedNeighbour,
    fit_scores,
)
from fastener.open_set.settings import DataSettings, RejectionSettings, SingleScore, SplitSettings
from fastener.open_set.splits import TEST, TRAIN, UNKNOWN, VALIDATION, hold_out, make_split

LABELS = np.repeat([0, 1, 2], 40)


def clouds(seed: int, centres: list[list[float]], each: int = 40, width: int = 6) -> np.ndarray:
    """Points round centres, the axes of very different spread."""
    rng = np.random.default_rng(seed)
    spread = np.linspace(0.3, 3, width)
    return np.concatenate([np.pad(c, (0, width - len(c))) + rng.normal(size=(each, width)) * spread for c in centres])


CENTRES = [[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]]
KNOWN = Embedded(clouds(0, CENTRES), clouds(0, CENTRES)[:, :3])
TESTED = Embedded(clouds(1, CENTRES, 15), clouds(1, CENTRES, 15)[:, :3])


def standardised(points: np.ndarray) -> np.ndarray:
    return np.asarray((points - KNOWN.embeddings.mean(0)) / KNOWN.embeddings.std(0))


def test_squared_distances_are_those_of_scipy() -> None:
    rng = np.random.default_rng(3)
    residuals, points = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)), rng.normal(size=(7, 4))
    centres = rng.normal(size=(2, 4))
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(residuals).covariance_)
    expected = [[mahalanobis(point, centre, inverse) ** 2 for centre in centres] for point in points]
    assert np.allclose(Gaussian(centres, residuals).squared_distances(points), expected)


def test_mahalanobis_is_the_nearest_class_under_a_shared_covariance() -> None:
    # With all components kept, a rotation changes nothing: the formula in standardised coordinates.
    known, tested = standardised(KNOWN.embeddings), standardised(TESTED.embeddings)
    means = np.array([known[label == LABELS].mean(0) for label in range(3)])
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(known - means[LABELS]).covariance_)
    expected = [min(mahalanobis(point, mean, inverse) for mean in means) for point in tested]
    assert np.allclose(Mahalanobis(6).fit(KNOWN, LABELS)(TESTED), expected)


def test_relative_mahalanobis_takes_off_the_distance_to_everything() -> None:
    known, tested = standardised(KNOWN.embeddings), standardised(TESTED.embeddings)
    means = np.array([known[label == LABELS].mean(0) for label in range(3)])
    own = np.linalg.inv(LedoitWolf(assume_centered=True).fit(known - means[LABELS]).covariance_)
    everything = np.linalg.inv(LedoitWolf(assume_centered=True).fit(known).covariance_)
    expected = [
        min(mahalanobis(p, mean, own) ** 2 for mean in means) - mahalanobis(p, np.zeros(6), everything) ** 2
        for p in tested
    ]
    # 120 images pay for 6 dimensions.
    assert np.allclose(RelativeMahalanobis(256).fit(KNOWN, LABELS)(TESTED), expected)


def test_knn_is_the_kth_distance_on_the_sphere() -> None:
    known, tested = standardised(KNOWN.embeddings), standardised(TESTED.embeddings)
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    tested /= np.linalg.norm(tested, axis=1, keepdims=True)
    distances = np.sort(np.linalg.norm(tested[:, None] - known[None], axis=2), axis=1)
    assert np.allclose(NearestNeighbour(4).fit(KNOWN, LABELS)(TESTED), distances[:, 3])
    assert np.allclose(NearestNeighbour(1000).fit(KNOWN, LABELS)(TESTED), distances[:, -1])


def test_energy_and_confidence_are_their_formulas() -> None:
    logits = TESTED.logits
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.allclose(Energy()(TESTED), -np.log(np.exp(logits).sum(1)))
    assert np.allclose(np.exp(-MaxSoftmax()(TESTED)), probabilities.max(1))
    certain = Embedded(np.zeros((2, 6)), np.array([[80.0, 0.0, 0.0], [90.0, 0.0, 0.0]]))
    assert MaxSoftmax()(certain)[0] > MaxSoftmax()(certain)[1] > 0


@pytest.mark.parametrize("name", SCORES)
def test_every_score_ranks_a_far_cloud_behind_the_known_ones(name: str) -> None:
    far = clouds(2, [[20.0, 20.0]], 30)
    # Logits fall with the distance to each class.
    logits = [-np.linalg.norm(x[:, None, :2] - np.array(CENTRES)[None], axis=2) for x in (TESTED.embeddings, far)]
    score = SCORES[name](RejectionSettings()).fit(KNOWN, LABELS)  # type: ignore[index]
    values = score(Embedded(np.concatenate([TESTED.embeddings, far]), np.concatenate(logits)))
    if name == "max_softmax":  # far from all is not undecided between them
        assert np.isfinite(values).all()
    else:
        assert roc_auc_score(np.arange(len(values)) >= len(TESTED), values) > 0.95


def test_the_whitened_neighbour_is_the_nearest_direction_under_the_shared_covariance() -> None:
    known, tested = standardised(KNOWN.embeddings), standardised(TESTED.embeddings)
    means = np.array([known[label == LABELS].mean(0) for label in range(3)])
    root = np.linalg.cholesky(LedoitWolf(assume_centered=True).fit(known - means[LABELS]).covariance_)
    white = [np.linalg.solve(root, points.T).T for points in (known, tested)]
    unit = [points / np.linalg.norm(points, axis=1, keepdims=True) for points in white]
    expected = np.linalg.norm(unit[1][:, None] - unit[0][None], axis=2).min(1)
    score = WhitenedNeighbour(6).fit(KNOWN, LABELS)
    # A rotation to principal components keeps lengths and angles of standardised points, and so of whitened ones.
    assert np.allclose(np.sort(score(TESTED)), np.sort(expected), atol=0.05)
    assert np.allclose(score(KNOWN), 0, atol=1e-6)


@pytest.mark.parametrize("names", [("mahalanobis",), ("knn", "max_softmax")])
def test_new_known_images_are_accepted_as_often_as_was_asked_for(names: tuple[SingleScore, ...]) -> None:
    fitted = fit_scores(KNOWN, LABELS, RejectionSettings())
    validation, fresh = (Embedded(clouds(n, CENTRES, 400), clouds(n, CENTRES, 400)[:, :3]) for n in (4, 6))
    rejector = Rejector.fit(names, fitted, validation, 0.1)
    assert (rejector(fresh) <= rejector.threshold).mean() == pytest.approx(0.9, abs=0.03)
    cutoffs = rejector.cutoffs(("a", "b", "c"))
    assert bool(cutoffs) is (len(names) == 1)
    for place, name in enumerate(cutoffs):
        mine = TESTED.classes == place
        assert np.array_equal(
            (rejector(TESTED) > rejector.threshold)[mine], fitted[names[0]](TESTED[mine]) > cutoffs[name]
        )


def test_each_class_has_a_limit_of_its_own() -> None:
    """A wide class does not let strange images pass that look most like a narrow one."""

    def images(seed: int, each: int) -> Embedded:
        rng = np.random.default_rng(seed)
        points = np.concatenate([rng.normal(0, 0.2, (each, 3)), rng.normal((40, 0, 0), 3, (each, 3))])
        return Embedded(points, np.stack([40 - points[:, 0], points[:, 0]], 1))

    taught, validation = images(0, 100), images(1, 200)
    fitted = fit_scores(taught, np.repeat([0, 1], 100), RejectionSettings())
    rejector = Rejector.fit(("mahalanobis",), fitted, validation, 0.05)
    narrow, wide = rejector.cutoffs(("narrow", "wide")).values()
    assert narrow < wide / 3


def test_too_few_validation_images_are_owned_up_to() -> None:
    few = Embedded(TESTED.embeddings[:9], TESTED.logits[:9])
    rejector = Rejector.fit(("knn",), fit_scores(KNOWN, LABELS, RejectionSettings()), few, 0.05)
    assert rejector.alpha == pytest.approx(0.1)


SPLIT = SplitSettings(known=("a", "b"), unknown=("c",))


@given(
    st.lists(st.sampled_from("abcd"), min_size=80, max_size=120),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 119), max_size=6),
)
def test_splits_are_stratified_and_keep_copies_together(labels: list[str], seed: int, copies: list[int]) -> None:
    labels = [*labels, *"abc" * 20]
    groups = np.arange(len(labels))
    for one in copies:
        groups[one] = groups[one // 2]
    split = make_split(labels, groups, SPLIT, shares=DataSettings(validation=0.25, test=0.25), seed=seed)
    names = np.array(labels)
    assert set(names[split.roles == UNKNOWN]) == {"c"}
    assert set(names[split.roles == ""]) <= {"d"}
    assert all((split.truth[names == name] == place).all() for place, name in enumerate("ab"))
    for group in np.unique(groups):
        roles = set(split.roles[groups == group]) - {"", UNKNOWN}
        assert len(roles) <= 1
        if UNKNOWN in split.roles[groups == group]:
            assert roles <= {TEST}
    for name in "ab":
        counts = {role: (split.roles[names == name] == role).mean() for role in (TRAIN, VALIDATION, TEST)}
        assert counts[VALIDATION] == pytest.approx(0.25, abs=0.2)
        assert counts[TRAIN] > 0.3
    again = make_split(labels, groups, SPLIT, shares=DataSettings(validation=0.25, test=0.25), seed=seed)
    assert np.array_equal(again.roles, split.roles)


def test_another_seed_is_another_split_and_a_class_is_drawn_alike_in_all_of_them() -> None:
    labels = ["a"] * 40 + ["b"] * 40 + ["c"] * 40
    drawn = [make_split(labels, np.arange(120), SPLIT, shares=DataSettings(), seed=seed).roles for seed in (1, 2)]
    assert not np.array_equal(drawn[0], drawn[1])
    other = make_split(
        labels, np.arange(120), SplitSettings(known=("a", "c"), unknown=("b",)), shares=DataSettings(), seed=1
    )
    assert np.array_equal(other.roles[:40], drawn[0][:40])


@pytest.mark.parametrize(
    ("labels", "message"), [(["a"] * 30 + ["c"] * 9, "class b"), (list("aaabbbbb" + "c" * 9), "class a")]
)
def test_classes_that_cannot_be_shared_out(labels: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_split(labels, np.arange(len(labels)), SPLIT, shares=DataSettings(), seed=0)


@given(st.lists(st.integers(0, 30), min_size=60, max_size=90), st.integers(0, 1000))
def test_held_out_groups_are_whole_and_complete(numbers: list[int], seed: int) -> None:
    groups = np.array([*numbers, *range(31)])
    parts = hold_out(groups, (0.2, 0.2), seed)
    assert sorted(np.concatenate(parts)) == list(range(len(groups)))
    assert not set(groups[parts[0]]) & set(groups[parts[1]]) | set(groups[parts[1]]) & set(groups[parts[2]])
    with pytest.raises(UserError, match="cannot be shared out"):
        hold_out(np.zeros(50, int), (0.2, 0.2), seed)
