"""Draw the plots of a report. No function uses pyplot, so they work in any thread and without a display.

Figures are matplotlib ``Figure`` objects; `save_figure` alone writes. The colours are from Okabe and Ito
("Color Universal Design", 2008); colour-blind readers can tell them apart.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve
from sklearn.metrics import roc_curve as roc_points

from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.common.intervals import wilson_interval
from fastener.datasets.listing import marked
from fastener.evaluation.metrics import Confusion, average_precision, check_inputs, check_two_classes, f1_max
from fastener.inspection.drawing import shorten

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#6E6E6E"
_LETTERS_AN_INCH = 16  # of a footnote
PALETTE = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# PDF and SVG write a creation date unless told not to: the same input gives the same bytes.
_METADATA: dict[str, dict[str, None]] = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


def save_figure(fig: Figure, path: Path, dpi: int = 150) -> None:
    """Write a figure as .png, .pdf or .svg; the file appears whole or not at all.

    Raises:
        UserError: another ending, or it cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in _METADATA:
        raise UserError(f"{path}: a plot is written as .png, .pdf or .svg, not {ending or 'without an ending'}")
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "fastener"}):  # SVG draws the names of its parts at random unless told not to
        fig.savefig(buffer, format=ending[1:], dpi=dpi, metadata=_METADATA[ending])
    write_atomically(path, marked(buffer.getvalue()) if ending == ".png" else buffer.getvalue())


def roc_curve(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    auroc: float,
    ci95: tuple[float, float] | None = None,
    *,
    decisions: Confusion | None = None,
) -> Figure:
    """Draw the ROC curve through every threshold, and the point of the ``decisions`` that were made.

    The title shows ``auroc`` and its interval as they are given.
    """
    truth, values = check_two_classes(labels, scores)
    false_positive_rate, recall, _ = roc_points(truth, values, drop_intermediate=False)
    fig, ax = _square_axes(_counts(truth), _with_interval("AUROC", auroc, ci95))
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=(0, (4, 3)), linewidth=1, label="chance")
    ax.plot(false_positive_rate, recall, color=BLUE, linewidth=2, label="model")
    ax.fill_between(false_positive_rate, recall, color=BLUE, alpha=0.08, linewidth=0)
    if decisions is not None:
        _mark(ax, decisions.false_positive_rate, decisions.recall, "the verdicts")
    ax.set_xlabel("False positive rate (share of good images flagged)")
    ax.set_ylabel("Recall (share of anomalous images flagged)")
    ax.legend(loc="lower right", frameon=False)
    return fig


def roc_comparison(
    curves: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]], title: str, x_label: str, y_label: str
) -> Figure:
    """Draw the ROC curves of several methods; ``curves`` maps each name in the legend to labels and scores."""
    fig = Figure(figsize=(5.4, 5.6), layout="constrained")
    ax = fig.add_subplot()
    _square(ax, title)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=(0, (4, 3)), linewidth=1, label="chance")
    for number, (name, (labels, scores)) in enumerate(curves.items()):
        truth, values = check_two_classes(labels, scores)
        false_positive_rate, recall, _ = roc_points(truth, values, drop_intermediate=False)
        style = ("-", (0, (5, 2)), (0, (1, 1)))[number % 3]
        ax.plot(false_positive_rate, recall, color=PALETTE[number % len(PALETTE)], linestyle=style, lw=2, label=name)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.legend(loc="lower right", frameon=False)
    return fig


def precision_recall(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    ci95: tuple[float, float] | None = None,
    *,
    decisions: Confusion | None = None,
) -> Figure:
    """Draw the precision-recall steps, the precision of flagging every image, and the point of the best F1.

    The ``decisions`` that were made have a point of their own.
    """
    truth, values = check_two_classes(labels, scores)
    precision, recall, _ = precision_recall_curve(truth, values)
    best_f1, threshold = f1_max(truth, values)
    flagged = values > threshold
    fig, ax = _square_axes(_counts(truth), _with_interval("AUPR", average_precision(truth, values), ci95))
    prevalence = float(truth.mean())
    ax.axhline(prevalence, color=GREY, linestyle=(0, (4, 3)), linewidth=1, label=f"flag everything: {prevalence:.2f}")
    ax.step(recall, precision, where="post", color=BLUE, linewidth=2, label="model")
    ax.plot(
        [flagged[truth].mean()],
        [truth[flagged].mean()],
        "o",
        color=VERMILION,
        markersize=8,
        label=f"best F1 {best_f1:.3f}, score > {threshold:.4g}",
        clip_on=False,
        zorder=3,
    )
    if decisions is not None:
        _mark(ax, decisions.recall, decisions.precision, "the verdicts")
    ax.set_xlabel("Recall (share of anomalous images flagged)")
    ax.set_ylabel("Precision (share of flagged images anomalous)")
    ax.legend(loc="lower left", frameon=False)
    return fig


