"""Draw the charts of a corrosion report from the values of report.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from fastener.config import CorrosionSettings
from fastener.corrosion.colour_sectors import RUST
from fastener.corrosion.pictures import CLASS_COLOURS
from fastener.corrosion.severity import LEVELS
from fastener.corrosion.surface_change import DARK, WHITE
from fastener.evaluation.visualize import GREY, PALETTE
from fastener.inspection.drawing import shorten

Record = Mapping[str, Any]

_MARKERS = "osD^vP*X"
_LABEL_LENGTH = 28
# Key of a time point, key of its interval, title and label of the axis.
_PANELS = (
    ("colour_rust_pct", "colour_rust_ci95", "Red rust", "Rust (% of the part)"),
    ("white_corrosion_pct", "white_corrosion_ci95", "White corrosion", "White (% of the part)"),
    ("dark_pct", "dark_ci95", "Dark staining or lost coating", "Dark (% of the part)"),
    ("heatmap_growth_pct", "", "Rise of the anomaly map above T0", "Heatmap growth (%)"),
)
_LEVELLED = {"colour_rust_pct": "colour_cutoffs", "heatmap_growth_pct": "growth_cutoffs"}
# Kinds of change, in the colours of the class pictures, and the height of a bar of one kind.
_KINDS = {
    name: "#{:02x}{:02x}{:02x}".format(*CLASS_COLOURS[kind])
    for name, kind in (("white", WHITE), ("red", RUST), ("dark", DARK))
}
_THIN = 0.27
# Height of a group of bars and greatest height of all bars, in inches; Matplotlib refuses more than 65,535 pixels.
_BAR, _HIGHEST = 0.42, 100.0


def progression(records: Sequence[Record], settings: CorrosionSettings) -> Figure:
    """Draw red rust, white corrosion, dark places and heatmap growth over time, as far as they were measured.

    Shares have their 95 % intervals, and are means over the views.
    """
    points = [point for record in records for point in record["timepoints"].values()]
    panels = [one for one in _PANELS if any(point.get(one[0]) is not None for point in points)] or list(_PANELS[:1])
    fig = Figure(figsize=(9, 1.0 + 2.9 * len(panels)), layout=ConstrainedLayoutEngine(h_pad=0.12))
    axes = fig.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    moments = _moments(records)
    for ax, (key, interval, title, label) in zip(axes, panels, strict=True):
        for index, record in enumerate(records):
            own = list(record["timepoints"].values())
            intervals = [point.get(interval) for point in own] if interval else None
            _line(ax, index, record, moments, [point.get(key) for point in own], intervals)
        ax.set(title=title, ylabel=label)
        if key in _LEVELLED:
            _levels(ax, getattr(settings, _LEVELLED[key]))
        else:
            ax.set_ylim(bottom=0)
    _finish(fig, axes[-1], records)
    return fig


def score_timeline(records: Sequence[Record], threshold: float) -> Figure:
    """Draw the mean anomaly score of each component over time; single shots are small points."""
    fig = Figure(figsize=(9, 4.8), layout="constrained")
    ax = fig.add_subplot()
    moments = _moments(records)
    for index, record in enumerate(records):
        hours = np.array([float(key) for key in record["timepoints"]])
        points = list(record["timepoints"].values())
        _line(ax, index, record, moments, [p["mean_score"] for p in points])
        for at, point in zip(hours, points, strict=True):
            scores = [shot["score"] for shot in point["shots"]]
            ax.plot([at] * len(scores), scores, ".", color=_colour(index), alpha=0.45, markersize=5)
    ax.axhline(threshold, color="black", linewidth=1.2)
    ax.annotate(
        f"alarm threshold {threshold:.3g}", (1, threshold), xycoords=("axes fraction", "data"), ha="right", va="bottom"
    )
    ax.set(title="Anomaly score of the model", ylabel="Anomaly score (higher = more anomalous)")
    ax.set_ylim(bottom=0)
    _finish(fig, ax, records)
    return fig


def delta_bars(records: Sequence[Record]) -> Figure:
    """Draw what has changed since T0, with 95 % intervals: for each component and time a bar of white, red and dark.

    If the bars need more than 100 inches, only every second, third, ... time is labelled.
    """
    wanted = _BAR * sum(max(len(_later(record)), 1) for record in records)
    fig = Figure(figsize=(9, 2.4 + min(wanted, _HIGHEST)), layout="constrained")
    ax = fig.add_subplot()
    y, ticks, names = 0.0, [], []
    for record in records:
        later = _later(record)
        if not later:
            ticks.append(y)
            names.append(f"{_short(record['component'])}  no T0, or T0 only")
            y += 1
        for hours, point in later:
            ticks.append(y)
            names.append(f"{_short(record['component'])}  T{hours} h")
            for place, (kind, colour) in enumerate(_KINDS.items()):
                _bar(ax, y + _THIN * (place - 1), _change(point, kind), colour)
            y += 1
        y += 0.6
    ax.axvline(0, color="black", linewidth=0.8)
    step = max(1, math.ceil(wanted / _HIGHEST))
    ax.set_yticks(ticks[::step], names[::step], parse_math=False)
    ax.invert_yaxis()
    ax.set(title="Change since T0, with 95 % intervals", xlabel="Percentage points of the part, mean over the views")
    handles = [Patch(color=colour, label=kind) for kind, colour in _KINDS.items()]
    fig.legend(handles=handles, loc="outside lower center", ncols=len(_KINDS), frameon=False)
    ax.grid(axis="x", color="#E6E6E6")
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return fig


def _bar(ax: Axes, y: float, change: tuple[float, float, float] | None, colour: str) -> None:
    if change is None:
        return
    value, low, high = change
    ax.barh(y, value, 0.9 * _THIN, color=colour)
    ax.plot([low, high], [y, y], color="black", linewidth=0.9, marker="|", markersize=4)


def _change(point: Record, kind: str) -> tuple[float, float, float] | None:
    """Return a change since T0 and its 95 % interval, in percentage points; None where it was not measured."""
    if kind == "red":
        value, noise = point["colour_delta_vs_t0"], point["colour_noise"]
        return None if value is None else (value, value - noise, value + noise)
    share = {"white": "white_corrosion", "dark": "dark"}[kind]
    value, interval = point.get(f"{share}_pct"), point.get(f"{share}_ci95")
    return None if value is None or interval is None else (value, *interval)


def _later(record: Record) -> list[tuple[str, Record]]:
    return [
        (hours, point)
        for hours, point in record["timepoints"].items()
        if float(hours) > 0 and point["colour_delta_vs_t0"] is not None
    ]


def _line(
    ax: Axes,
    index: int,
    record: Record,
    moments: Sequence[float],
    values: Sequence[float | None],
    intervals: Sequence[Sequence[float] | None] | None = None,
) -> None:
    """Draw a component's line with a mark at each time point; it is dotted where other components have more moments."""
    hours = np.array([float(key) for key in record["timepoints"]])
    known = np.array([value is not None for value in values], bool)
    x, y = hours[known], np.array([value for value in values if value is not None], float)
    everyone = np.array(moments)
    ax.plot([], [], color=_colour(index), marker=_marker(index), linewidth=2, label=_short(record["component"]))
    if not known.any():
        return
    ax.plot(x, y, color=_colour(index), marker=_marker(index), markersize=6, linestyle="", clip_on=False, zorder=3)
    for left, right, low, high in zip(x[:-1], x[1:], y[:-1], y[1:], strict=True):
        gap = ((everyone > left) & (everyone < right)).any()
        dashes, width = ("dotted", 1.2) if gap else ("solid", 2.0)
        ax.plot([left, right], [low, high], color=_colour(index), zorder=3, linestyle=dashes, linewidth=width)
    if intervals:
        ends = np.array([interval for interval in intervals if interval is not None], float)
        ax.vlines(x, ends[:, 0], ends[:, 1], color=_colour(index), alpha=0.55, linewidth=4)


