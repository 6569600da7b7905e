"""One style for all figures of an experiment: sizes of a paper, colours by name, and the files that are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastener.evaluation.visualize import PALETTE, save_figure
from fastener.inspection.registry import METHODS

FORMATS = ("png", "pdf", "svg")
_WIDTHS = {1: 3.4, 2: 7.0}  # inches: one and two columns of a paper
_COLOURS = (*PALETTE, "#000000", "#B8A800")
_MARKERS = "osD^vP*X"
_LINES = ("-", (0, (5, 2)), (0, (1, 1)), (0, (5, 1, 1, 1)))


@dataclass(frozen=True)
class Style:
    """How figures are drawn and written.

    Parameters
    ----------
    paper : bool
        Leave titles out, as the caption of a paper says what is shown.
    columns : {1, 2}
        Width: one column, 3.4 inches, or two, 7 inches.
    formats : sequence of str
        Files to write, of png, pdf and svg.
    """

    paper: bool = False
    columns: int = 1
    formats: Sequence[str] = ("png",)

    @property
    def width(self) -> float:
        """Width of a figure in inches."""
        return _WIDTHS[self.columns]

    def context(self) -> AbstractContextManager[Any]:
        """Set fonts and lines for figures that are made inside the block."""
        small: Any = {"font.size": 8, "axes.titlesize": 8, "legend.fontsize": 7, "axes.linewidth": 0.6}
        small |= {"lines.linewidth": 1.3, "lines.markersize": 4}
        context: AbstractContextManager[Any] = mpl.rc_context(small)
        return context

    def axes(self, title: str, *, ratio: float | None = None) -> tuple[Figure, Axes]:
        """Make a figure of one plot, ``ratio`` times as high as wide."""
        height = {1: 0.8, 2: 0.5}[self.columns] if ratio is None else ratio
        fig = Figure(figsize=(self.width, height * self.width), layout="constrained")
        ax = fig.add_subplot()
        if not self.paper:
            ax.set_title(title)
        ax.grid(color="#E6E6E6", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        return fig, ax

    def legend(self, fig: Figure, entries: int) -> None:
        """Put the legend below the plot, where it covers no line, with ``entries`` in rows of two or four."""
        fig.legend(loc="outside lower center", frameon=False, ncols=min(entries, 2 * self.columns), columnspacing=1.2)

    def write(self, draw: Callable[[Style], Figure], folder: Path, name: str) -> list[Path]:
        """Draw a figure in this style and write it in every format; return the files."""
        with self.context():
            fig = draw(self)
            files = [folder / f"{name}.{ending}" for ending in self.formats]
            for file in files:
                save_figure(fig, file, dpi=300 if self.paper else 200)
        return files


PLAIN = Style()


def look_of(name: str) -> Mapping[str, Any]:
    """Return colour, marker and line of a method: always the same, whichever others are drawn."""
    known = list(METHODS)
    place = known.index(name) if name in known else len(known) + sum(name.encode()) % 8
    return {
        "color": _COLOURS[place % len(_COLOURS)],
        "marker": _MARKERS[place % len(_MARKERS)],
        "linestyle": _LINES[place % len(_LINES)],
    }
