"""Find the folders that hold CT slices, in any number of levels, and name what cannot be read."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from fastener.datasets.ct_dicom import is_dicom
from fastener.datasets.listing import is_system

PICTURE_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".bmp", ".jpg", ".jpeg"})
# Notes, tables and databases of file managers lie beside slices without being any.
_NO_SLICES = frozenset(
    {".csv", ".db", ".html", ".ini", ".json", ".log", ".md", ".pdf", ".txt", ".xml", ".yaml", ".yml"}
)


def is_slice(path: Path) -> bool:
    """Tell whether a file is read as slices."""
    if is_system(path.name) or not path.is_file():
        return False
    return path.suffix.lower() in PICTURE_SUFFIXES or is_dicom(path)


def sub_folders(folder: Path) -> list[Path]:
    """List the folders in a folder in natural order, without hidden ones."""
    found = (path for path in folder.iterdir() if path.is_dir() and not is_system(path.name))
    return sorted(found, key=lambda path: natural_key(path.name))


def folders_with_slices(folder: Path, problems: list[str]) -> list[Path]:
    """List ``folder`` and all folders below that hold slices, in natural order; add what is not read to ``problems``.

    A folder that a link leads back to is searched once.
    """
    found: list[Path] = []
    _search(folder, found, problems, set(), folder)
    return found


def not_read(folder: Path) -> list[str]:
    """Name the files beside slices that are neither slices nor notes, one message for each kind."""
    others = sorted(path for path in folder.iterdir() if path.is_file() and _may_be_missed(path))
    kinds = Counter(path.suffix.lower() or "no ending" for path in others)
    return [
        f"{folder}: {count} file(s) of kind {kind} are not read, such as "
        f"{next(path.name for path in others if (path.suffix.lower() or 'no ending') == kind)}; export slices as TIFF, "
        "PNG or DICOM"
        for kind, count in kinds.items()
    ]


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts "b2" before "b10"; digits of any script count."""
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)


def _search(folder: Path, found: list[Path], problems: list[str], seen: set[Path], root: Path) -> None:
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    inside = sub_folders(folder)
    if any(is_slice(path) for path in folder.iterdir()):
        found.append(folder)
    elif not inside and folder != root:
        problems.append(f"{folder}: holds no slice; it is in no result")
    if folder != root or folder in found:
        problems += not_read(folder)
    for one in inside:
        _search(one, found, problems, seen, root)


def _may_be_missed(path: Path) -> bool:
    hidden = is_system(path.name)
    return not hidden and path.suffix.lower() not in _NO_SLICES and not is_slice(path)
