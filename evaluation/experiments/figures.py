"""Figures of an experiment: curves over the number of photos, and all methods on all data sets."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from fastener.evaluation.experiments.results import METRICS, Results
from fastener.evaluation.experiments.settings import ALL
from fastener.evaluation.figure_style import PLAIN, Style, look_of


def few_shot(results: Results, data: str, style: Style = PLAIN, metric: str = "image_auroc") -> Figure:
    """Draw a metric over the number of drawn training photos, with bands of the intervals over draws.

    Where all photos were learned, the line ends with a point of its own at the right.
    """
    fig, ax = style.axes(data)
    drawn = [one for one in results.shots if one != ALL]
    places = {shots: at for at, shots in enumerate(results.shots)}
    for method in results.methods:
        found = {shots: results.estimate(data, method, shots, metric) for shots in results.shots}
        known = {shots: one for shots, one in found.items() if one is not None}
        if not any(shots in known for shots in drawn):
            continue
        x = np.array([places[shots] for shots in known], float)
        look = look_of(method)
        ax.plot(x, [one.value for one in known.values()], label=method, **look)
        band = [(places[s], one.low, one.high) for s, one in known.items() if one.n > 1 and one.low is not None]
        if band:
            at, low, high = zip(*band, strict=True)
            ax.fill_between(np.array(at, float), low, high, color=look["color"], alpha=0.12, linewidth=0)
    lowest = min((float(np.min(np.asarray(line.get_ydata(), float))) for line in ax.lines), default=0.0)
    ax.set_ylim(max(lowest - 0.15, -0.01), 1.01)  # bands of few draws may reach far below all means
    ax.set_xticks(list(places.values()), [str(shots) for shots in places])
    ax.set_xlabel("healthy training photos")
    ax.set_ylabel(METRICS[metric])
    ax.legend(frameon=False, ncols=2 if len(results.methods) > 3 else 1)
    return fig


def all_methods(results: Results, style: Style = PLAIN, metric: str = "image_auroc") -> Figure | None:
    """Draw a metric of each method on each data set with its interval; None where all photos were never learned."""
    names = [data for data in results.data if any(results.estimate(data, m, ALL, metric) for m in results.methods)]
    if not names:
        return None
    fig, ax = style.axes(f"{METRICS[metric]}, 95 % intervals", ratio=0.2 + 0.12 * len(names) * (3 - style.columns))
    ax.grid(axis="y", visible=False)
    count = len(results.methods)
    for number, method in enumerate(results.methods):
        shown = [(at, one) for at, d in enumerate(names) if (one := results.estimate(d, method, ALL, metric))]
        y = np.array([at + 0.8 * ((number + 0.5) / count - 0.5) for at, _ in shown])
        look = look_of(method)
        for height, (_, one) in zip(y, shown, strict=True):
            if one.low is not None and one.high is not None:
                ax.plot([one.low, one.high], [height, height], color=look["color"], linewidth=1)
        values = [one.value for _, one in shown]
        ax.plot(values, y, linestyle="none", marker=look["marker"], color=look["color"], label=method)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel(METRICS[metric])
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig
