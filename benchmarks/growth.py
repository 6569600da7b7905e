"""Fit the growth of time and memory by a power law, and draw the plot for docs/performance.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastener.evaluation.visualize import GREY, PALETTE

EIGHTH = (8, 4, 2, 1)  # x1, x2, x4, x8


def sizes(largest: int) -> list[int]:
    """Return an eighth, a quarter, a half and all of ``largest``."""
    return [max(1, largest // part) for part in EIGHTH]


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """Fit the exponent p of the power law y ~ x**p: 1 = linear, 2 = quadratic."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def growth_figure(
    images: Sequence[int], seconds: Mapping[str, Sequence[float]], megabytes: Mapping[str, Sequence[float]]
) -> Figure:
    """Draw two panels over the number of images: seconds by stage (both axes logarithmic), and megabytes."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _panel(left, "Time to fit", "seconds", images, seconds)
    first = next(iter(seconds.values()))[0]
    steps = np.array(images) / images[0]
    for power, style, label in ((1, ":", "linear"), (2, "--", "quadratic")):
        left.plot(images, first * steps**power, style, color=GREY, linewidth=1, label=label)
    left.set_yscale("log")
    left.legend(frameon=False, fontsize=8)
    _panel(right, "Memory", "MB", images, megabytes)
    right.set_ylim(0, 1.3 * max(map(max, megabytes.values())))  # room for the legend
    right.legend(frameon=False, fontsize=8)
    return figure


def _panel(axes: Axes, title: str, unit: str, images: Sequence[int], lines: Mapping[str, Sequence[float]]) -> None:
    for colour, (name, values) in zip(PALETTE, lines.items(), strict=False):
        axes.plot(images, values, "o-", color=colour, linewidth=1.5, markersize=4, label=name)
    axes.set_title(title)
    axes.set_xscale("log", base=2)
    axes.set_xticks(images, [str(count) for count in images])
    axes.set_xlabel("training images")
    axes.set_ylabel(unit)
    axes.grid(alpha=0.3, linewidth=0.5)
