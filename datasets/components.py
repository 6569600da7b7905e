"""Time series of components: photos named ``<Component Name>-T<hours>[-<shot>].<suffix>`` in and below one folder."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from fastener.common.errors import UserError
from fastener.datasets.folder import match_tag
from fastener.datasets.images import IMAGE_SUFFIXES

_HOURS = r"T(?P<hours>[0-9]+(?:\.[0-9]+)?)"


@dataclass(frozen=True)
class Shot:
    """One photo of a component after ``hours`` hours; ``shot`` tells several photos of one moment apart."""

    path: Path
    component: str
    hours: float
    shot: int | None


@dataclass(frozen=True)
class Series:
    """All photos of one component, sorted by hours, then shot (the one without a number first)."""

    component: str
    shots: tuple[Shot, ...]

    @property
    def hours(self) -> list[float]:
        """The moments at which the component was photographed, ascending."""
        return sorted({shot.hours for shot in self.shots})

    def at(self, hours: float) -> list[Shot]:
        """The photos of one moment; empty if there are none."""
        return [shot for shot in self.shots if shot.hours == hours]


def parse_component(path: Path) -> Shot | None:
    """Read a file name such as ``Bolt M5x0.8 Grey-T2.5-1.jpg``; None if it is not named so, or not an image."""
    return _named_shot(path) if path.suffix.lower() in IMAGE_SUFFIXES else None


def load_components(folder: Path) -> tuple[list[Series], dict[Path, str]]:
    """Read a folder and those in it into one series a component, sorted by name; and what was passed over, and why.

    Passed over is every file that is not named as above or of another format. Where photos in two folders have one
    component, hour and shot, their components may be different ones of one name: then no folder in ``folder`` is
    searched. Hidden files and folders are not listed, and folders behind links are not searched.

    Raises:
        UserError: no such folder, one that may not be read, no photo named as above, or two photos for one component,
            hour and shot, if not searching the folders in ``folder`` does not help.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the folder that holds the component photos")
    shots, skipped = _sorted_out(_files(folder))
    try:
        series = _series(shots)
    except UserError as error:
        above, below = [shot for shot in shots if shot.path.parent == folder], _folders(folder, shots)
        if not above or not below:
            raise
        series = _series(above)
        skipped = {path: reason for path, reason in skipped.items() if path.parent == folder}
        skipped |= dict.fromkeys(below, f"not searched, as names are not unique: {error}")
    if not series:
        unread = next((f"; {path.name}: {reason}" for path, reason in skipped.items() if _named_shot(path)), "")
        raise UserError(
            f"{folder}: no component photos; name them <component>-T<hours>[-<shot>].jpg, "
            f"such as 'Nut Black-T0.jpg' or 'Nut Black-T24-1.jpg'{unread}"
        )
    return series, skipped


def _named_shot(path: Path) -> Shot | None:
    """What a file name says, whatever the format of the file."""
    match = match_tag(path, _HOURS)
    if match is None or path.name.startswith("."):
        return None
    # Some systems write an accented letter as two characters: the same name must not become two components.
    component = unicodedata.normalize("NFC", match["name"] or "").strip()
    if not component:
        return None
    return Shot(path, component, float(match["hours"]), int(match["shot"]) if match["shot"] else None)


def _files(folder: Path) -> list[Path]:
    """The files in and below ``folder``, sorted, without hidden ones; links that lead nowhere count as files."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: not allowed to read this folder; check its permissions") from error

    found = []
    for at, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(at, name) for name in names if not name.startswith(".")]
    return sorted(found)


def _sorted_out(files: list[Path]) -> tuple[list[Shot], dict[Path, str]]:
    """The photos among the files, and why the others are none."""
    shots, skipped = [], {}
    for path in files:
        shot = parse_component(path)
        if shot is not None:
            shots.append(shot)
        elif _named_shot(path) is not None:
            skipped[path] = f"{path.suffix or 'its format'} cannot be read; convert it to JPEG if it is a photo"
        else:
            skipped[path] = "not named <component>-T<hours>[-<shot>].jpg"
    return shots, skipped


def _series(shots: list[Shot]) -> list[Series]:
    """Raises UserError where two photos have one component, hour and shot."""
    taken: dict[tuple[str, float, int | None], Path] = {}
    series: defaultdict[str, list[Shot]] = defaultdict(list)
    for shot in shots:
        first = taken.setdefault((shot.component, shot.hours, shot.shot), shot.path)
        if first != shot.path:
            raise UserError(
                f"{shot.path}: same component, hours and shot as {str(first)!r}; "
                "remove one of them, or give it another name or shot number"
            )
        series[shot.component].append(shot)
    return [Series(name, tuple(sorted(series[name], key=_moment))) for name in sorted(series)]


def _folders(folder: Path, shots: list[Shot]) -> list[Path]:
    """The folders in ``folder`` that hold shots, at whatever depth."""
    return sorted({folder / shot.path.relative_to(folder).parts[0] for shot in shots if shot.path.parent != folder})


def _moment(shot: Shot) -> tuple[float, int]:
    return shot.hours, -1 if shot.shot is None else shot.shot
