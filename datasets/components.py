"""Read time series of components: photos below one folder, whose names state component, hours and shot.

Names are ``<Component Name>-T<hours>[-<shot>].<suffix>``, or follow patterns of ``name_patterns``.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fastener.common.errors import UserError
from fastener.datasets.folder import match_tag
from fastener.datasets.listing import IMAGE_SUFFIXES, is_system, without_results
from fastener.datasets.name_patterns import NameFields, NamePattern, fitting_pattern

# Value of ``replicates`` by which each shot number is a specimen.
EACH_SHOT = "shots"
_HOURS = r"T(?P<hours>[0-9]+(?:\.[0-9]+)?)"


@dataclass(frozen=True)
class Shot:
    """Name one photo of a component.

    Parameters
    ----------
    path
        The file.
    component
        Name of the component.
    hours
        Hours since T0.
    number
        Number that tells several photos of one moment apart; None if the file name holds none. Words of a pattern's
        ``{view}`` are numbered in alphabetical order within their component.
    sample
        Name of the specimen among several of one component; None if the file name holds none.
    """

    path: Path
    component: str
    hours: float
    number: int | None
    sample: str | None = None


@dataclass(frozen=True)
class Series:
    """Hold all photos of one specimen, sorted by hours, then by number (a photo without a number comes first).

    Parameters
    ----------
    component
        Name of the specimen: the component's, with its sample after a ``#`` if the file names hold one.
    shots
        The photos.
    lot
        What the specimen is a replicate of; "" if it stands for itself.
    """

    component: str
    shots: tuple[Shot, ...]
    lot: str = ""

    @property
    def hours(self) -> list[float]:
        """Hours at which the component was photographed, ascending."""
        return sorted({shot.hours for shot in self.shots})

    def at(self, hours: float) -> list[Shot]:
        """Return the photos of one moment; empty if there are none."""
        return [shot for shot in self.shots if shot.hours == hours]


def parse_component(path: Path) -> Shot | None:
    """Parse a file name such as ``Bolt M5x0.8 Grey-T2.5-1.jpg``; None for any other name, or if it is no image."""
    return _shot(path, _tagged(path), {}) if path.suffix.lower() in IMAGE_SUFFIXES else None


def load_components(
    folder: Path, patterns: Sequence[str] = (), replicates: str | None = None
) -> tuple[list[Series], dict[Path, str]]:
    """List the photos in and below a folder as one series for each specimen, sorted by name.

    Also returns the skipped files with the reason: files with another name or format. If two folders hold the same
    component, hour and shot, they may mean different components of one name, so that no subfolder is read. Hidden
    files and folders are ignored, and folders behind links are not searched.

    Parameters
    ----------
    folder
        Where the photos are.
    patterns
        Patterns of the file names, see ``name_patterns``; the first that fits counts. Without any, names are
        ``<component>-T<hours>[-<shot>]``.
    replicates
        Which specimens are replicates of one lot: a regular expression that finds the specimen's mark in the
        component's name, see ``group_of``; "shots" if each shot number is a specimen.

    Raises
    ------
    UserError
        The folder is missing or unreadable, holds no photo named as above, or holds two photos of the same component,
        hour and shot even without its subfolders.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the folder that holds the component photos")
    naming = _Naming(patterns)
    shots, skipped = naming.sort_out(_files(folder))
    try:
        series = _series(shots, replicates)
    except UserError as error:
        above, below = [shot for shot in shots if shot.path.parent == folder], _folders(folder, shots)
        if not above or not below:
            raise
        series = _series(above, replicates)
        skipped = {path: reason for path, reason in skipped.items() if path.parent == folder}
        skipped |= dict.fromkeys(below, f"not searched, as names are not unique: {error}")
    if not series:
        unread = next((f"; {path.name}: {reason}" for path, reason in skipped.items() if _could_be_photo(path)), "")
        raise UserError(
            f"{folder}: no component photos; name them <component>-T<hours>[-<shot>].jpg, "
            f"such as 'Nut Black-T0.jpg' or 'Nut Black-T24-1.jpg', or give --pattern{unread}"
        )
    return series, skipped


def group_of(component: str, replicates: re.Pattern[str]) -> str:
    """Name the lot of a component: the expression's first group, or else the name without what it matches.

    Components that it does not match stand for themselves.

    Examples
    --------
    >>> group_of("Bolt M5 #2", re.compile("#[0-9]+")), group_of("Bolt M5 b", re.compile("(.*) [a-z]"))
    ('Bolt M5', 'Bolt M5')
    """
    match = replicates.search(component)
    if match is None:
        return ""
    rest = component[: match.start()] + component[match.end() :]
    return (match[1] or "" if replicates.groups else rest).strip(" -_") or component


