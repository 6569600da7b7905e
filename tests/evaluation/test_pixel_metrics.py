"""Pixel metrics against references written from the definitions, sklearn, and maps with known answers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from fastener.evaluation.pixel_metrics import METRIC_NAMES, PixelMetrics, au_spro, aupro, pixel_metrics

Images = list[np.ndarray]


def exact_aupro(masks: Images, maps: Images, max_fpr: float) -> float:
    """One threshold after the other: every region's share above it, every good pixel above it."""
    regions = []
    for mask, score_map in zip(masks, maps, strict=True):
        labelled, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [score_map[labelled == number] for number in range(1, count + 1)]
    good = np.concatenate([score_map[~mask] for mask, score_map in zip(masks, maps, strict=True)])
    thresholds = np.unique(np.concatenate([score_map.ravel() for score_map in maps]))[::-1]
    overlaps = [float(np.mean([(region >= t).mean() for region in regions])) for t in thresholds]
    return area_below([((good >= t).mean(), overlap) for t, overlap in zip(thresholds, overlaps, strict=True)], max_fpr)


Regions = list[list[tuple[np.ndarray, float]]]


def exact_au_spro(regions: Regions, maps: Images, max_fpr: float) -> float:
    """The definition: at each threshold the mean of min(pixels found / saturation, 1) over all regions."""
    pairs = list(zip(regions, maps, strict=True))
    parts = [(score_map[region], saturation) for own, score_map in pairs for region, saturation in own]
    inside = [np.any([np.zeros(score_map.shape, bool), *(region for region, _ in own)], 0) for own, score_map in pairs]
    good = np.concatenate([score_map[~mask] for mask, score_map in zip(inside, maps, strict=True)])
    points = []
    for t in np.unique(np.concatenate([score_map.ravel() for score_map in maps]))[::-1]:
        overlap = np.mean([min((part >= t).sum() / saturation, 1.0) for part, saturation in parts])
        points.append(((good >= t).mean(), float(overlap)))
    return area_below(points, max_fpr)


def area_below(curve: list[tuple[float, float]], max_fpr: float) -> float:
    """The area below a curve from (0, 0), joined by lines, up to a false positive rate, divided by it."""
    area, points = 0.0, [(0.0, 0.0), *curve]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= max_fpr or x1 == x0:
            continue
        end = min(x1, max_fpr)
        area += (end - x0) * (y0 + (y0 + (y1 - y0) * (end - x0) / (x1 - x0))) / 2
    return area / max_fpr


def exact_pixels(masks: Images, maps: Images) -> dict[str, float]:
    truth = np.concatenate([mask.ravel() for mask in masks])
    scores = np.concatenate([score_map.ravel() for score_map in maps])
    precision, recall, _ = precision_recall_curve(truth, scores)
    return {
        "pixel_auroc": roc_auc_score(truth, scores),
        "pixel_aupr": average_precision_score(truth, scores),
        "pixel_f1_max": np.nanmax(2 * precision * recall / np.maximum(precision + recall, 1e-12)),
    }


def make_set(seed: int = 0, sizes: tuple[tuple[int, int], ...] = ((40, 50), (64, 33), (20, 20))) -> tuple:
    """Blobby maps that see the defects dimly; the last image is good."""
    rng = np.random.default_rng(seed)
    masks, maps = [], []
    for number, (height, width) in enumerate(sizes):
        mask = ndimage.gaussian_filter(rng.normal(size=(height, width)), 2) > 0.25
        mask &= number < len(sizes) - 1
        score_map = ndimage.gaussian_filter(rng.normal(size=(height, width)), 1) + 0.3 * mask
        masks.append(mask)
        maps.append((score_map + 2).astype(np.float32))
    return masks, maps


