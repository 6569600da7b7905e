"""List the figures of many categories in one table: a narrow one to read, and a CSV file with every figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fastener.common.spreadsheet import csv_text
from fastener.evaluation.threshold_note import other_search, searched_figures, threshold_note

MEAN = "mean"
# Figures of a category, as metrics.json names them. The mean row has the means of FIGURES and of nothing else.
_COUNTS = ("n_images", "n_good", "n_anomalous", "n_defects_found", "n_false_alarms", "n_no_part")
FIGURES = (
    "image_auroc",
    "image_aupr",
    "image_f1_max",
    "recall",
    "false_positive_rate",
    "balanced_accuracy",
    "pixel_auroc",
    "pixel_aupr",
    "pixel_f1_max",
    "aupro",
    "au_spro",
    "seconds_per_image",
)
_INTERVALS = ("image_auroc", "recall", "false_positive_rate")
_ORIGIN = ("threshold", "threshold_source", "n_validation", "protocol")
_DEFECT_FIGURES = ("recall", "image_auroc", "mean_score", "aupro", "au_spro")
LEGEND = "recall: defective images flagged at the threshold; false alarms: good images flagged; [ ]: 95 % intervals"
Row = Mapping[str, Any]


def summary_rows(results: Mapping[str, Row]) -> list[dict[str, Any]]:
    """List one row a category and, if there are several, a row of means. A value that is missing is None.

    Each limit of an interval has a column of its own, such as ``recall_low``.
    """
    rows = [{"category": name, **_figures(metrics)} for name, metrics in results.items()]
    if len(rows) > 1:
        rows.append({"category": MEAN, **{key: _mean(row[key] for row in rows) for key in FIGURES}})
    return rows


def defect_rows(results: Mapping[str, Row]) -> list[dict[str, Any]]:
    """List one row for each type of defect of each category."""
    return [
        {"category": category, "defect_type": name, "n": one["n"], "n_found": one["n_found"]}
        | {key: one.get(key) for key in _DEFECT_FIGURES}
        | _limits(one, ("recall", "image_auroc"))
        for category, metrics in results.items()
        for name, one in (metrics.get("per_defect") or {}).items()
    ]


def summary_csv(rows: Sequence[Row]) -> str:
    """Format the rows of ``summary_rows`` with every figure as CSV."""
    limits = {key: (key, f"{key}_low", f"{key}_high") for key in _INTERVALS}
    figures = [column for key in FIGURES for column in limits.get(key, (key,))]
    return csv_text(["category", *_COUNTS, *figures, *_ORIGIN], rows)


def defects_csv(rows: Sequence[Row]) -> str:
    """Format the rows of ``defect_rows`` as CSV."""
    limits = ("recall_low", "recall_high", "image_auroc_low", "image_auroc_high")
    return csv_text(["category", "defect_type", "n", "n_found", *_DEFECT_FIGURES, *limits], rows)


def summary_markdown(rows: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """Format the figures that matter most as a Markdown table that also reads well in a terminal; notes below it."""
    saturated = _has_spro(rows)
    titles = (
        "category",
        "images",
        "image AUROC",
        "recall",
        "false alarms",
        "pixel AUROC",
        "AUPRO",
        *saturated,
        "ms/image",
    )
    cells = [
        (
            row["category"],
            _text(row.get("n_images"), "d"),
            _auroc(row),
            _share(row, "recall", "n_defects_found", "n_anomalous"),
            _share(row, "false_positive_rate", "n_false_alarms", "n_good"),
            _text(row.get("pixel_auroc"), ".3f"),
            _text(row.get("aupro"), ".3f"),
            *(_text(row.get("au_spro"), ".3f") for _ in saturated),
            "-" if row.get("seconds_per_image") is None else f"{1000 * row['seconds_per_image']:.0f}",
        )
        for row in rows
    ]
    remarks = [f"- {line}" for line in (LEGEND, *_remarks(rows), *notes)]
    return "\n".join([*_table(titles, cells), "", *remarks]) + "\n"


def defects_markdown(rows: Sequence[Row]) -> str:
    """Format the rows of ``defect_rows`` as a Markdown table."""
    saturated = _has_spro(rows)
    titles = ("category", "type of defect", "recall", "image AUROC", "AUPRO", *saturated)
    cells = [
        (
            row["category"],
            row["defect_type"],
            _share(row, "recall", "n_found", "n"),
            _auroc(row),
            _text(row["aupro"], ".3f"),
            *(_text(row.get("au_spro"), ".3f") for _ in saturated),
        )
        for row in rows
    ]
    return "\n".join(_table(titles, cells)) + "\n"


def _has_spro(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the title of the column for AU-sPRO, or nothing if no data set says how much of a defect is enough."""
    return ("AU-sPRO",) if any(row.get("au_spro") is not None for row in rows) else ()


