"""Sort the label columns of a multi-class CSV into those of healthy parts and those of defects.

A column marks a healthy part when its name starts with ``non``, ``not``, ``good``, ``healthy``, ``normal`` or ``ok``,
in any case and with any separator; every other column marks a defect. Names are compared by their first word, cut at
separators and at camelCase, because a defect may merely begin with the same letters:

- ``good``, ``healthy``, ``normal`` may run on without a separator ("goodbolt", "Normals");
- ``ok`` also as "okay", and nothing longer ("oksid" is a word for oxide);
- ``non`` and ``not`` run on only before a word for a defect ("noncorroded", "Notrusty"), so that "Notch" and
  "Nonuniform-wear" stay defects.

A column called ``Unlabeled`` or ``Unannotated``, as Roboflow writes it, says neither; its images are left out.

A rule about names cannot know their meaning ("Not_OK" reads as healthy): callers print ``Columns.describe()`` and offer
the override.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastener.common.errors import UserError

_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W\d_]+")
_DEFECT_STEMS = "anomal|broke|corro|crack|damag|defect|deform|dent|fault|rust|scratch|worn"
_UNLABELLED = re.compile(r"un(labell?ed|annotated)", re.IGNORECASE)
_HEALTHY_WORD = re.compile(rf"(good|healthy|normal).*|ok(ay)?|no[nt]({_DEFECT_STEMS}).*|no[nt]")


@dataclass(frozen=True)
class Columns:
    """The label columns of a file, sorted by their meaning; each group keeps the order of the file.

    Parameters
    ----------
    defect, healthy : tuple of str
        Columns that mark a defect, or a healthy part.
    unlabelled : tuple of str
        Columns that mark an image as having no label.
    """

    defect: tuple[str, ...]
    healthy: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()

    def describe(self) -> str:
        """Describe the columns in one line, "defect: A, B; healthy: C"."""
        return f"defect: {', '.join(self.defect) or 'none'}; healthy: {', '.join(self.healthy) or 'none'}"


def is_healthy_name(column: str) -> bool:
    """Tell whether a column marks healthy parts, by its name alone (see the rule at the top of this file)."""
    word = _WORD.search(_CAMEL_CASE.sub(" ", column))
    return word is not None and _HEALTHY_WORD.fullmatch(word.group().casefold()) is not None


def read_columns(
    names: Sequence[str],
    source: str,
    *,
    defect_columns: Sequence[str] | None = None,
    healthy_columns: Sequence[str] | None = None,
) -> Columns:
    """Sort the label columns ``names`` of the file ``source`` into defect and healthy.

    With one of the overrides, every column that it does not name belongs to the other group. With both, each column has
    to be in exactly one of them: a column left out could hide a defect. Override names may differ in case.

    Raises:
        UserError: an override names an unknown column, both name the same one, or together they leave one out.
    """
    named = {name.strip().casefold() for name in (*(defect_columns or ()), *(healthy_columns or ()))}
    unlabelled = tuple(name for name in names if _UNLABELLED.fullmatch(name) and name.casefold() not in named)
    found = _sorted([name for name in names if name not in unlabelled], source, defect_columns, healthy_columns)
    return replace(found, unlabelled=unlabelled)


def _sorted(
    names: Sequence[str], source: str, defect_columns: Sequence[str] | None, healthy_columns: Sequence[str] | None
) -> Columns:
    if defect_columns is None and healthy_columns is None:
        healthy = {name for name in names if is_healthy_name(name)}
        return Columns(tuple(n for n in names if n not in healthy), tuple(n for n in names if n in healthy))

    defects = _known(defect_columns or (), names, source, "defect columns")
    healthy = _known(healthy_columns or (), names, source, "healthy columns")
    if both := sorted(defects & healthy):
        raise UserError(f"{source}: column {both[0]!r} is named both as defect and as healthy; name it once")
    rest = [name for name in names if name not in defects | healthy]
    if defect_columns is not None and healthy_columns is not None and rest:
        raise UserError(
            f"{source}: column {rest[0]!r} is neither among the defect columns nor among the healthy columns; "
            "name it in one of them, or give only one of the two lists"
        )
    if defect_columns is None:
        defects |= set(rest)
    return Columns(tuple(n for n in names if n in defects), tuple(n for n in names if n not in defects))


def _known(wanted: Sequence[str], names: Sequence[str], source: str, option: str) -> set[str]:
    """Find the columns that an override means, spelt as in the file."""
    by_key = {name.casefold(): name for name in names}
    found = set()
    for name in wanted:
        key = name.strip().casefold()
        if key not in by_key:
            near = difflib.get_close_matches(key, by_key, n=1)
            hint = f"did you mean {by_key[near[0]]!r}?" if near else f"it has: {', '.join(names)}"
            raise UserError(f"{source}: no label column {name!r} (from the {option}); {hint}")
        found.add(by_key[key])
    return found
