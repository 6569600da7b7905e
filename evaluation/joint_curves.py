"""Curves of several methods in one figure: ROC, precision over recall, and overlap of regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve
from sklearn.metrics import roc_curve as roc_points

from fastener.evaluation.figure_style import PLAIN, Style, look_of
from fastener.evaluation.metrics import auroc, average_precision, check_two_classes
from fastener.evaluation.region_curves import MAX_FPR, RegionCurves

_HEIGHT = 1.15  # a square, and the legend below it


def joint_roc(labels: np.ndarray, scores: Mapping[str, np.ndarray], title: str, style: Style = PLAIN) -> Figure:
    """Draw the ROC curve of each method; the legend has its AUROC. ``scores`` (n,) are on the images of ``labels``."""
    fig, ax = style.axes(title, ratio=_HEIGHT)
    ax.plot([0, 1], [0, 1], color="#6E6E6E", linestyle=(0, (4, 3)), linewidth=0.8)
    for name, values in scores.items():
        truth, checked = check_two_classes(labels, values)
        rate, recall, _ = roc_points(truth, checked, drop_intermediate=False)
        ax.plot(rate, recall, label=f"{name} {auroc(truth, checked):.3f}", **_line(name))
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    ax.set(xlabel="false positive rate", ylabel="recall")
    style.legend(fig, len(scores))
    return fig


def joint_precision_recall(
    labels: np.ndarray, scores: Mapping[str, np.ndarray], title: str, style: Style = PLAIN
) -> Figure:
    """Draw the precision-recall steps of each method; the legend has its average precision."""
    fig, ax = style.axes(title, ratio=_HEIGHT)
    ax.axhline(float(np.mean(labels)), color="#6E6E6E", linestyle=(0, (4, 3)), linewidth=0.8)
    for name, values in scores.items():
        truth, checked = check_two_classes(labels, values)
        precision, recall, _ = precision_recall_curve(truth, checked)
        label = f"{name} {average_precision(truth, checked):.3f}"
        ax.step(recall, precision, where="post", label=label, **_line(name))
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    ax.set(xlabel="recall", ylabel="precision")
    style.legend(fig, len(scores))
    return fig


def joint_overlap(curves: Mapping[str, RegionCurves], title: str, style: Style = PLAIN) -> Figure:
    """Draw the mean overlap of regions over the pixel false positive rate, as far as AUPRO counts it."""
    fig, ax = style.axes(title, ratio=_HEIGHT)
    for name, one in curves.items():
        rate, overlap = one.curve()
        ax.plot(rate[0], overlap[0], label=f"{name} {one.aupro()[0]:.3f}", **_line(name))
    ax.set(xlim=(0, MAX_FPR), ylim=(0, 1.02))
    ax.set(xlabel="pixel false positive rate", ylabel="mean overlap of regions")
    style.legend(fig, len(curves))
    return fig


def _line(name: str) -> dict[str, Any]:
    return {key: value for key, value in look_of(name).items() if key != "marker"}
