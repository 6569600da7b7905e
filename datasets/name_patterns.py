"""Read file names by patterns such as ``{component}_{hours}h-{view}``, and find a pattern for names that fit none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fastener.common.errors import UserError

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
# A time starts where its digits start: 24 is not read as a component that ends in 2, and 4.
_TIME = rf"(?<![0-9])(?<![0-9]\.){_NUMBER}"
_FIELDS = {
    "component": r"(?P<component>.+)",
    "sample": r"(?P<sample>[^\s_-]+)",
    "hours": rf"(?P<hours>{_TIME})",
    "days": rf"(?P<days>{_TIME})",
    "view": r"(?P<view>[^\W_]+)",
    "*": r".*?",
}
_TOKEN = re.compile(r"\{([^{}]*)\}|([\[\]])|([^\[\]{}]+|[{}])")
# What may stand for the time in a name: T24, 24h, 24 hrs, day 3, 3d. The unit decides between hours and days.
_BEFORE = re.compile(r"(?<![a-z0-9])(t|h|hours?|d|days?)([ _.=-]?)" rf"({_NUMBER})(?![a-z0-9.])", re.IGNORECASE)
_AFTER = re.compile(rf"(?<![0-9.])({_NUMBER})([ _.=-]?)(h|hrs?|hours?|d|days?)(?![a-z0-9])", re.IGNORECASE)
_VIEW = re.compile(r"([ _.-])[^\W_]+")


@dataclass(frozen=True)
class NameFields:
    """Hold what a file name says.

    Parameters
    ----------
    component
        Name of the component.
    hours
        Hours since T0; days are converted.
    view
        Number or word that tells several photos of one moment apart; None if the name holds none.
    sample
        Name of the specimen among several of one component; None if the name holds none.
    """

    component: str
    hours: float
    view: str | None = None
    sample: str | None = None


class NamePattern:
    """Read file names (without their suffix) by a pattern.

    Fields in braces stand for what differs: ``{component}``, ``{hours}`` or ``{days}``, and optionally ``{view}`` (a
    number or a word), ``{sample}`` (the same) and ``{*}`` (anything, ignored). What stands in square brackets may be
    missing. All other characters stand for themselves, in upper or lower case.

    Raises
    ------
    UserError
        An unknown field, a field given twice, a bracket that is not closed, or no component or time in the pattern.

    Examples
    --------
    >>> NamePattern("{component}_{days}d[-{view}]").fields("NutSilver_3d-1")
    NameFields(component='NutSilver', hours=72.0, view='1', sample=None)
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._expression = re.compile(_expression(text), re.IGNORECASE | re.DOTALL)

    def fields(self, stem: str) -> NameFields | None:
        """Read a file name without its suffix; None if it does not fit the pattern."""
        match = self._expression.fullmatch(stem)
        if match is None:
            return None
        found = match.groupdict()
        component = found["component"].strip()
        if not component:
            return None
        hours = float(found["hours"]) if found.get("hours") else 24.0 * float(found["days"])
        return NameFields(component, hours, found.get("view"), found.get("sample"))


def fitting_pattern(stem: str) -> str | None:
    """Find a pattern that reads a file name (without its suffix); None if no time can be made out in it."""
    return next((text for text in _candidates(stem) if NamePattern(text).fields(stem)), None)


def _candidates(stem: str) -> Iterator[str]:
    """Put fields in the place of what may be the time, the component and the view of a name."""
    if set(stem) & set("{}[]"):  # these would have a meaning in the pattern
        return
    for expression, unit, number in ((_AFTER, 3, 1), (_BEFORE, 1, 3)):
        for found in reversed(list(expression.finditer(stem))):
            field = "days" if found[unit].lower().startswith("d") else "hours"
            time = stem[found.start() : found.start(number)] + f"{{{field}}}" + stem[found.end(number) : found.end()]
            name, rest = stem[: found.start()], stem[found.end() :]
            separator = name[len(name.rstrip(" _.-")) :]
            if not name.rstrip(" _.-"):  # the time comes first
                between = rest[: len(rest) - len(rest.lstrip(" _.-"))]
                if between and rest.lstrip(" _.-"):
                    yield f"{name}{time}{between}{{component}}"
                continue
            view = _VIEW.fullmatch(rest)
            if not rest or view:
                yield f"{{component}}{separator}{time}[{view[1] if view else '-'}{{view}}]"


def _expression(text: str) -> str:
    """Turn a pattern into a regular expression."""
    parts, seen, depth = [], [], 0
    for field, bracket, plain in _TOKEN.findall(text):
        if bracket:
            depth += 1 if bracket == "[" else -1
            parts.append("(?:" if bracket == "[" else ")?")
        elif plain in ("{", "}") or (not plain and field not in _FIELDS):
            raise UserError(f"--pattern {text}: unknown field {{{field}}}; the fields are {_listed()}")
        elif plain:
            parts.append(re.escape(plain))
        else:
            if field in seen and field != "*":
                raise UserError(f"--pattern {text}: {{{field}}} stands twice; give each field once")
            seen.append(field)
            parts.append(_FIELDS[field])
        if depth not in (0, 1):
            raise UserError(f"--pattern {text}: brackets come in pairs, one [ and one ], and not within each other")
    if depth:
        raise UserError(f"--pattern {text}: a [ is not closed; write ] after what may be missing")
    if "component" not in seen or ("hours" in seen) == ("days" in seen):
        raise UserError(
            f"--pattern {text}: it needs {{component}} and either {{hours}} or {{days}}, "
            "as in '{component}_{hours}h[-{view}]'"
        )
    return "".join(parts)


def _listed() -> str:
    return ", ".join(f"{{{name}}}" for name in _FIELDS)
