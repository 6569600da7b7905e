"""Gather what a shift report says: counts, changed thresholds, and each part that did not pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from fastener.console.language import Words
from fastener.console.tables import FAIL, FAILED, NO_PART, PASS, REVIEW, InspectionRow, ThresholdRow
from fastener.inspection.naming import UNKNOWN

MOST_STOPPED = 200


@dataclass(frozen=True)
class Table:
    """A table of text; cells of all columns but the first ``words`` are figures."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    words: int = 1


@dataclass(frozen=True)
class Stopped:
    """A part that did not pass: its inspection, and the lines that stand beside its picture."""

    id: str
    image_checksum: str
    decision: str
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShiftReport:
    """The content of a report, as text in one language.

    Attributes
    ----------
    title, summary : str
        Heading, and the result in a sentence.
    facts : list of (str, str)
        What the report is about: period, filters, when it was made.
    tables : list of Table
        Counts, and changed thresholds.
    stopped_title : str
        Heading of the parts that did not pass.
    stopped : list of Stopped
        Those parts, the newest first, at most 200.
    further : str
        How many more there are, or "".
    signatures : tuple of str
        What is to be signed.
    """

    title: str
    summary: str
    facts: list[tuple[str, str]]
    tables: list[Table]
    stopped_title: str
    stopped: list[Stopped]
    further: str
    signatures: tuple[str, ...]


@dataclass
class _Counts:
    decisions: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    false_alarms: int = 0

    def add(self, row: InspectionRow) -> None:
        self.decisions[row.decision] += 1
        if row.review is not None and row.decision != NO_PART:
            stopped, should = row.decision == FAIL, row.review.verdict in FAILED
            self.missed += should and not stopped
            self.false_alarms += stopped and not should


def shift_report(
    rows: Iterable[InspectionRow],
    changes: Sequence[ThresholdRow],
    *,
    asked: Mapping[str, str],
    zone: tzinfo | None,
    words: Words,
    no_part_fails: bool,
) -> ShiftReport:
    """Summarise ``rows``, the newest first, which meet the filters ``asked`` (name to value, as shown)."""
    by: dict[str, dict[str, _Counts]] = {"category": {}, "lot": {}, "operator": {}}
    kinds: Counter[tuple[str, str]] = Counter()
    whole = _Counts()
    stopped: list[Stopped] = []
    ends: list[datetime] = []
    for row in rows:
        whole.add(row)
        if row.naming is not None and row.decision == FAIL:
            kinds[row.category, row.naming["verdict"]] += 1
        for name, groups in by.items():
            groups.setdefault(getattr(row, name), _Counts()).add(row)
        ends = [ends[0] if ends else row.created_at, row.created_at]
        if row.decision in FAILED and len(stopped) < MOST_STOPPED:
            stopped.append(_stopped(row, zone, words))
    number = whole.decisions[FAIL] + whole.decisions[NO_PART]

    def table(title: str, name: str) -> Table:
        lines = sorted(by[name].items())
        found = [_line(key or "–", counts, no_part_fails, words) for key, counts in lines]
        if len(lines) > 1:
            found.append(_line(words("all"), whole, no_part_fails, words))
        share = "Share of FAIL and NO PART" if no_part_fails else "Share of FAIL"
        head = ("Inspected", "PASS", "REVIEW", "FAIL", "NO PART", share, "False alarms", "Missed")
        return Table(title, (title, *map(words, head)), found)

    tables = [table(words("Model"), "category")]
    tables += [table(words(title), name) for title, name in (("Lot", "lot"), ("Operator", "operator")) if any(by[name])]
    if kinds:
        tables.append(_kinds(kinds, words))
    if changes:
        tables.append(_changes(changes, zone, words))
    return ShiftReport(
        title=words("Shift report"),
        summary=_summary(whole, words),
        facts=[
            (words("Inspected"), _period(ends, zone) if ends else "–"),
            *((words(name), value) for name, value in asked.items()),
            (words("Report made"), _time(datetime.now().astimezone(), zone)),
        ],
        tables=tables,
        stopped_title=words("Parts that did not pass"),
        stopped=stopped,
        further=words("and {count} more", count=number - len(stopped)) if number > len(stopped) else "",
        signatures=(words("Date"), words("Name"), words("Signature")),
    )