def _figures(metrics: Row) -> dict[str, Any]:
    names = (*_COUNTS, *FIGURES, *_ORIGIN)
    shipped, search = metrics.get("at_shipped_threshold"), other_search(metrics)
    return {
        **{key: metrics.get(key) for key in names},
        **_limits(metrics, _INTERVALS),
        "at_shipped_threshold": None if shipped is None else shipped | _limits(shipped, _INTERVALS),
        "at_searched_threshold": None if search is None else _searched(search),
    }


def _searched(search: Row) -> dict[str, Any]:
    figures = searched_figures(search)
    return figures | _limits(figures, ("recall", "false_positive_rate"))


def _limits(metrics: Row, names: Iterable[str]) -> dict[str, Any]:
    limits = {}
    for key in names:
        limits[f"{key}_low"], limits[f"{key}_high"] = metrics.get(f"{key}_ci95") or (None, None)
    return limits


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _remarks(rows: Sequence[Row]) -> list[str]:
    """Say what the figures of a category rest on beyond its model and its images."""
    one_class = [str(row["category"]) for row in rows if row.get("n_images") and row.get("image_auroc") is None]
    remarks = [f"AUROC -: no good image to judge, or no defective one: {', '.join(one_class)}"] if one_class else []
    remarks += [
        f"{row['category']}: {row['n_no_part']} of {row['n_images']} images are NO PART; they count as flagged"
        for row in rows
        if row.get("n_no_part")
    ]
    remarks += [
        f"{row['category']}: without the {row['n_validation']} test images that were kept for choosing a threshold"
        for row in rows
        if row.get("n_validation")
    ]
    remarks += [
        f"{row['category']}: at the {name} threshold {other['threshold']:.4g}{why} recall would be "
        f"{_share(other, 'recall', 'n_defects_found', 'n_anomalous')}, false alarms "
        f"{_share(other, 'false_positive_rate', 'n_false_alarms', 'n_good')}"
        for row in rows
        for name, why in (("shipped", ""), ("searched", ", which these very images chose,"))
        if (other := row.get(f"at_{name}_threshold"))
    ]
    if any(row.get("image_auroc_low") == 1 for row in rows):
        remarks.append(
            "[1.000, 1.000]: no pair of images was ranked wrongly, so that resampling cannot find one either"
        )
    sources = dict.fromkeys(str(row["threshold_source"]) for row in rows if row.get("threshold_source"))
    if len(sources) == 1 and len(rows) > 1:
        return [*remarks, f"thresholds: from {next(iter(sources))}"]
    return remarks + [
        f"{row['category']}: {line}" for row in rows if row.get("threshold_source") for line in threshold_note(row)
    ]


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the columns with blanks, so that the Markdown source is a table for the eye, too."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(titles, *rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in (titles, *rows)
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def _text(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)


def _auroc(row: Row) -> str:
    """Format as 0.982 [0.965, 0.994]; a mean has no interval."""
    interval = (
        "" if row.get("image_auroc_low") is None else f" [{row['image_auroc_low']:.3f}, {row['image_auroc_high']:.3f}]"
    )
    return _text(row.get("image_auroc"), ".3f") + interval


def _share(row: Row, share: str, count: str, total: str) -> str:
    """Format as 31/32 97% [84, 99]; a mean has its share alone."""
    if row.get(share) is None:
        return "-"
    if row.get(count) is None:
        return f"{row[share]:.1%}"
    low, high = (row.get(f"{share}_{end}") for end in ("low", "high"))
    interval = "" if low is None or high is None else f" [{100 * low:.0f}, {100 * high:.0f}]"
    return f"{row[count]}/{row[total]} {row[share]:.0%}{interval}"
