"""Read time series of components: photos named ``<Component Name>-T<hours>[-<shot>].<suffix>`` below one folder."""

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
        Number that tells several photos of one moment apart; None if the file name holds none.
    """

    path: Path
    component: str
    hours: float
    number: int | None


@dataclass(frozen=True)
class Series:
    """Hold all photos of one component, sorted by hours, then by number (a photo without a number comes first)."""

    component: str
    shots: tuple[Shot, ...]

    @property
    def hours(self) -> list[float]:
        """Hours at which the component was photographed, ascending."""
        return sorted({shot.hours for shot in self.shots})

    def at(self, hours: float) -> list[Shot]:
        """Return the photos of one moment; empty if there are none."""
        return [shot for shot in self.shots if shot.hours == hours]


def parse_component(path: Path) -> Shot | None:
    """Parse a file name such as ``Bolt M5x0.8 Grey-T2.5-1.jpg``; None for any other name, or if it is no image."""
    return _named_shot(path) if path.suffix.lower() in IMAGE_SUFFIXES else None


def load_components(folder: Path) -> tuple[list[Series], dict[Path, str]]:
    """List the photos in and below a folder as one series for each component, sorted by name.

    Also returns the skipped files with the reason: files with another name or format. If two folders hold the same
    component, hour and shot, they may mean different components of one name, so that no subfolder is read. Hidden
    files and folders are ignored, and folders behind links are not searched.

    Raises
    ------
    UserError
        The folder is missing or unreadable, holds no photo named as above, or holds two photos of the same component,
        hour and shot even without its subfolders.
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
    """Parse a file name, whatever the format of the file."""
    match = match_tag(path, _HOURS)
    if match is None or path.name.startswith("."):
        return None
    # Some systems write an accented letter as two characters. The same name must not become two components.
    component = unicodedata.normalize("NFC", match["name"] or "").strip()
    if not component:
        return None
    return Shot(path, component, float(match["hours"]), int(match["shot"]) if match["shot"] else None)


def _files(folder: Path) -> list[Path]:
    """List the files in and below ``folder``, sorted, without hidden ones; links that lead nowhere count as files."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: not allowed to read this folder; check its permissions") from error

    found = []
    for at, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(at, name) for name in names if not name.startswith(".")]
    return sorted(found)


def _sorted_out(files: list[Path]) -> tuple[list[Shot], dict[Path, str]]:
    """Tell the photos from the other files; for each of these, give the reason."""
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
    """Group shots into series. Raises UserError if two photos have the same component, hour and shot."""
    taken: dict[tuple[str, float, int | None], Path] = {}
    series: defaultdict[str, list[Shot]] = defaultdict(list)
    for shot in shots:
        first = taken.setdefault((shot.component, shot.hours, shot.number), shot.path)
        if first != shot.path:
            raise UserError(
                f"{shot.path}: same component, hours and shot as {str(first)!r}; "
                "remove one of them, or give it another name or shot number"
            )
        series[shot.component].append(shot)
    return [Series(name, tuple(sorted(series[name], key=_moment))) for name in sorted(series)]


def _folders(folder: Path, shots: list[Shot]) -> list[Path]:
    """List the subfolders of ``folder`` that hold shots, at any depth."""
    return sorted({folder / shot.path.relative_to(folder).parts[0] for shot in shots if shot.path.parent != folder})


def _moment(shot: Shot) -> tuple[float, int]:
    return shot.hours, -1 if shot.number is None else shot.number