def _summary(whole: _Counts, words: Words) -> str:
    found = whole.decisions
    shown = [f"{found[name]} {name.replace('_', ' ')}" for name in (PASS, REVIEW, FAIL, NO_PART) if found[name]]
    return words("Inspections: {count}", count=found.total()) + (f" ({', '.join(shown)})" if shown else "")


def _line(name: str, counts: _Counts, no_part_fails: bool, words: Words) -> tuple[str, ...]:
    found = counts.decisions
    failed = found[FAIL] + (found[NO_PART] if no_part_fails else 0)
    counted = found.total() - (0 if no_part_fails else found[NO_PART])
    share = words.number(f"{100 * failed / counted:.1f} %") if counted else "–"
    numbers = (found.total(), found[PASS], found[REVIEW], found[FAIL], found[NO_PART])
    return (name, *map(str, numbers), share, str(counts.false_alarms), str(counts.missed))


def _kinds(kinds: Mapping[tuple[str, str], int], words: Words) -> Table:
    rows: list[tuple[str, ...]] = [
        (category, _kind(kind, words), str(count)) for (category, kind), count in sorted(kinds.items())
    ]
    return Table(words("Kinds of defects"), (words("Model"), words("kind of defect"), words("FAIL")), rows, words=2)


def _kind(verdict: str, words: Words) -> str:
    """Write the name of a kind of defect for people."""
    return words("unknown kind") if verdict == UNKNOWN else verdict.replace("_", " ")


def _changes(changes: Sequence[ThresholdRow], zone: tzinfo | None, words: Words) -> Table:
    head = ("Time", "Model", "By", "Reason", "Before", "After")
    return Table(
        words("Changed thresholds"),
        tuple(map(words, head)),
        [
            (
                _time(one.created_at, zone),
                one.category,
                one.changed_by,
                one.reason,
                _figure(one.old, words),
                _figure(one.new, words),
            )
            for one in changes
        ],
        words=4,
    )


def _stopped(row: InspectionRow, zone: tzinfo | None, words: Words) -> Stopped:
    names = {"lot": "Lot", "order": "Order", "serial": "Serial number", "shift": "Shift"}
    origin = ((words(shown), getattr(row, name)) for name, shown in names.items())
    verdict = row.decision.replace("_", " ")
    if row.naming is not None and row.decision == FAIL:
        verdict += f", {_kind(row.naming['verdict'], words)}"
    lines = [
        row.file_name,
        f"{_time(row.created_at, zone)}  {row.category}",
        ", ".join(f"{name} {value}" for name, value in origin if value),
        ": ".join(filter(None, (verdict, _why(row, words)))),
    ]
    if row.review is not None:
        verdict, by = row.review.verdict.replace("_", " "), row.review.reviewer
        if row.review.verdict == row.decision:
            lines.append(words("confirmed by {name}", name=by))
        else:
            lines.append(words("overruled, should be {verdict}, by {name}", verdict=verdict, name=by))
        lines.append(row.review.note)
    return Stopped(row.id, row.image_checksum, row.decision, tuple(filter(None, lines)))


def _why(row: InspectionRow, words: Words) -> str:
    """Say why a part did not pass; "" for a model that flags every photo, whose score says nothing."""
    if row.problem:
        return words("Retake the photo: {why}", why=words(row.problem))
    if row.p_value is None:
        return ""
    figures = {"score": _figure(row.score, words), "threshold": _figure(row.threshold, words)}
    return words("score {score}, threshold {threshold}", **figures)


def _figure(value: float, words: Words) -> str:
    return words.number(f"{value:#.3g}".rstrip("."))


def _period(ends: Sequence[datetime], zone: tzinfo | None) -> str:
    """Write the first and the last moment; a day, or a minute, that both share stands once."""
    last, first = (_time(moment, zone) for moment in ends)
    day, _, minute = last.partition(" ")
    if first == last:
        return first
    return f"{first} – {minute if first.startswith(day) else last}"


def _time(moment: datetime, zone: tzinfo | None) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")