def score_distribution(groups: Sequence[str], scores: npt.ArrayLike, threshold: float | None = None) -> Figure:
    """Draw the scores of each group in a row of its own: every image as a point under the group's histogram.

    ``groups`` (n,) names each image's label or defect class; rows follow the order of first appearance. The height of a
    point means nothing: points are spread so that they can be told apart. A group of fewer than ten images has no
    histogram. The label of a row counts the images above the threshold.
    """
    _, values = check_inputs(np.zeros(len(groups), dtype=np.bool_), scores)
    names = list(dict.fromkeys(groups))
    if not names:
        raise ValueError("no scores to draw")
    member = np.array([names.index(name) for name in groups])
    fig = Figure(figsize=(8, 1.6 + 0.85 * len(names)), layout="constrained")
    ax = fig.add_subplot()
    edges = np.histogram_bin_edges(values, bins=int(np.clip(np.sqrt(values.size), 8, 40)))
    size = float(np.clip(3000 / values.size, 4, 20))
    floors = np.arange(len(names))[::-1]
    row_labels = []
    for row, (name, floor) in enumerate(zip(names, floors, strict=True)):
        inside = np.sort(values[member == row])
        colour = PALETTE[row % len(PALETTE)]
        if inside.size >= 10:
            counts, _ = np.histogram(inside, edges)
            heights = floor + 0.4 + 0.5 * counts / counts.max()
            ax.stairs(heights, edges, baseline=floor + 0.4, fill=True, color=colour, alpha=0.3)
        # Multiples of the golden ratio fill an interval evenly: neighbours in score land far apart in height.
        height = 0.05 + 0.3 * ((np.arange(inside.size) * 0.6180339887) % 1)
        ax.scatter(inside, floor + height, s=size, color=colour, alpha=0.8, linewidths=0, rasterized=True)
        above = "" if threshold is None else f", {int((inside > threshold).sum())} flagged"
        row_labels.append(f"{shorten(name, lambda text: len(text) <= 24)}\nn = {inside.size}{above}")
    if threshold is not None:
        ax.axvline(threshold, color="black", linewidth=1.2)
        top = ax.get_xaxis_transform()
        ax.text(threshold, 1.02, f"threshold {threshold:.4g}", ha="center", va="bottom", transform=top)
    ax.set_title(f"Anomaly scores, n = {values.size} images", pad=24)
    ax.set_yticks(floors + 0.4, row_labels, parse_math=False)
    ax.set_ylim(-0.05, len(names))
    ax.set_xlabel("Image anomaly score (raw; higher = more anomalous)")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return fig


def confusion_matrix(counts: Confusion) -> Figure:
    """Draw the counts of decisions. Colour and percentage are shares of the row, so that unequal classes compare."""
    table = np.array([[counts.tn, counts.fp], [counts.fn, counts.tp]])
    accuracy = "" if counts.accuracy is None else f", accuracy {counts.accuracy:.3f}"
    title = f"n = {table.sum()} ({table[1].sum()} anomalous){accuracy}"
    for name, count, total in (
        ("recall", counts.tp, counts.tp + counts.fn),
        ("false alarms", counts.fp, counts.fp + counts.tn),
    ):
        if total:
            low, high = wilson_interval(count, total)
            title += f"\n{name} {count / total:.1%}, 95 % interval {low:.1%} to {high:.1%}"
    return confusion_table(table, ["good", "anomalous"], ["passed", "flagged"], title)


def confusion_table(table: np.ndarray, truths: Sequence[str], decisions: Sequence[str], title: str) -> Figure:
    """Draw counts, int (r, c): one row a true class, one column a decision. Colours are shares of the row."""
    side = 5 if len(table) <= 2 else 2.5 + 1.05 * len(table)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    fig = Figure(figsize=(side, side - 0.4), layout="constrained")
    ax = fig.add_subplot()
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), part in np.ndenumerate(share):
        text = f"{table[row, column]}\n{part:.1%}" if table[row].sum() else "0"
        colour = "white" if part > 0.55 else "black"
        ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=16 if len(table) <= 2 else 11)
    ax.set_xticks(range(len(decisions)), list(decisions), rotation=0 if len(table) <= 2 else 30)
    ax.set_yticks(range(len(truths)), list(truths), rotation=90 if len(table) <= 2 else 0, va="center")
    ax.set_xlabel("Decision (images)")
    ax.set_ylabel("Truth (images)")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    return fig


def footnote(fig: Figure, lines: Sequence[str]) -> Figure:
    """Write lines in small print below a figure, broken to its width; return the figure."""
    width = int(_LETTERS_AN_INCH * fig.get_figwidth())
    text = "\n".join(part for line in lines for part in textwrap.wrap(line, width))
    if text:
        fig.supxlabel(text, fontsize=7.5, color=GREY, parse_math=False)
    return fig


def _mark(ax: Axes, x: float | None, y: float | None, name: str) -> None:
    """Mark a point by an open diamond, which leaves a point below it visible."""
    if x is not None and y is not None:
        ax.plot([x], [y], "D", color="black", fillstyle="none", markersize=11, label=name, clip_on=False, zorder=4)


def _square_axes(counts: str, result: str) -> tuple[Figure, Axes]:
    fig = Figure(figsize=(5.4, 5.6), layout="constrained")
    ax = fig.add_subplot()
    _square(ax, f"{result}\n{counts}")
    return fig, ax


def _square(ax: Axes, title: str) -> None:
    """Set both axes to 0 to 1, on a light grid."""
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal", title=title)
    ax.grid(color="#E6E6E6", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _counts(truth: npt.NDArray[np.bool_]) -> str:
    return f"n = {truth.size} images ({int(truth.sum())} anomalous, {int((~truth).sum())} good)"


def _with_interval(name: str, value: float, ci95: tuple[float, float] | None) -> str:
    interval = "" if ci95 is None else f", 95 % interval {ci95[0]:.3f} to {ci95[1]:.3f}"
    return f"{name} {value:.3f}{interval}"
