"""Patterns of paths, such as ``test/{defect}/*``: which files they name, and what the names say."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cached_property

from fastener.common.errors import UserError

# What a field stands for: the name of one folder, the photo's name without its ending, the photo's folder.
FIELDS = {"category": r"[^/]+", "defect": r"[^/]+", "name": r"[^/]+?", "folder": r".+?"}
_TOKEN = re.compile(r"\{([^{}]*)\}|(\*\*/?)|(\*)|([^{}*]+|[{}])")


class PathPattern:
    """Match paths below a folder, in upper or lower case.

    ``*`` stands for any characters of one name, ``**`` for any folders; ``{category}`` and ``{defect}`` for the name of
    a folder, ``{name}`` for the name of a photo without its ending, ``{folder}`` for the path of its folder. ``|``
    separates alternatives.

    Raises
    ------
    UserError
        An unknown field, or one that stands twice.

    Examples
    --------
    >>> PathPattern("{category}/test/{defect}/*").match("nut/test/scratch/007.png")
    {'category': 'nut', 'defect': 'scratch'}
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._expressions = [re.compile(_expression(one.strip(), text), re.IGNORECASE) for one in text.split("|")]

    @cached_property
    def fields(self) -> frozenset[str]:
        """Fields that every alternative has."""
        return frozenset.intersection(*(frozenset(one.groupindex) for one in self._expressions))

    def match(self, path: str) -> dict[str, str] | None:
        """Read a path with slashes; None if it does not fit."""
        for expression in self._expressions:
            found = expression.fullmatch(unicodedata.normalize("NFC", path))
            if found is not None:
                return found.groupdict()
        return None

    def globs(self) -> Iterator[str]:
        """Write each alternative for ``Path.glob``."""
        for one in self.text.split("|"):
            yield re.sub(r"\{[^{}]*\}", "*", one.strip())


def _expression(text: str, whole: str) -> str:
    parts: list[str] = []
    seen: set[str] = set()
    for field, folders, star, plain in _TOKEN.findall(text.strip("/")):
        if folders:
            parts.append("(?:.+/)?" if folders.endswith("/") else ".+")
        elif star:
            parts.append("[^/]*")
        elif plain in ("{", "}") or (not plain and field not in FIELDS):
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise UserError(f"--layout {whole}: unknown field {{{field}}}; the fields are {known}")
        elif plain:
            parts.append(re.escape(unicodedata.normalize("NFC", plain)))
        elif field in seen:
            raise UserError(f"--layout {whole}: {{{field}}} stands twice; give each field once")
        else:
            seen.add(field)
            parts.append(f"(?P<{field}>{FIELDS[field]})")
    return "".join(parts)
