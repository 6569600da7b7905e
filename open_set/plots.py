"""Draw the results of one split: confusion tables, scores, ROC curves, and the embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from fastener.evaluation.visualize import (
    GREY,
    PALETTE,
    confusion_table,
    roc_comparison,
    save_figure,
    score_distribution,
)
from fastener.inspection.naming import UNKNOWN
from fastener.open_set.decisions import Decisions

TITLES = {
    "one_stage": "one stage",
    "two_stage": "two stages, no_defect ignored",
    "two_stage_plain": "two stages, plain",
}
_PCA_DIMENSIONS = 50
_MIN_TSNE = 50  # with fewer images, t-SNE has no neighbourhoods to keep, and PCA is used


def write_plots(
    decisions: Sequence[Decisions],
    figures: Sequence[Mapping[str, Any]],
    embeddings: np.ndarray,
    *,
    folder: Path,
    seed: int,
) -> None:
    """Write roc.png, embeddings.png, and for each approach confusion_<approach>.png and scores_<approach>.png.

    ``decisions`` holds one entry for each approach, and ``figures`` the measures of each entry. ``embeddings`` (n, d)
    belong to the test images, in their order.
    """
    for one, measured in zip(decisions, figures, strict=True):
        names = measured["confusion"]["names"]
        title = (
            f"{TITLES[one.approach]}, {one.score}\n{measured['n_known']} known, {measured['n_unknown']} unknown images"
        )
        table = np.array(measured["confusion"]["table"])
        save_figure(confusion_table(table, names, names, title), folder / f"confusion_{one.approach}.png")
        drawn = score_distribution(one.truth, one.scores, one.threshold)
        save_figure(drawn, folder / f"scores_{one.approach}.png")
    if decisions[0].is_unknown.any():
        save_figure(roc_picture(decisions, figures), folder / "roc.png")
    save_figure(embedding_picture(decisions[0].truth, embeddings, seed), folder / "embeddings.png")


def roc_picture(decisions: Sequence[Decisions], figures: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the ROC curve of unknown against known images, one curve for each approach."""
    curves = {}
    for one, measured in zip(decisions, figures, strict=True):
        low, high = measured["unknown_auroc_ci95"]
        legend = f"{TITLES[one.approach]}\n{measured['unknown_auroc']:.3f} ({low:.3f} to {high:.3f})"
        curves[legend] = (one.is_unknown, one.scores)
    count = f"{figures[0]['n_known']} known, {figures[0]['n_unknown']} unknown images"
    return roc_comparison(
        curves, f"Known or unknown: AUROC, 95 % interval\n{count}", "Share of known images rejected",
        "Share of unknown images rejected",
    )  # fmt: skip


def embedding_picture(truth: Sequence[str], embeddings: np.ndarray, seed: int) -> Figure:
    """Draw the embeddings in two dimensions: by t-SNE (van der Maaten and Hinton 2008), or by PCA for few images."""
    points = StandardScaler().fit_transform(embeddings.astype(np.float64))
    method = "t-SNE" if len(points) >= _MIN_TSNE else "PCA"
    points = PCA(min(_PCA_DIMENSIONS, *points.shape), svd_solver="full").fit_transform(points)
    if method == "t-SNE":
        points = TSNE(2, init="pca", random_state=seed).fit_transform(points)
    fig = Figure(figsize=(7.5, 5.6), layout="constrained")
    ax = fig.add_subplot()
    names = np.array(truth)
    known = [name for name in dict.fromkeys(truth) if name != UNKNOWN]
    for number, name in enumerate(sorted(known)):
        inside = names == name
        colour = PALETTE[number % len(PALETTE)]
        ax.scatter(points[inside, 0], points[inside, 1], s=14, color=colour, label=f"{name} ({inside.sum()})")
    inside = names == UNKNOWN
    x, y = points[inside, :2].T
    ax.scatter(x, y, s=16, color=GREY, marker="x", linewidths=1, label=f"unknown ({inside.sum()})")
    ax.set(xticks=[], yticks=[], title=f"Embeddings of {len(points)} test images, {method}")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return fig
