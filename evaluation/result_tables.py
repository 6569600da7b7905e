"""Tables of results with intervals, the best in bold: as CSV, Markdown, LaTeX (booktabs) and HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.stats import t

from fastener.common.files import write_atomically
from fastener.common.spreadsheet import rows_text

_LATEX = str.maketrans({char: f"\\{char}" for char in "&%$#_{}"} | {"~": "\\textasciitilde{}", "^": "\\^{}"})


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, of ``n`` repeats; the interval is None where it cannot be known."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 1

    @classmethod
    def of_repeats(cls, values: Sequence[float]) -> Estimate:
        """Estimate the mean of several repeats of a share, 0 to 1, with Student's interval of the mean."""
        mean, count = float(np.mean(values)), len(values)
        margin = float(t.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
        return cls(mean, max(0.0, mean - margin), min(1.0, mean + margin), count)

    @classmethod
    def of_metrics(cls, metrics: Mapping[str, Any], name: str) -> Estimate | None:
        """Read a figure and its interval from the content of metrics.json; None where it has none."""
        if metrics.get(name) is None:
            return None
        return cls(metrics[name], *(metrics.get(f"{name}_ci95") or (None, None)))

    def text(self, digits: int) -> tuple[str, str]:
        """Format the value and, in brackets, the interval; the second is empty without one."""
        interval = "" if self.low is None or self.high is None else f"[{self.low:.{digits}f}, {self.high:.{digits}f}]"
        return f"{self.value:.{digits}f}", interval


@dataclass(frozen=True)
class Table:
    """Rows of figures under the titles of columns.

    Parameters
    ----------
    title : str
        What the table shows, in a line.
    columns : sequence of str
        Titles; the first is that of the names of rows.
    rows : sequence of (str, sequence of Estimate or None)
        Name and figures of each row.
    best : {"high", "low"} or None
        Which figures of a column are bold: those that equal the best one as they are printed.
    digits : int
        Digits behind the point.

    Examples
    --------
    >>> rows = [("ours", [Estimate(0.91, 0.9, 0.92)]), ("theirs", [Estimate(0.88)])]
    >>> print(Table("AUROC", ["method", "screw"], rows, digits=2).to_markdown(), end="")
    | method | screw |
    |---|---|
    | ours | **0.91** [0.90, 0.92] |
    | theirs | 0.88 |
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Estimate | None]]]
    best: Literal["high", "low"] | None = "high"
    digits: int = 3

    def to_csv(self) -> str:
        """Format with all digits; each limit of an interval has a column of its own."""
        titles = [self.columns[0]]
        for name in self.columns[1:]:
            titles += [name, f"{name} low", f"{name} high"]
        lines: list[list[Any]] = [titles]
        for name, figures in self.rows:
            line: list[Any] = [name]
            for one in figures:
                line += [None] * 3 if one is None else [one.value, one.low, one.high]
            lines.append(line)
        return rows_text(lines)

    def to_markdown(self) -> str:
        """Format as a Markdown table."""
        lines = [" | ".join(self.columns), "|".join("---" for _ in self.columns)]
        for name, cells in self._cells():
            lines.append(" | ".join([name, *(_joined(f"**{v}**" if bold else v, i) for v, i, bold in cells)]))
        return "".join(f"|{line}|\n" if line.startswith("---") else f"| {line} |\n" for line in lines)

    def to_latex(self) -> str:
        """Format as a tabular for booktabs, with the title as its caption; intervals stand below their figures."""
        lines = [" & ".join(_escaped(name) for name in self.columns) + r" \\", r"\midrule"]
        for name, cells in self._cells():
            shown = [f"\\textbf{{{v}}}" if bold else v for v, _, bold in cells]
            lines.append(" & ".join([_escaped(name), *shown]) + r" \\")
            if any(interval for _, interval, _ in cells):
                # Beside their figures, intervals of five data sets would be wider than a page.
                below = [f"{{\\scriptsize {interval}}}" if interval else "" for _, interval, _ in cells]
                lines.append(" & ".join(["", *below]) + r" \\")
        spec = "l" + "c" * (len(self.columns) - 1)
        body = "\n".join([r"\toprule", *lines, r"\bottomrule"])
        return (
            f"\\begin{{table}}\n\\centering\n\\caption{{{_escaped(self.title)}}}\n"
            f"\\begin{{tabular}}{{{spec}}}\n{body}\n\\end{{tabular}}\n\\end{{table}}\n"
        )

    def to_html(self) -> str:
        """Format as an HTML table with a caption."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        lines = [f"<table><caption>{html.escape(self.title)}</caption><thead><tr>{head}</tr></thead><tbody>"]
        for name, cells in self._cells():
            shown = "".join(
                f"<td>{f'<b>{v}</b>' if bold else v}{f' <small>{i}</small>' if i else ''}</td>" for v, i, bold in cells
            )
            lines.append(f"<tr><th>{html.escape(name)}</th>{shown}</tr>")
        return "\n".join([*lines, "</tbody></table>"])

    def _repr_html_(self) -> str:
        return self.to_html()

    def write(self, folder: Path, name: str) -> None:
        """Write ``name``.csv, .md and .tex to ``folder``."""
        for ending, text in (("csv", self.to_csv()), ("md", self.to_markdown()), ("tex", self.to_latex())):
            write_atomically(folder / f"{name}.{ending}", text)

    def _cells(self) -> list[tuple[str, list[tuple[str, str, bool]]]]:
        """Format each figure as value, interval, and whether it is bold; "-" where there is none."""
        shown = [
            (name, [("-", "") if one is None else one.text(self.digits) for one in figures])
            for name, figures in self.rows
        ]
        choose = max if self.best == "high" else min
        best = []
        for column in range(len(self.columns) - 1):
            values = [texts[column][0] for _, texts in shown if texts[column][0] != "-"]
            best.append(choose(values, key=float) if values and self.best and len(shown) > 1 else None)
        return [(name, [(v, i, v == top) for (v, i), top in zip(texts, best, strict=True)]) for name, texts in shown]


def by_method(
    title: str, figures: Mapping[str, Mapping[str, Estimate | None]], best: Literal["high", "low"] = "high"
) -> Table:
    """Table figures by method and data set, with the mean of each method that has one on every of several sets."""
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    rows: list[tuple[str, list[Estimate | None]]] = []
    for method, row in figures.items():
        own = [row.get(name) for name in names]
        known = [one.value for one in own if one is not None]
        mean = [Estimate(float(np.mean(known))) if len(known) == len(names) else None] if len(names) > 1 else []
        if known:
            rows.append((method, [*own, *mean]))
    return Table(title, ["method", *names, *(["mean"] if len(names) > 1 else [])], rows, best)


def _joined(value: str, interval: str) -> str:
    return f"{value} {interval}" if interval else value


def _escaped(text: str) -> str:
    return text.translate(_LATEX)