@pytest.mark.parametrize("max_fpr", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("decimals", [1, 3])
def test_matches_the_definitions(max_fpr: float, decimals: int) -> None:
    masks, maps = make_set()
    maps = [np.round(score_map, decimals) for score_map in maps]  # one decimal: many ties
    result = pixel_metrics(masks, maps, max_fpr)
    expected = exact_pixels(masks, maps) | {"aupro": exact_aupro(masks, maps, max_fpr)}
    assert result == pytest.approx(expected, abs=1e-9)
    assert aupro(masks, maps, max_fpr) == result["aupro"]


@settings(max_examples=60)
@given(
    hnp.arrays(bool, (6, 7)),
    hnp.arrays(
        np.float32, (6, 7), elements=st.floats(-(2.0**99), 2.0**99, width=32) | st.sampled_from([-0.0, 0.0, 1.0])
    ),
    st.sampled_from([0.1, 0.3, 0.5]),
)
def test_matches_the_definitions_on_any_map(mask: np.ndarray, score_map: np.ndarray, max_fpr: float) -> None:
    result = pixel_metrics([mask], [score_map], max_fpr)
    if mask.all() or not mask.any():
        assert result == dict.fromkeys(METRIC_NAMES)
        return
    expected = exact_pixels([mask], [score_map]) | {"aupro": exact_aupro([mask], [score_map], max_fpr)}
    assert result == pytest.approx(expected, abs=1e-9)


def test_known_answers() -> None:
    mask = np.zeros((10, 10), bool)
    mask[2:4, 2:4] = True
    perfect = mask.astype(np.float32)
    assert pixel_metrics([mask], [perfect]) == pytest.approx(dict.fromkeys(METRIC_NAMES, 1.0))
    # A constant map: the only point is (1, 1), joined to (0, 0) by the diagonal: area 0.3 * 0.3 / 2 over 0.3.
    flat = pixel_metrics([mask], [np.zeros((10, 10), np.float32)])
    assert flat["aupro"] == pytest.approx(0.15)
    assert flat["pixel_auroc"] == pytest.approx(0.5)
    assert flat["pixel_aupr"] == pytest.approx(0.04)
    inverted = pixel_metrics([mask], [1 - perfect])
    assert inverted["aupro"] == pytest.approx(0.0)
    assert inverted["pixel_auroc"] == pytest.approx(0.0)


def test_regions_weigh_the_same_whatever_their_size_and_join_at_corners() -> None:
    mask = np.zeros((20, 20), bool)
    mask[:8, :8] = True  # found
    mask[15, 15] = mask[16, 16] = True  # one region of two pixels that touch at a corner: half of it found
    score_map = np.zeros((20, 20), np.float32)
    score_map[:8, :8] = score_map[15, 15] = 1
    # PRO is (1 + 1/2) / 2 at FPR 0 and rises in a line to 1 at FPR 1.
    assert aupro([mask], [score_map]) == pytest.approx(0.75 + 0.25 * 0.3 / 2)


def test_a_step_exactly_at_the_end_of_the_range_adds_nothing() -> None:
    mask = np.array([[False, False, True, False, False]])
    score_map = np.array([[5.0, 4.0, 3.0, 1.0, 0.0]])
    assert aupro([mask], [score_map], max_fpr=0.5) == 0.0
    assert aupro([mask], [score_map], max_fpr=0.75) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("max_fpr", "decimals", "share"), [(0.05, 1, 0.37), (0.3, 2, 0.1), (0.05, 2, 1.0)])
def test_saturated_overlap_matches_the_definition(max_fpr: float, decimals: int, share: float) -> None:
    masks, maps = make_set(5)
    maps = [np.round(score_map, decimals) for score_map in maps]
    regions = []
    for mask in masks:
        labelled, count = ndimage.label(mask)
        own = [labelled == number for number in range(1, count + 1)]
        own += [ndimage.binary_dilation(own[0], iterations=3)] if own else []  # a region that overlaps others
        regions.append([(region, max(1.0, share * region.sum())) for region in own])
    assert au_spro(regions, maps, max_fpr) == pytest.approx(exact_au_spro(regions, maps, max_fpr), abs=1e-10)


def test_a_saturated_region_counts_as_found_before_all_of_it_is() -> None:
    # 100 good pixels at 0 to 0.99, and a region of eight: four above all good pixels, four below. Four are enough.
    region = np.zeros((12, 9), bool)
    region[0, :8] = True
    score_map = np.full((12, 9), -1.0)
    score_map[0, :4] = 2.0
    score_map[~region] = np.arange(100) / 100
    assert au_spro([[(region, 4.0)]], [score_map], 0.3) == pytest.approx(1.0)
    assert au_spro([[(region, 8.0)]], [score_map], 0.3) == pytest.approx(0.5)
    # Five would be needed: four of five until all good pixels are flagged, too.
    assert au_spro([[(region, 5.0)]], [score_map], 0.3) == pytest.approx(0.8)
    # A second region, all missed, halves it; a good image without a false alarm changes nothing.
    other = np.roll(region, 11, 0)
    score_map[other] = -2.0
    maps = [score_map, np.full((5, 5), -3.0)]
    assert au_spro([[(region, 4.0), (other, 1.0)], []], maps, 0.3) == pytest.approx(0.5)
    assert au_spro([[]], [score_map]) is None
    for wrong in (0.0, 9.0):
        with pytest.raises(ValueError, match=r"saturation .* of a region of 8 pixels"):
            au_spro([[(region, wrong)]], [score_map])


