"""The threshold search: hand-worked choices, honest words, and a validation split that leaks nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from sklearn.metrics import f1_score

from fastener.datasets.labelled_image import LabelledImage
from fastener.evaluation.measure import Measurement, summarise
from fastener.evaluation.report import text_summary, write_plots
from fastener.evaluation.summary_table import summary_markdown, summary_rows
from fastener.evaluation.threshold_note import threshold_note
from fastener.evaluation.threshold_search import Objective, cross_fitted, search_threshold
from fastener.evaluation.validation_split import carve_validation
from fastener.inspection.result import Inspection

NOTHING = np.zeros((1, 1), np.float32)


def measured(
    good: list[float], bad: list[float], *, types: list[str] | None = None, groups: list[int] | None = None
) -> Measurement:
    """Photos of these scores, judged by a threshold of 1."""
    names = types or ["scratch"] * len(bad)
    images = [LabelledImage(Path(f"good{i}.png"), False, ("good",)) for i in range(len(good))]
    images += [LabelledImage(Path(f"bad{i}.png"), True, (name,)) for i, name in enumerate(names)]
    inspections = [
        Inspection(image.path, score, 1.0, 0.5, 0.5, {}, NOTHING, NOTHING > 0, np.eye(2, 3), (1, 1), part_found=True)
        for image, score in zip(images, [*good, *bad], strict=True)
    ]
    return Measurement(tuple(images), tuple(inspections), np.array(groups or range(len(images))))


def test_a_tighter_limit_costs_defects_and_says_so() -> None:
    """Two of 20 good photos lie above the shipped threshold; one may. Two of eight defects lie between."""
    photos = measured([0.1] * 18 + [1.2, 1.6], [1.3, 1.4, 2, 2, 2, 2, 2, 2])
    search = search_threshold(photos, Objective("false alarms", 0.05), shipped=1.0, data="28 photos")
    assert not search.kept
    assert 1.2 <= search.threshold < 1.3
    assert (search.at_shipped.fp, search.at_chosen.fp, search.at_chosen.tp) == (2, 1, 8)
    photos = measured([0.1] * 18 + [1.5, 1.6], [1.3, 1.4, 2, 2, 2, 2, 2, 2])
    search = search_threshold(photos, Objective("false alarms", 0.05), shipped=1.0, data="28 photos")
    assert 1.5 <= search.threshold < 1.6
    text = "\n".join(search.lines())
    assert "8/8 defects found (100%" in text
    assert "6/8 defects found (75%" in text
    assert "the shipped one flags 2 of 20 good photos, more than 5.0%; for that, it finds 2 fewer defects" in text
    # Left out, the highest good photo is one too many for the rest: two of 20 are expected, as the shipped one flags.
    assert search.expected is not None
    assert search.expected.fp == 2
    assert "not expected to come closer" in text
    assert search.source("healthy photos") == "at most 5.0% false alarms on 28 photos"


def test_the_shipped_threshold_is_kept_where_nothing_is_gained() -> None:
    photos = measured([0.1, 0.2, 0.3, 0.4], [2.0, 2.1, 2.2])
    for objective in (Objective("f1"), Objective("false alarms", 0.25), Objective("recall", 0.9)):
        search = search_threshold(photos, objective, shipped=1.0, data="7 photos")
        assert search.kept, objective
        assert search.threshold == 1.0
        assert "kept the shipped threshold" in search.lines()[-1]
        assert search.source("healthy photos").startswith("healthy photos, kept after a search for")


def test_recall_is_bought_with_false_alarms() -> None:
    photos = measured([0.1, 0.2, 0.3, 0.9], [0.5, 0.6, 0.7, 0.8, 2, 2, 2, 2, 2, 2])
    search = search_threshold(photos, Objective("recall", 0.9), shipped=1.0, data="14 photos")
    assert 0.5 <= search.threshold < 0.6
    assert "finds 6 of 10 defects, fewer than 90.0%; for that, it finds 3 more defects and flags 1 more good" in (
        search.reason
    )
    state = search.state()
    assert state["taken"] == "chosen"
    assert state["chosen"]["recall"] == 0.9
    assert state["shipped"]["confusion"] == {"tn": 4, "fp": 0, "fn": 4, "tp": 6}


def test_a_photo_without_a_part_is_flagged_by_every_threshold() -> None:
    photos = measured([0.1, 0.2, 0.3, 5.0], [2.0, 2.1, 2.2])
    inspections = list(photos.inspections)
    inspections[3] = type(inspections[3])(**{**vars(inspections[3]), "problem": "no part"})
    photos = Measurement(photos.images, tuple(inspections), photos.groups)
    search = search_threshold(photos, Objective("false alarms", 0.0), shipped=0.25, data="7 photos")
    assert 0.3 <= search.chosen < 2.0, "its score of 5 chooses nothing"
    assert (search.at_chosen.fp, search.at_chosen.tp) == (1, 3)
    assert "no threshold meets it" in search.reason


def metrics_of(photos: Measurement, **facts: object) -> dict[str, Any]:
    facts = {"threshold_source": "healthy photos", "protocol": "held out", **facts}
    return summarise(photos) | facts


def test_every_output_says_which_threshold_it_uses_beside_the_one_that_a_search_took() -> None:
    """Two of four defects lie below the shipped threshold of 1; the search on these very photos takes 0.6."""
    photos = measured([0.1, 0.2, 0.3, 0.4], [0.8, 0.9, 2.0, 2.1])
    search = search_threshold(photos, Objective("f1"), shipped=1.0, data="8 photos of TEST DATA")
    metrics = metrics_of(photos, threshold_search=search.state())
    note = threshold_note(metrics)
    assert note == [
        "threshold 1, from healthy photos",
        f"not {search.chosen:.4g}, which a search for the best F1 took on 8 photos of TEST DATA",
    ]
    text = text_summary(metrics)
    assert f"at the {', '.join(note)}:\n  50.0% (2 of 4" in text
    assert f"at the searched threshold {search.chosen:.4g}, which these images chose:\n  100.0% (4 of 4" in text
    table = summary_markdown(summary_rows({"plate": metrics}))
    assert (
        f"plate: at the searched threshold {search.chosen:.4g}, which these very images chose, recall would be 4/4"
        in (table)
    )
    assert "plate: threshold 1, from healthy photos" in table
    assert "not " not in " ".join(threshold_note(metrics_of(photos)))


def test_plots_name_the_threshold_and_the_photos_kept_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = measured([0.1, 0.2, 0.3, 0.4] * 3, [0.8, 0.9, 2.0, 2.1] * 3)
    _, rest = carve_validation(photos, 0.5, 3)
    metrics = metrics_of(rest, n_validation=12, validation={"share": 0.5, "seed": 3})
    written: dict[str, str] = {}

    def keep(fig: Figure, path: Path) -> None:
        written[path.name] = " ".join(fig.get_supxlabel().split())

    monkeypatch.setattr("fastener.evaluation.report.save_figure", keep)
    monkeypatch.setattr("fastener.evaluation.report.worst_misses", lambda measurement: None)
    write_plots(rest, metrics, tmp_path)
    assert set(written) == {"roc_curve.png", "pr_curve.png", "score_distribution.png"}
    assert set(written.values()) == {
        "threshold 1, from healthy photos without 12 photos kept back from the test photos "
        "(--validate-share 0.5, seed 3)"
    }


SCORES = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)
OBJECTIVES = st.sampled_from(
    [Objective("f1"), Objective("false alarms", 0.1), Objective("false alarms", 0.5), Objective("recall", 0.8)]
)


@settings(deadline=None)
@given(SCORES, SCORES, st.integers(-5, 5), OBJECTIVES)
def test_what_is_taken_is_never_worse_than_shipped_unless_said(
    good: list[float], bad: list[float], shipped: int, objective: Objective
) -> None:
    search = search_threshold(measured(good, bad), objective, shipped=float(shipped), data="photos")
    taken = search.at_shipped if search.kept else search.at_chosen
    assert objective.is_met(taken) or not search.kept
    if objective.is_met(search.at_shipped):
        assert objective.gain(taken) >= objective.gain(search.at_shipped)
    else:
        assert "the shipped one" in search.reason
    labels = np.r_[np.zeros(len(good), int), np.ones(len(bad), int)]
    flagged = np.r_[good, bad] > search.chosen
    assert search.at_chosen.f1 == pytest.approx(f1_score(labels, flagged))


def test_cross_fitting_judges_each_photo_by_the_others_only() -> None:
    """With three photos a class and three folds, each photo meets the threshold of two of each class."""
    photos = measured([0.0, 1.0, 2.0], [10.0, 11.0, 12.0])
    flagged = cross_fitted(photos, Objective("false alarms", 0.0))
    assert flagged is not None
    # The highest good photo lies above all thresholds that the others set only if the midpoint falls below it.
    assert flagged.tolist() == [False, False, False, True, True, True]
    same = measured([0.0, 0.0, 8.0, 8.0], [10.0, 11.0], groups=[0, 1, 2, 2, 3, 4])
    assert cross_fitted(same, Objective("false alarms", 0.0)) is not None
    assert cross_fitted(measured([0.0], [1.0]), Objective("f1")) is None


def test_copies_stay_in_one_fold() -> None:
    """Four copies of an odd good photo: were one judged by a threshold that knew another, none would be flagged."""
    rest = [0.1 * i for i in range(10)]
    good = [*rest, 5.0, 5.0, 5.0, 5.0]
    groups = [*range(10), 10, 10, 10, 10, *range(11, 23)]
    photos = measured(good, [5.5] + [4.0 + 0.01 * i for i in range(11)], groups=groups)
    flagged = cross_fitted(photos, Objective("false alarms", 0.0))
    assert flagged is not None
    assert flagged[10:14].all()
    apart = cross_fitted(measured(good, [5.5] + [4.0 + 0.01 * i for i in range(11)]), Objective("false alarms", 0.0))
    assert apart is not None
    assert not apart[10:14].any()


def test_labels_of_healthy_parts_are_no_defects() -> None:
    photos = measured([0.0], [1.0, 2.0], types=["rust", "good"])
    assert photos.defects == ("rust",)


@given(st.integers(0, 9), st.sampled_from([0.2, 0.3, 0.5]))
def test_validation_photos_are_drawn_by_kind_with_their_copies(seed: int, share: float) -> None:
    groups = [0, 0, *range(1, 10), *range(10, 30), 30, 30]
    types = ["scratch"] * 10 + ["dent"] * 10 + ["stain"] * 2
    photos = measured([0.0] * 11, [1.0] * 22, types=types, groups=groups)
    validation, rest = carve_validation(photos, share, seed)
    assert set(validation.groups).isdisjoint(rest.groups)
    assert len(validation.images) + len(rest.images) == 33
    for name in ("scratch", "dent"):
        assert validation.has_defect(name).sum() == 10 * share
    assert len(np.unique(validation.groups[~validation.labels])) == 10 * share
    assert not validation.has_defect("stain").any(), "the only photo of its kind, twice"
    singles = measured([0.0] * 4, [1.0] * 6, types=[f"kind {i}" for i in range(6)])
    assert carve_validation(singles, 0.5, seed)[0].labels.sum() == 3
    again = carve_validation(photos, share, seed)[0]
    assert again.images == validation.images
