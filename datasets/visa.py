"""VisA: twelve objects, split by the table split_csv/1cls.csv.

Zou et al. 2022, "SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and Segmentation". The table
has the columns object, split, label (normal or anomaly), image and mask, with paths below the root; ``image_anno.csv``
of an object names the defects of its images.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from fastener.common.errors import UserError
from fastener.common.spreadsheet import read_rows
from fastener.datasets.dataset import GOOD, TEST, TRAIN
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.layout import Found, Images, ResearchLayout, file_inside, named
from fastener.datasets.listing import folders_in

TABLE = "split_csv/1cls.csv"
_COLUMNS = ("object", "split", "label", "image", "mask")


class Visa(ResearchLayout):
    """The one-class split of VisA."""

    title = "VisA"
    looks_for = TABLE

    def matches(self, folder: Path) -> bool:
        """Tell whether the table is in the folder, or in the one above it."""
        return _root(folder) is not None

    def find(self, folder: Path) -> Found:
        """Read the table; the folder of one object is this object alone."""
        root = _root(folder)
        if root is None:
            raise UserError(f"{folder}: no {TABLE} there; name the folder that holds it")
        rows = list(_rows(root / TABLE, _COLUMNS))
        objects = {row["object"] for _, row in rows}
        there = [path.name for path in folders_in(root)] if root == folder else [named(folder).name]
        names = tuple(name for name in there if name in objects)
        if not names:
            raise UserError(f"{folder}: holds no object that {root / TABLE} knows; unpack one there")
        return Found(root, names, lambda name: _images(root, name, rows))


def _root(folder: Path) -> Path | None:
    if (folder / TABLE).is_file():
        return folder
    above = named(folder).parent
    return above if (above / TABLE).is_file() and named(folder).name != Path(TABLE).parent.name else None


def _images(root: Path, category: str, rows: list[tuple[int, dict[str, str]]]) -> Images:
    defects = _defects(root / category / "image_anno.csv")
    found: dict[str, list[LabelledImage]] = {TRAIN: [], TEST: []}
    for line, row in rows:
        if row["object"] != category:
            continue
        where = f"{root / TABLE}, line {line}"
        if row["split"] not in found or row["label"] not in ("normal", "anomaly"):
            raise UserError(
                f"{where}: split {row['split']!r} and label {row['label']!r}; write train or test, normal or anomaly"
            )
        path = _file(root, row["image"], where)
        if row["label"] == "normal":
            found[row["split"]].append(LabelledImage(path, False, (GOOD,)))
        else:
            labels = defects.get(row["image"]) or ("anomaly",)
            mask = _file(root, row["mask"], where) if row["mask"] else None
            found[row["split"]].append(LabelledImage(path, True, labels, mask))
    return found


def _file(root: Path, name: str, where: str) -> Path:
    path = file_inside(root, name)
    if path is None:
        raise UserError(f"{where}: {name} is not in {root}; unpack the whole data set there, or delete the row")
    return path


def _defects(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the defects of each image; empty without the table."""
    if not path.is_file():
        return {}
    rows = _rows(path, ("image", "label"))
    return {row["image"]: tuple(sorted(word.strip() for word in row["label"].split(","))) for _, row in rows}


def _rows(table: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells by column. Raises UserError if the table cannot be read."""
    try:
        rows = read_rows(table)
        header = next(rows, (0, []))[1]
        if missing := [name for name in columns if name not in header]:
            raise UserError(f"{table}: no column {missing[0]!r}; the columns must be {', '.join(columns)}")
        for line, cells in rows:
            if len(cells) != len(header):
                raise UserError(f"{table}, line {line}: {len(cells)} fields where the header has {len(header)}")
            yield line, dict(zip(header, cells, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table}: cannot be read as CSV: {error}; take the file of the data set") from None
