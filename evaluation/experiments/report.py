"""Write what an experiment found: tables, figures, and report.html with all of it and how it was made."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import yaml
from matplotlib.figure import Figure

from fastener.common.files import write_atomically
from fastener.common.spreadsheet import csv_text
from fastener.evaluation.critical_difference import diagram
from fastener.evaluation.experiments import figures
from fastener.evaluation.experiments.paired import paired_tests, ranks, scores_of
from fastener.evaluation.experiments.results import METRICS, Results
from fastener.evaluation.experiments.settings import ALL
from fastener.evaluation.figure_style import Style
from fastener.evaluation.joint_curves import joint_overlap, joint_precision_recall, joint_roc
from fastener.evaluation.result_tables import Table
from fastener.evaluation.runtime import environment

_CSS = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0;border-top:2px solid;border-bottom:2px solid}
caption{text-align:left;color:#555;padding-bottom:.3rem}th,td{padding:.2rem .7rem;text-align:right}
thead tr{border-bottom:1px solid}th:first-child{text-align:left;font-weight:400}small{color:#666}
img{max-width:100%;margin:.5rem 1rem .5rem 0}pre{background:#f4f4f4;padding:.8rem;overflow-x:auto}"""

_COST = ("cpu_s", "wall_s")


def write_report(results: Results, style: Style, *, command: str = "") -> list[Table]:
    """Write results.csv, tables and figures to the experiment's folder, and report.html; return the tables.

    ``command`` is what was typed.
    """
    output = results.output
    rows = results.rows()
    write_atomically(output / "results.csv", csv_text(list(rows[0]), rows))
    tables = _tables(results)
    for name, table in tables.items():
        table.write(output / "tables", name)
    notes = paired_tests(results)
    write_atomically(output / "tables" / "paired_tests.md", "\n".join(notes) + "\n")
    pictures = _figures(results, style)
    page = _page(results, list(tables.values()), notes, pictures, command)
    write_atomically(output / "report.html", page)
    return list(tables.values())


def _tables(results: Results) -> dict[str, Table]:
    """List the tables that have figures, by the name of their files."""
    tables = {}
    for metric in METRICS:
        if ALL in results.shots:
            tables[metric] = results.table(metric)
    tables |= {f"few_shot_{data}": results.few_shot_table(data) for data in results.drawn_data}
    return {name: table for name, table in tables.items() if any(any(figures) for _, figures in table.rows)}


def _figures(results: Results, style: Style) -> list[Path]:
    """Write all figures; return one file of each."""
    folder = results.output / "figures"
    written = []
    for metric in ("image_auroc", "aupro"):
        if figures.all_methods(results, style, metric) is not None:
            draw = partial(_all_methods, results, metric)
            written.append(style.write(draw, folder, f"methods_{metric}")[0])
    for data in results.drawn_data:
        written.append(style.write(partial(figures.few_shot, results, data), folder, f"few_shot_{data}")[0])
    for data in results.data:
        written += _curves(results, data, style, folder)
    if (found := ranks(results)) is not None:
        written.append(style.write(partial(diagram, found), folder, "critical_difference")[0])
    return written + [path for one in results.cells for path in sorted(one["folder"].glob("robustness.png"))]


def _curves(results: Results, data: str, style: Style, folder: Path) -> list[Path]:
    """Write the joint curves of all methods on one data set; return one file of each."""
    known = scores_of(results, data)
    if known is None:
        return []
    drawn = {
        f"roc_{data}": partial(joint_roc, known.labels, known.scores, data),
        f"pr_{data}": partial(joint_precision_recall, known.labels, known.scores, data),
    }
    if known.regions:
        drawn[f"overlap_{data}"] = partial(joint_overlap, known.regions, data)
    return [style.write(draw, folder, name)[0] for name, draw in drawn.items()]


def _all_methods(results: Results, metric: str, style: Style) -> Figure:
    figure = figures.all_methods(results, style, metric)
    assert figure is not None
    return figure


def _page(
    results: Results, tables: Sequence[Table], notes: Sequence[str], pictures: Sequence[Path], command: str
) -> str:
    experiment = results.experiment
    settings = yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False)
    machine = environment()
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    processor, clock = (sum((one.get("cost") or {}).get(name, 0.0) for one in results.cells) for name in _COST)
    facts = {
        "command": command,
        "seeds": ", ".join(str(seed) for seed in range(experiment.seed, experiment.seed + experiment.repeats)),
        "machine": f"{machine['cpu']}, {machine['threads']} thread{'s' if machine['threads'] > 1 else ''}",
        "versions": versions,
        "cost": f"{processor / 60:.1f} minutes of processor time, {clock / 60:.1f} by the clock, of all cells together",
    }
    left = f"; {results.missing} are missing" if results.missing else ""
    failed = [f"<li>{html.escape(text)}</li>" for text in results.errors.values()]
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Experiment</title><style>{_CSS}</style>',
            "<h1>Experiment</h1>",
            f"<p>{len(results.cells)} results on {html.escape(', '.join(results.data))}{left}.</p>",
            *([f"<p>Not measured:</p><ul>{''.join(failed)}</ul>"] if failed else []),
            *(table.to_html() for table in tables),
            "<p>Bold: the best of a column as printed. [ ]: 95 % intervals; of one seed over test images "
            "(bootstrap), of several over the photos that were drawn (Student).</p>",
            *(f"<p>{html.escape(line)}</p>" for line in notes if line),
            *(_picture(path) for path in pictures if path.suffix in (".png", ".svg")),
            "<h2>How it was made</h2>",
            *(f"<p>{name}: <code>{html.escape(text)}</code></p>" for name, text in facts.items() if text),
            f"<pre>{html.escape(settings)}</pre></html>",
        ]
    )


def _picture(path: Path) -> str:
    kind = "svg+xml" if path.suffix == ".svg" else "png"
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(path.stem)}" src="data:image/{kind};base64,{data}">'