class _Naming:
    """Read file names by patterns, or by the usual names without any."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [NamePattern(text) for text in patterns]
        self._asked = " or ".join(patterns) or "<component>-T<hours>[-<shot>].jpg"

    def sort_out(self, files: list[Path]) -> tuple[list[Shot], dict[Path, str]]:
        """Tell the photos from the other files; for each of these, give the reason."""
        read: dict[Path, NameFields] = {}
        skipped = {}
        for path in files:
            fields = self._fields(path)
            if fields is None:
                skipped[path] = self._refusal(path)
            elif path.suffix.lower() not in IMAGE_SUFFIXES:
                skipped[path] = f"{path.suffix or 'its format'} cannot be read; convert it to JPEG if it is a photo"
            else:
                read[path] = fields
        views = _numbered_views(list(read.values()))
        shots = {path: _shot(path, fields, views) for path, fields in read.items()}
        return [shot for shot in shots.values() if shot is not None], skipped

    def _fields(self, path: Path) -> NameFields | None:
        if path.name.startswith("."):
            return None
        if not self._patterns:
            return _tagged(path)
        return next(filter(None, (pattern.fields(path.stem) for pattern in self._patterns)), None)

    def _refusal(self, path: Path) -> str:
        fitting = fitting_pattern(path.stem) if path.suffix.lower() in IMAGE_SUFFIXES else None
        return f"not named {self._asked}" + (f"; --pattern '{fitting}' would fit" if fitting else "")


def _tagged(path: Path) -> NameFields | None:
    """Parse a file name of the usual form, whatever the format of the file."""
    match = match_tag(path, _HOURS)
    if match is None or path.name.startswith("."):
        return None
    return NameFields(match["name"] or "", float(match["hours"]), match["shot"])


def _shot(path: Path, fields: NameFields | None, views: dict[tuple[str, str], int]) -> Shot | None:
    """Make a shot of what its name says; None if it names no component."""
    # Some systems write an accented letter as two characters. The same name must not become two components.
    component = unicodedata.normalize("NFC", fields.component).strip() if fields else ""
    if fields is None or not component:
        return None
    number = None
    if fields.view is not None:
        number = int(fields.view) if fields.view.isdecimal() else views[fields.component, fields.view.lower()]
    return Shot(path, component, fields.hours, number, fields.sample)


def _numbered_views(fields: list[NameFields]) -> dict[tuple[str, str], int]:
    """Number the views that are words, from 1 on after the numbers that the component uses."""
    words: defaultdict[str, set[str]] = defaultdict(set)
    highest: defaultdict[str, int] = defaultdict(int)
    for one in fields:
        if one.view is None:
            continue
        if one.view.isdecimal():
            highest[one.component] = max(highest[one.component], int(one.view))
        else:
            words[one.component].add(one.view.lower())
    return {
        (component, word): highest[component] + number
        for component, names in words.items()
        for number, word in enumerate(sorted(names), 1)
    }


def _could_be_photo(path: Path) -> bool:
    """Tell whether a skipped file is worth a word when there is no photo at all."""
    return _tagged(path) is not None or path.suffix.lower() in IMAGE_SUFFIXES


def _files(folder: Path) -> list[Path]:
    """List the files in and below ``folder``, sorted, without hidden ones; links that lead nowhere count as files."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: not allowed to read this folder; check its permissions") from error

    found = []
    for at, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not is_system(name)]
        found += [Path(at, name) for name in names if not is_system(name)]
    return sorted(without_results(found))


def _series(shots: list[Shot], replicates: str | None) -> list[Series]:
    """Group shots into series. Raises UserError if two photos have the same component, hour and shot."""
    if replicates == EACH_SHOT:
        shots = [replace(shot, sample=None if shot.number is None else str(shot.number)) for shot in shots]
        replicates = None
    expression = _compiled(replicates)
    taken: dict[tuple[str, str | None, float, int | None], Path] = {}
    series: defaultdict[tuple[str, str | None], list[Shot]] = defaultdict(list)
    for shot in shots:
        first = taken.setdefault((shot.component, shot.sample, shot.hours, shot.number), shot.path)
        if first != shot.path:
            raise UserError(
                f"{shot.path}: same component, hours and shot as {str(first)!r}; "
                "remove one of them, or give it another name or shot number"
            )
        series[shot.component, shot.sample].append(shot)
    sampled = {component for component, sample in series if sample is not None}
    found = []
    for (component, sample), members in series.items():
        name = component if sample is None else f"{component} #{sample}"
        lot = component if component in sampled else group_of(component, expression) if expression else ""
        found.append(Series(name, tuple(sorted(members, key=_moment)), lot))
    return sorted(found, key=lambda one: one.component)


def _compiled(replicates: str | None) -> re.Pattern[str] | None:
    if replicates is None:
        return None
    try:
        return re.compile(replicates)
    except re.error as error:
        raise UserError(f"--replicates {replicates}: no regular expression ({error}); see docs/corrosion.md") from None


def _folders(folder: Path, shots: list[Shot]) -> list[Path]:
    """List the subfolders of ``folder`` that hold shots, at any depth."""
    return sorted({folder / shot.path.relative_to(folder).parts[0] for shot in shots if shot.path.parent != folder})


def _moment(shot: Shot) -> tuple[float, int]:
    return shot.hours, -1 if shot.number is None else shot.number