def _levels(ax: Axes, cutoffs: Sequence[float]) -> None:
    """Draw the severity cut-offs that lie within the axis as named lines."""
    top = max(ax.get_ylim()[1], 1.3 * cutoffs[1])
    for name, cutoff in zip(LEVELS[1:], cutoffs, strict=True):
        if cutoff < top and cutoff > 0.03 * top:
            ax.axhline(cutoff, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
            ax.annotate(
                f"{name} from {cutoff:g}",
                (1.005, cutoff),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8,
                color=GREY,
                annotation_clip=False,
            )
    ax.set_ylim(0, top)


def _finish(fig: Figure, lowest: Axes, records: Sequence[Record]) -> None:
    moments = _moments(records)
    lowest.set_xlabel("Hours of exposure (dotted: no photo in between)")
    if len(moments) <= 12:
        lowest.set_xticks(moments, [f"T{hours:g}" for hours in moments])
    for ax in fig.axes:
        ax.grid(color="#E6E6E6")
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    handles, labels = lowest.get_legend_handles_labels()
    legend = fig.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _moments(records: Sequence[Record]) -> list[float]:
    """List the hours at which any component was photographed, ascending."""
    return sorted({float(hours) for record in records for hours in record["timepoints"]})


def _marker(index: int) -> str:
    return _MARKERS[index % len(_MARKERS)]


def _colour(index: int) -> str:
    return PALETTE[index % len(PALETTE)]


def _short(name: str) -> str:
    return shorten(name, lambda text: len(text) <= _LABEL_LENGTH)