def test_good_images_count_in_the_false_positive_rate() -> None:
    mask = np.zeros((10, 10), bool)
    mask[0, :5] = True
    score_map = np.where(mask, 1.0, 0.0).astype(np.float32)
    noisy_good = np.full((10, 10), 2.0, np.float32)
    alone = aupro([mask], [score_map])
    assert alone == pytest.approx(1.0)
    assert aupro([mask, np.zeros((10, 10), bool)], [score_map, noisy_good]) == pytest.approx(0.0)


def test_uninspected_good_pixels_are_left_out() -> None:
    masks, maps = make_set()
    wide_masks = [np.pad(mask, 3) for mask in masks]
    wide_maps = [np.pad(score_map, 3, constant_values=np.nan) for score_map in maps]
    assert pixel_metrics(wide_masks, wide_maps) == pytest.approx(pixel_metrics(masks, maps), abs=1e-12)


def test_uninspected_anomalous_pixels_rank_last() -> None:
    masks, maps = make_set()
    rng = np.random.default_rng(1)
    holes = [mask & (rng.random(mask.shape) < 0.3) for mask in masks]
    holed = [np.where(hole, np.nan, score_map) for hole, score_map in zip(holes, maps, strict=True)]
    lowest = [np.where(hole, -99, score_map) for hole, score_map in zip(holes, maps, strict=True)]
    expected = exact_pixels(masks, lowest) | {"aupro": exact_aupro(masks, lowest, 0.3)}
    assert pixel_metrics(masks, holed) == pytest.approx(expected, abs=1e-9)


def test_an_uninspected_defect_is_a_missed_region() -> None:
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = mask[5, 5] = True
    score_map = np.where(mask, 1.0, 0.0)
    score_map[5, 5] = np.nan
    assert aupro([mask], [score_map]) == pytest.approx(0.5)


def test_few_levels_stay_close_to_exact_and_memory_is_bounded() -> None:
    sets = [make_set(seed, ((150, 150), (150, 120), (90, 90))) for seed in range(4)]
    masks, maps = [mask for s in sets for mask in s[0]], [score_map for s in sets for score_map in s[1]]
    state = PixelMetrics(max_levels=16384)
    for mask, score_map in zip(masks, maps, strict=True):
        state.update(score_map, mask)
        assert state._pending_levels <= 3 * 16384 + score_map.size
    exact = PixelMetrics(max_levels=10**9)
    for mask, score_map in zip(masks, maps, strict=True):
        exact.update(score_map, mask)
    truth = exact_pixels(masks, maps)
    assert exact.compute()["pixel_auroc"] == pytest.approx(truth["pixel_auroc"], abs=1e-12)
    assert state.compute() != exact.compute()  # levels were in fact joined
    assert state.compute() == pytest.approx(exact.compute(), abs=1e-4)
    assert state._pending_levels <= 16384


def test_order_of_images_does_not_matter() -> None:
    masks, maps = make_set(3)
    forward, backward = PixelMetrics(max_levels=300), PixelMetrics(max_levels=300)
    for mask, score_map in zip(masks, maps, strict=True):
        forward.update(score_map, mask)
    for mask, score_map in zip(masks[::-1], maps[::-1], strict=True):
        backward.compute()  # looking in between changes nothing either
        backward.update(score_map, mask)
    assert forward.compute() == pytest.approx(backward.compute(), abs=1e-12)
    assert forward.compute() == forward.compute()


def test_float_types_of_the_same_values_agree() -> None:
    masks, maps = make_set()
    halves = [score_map.astype(np.float16) for score_map in maps]
    doubles = [score_map.astype(np.float64) for score_map in halves]
    assert pixel_metrics(masks, halves) == pixel_metrics(masks, doubles)


@pytest.mark.parametrize("with_defect", [True, False])
def test_nothing_to_separate_gives_none(with_defect: bool) -> None:
    mask = np.full((4, 4), with_defect)
    assert pixel_metrics([mask], [np.zeros((4, 4))]) == dict.fromkeys(METRIC_NAMES)
    assert PixelMetrics().compute() == dict.fromkeys(METRIC_NAMES)


def test_wrong_inputs_are_value_errors() -> None:
    with pytest.raises(ValueError, match=r"\(4, 5\) and mask \(8, 10\)"):
        PixelMetrics().update(np.zeros((4, 5)), np.zeros((8, 10), bool))
    with pytest.raises(ValueError, match="1 of 16 pixels"):
        PixelMetrics().update(np.where(np.eye(4) * np.arange(4) == 3, np.inf, 0.0), np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match="uint8"):
        PixelMetrics().update(np.zeros((4, 4)), np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="max_fpr"):
        PixelMetrics(max_fpr=0.0)
    with pytest.raises(ValueError, match="zip"):
        aupro([np.zeros((2, 2), bool)], [])
