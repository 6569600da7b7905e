"""Time series of components: photos named ``<Component Name>-T<hours>[-<shot>].<suffix>`` in one folder."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from datasets.folder import match_tag
from datasets.images import IMAGE_SUFFIXES
from errors import UserError

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
    match = match_tag(path, _HOURS)
    if match is None or path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
        return None
    # Some systems write an accented letter as two characters: the same name must not become two components.
    component = unicodedata.normalize("NFC", match["name"] or "").strip()
    if not component:
        return None
    return Shot(path, component, float(match["hours"]), int(match["shot"]) if match["shot"] else None)


def load_components(folder: Path) -> tuple[list[Series], list[Path]]:
    """Read a folder (not its subfolders) into one series a component, sorted by name, and the files skipped.

    Skipped is every file that is not named as above, except hidden ones, which are passed over.

    Raises:
        UserError: no such folder, no file named as above, or two files for one component, hour and shot.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the folder that holds the component photos")
    taken: dict[tuple[str, float, int | None], Path] = {}
    shots: defaultdict[str, list[Shot]] = defaultdict(list)
    skipped = []
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        shot = parse_component(path)
        if shot is None:
            skipped.append(path)
            continue
        key = (shot.component, shot.hours, shot.shot)
        if key in taken:
            raise UserError(
                f"{path}: same component, hours and shot as {taken[key].name!r}; "
                "remove one of them, or give it another shot number"
            )
        taken[key] = path
        shots[shot.component].append(shot)
    if not shots:
        raise UserError(
            f"{folder}: no component photos; name them <component>-T<hours>[-<shot>].jpg, "
            "such as 'Nut Black-T0.jpg' or 'Nut Black-T24-1.jpg'"
        )
    return [Series(name, tuple(sorted(shots[name], key=_moment))) for name in sorted(shots)], skipped


def _moment(shot: Shot) -> tuple[float, int]:
    return shot.hours, -1 if shot.shot is None else shot.shot
