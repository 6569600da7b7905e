"""Figures of an experiment: curves over the number of photos, and all methods on all data sets."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from fastener.evaluation.experiments.results import METRICS, Results
from fastener.evaluation.experiments.settings import ALL
from fastener.evaluation.figure_style import PLAIN, Style, look_of

_ASIDE = 0.06  # of the distance between two numbers of photos


def few_shot(results: Results, data: str, style: Style = PLAIN, metric: str = "image_auroc") -> Figure:
    """Draw a metric over the number of drawn training photos, with its intervals, side by side.

    Where all photos were learned, the line ends with a point of its own at the right. The interval of several repeats
    is over draws, that of one over test images.
    """
    fig, ax = style.axes(data, ratio=0.95 if style.columns == 1 else 0.5)
    drawn = [one for one in results.shots if one != ALL]
    places = {shots: at for at, shots in enumerate(results.shots)}
    found = {
        method: {shots: one for shots in places if (one := results.estimate(data, method, shots, metric)) is not None}
        for method in results.methods
    }
    shown = {method: known for method, known in found.items() if any(shots in known for shots in drawn)}
    lowest = 1.0
    for number, (method, known) in enumerate(shown.items()):
        # Side by side, as intervals of several methods at one place would hide each other.
        x = np.array([places[shots] for shots in known], float) + _ASIDE * (number - (len(shown) - 1) / 2)
        look = look_of(method)
        for at, one in zip(x, known.values(), strict=True):
            if one.low is not None and one.high is not None:
                ax.vlines(at, one.low, one.high, color=look["color"], linewidth=0.8)
        ax.plot(x, [one.value for one in known.values()], label=method, **look)
        lowest = min(lowest, *(one.value for one in known.values()))
    ax.set_ylim(max(lowest - 0.15, -0.01), 1.01)  # intervals of few draws may reach far below all means
    ax.set_xticks(list(places.values()), [str(shots) for shots in places])
    ax.set_xlabel("healthy training photos")
    ax.set_ylabel(METRICS[metric])
    style.legend(fig, len(shown))
    return fig


def all_methods(results: Results, style: Style = PLAIN, metric: str = "image_auroc") -> Figure | None:
    """Draw a metric of each method on each data set with its interval; None where all photos were never learned."""
    names = [data for data in results.data if any(results.estimate(data, m, ALL, metric) for m in results.methods)]
    if not names:
        return None
    fig, ax = style.axes(f"{METRICS[metric]}, 95 % intervals", ratio=0.4 + 0.14 * len(names) * (3 - style.columns))
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
    style.legend(fig, count)
    return fig
