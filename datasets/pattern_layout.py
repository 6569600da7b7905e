"""Layouts that are stated by patterns of paths: published data sets, and what a user writes after --layout."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fastener.common.errors import UserError
from fastener.datasets.dataset import TRAIN
from fastener.datasets.layout import Found, ResearchLayout, named
from fastener.datasets.path_patterns import PathPattern

ROLES = ("good", "valid", "test", "defect", "mask", "aside")
EXAMPLE = "'good=ok/*,defect=bad/{defect}/*,mask=masks/{name}.png'"
_CATEGORY = "{category}/"


@dataclass(frozen=True)
class PatternLayout(ResearchLayout):
    """Find photos and masks by patterns, see ``PathPattern``.

    A photo that the pattern of good and that of defective ones both match is good unless its mask marks a pixel. If
    there are no good photos for the test, the last fifth by name of those to learn from is, see ``hold_back``. Without
    ``{category}`` all photos are of one category, which has the folder's name.

    Parameters
    ----------
    title, looks_for : str
        See ``Layout``.
    good : str
        Pattern of the good photos to learn from.
    valid, test, defect : str
        Patterns of good photos for validation, of good and of defective ones for the test; "" for none.
    mask : str
        Pattern of the masks, with fields of the photo; "" for none.
    aside : str
        Pattern of images that belong to the data set and are left out on purpose.
    sign : str
        Pattern of a file or folder by which the layout is recognised; "" for a layout that is only named.

    Raises
    ------
    UserError
        A pattern that cannot be read, or a field of ``mask`` that photos do not have.
    """

    title: str
    looks_for: str
    good: str
    valid: str = ""
    test: str = ""
    defect: str = ""
    mask: str = ""
    aside: str = ""
    sign: str = ""

    def __post_init__(self) -> None:
        patterns = self.patterns()
        known = {"name", "folder"} | patterns.get("defect", patterns["good"]).fields
        if "mask" in patterns and (odd := sorted(patterns["mask"].fields - known)):
            raise UserError(f"--layout mask={self.mask}: photos have no {{{odd[0]}}}; name it in defect=... as well")
        for role in {"valid", "test", "defect"} & set(patterns):
            if ("category" in patterns[role].fields) != ("category" in patterns["good"].fields):
                raise UserError(f"--layout: {{category}} stands in one of good=... and {role}=...; name it in both")

    def patterns(self) -> dict[str, PathPattern]:
        """Return the patterns that are given, by role."""
        return {role: PathPattern(text) for role in ROLES if (text := getattr(self, role))}

    def matches(self, folder: Path) -> bool:
        """Tell whether the sign is in the folder, or the folder is one of the categories with the sign."""
        return bool(self.sign) and (_holds(folder, self.sign) or self._is_category(folder))

    def find(self, folder: Path) -> Found:
        """List the images below the folder, and sort them by the patterns."""
        from fastener.datasets.pattern_reading import PatternReader

        one = named(folder)
        inside = self._is_category(folder)
        reader = PatternReader(one, self.patterns(), one.name if inside else "")
        if "category" in self.patterns()["good"].fields:
            found = Found(one.parent if inside else one, reader.categories, reader.images, reader.belongs)
        else:
            found = Found(one.parent, (one.name,), lambda name: reader.images(), reader.belongs)
        if not found.categories or all(image.is_anomalous for image in found.images(found.categories[0])[TRAIN]):
            raise UserError(f"{folder}: no good photo there; looked for {self.good}, see docs/datasets.md")
        return found

    def _is_category(self, folder: Path) -> bool:
        alternatives = [one.strip() for one in self.sign.split("|")]
        inside = [one.removeprefix(_CATEGORY) for one in alternatives if one.startswith(_CATEGORY)]
        return any(_holds(folder, one) for one in inside)


def parse_patterns(text: str) -> PatternLayout:
    """Read ``good=...,defect=...,mask=...``, each a pattern. Raises UserError for anything else, with an example."""
    given: dict[str, str] = {}
    for part in re.split(r",(?=\s*\w+=)", text):
        role, _, pattern = (word.strip() for word in part.partition("="))
        if role not in ROLES or not pattern:
            raise UserError(f"--layout {part.strip()}: write one of {', '.join(ROLES)} and a pattern, as in {EXAMPLE}")
        if role in given:
            raise UserError(f"--layout: {role}= stands twice; join patterns with |, as in {role}=a/*|b/*")
        given[role] = pattern
    if "good" not in given:
        raise UserError(f"--layout {text}: says nothing of good photos; add good=..., as in {EXAMPLE}")
    return PatternLayout("patterns of --layout", text, **given)


def _holds(folder: Path, pattern: str) -> bool:
    return any(next(folder.glob(glob), None) is not None for glob in PathPattern(pattern).globs())
