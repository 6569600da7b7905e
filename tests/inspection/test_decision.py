"""Joining kinds of evidence, against formulas written out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastener.config import CalibrationSettings
from fastener.inspection.decision import JOIN, Decision, Traits
from fastener.models.scores import HealthyScores, Scores

TRAITS = {
    "cnn": Traits("structure"),
    "filters": Traits("structure"),
    "colour": Traits("colour", min_unit=0.01, map_threshold=0.5),
}


def healthy(n: int = 60, seed: int = 0) -> dict[str, Scores]:
    rng = np.random.default_rng(seed)

    def scores(scale: float) -> Scores:
        maps = rng.gamma(2.0, scale, (n, 6, 5)).astype(np.float32)
        return Scores(maps.max((1, 2)), maps)

    shares = rng.uniform(0, 0.2, (n, 6, 5)).astype(np.float32)
    return {"cnn": scores(1.0), "filters": scores(5.0), "colour": Scores(shares.mean((1, 2)), shares)}


def fitted(
    scores: dict[str, Scores],
    groups: np.ndarray | None = None,
    rule: Literal["norm", "max", "mean"] = "norm",
    alpha: float = 0.05,
    method: Literal["robust", "conformal"] = "robust",
) -> Decision:
    count = len(next(iter(scores.values())).images)
    settings = CalibrationSettings(rule=rule, alpha=alpha, threshold=method)
    kept = {kind: HealthyScores.of(one) for kind, one in scores.items()}
    return Decision.fit(kept, np.arange(count) if groups is None else groups, settings, TRAITS)


def test_norm_by_hand() -> None:
    decision = fitted(healthy())
    raw = {"cnn": np.array([9.0, 2.0]), "filters": np.array([30.0, 11.0]), "colour": np.array([0.5, 0.1])}
    z = {
        kind: (raw[kind] - np.median(values)) / (np.quantile(values, 0.84) - np.median(values))
        if kind != "colour"
        else (raw[kind] - np.median(values)) / max(0.01, np.quantile(values, 0.84) - np.median(values))
        for kind, values in decision.healthy.items()
    }
    structure = (z["cnn"] + z["filters"]) / 2
    expected = np.sqrt(np.log1p(np.exp(structure)) ** 2 + np.log1p(np.exp(z["colour"])) ** 2)
    assert decision.join(raw) == pytest.approx(expected)


@pytest.mark.parametrize("rule", ["norm", "max", "mean"])
def test_a_rise_in_one_kind_never_lowers_the_score(rule: Literal["norm", "max", "mean"]) -> None:
    decision = fitted(healthy(), rule=rule)
    base = {"cnn": 5.0, "filters": 20.0, "colour": 0.1}
    for kind in base:
        raw = {name: np.full(50, value) for name, value in base.items()}
        raw[kind] = np.linspace(0, 10 * base[kind], 50)
        assert (np.diff(decision.join(raw)) >= 0).all()


@pytest.mark.parametrize("rule", ["norm", "mean"])
def test_no_ties_far_below_healthy(rule: Literal["norm", "max", "mean"]) -> None:
    decision = fitted(healthy(), rule=rule)
    steps = np.linspace(0, 0.5, 200)
    joined = decision.join({"cnn": steps, "filters": 5 * steps, "colour": 0.01 * steps})
    assert len(np.unique(joined)) == 200


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_norm_hears_the_loudest_and_joins_evenly(one: float, other: float) -> None:
    joined = JOIN["norm"](np.array([[one], [other]]))[0]
    assert joined >= max(one, other, 0)
    assert joined == JOIN["norm"](np.array([[other], [one]]))[0]


def test_threshold_keeps_its_promise_on_new_healthy_images() -> None:
    flagged = []
    for seed in range(60):
        decision = fitted(healthy(40, seed), alpha=0.1)
        new = healthy(40, 1000 + seed)
        joined = decision.join({kind: s.images for kind, s in new.items()})
        flagged.append((joined > decision.threshold()[0]).mean())
    assert 0.04 < np.mean(flagged) <= 0.115


def test_too_few_images_say_which_rate_they_support() -> None:
    decision = fitted(healthy(9), alpha=0.01, method="conformal")
    threshold, alpha = decision.threshold()
    assert alpha == pytest.approx(0.1)
    assert threshold == decision.healthy_joined.max()


@pytest.mark.parametrize("rule", ["norm", "mean"])
def test_one_odd_photo_hardly_moves_the_robust_threshold(rule: Literal["norm", "mean"]) -> None:
    clean = fitted(healthy(60), rule=rule)
    odd = healthy(60)
    odd["cnn"].images[7] *= 20
    spoilt = fitted(odd, rule=rule)
    assert spoilt.tail().outliers.tolist() == [7]
    assert spoilt.threshold()[0] == pytest.approx(clean.threshold()[0], rel=0.15)
    assert fitted(odd, rule=rule, alpha=0.01, method="conformal").threshold()[0] > 3 * clean.threshold()[0]


def test_weights_count_within_a_family_only() -> None:
    scores = healthy()
    kept = {kind: HealthyScores.of(one) for kind, one in scores.items()}
    weights = {"cnn": 4.0, "filters": 1.0, "colour": 7.0}
    traits = {kind: replace(trait, weight=weights[kind]) for kind, trait in TRAITS.items()}
    decision = Decision.fit(kept, np.arange(60), CalibrationSettings(rule="mean"), traits)
    raw = {kind: one.images.astype(float) for kind, one in scores.items()}
    z = {kind: decision.image_scales[kind](values) for kind, values in raw.items()}
    assert decision.join(raw) == pytest.approx(((4 * z["cnn"] + z["filters"]) / 5 + z["colour"]) / 2)
    assert Decision.from_state(decision.state()).join(raw) == pytest.approx(decision.join(raw))


def test_files_of_earlier_versions_keep_their_conformal_threshold() -> None:
    decision = fitted(healthy(30), method="conformal")
    old = {key: value for key, value in decision.state().items() if key not in ("method", "weights")}
    assert Decision.from_state(old).threshold() == decision.threshold()


def test_copies_count_once_and_by_their_worst() -> None:
    scores = healthy(4)
    decision = fitted(scores, np.array([0, 0, 1, 2]))
    images = scores["cnn"].images
    assert decision.healthy["cnn"].tolist() == [float(images[:2].max()), float(images[2]), float(images[3])]


def test_maps_of_peak_scores_are_scaled_by_healthy_peaks() -> None:
    scores = healthy()
    scale = fitted(scores).map_scales["filters"]
    peaks = scores["filters"].maps.max((1, 2))
    assert scale.median == pytest.approx(np.median(peaks))
    assert scale.unit == pytest.approx(np.quantile(peaks, 0.84) - np.median(peaks))


def test_a_place_is_marked_by_colour_only_inside_the_sector() -> None:
    decision = fitted(healthy())
    quiet = {kind: np.full((1, 2, 2), 0.0, np.float32) for kind in TRAITS}
    threshold = decision.threshold()[0]
    for value, marked in ((0.3, False), (0.45, False), (0.6, True), (1.0, True)):
        quiet["colour"] = np.full((1, 2, 2), value, np.float32)
        assert (decision.join_maps(quiet) > threshold).all() == marked


def test_a_part_flagged_for_its_share_of_rust_is_marked_where_it_is_rusty() -> None:
    """Healthy parts with much warm colour push the image threshold up; a fully rusty place must still exceed it."""
    scores = healthy()
    scores["colour"] = Scores(scores["colour"].images * 3, scores["colour"].maps * 3)
    decision = fitted(scores)
    rusty = {kind: np.full((1, 2, 2), 0.0, np.float32) for kind in TRAITS} | {"colour": np.ones((1, 2, 2))}
    assert (decision.join_maps(rusty) > decision.threshold()[0]).all()


def test_extend_adds_images_and_keeps_scales() -> None:
    decision = fitted(healthy(20))
    more = decision.extend({kind: HealthyScores.of(one) for kind, one in healthy(10, 5).items()}, np.arange(10))
    assert len(more.healthy_joined) == 30
    assert more.image_scales == decision.image_scales
    assert more.map_scales == decision.map_scales
    assert np.array_equal(more.healthy_joined[:20], decision.healthy_joined)


def test_extend_leaves_out_images_that_were_not_scored_as_unseen() -> None:
    """NaN, as of those beyond calibration.max_photos: a threshold of NaN lets every part pass."""
    decision = fitted(healthy(20))
    scores = {kind: HealthyScores.of(one) for kind, one in healthy(10, 5).items()}
    scores["colour"].images[3] = np.nan
    groups = np.array([0, 1, 2, 3, 4, 5, 6, 3, 8, 9])  # the eighth is a copy of the fourth
    more = decision.extend(scores, groups)
    assert len(more.healthy_joined) == 28
    assert np.isfinite(more.threshold()[0])
    scores["colour"].images[:] = np.nan
    assert decision.extend(scores, groups) is decision


def test_state_round_trip() -> None:
    decision = fitted(healthy())
    again = Decision.from_state(decision.state())
    raw = {kind: s.images for kind, s in healthy(5, 9).items()}
    assert np.array_equal(decision.join(raw), again.join(raw))
    assert again.threshold() == decision.threshold()
    maps = {kind: s.maps for kind, s in healthy(5, 9).items()}
    assert np.array_equal(decision.join_maps(maps), again.join_maps(maps))


def test_p_values_by_counting() -> None:
    decision = fitted(healthy(19))
    joined = decision.healthy_joined
    for value in (joined.min() - 1, np.median(joined), joined.max() + 1):
        expected = (1 + (joined >= value).sum()) / 20
        assert decision.p_values(np.array([value]))[0] == pytest.approx(expected)


def test_map_of_a_top_scored_kind_is_on_the_scale_of_the_image_score() -> None:
    """A flagged image then has a place over the threshold: the mean of some pixels never exceeds the highest."""
    scores = {"cnn": healthy()["cnn"]}
    kept = {"cnn": HealthyScores.of(scores["cnn"])}
    traits = {"cnn": Traits("structure", top_scored=True)}
    decision = Decision.fit(kept, np.arange(60), CalibrationSettings(), traits)
    assert decision.map_scales == decision.image_scales
    maps = np.random.default_rng(5).gamma(2.0, 3.0, (50, 6, 5)).astype(np.float32)
    images = np.sort(maps.reshape(50, -1), axis=1)[:, -3:].mean(1)
    flagged = decision.join({"cnn": images}) > decision.threshold()[0]
    assert flagged.any()
    assert (decision.join_maps({"cnn": maps})[flagged].max((1, 2)) > decision.threshold()[0]).all()
