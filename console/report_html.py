"""Write a shift report as a page that prints well on A4."""

from __future__ import annotations

from html import escape

from fastener.console.characters import visible
from fastener.console.language import Words
from fastener.console.shift_report import ShiftReport, Table


def report_html(report: ShiftReport, words: Words, pdf_address: str) -> str:
    """Write the page. It lies in the folder report/, from where its addresses lead."""
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in report.facts)
    tables = "".join(map(_table, report.tables))
    stopped = "".join(
        f'<li class="{one.decision.lower()}"><img src="../inspections/{one.id}/image?size=thumbnail" alt="">'
        f"<p>{'<br>'.join(map(_visible, one.lines))}</p></li>"
        for one in report.stopped
    )
    signatures = "".join(f"<span>{escape(name)}</span>" for name in report.signatures)
    title = escape(report.title)
    return (
        f'<!doctype html><html lang="{words.language}"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="../static/report.css"><link rel="icon" href="../static/icon.svg">'
        f'<script src="../static/report.js"></script></head><body><main><h1>{title}</h1>'
        f'<p class="tools"><button id="print" type="button">{escape(words("Print"))}</button> '
        f'<a href="{escape(pdf_address)}">PDF</a></p>'
        f'<p class="summary">{escape(report.summary)}</p><dl>{facts}</dl>{tables}'
        + (f"<h2>{escape(report.stopped_title)}</h2><ul>{stopped}</ul>" if stopped else "")
        + f"<p>{escape(report.further)}</p><footer>{signatures}</footer></main></body></html>"
    )


def _table(table: Table) -> str:
    head = "".join(
        f'<th scope="col"{" class=words" if column < table.words else ""}>{escape(cell)}</th>'
        for column, cell in enumerate(table.head)
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td data-head="{escape(name)}"{" class=words" if column < table.words else ""}>{_visible(cell)}</td>'
            for column, (name, cell) in enumerate(zip(table.head, row, strict=True))
        )
        + "</tr>"
        for row in table.rows
    )
    title = escape(table.title)
    return (
        f'<h2>{title}</h2><div class="scroll" role="region" tabindex="0" aria-label="{title}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _visible(text: str) -> str:
    return escape(visible(text))
