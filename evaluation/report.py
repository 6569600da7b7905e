"""Report a measurement as text and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastener.evaluation.measure import Measurement
from fastener.evaluation.metrics import Confusion, count_decisions
from fastener.evaluation.threshold_note import other_search, searched_figures, threshold_note
from fastener.evaluation.visualize import footnote, precision_recall, roc_curve, save_figure, score_distribution
from fastener.inspection.drawing import Picture, contact_sheet, save_picture, shorten
from fastener.inspection.pictures import overlay_picture, preview

_MISSES_SHOWN = 16


def text_summary(metrics: Mapping[str, Any]) -> str:
    """Summarise the main figures in a few lines; each figure has its interval."""
    lines = [f"{metrics['n_images']} images, {metrics['n_anomalous']} of them anomalous ({metrics['protocol']})"]
    if metrics["n_excluded_seen_in_training"]:
        lines.append(
            f"{metrics['n_excluded_seen_in_training']} images left out: the model knows them or copies of them"
        )
    if metrics["image_auroc"] is None:
        missing = "healthy" if metrics["n_anomalous"] else "defective"
        lines.append(f"AUROC: not defined, as there is no {missing} image to judge")
    else:
        lines.append(f"image AUROC {_with_interval(metrics['image_auroc'], metrics['image_auroc_ci95'])}")
        lines += [
            f"  {kind} alone {_with_interval(one['image_auroc'], one['image_auroc_ci95'])}"
            for kind, one in metrics["evidence"].items()
        ]
    if metrics.get("aupro") is not None:
        lines.append(
            f"where defects are: AUPRO {_with_interval(metrics['aupro'], metrics['aupro_ci95'])}, "
            f"pixel AUROC {metrics['pixel_auroc']:.3f}"
        )
    first, *more = threshold_note(metrics)
    lines.append(f"at the {', '.join([first, *more])}:")
    lines.append(f"  {_share(metrics, 'recall', 'n_defects_found', 'n_anomalous')} of anomalous images found")
    lines += [
        f"    {name}: {_share(one, 'recall', 'n_found', 'n')}"
        for name, one in metrics["per_defect"].items()
        if len(metrics["per_defect"]) > 1
    ]
    flagged = f"{_share(metrics, 'false_positive_rate', 'n_false_alarms', 'n_good')} of healthy images flagged"
    lines.append(f"  {flagged if metrics['n_good'] else 'no healthy image to judge'}")
    if metrics["n_no_part"]:
        lines.append(f"  {metrics['n_no_part']} images show no part (NO PART); they count as flagged")
    if shipped := metrics.get("at_shipped_threshold"):
        lines += _at_another(f"at the shipped threshold {shipped['threshold']:.4g}, on the same images:", shipped)
    if search := other_search(metrics):
        found = searched_figures(search)
        lines += _at_another(f"at the searched threshold {found['threshold']:.4g}, which these images chose:", found)
    return "\n".join(lines)


def _at_another(title: str, figures: Mapping[str, Any]) -> list[str]:
    return [
        title,
        f"  {_share(figures, 'recall', 'n_defects_found', 'n_anomalous')} of anomalous images found",
        f"  {_share(figures, 'false_positive_rate', 'n_false_alarms', 'n_good')} of healthy images flagged",
    ]


def write_plots(measurement: Measurement, metrics: Mapping[str, Any], folder: Path) -> None:
    """Write roc_curve.png, pr_curve.png, score_distribution.png and worst_misses.png, as far as the data allow.

    A plot that the data do not allow is removed, so that nobody takes the plot of an earlier measurement for a new one.
    """
    for name in ("roc_curve.png", "pr_curve.png", "worst_misses.png"):
        (folder / name).unlink(missing_ok=True)
    names = ["anomalous" if label else "healthy" for label in measurement.labels]
    decisions = count_decisions(measurement.labels, measurement.flagged)
    write_score_plots(measurement, metrics, names=names, decisions=decisions, folder=folder)
    sheet = worst_misses(measurement)
    if sheet is not None:
        save_picture(sheet, folder / "worst_misses.png")


def write_score_plots(
    measurement: Measurement, metrics: Mapping[str, Any], *, names: Sequence[str], decisions: Confusion, folder: Path
) -> None:
    """Write score_distribution.png, and roc_curve.png and pr_curve.png where images of both kinds were measured.

    ``names`` (n,) are those of the images' types, ``decisions`` those at the threshold. Each plot names the threshold.
    """
    labels, scores, note = measurement.labels, measurement.scores, threshold_note(metrics)
    if metrics["image_auroc"] is not None:
        low, high = metrics["image_auroc_ci95"]
        roc = roc_curve(labels, scores, metrics["image_auroc"], (low, high), decisions=decisions)
        save_figure(footnote(roc, note), folder / "roc_curve.png")
        pr = precision_recall(labels, scores, decisions=decisions)
        save_figure(footnote(pr, note), folder / "pr_curve.png")
    spread = score_distribution(names, scores, metrics["threshold"])
    save_figure(footnote(spread, note), folder / "score_distribution.png")


def worst_misses(measurement: Measurement) -> Picture | None:
    """Show false alarms and misses, the clearest errors first, as photo and heatmap; None if there are no errors."""
    margins = measurement.scores - measurement.thresholds
    wrong = np.flatnonzero(measurement.flagged != measurement.labels)
    if not len(wrong):
        return None
    worst = wrong[np.argsort(-np.abs(margins[wrong]), kind="stable")][:_MISSES_SHOWN]
    rows, captions = [], []
    for index in worst:
        inspection, image = measurement.inspections[index], measurement.images[index]
        photo = preview(image.path, 512)
        rows.append([photo, overlay_picture(photo, inspection)])
        error, side = ("missed", "under") if image.is_anomalous else ("false alarm", "over")
        name = shorten(image.path.name, lambda text: len(text) <= 20)
        why = "no part seen" if inspection.problem else f"{inspection.score:.2f} {side} {inspection.threshold:.2f}"
        captions.append(f"{error}, {why} ({name})")
    return contact_sheet(rows, captions, ["photo", "anomaly map"], cell=240)


def _with_interval(value: float, interval: list[float]) -> str:
    return f"{value:.3f} (95 % interval {interval[0]:.3f} to {interval[1]:.3f})"


def _share(figures: Mapping[str, Any], share: str, count: str, total: str) -> str:
    if figures[share] is None:
        return "none"
    low, high = figures[f"{share}_ci95"]
    return f"{figures[share]:.1%} ({figures[count]} of {figures[total]}, 95 % interval {low:.1%} to {high:.1%})"
