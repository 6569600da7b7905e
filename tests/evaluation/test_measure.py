"""Measurements never score what a bank has seen; copies stay together; what is left out is counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_factory import part, parts, save, tiny_config, write_photos
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from fastener.common.errors import UserError
from fastener.datasets.labelled_image import LabelledImage
from fastener.evaluation.measure import Measurement, assign_folds, cross_validate, measure, summarise
from fastener.evaluation.report import text_summary, worst_misses, write_plots
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Failure, Inspection


def labelled(paths: Iterable[Path], anomalous: bool) -> list[LabelledImage]:
    return [LabelledImage(path, anomalous) for path in paths]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledImage]:
    folder = tmp_path_factory.mktemp("fresh")
    good = labelled(write_photos(folder, parts(5, 400), "good{}.png"), False)
    return good + labelled(write_photos(folder, parts(5, 500, "rust"), "bad{}.png"), True)


@pytest.fixture(scope="module")
def measured(inspector: Inspector, fresh: list[LabelledImage]) -> Measurement:
    return measure(inspector, fresh)


def test_seen_images_and_their_copies_are_left_out(
    inspector: Inspector, good_photos: list[Path], fresh: list[LabelledImage], tmp_path: Path
) -> None:
    seen = [
        LabelledImage(good_photos[0], False),
        LabelledImage(save(part(1)[:, ::-1], tmp_path / "mirrored.png"), False),
        LabelledImage(save(part(4), tmp_path / "encoded.jpg", quality=90), True),
    ]
    result = measure(inspector, [*seen, *fresh])
    assert list(result.seen) == seen
    assert list(result.images) == fresh
    assert [one.path for one in result.inspections] == [image.path for image in fresh]
    metrics = summarise(result)
    assert metrics["n_excluded_seen_in_training"] == 3
    assert metrics["n_images"] == 10
    assert "3 images left out" in text_summary(metrics | {"protocol": "held out", "threshold_source": "a test"})


def test_all_seen_or_none_given(inspector: Inspector, good_photos: list[Path]) -> None:
    result = measure(inspector, labelled(good_photos, False))
    assert len(result.seen) == 12
    assert result.inspections == ()
    assert measure(inspector, []).inspections == ()


def test_unreadable_images_are_failures_and_shift_nothing(
    inspector: Inspector, fresh: list[LabelledImage], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"x")
    result = measure(inspector, [fresh[0], LabelledImage(broken, True), *fresh[1:]])
    assert list(result.images) == fresh
    assert [failure.path for failure in result.failures] == [broken]
    assert summarise(result)["n_failed"] == 1


def test_a_file_that_vanishes_between_two_looks_shifts_nothing(
    inspector: Inspector, fresh: list[LabelledImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Inspector.stream

    def one_vanished(self: Inspector, sources: Iterable[Any]) -> Iterator[Inspection | Failure]:
        for result in stream(self, sources):
            yield Failure(result.path, "gone") if result.path == fresh[2].path else result

    monkeypatch.setattr(Inspector, "stream", one_vanished)
    result = measure(inspector, fresh)
    assert list(result.images) == [*fresh[:2], *fresh[3:]]
    assert [one.path for one in result.inspections] == [image.path for image in result.images]
    assert len(result.groups) == 9
    assert len(result.failures) == 1


def test_metrics_against_sklearn(measured: Measurement) -> None:
    metrics = summarise(measured)
    labels = measured.labels
    assert metrics["image_auroc"] == pytest.approx(roc_auc_score(labels, measured.scores))
    assert metrics["image_aupr"] == pytest.approx(average_precision_score(labels, measured.scores))
    for kind in ("filters", "colour"):
        raw = [one.evidence[kind].score for one in measured.inspections]
        assert metrics["evidence"][kind]["image_auroc"] == pytest.approx(roc_auc_score(labels, raw))
    flagged = measured.scores > measured.inspections[0].threshold
    assert metrics["recall"] == flagged[labels].mean()
    assert metrics["false_positive_rate"] == flagged[~labels].mean()
    assert metrics["threshold"] == measured.inspections[0].threshold
    low, high = metrics["image_auroc_ci95"]
    assert low <= metrics["image_auroc"] <= high
    assert (metrics["n_images"], metrics["n_anomalous"]) == (10, 5)


def test_one_class_only(inspector: Inspector, fresh: list[LabelledImage], tmp_path: Path) -> None:
    result = measure(inspector, fresh[:5])
    metrics = summarise(result) | {"protocol": "held out", "threshold_source": "a test"}
    assert metrics["image_auroc"] is None
    assert metrics["evidence"] == {}
    assert "not defined" in text_summary(metrics)
    write_plots(result, metrics, tmp_path)
    assert "score_distribution.png" in {path.name for path in tmp_path.iterdir()}


def test_plots_are_written_and_stale_ones_removed(measured: Measurement, tmp_path: Path) -> None:
    metrics = summarise(measured)
    write_plots(measured, metrics, tmp_path)
    assert (tmp_path / "roc_curve.png").stat().st_size > 5000
    (tmp_path / "worst_misses.png").write_bytes(b"of an earlier measurement")
    right = Measurement(
        measured.images,
        tuple(replace(one, threshold=0.0) for one in measured.inspections),
        measured.groups,
    )
    anomalous = Measurement(right.images[5:], right.inspections[5:], right.groups[5:])
    write_plots(anomalous, summarise(anomalous), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["score_distribution.png"]


def test_worst_misses_shows_the_clearest_errors(measured: Measurement) -> None:
    def judged(threshold: float) -> Measurement:
        changed = tuple(replace(one, threshold=threshold) for one in measured.inspections)
        return Measurement(measured.images, changed, measured.groups)

    none = judged(float(np.median(measured.scores)))
    assert (measured.scores[5:] > np.median(measured.scores)).all()
    assert worst_misses(none) is None
    all_flagged = worst_misses(judged(0.0))
    assert all_flagged is not None
    one_missed = worst_misses(judged(float(np.sort(measured.scores[5:])[0])))
    assert one_missed is not None
    assert all_flagged.shape[0] > 4 * one_missed.shape[0]


def test_cross_validation_never_scores_what_a_bank_has_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write_photos(tmp_path, parts(6), "good{}.png")
    copies = [
        save(part(0)[:, ::-1], tmp_path / "good0-mirrored.png"),
        save(part(1), tmp_path / "good1-again.jpg", quality=90),
    ]
    bad = write_photos(tmp_path, parts(3, 500, "rust"), "bad{}.png")
    of_part = {path: path.name[:5] for path in [*good, *copies, *bad]}
    rounds: list[tuple[set[str], list[Path]]] = []
    fit, stream = Inspector.fit.__func__, Inspector.stream  # type: ignore[attr-defined]

    def spied_fit(cls: type[Inspector], sources: Sequence[Path], *rest: Any, **named: Any) -> Inspector:
        rounds.append(({of_part[path] for path in sources}, []))
        return fit(cls, sources, *rest, **named)

    def spied_stream(self: Inspector, sources: Sequence[Path]) -> Iterator[Inspection | Failure]:
        rounds[-1][1].extend(sources)
        return stream(self, sources)

    monkeypatch.setattr(Inspector, "fit", classmethod(spied_fit))
    monkeypatch.setattr(Inspector, "stream", spied_stream)
    images = labelled([*good, *copies], False) + labelled(bad, True)
    result = cross_validate(images, tiny_config(), 3)

    assert len(rounds) == 3
    for learned, asked in rounds:
        assert learned.isdisjoint({of_part[path] for path in asked})
        assert not any(name.startswith("bad") for name in learned)
    asked_once = sorted(path for _, asked in rounds for path in asked)
    assert asked_once == sorted(of_part)
    assert list(result.images) == images
    assert [one.path for one in result.inspections] == [image.path for image in images]
    metrics = summarise(result)
    assert (metrics["n_images"], metrics["n_excluded_seen_in_training"]) == (11, 0)
    assert metrics["image_auroc"] > 0.9


@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=60),
    st.integers(2, 6),
    st.integers(0, 9),
)
def test_folds_keep_groups_together_and_spread_the_healthy(
    pairs: list[tuple[int, bool]], folds: int, seed: int
) -> None:
    groups = np.unique([group for group, _ in pairs], return_inverse=True)[1]
    healthy = np.array([good for _, good in pairs])
    different = len(np.unique(groups[healthy]))
    if different < folds or different - -(-different // folds) < 2:
        with pytest.raises(UserError, match="different healthy photos"):
            assign_folds(groups, healthy, folds, seed)
        return
    fold = assign_folds(groups, healthy, folds, seed)
    assert set(fold) <= set(range(folds))
    for group in np.unique(groups):
        assert len(set(fold[groups == group])) == 1
    per_fold = [len(np.unique(groups[healthy & (fold == number)])) for number in range(folds)]
    assert max(per_fold) - min(per_fold) <= 1
    assert np.array_equal(fold, assign_folds(groups, healthy, folds, seed))


def test_cross_validation_of_what_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "a.png"
    broken.write_bytes(b"x")
    with pytest.raises(UserError, match="none of the 1 images can be read"):
        cross_validate(labelled([broken], False), tiny_config(), 2)
