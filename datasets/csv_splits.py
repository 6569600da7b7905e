"""Read labelled images from ``train|valid|test/_classes.csv`` beside the images (Roboflow's multi-class export).

The CSV is comma-separated UTF-8 with a header: a column ``filename``, then one column a class with 0 or 1 (also ``0.0``
and ``1.0``, as spreadsheets and pandas write them). An image is anomalous if any defect column is 1, and healthy
otherwise; ``label_columns`` tells from their names which columns mark a defect. Anything that could turn a defective
part into a healthy one by mistake is an error that names the file, the line and the fix.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath

from fastener.common.errors import UserError
from fastener.datasets.dataset import CSV_NAME, SPLIT_NAMES, Split
from fastener.datasets.images import IMAGE_SUFFIXES, list_images
from fastener.datasets.label_columns import Columns, read_columns
from fastener.datasets.labelled_image import LabelledImage

_FILENAME = "filename"
_VALUES = {"0": False, "1": True, "0.0": False, "1.0": True}


def load_splits(
    data_dir: Path,
    splits: Sequence[str] | None = None,
    *,
    defect_columns: Sequence[str] | None = None,
    healthy_columns: Sequence[str] | None = None,
) -> list[Split]:
    """Load the named splits, or each of train, valid and test whose folder exists.

    Raises:
        UserError: nothing to load, or anything ``load_split`` raises.
    """
    if splits is None:
        splits = [name for name in SPLIT_NAMES if (data_dir / name).is_dir()]
        if not splits:
            looked_for = ", ".join(f"{name}/{CSV_NAME}" for name in SPLIT_NAMES)
            raise UserError(f"{data_dir}: no split found; looked for {looked_for}; name the folder that holds them")
    return [
        load_split(data_dir, name, defect_columns=defect_columns, healthy_columns=healthy_columns) for name in splits
    ]


def load_split(
    data_dir: Path,
    split: str,
    *,
    defect_columns: Sequence[str] | None = None,
    healthy_columns: Sequence[str] | None = None,
) -> Split:
    """Read ``data_dir/split/_classes.csv``; the images must exist, and are not opened.

    ``defect_columns`` and ``healthy_columns`` replace the reading of the column names (see ``read_columns``).

    Raises:
        UserError: the CSV is missing, malformed, empty, or has a row that cannot be trusted.
    """
    csv_path = data_dir / split / CSV_NAME
    rows = _read_rows(csv_path)
    header = next(rows, (0, []))[1]
    filename_at, label_names = _read_header(header, csv_path)
    columns = read_columns(label_names, str(csv_path), defect_columns=defect_columns, healthy_columns=healthy_columns)

    line_of: dict[Path, int] = {}
    images: list[LabelledImage] = []
    unlabelled: list[Path] = []
    for line, cells in rows:
        where = f"{csv_path}, line {line}"
        if len(cells) != len(header):
            raise UserError(
                f"{where}: {len(cells)} fields where the header has {len(header)}; "
                "give each column one value, and quote a file name that holds a comma"
            )
        path = _image_path(csv_path.parent, cells[filename_at], where)
        if path in line_of:
            raise UserError(
                f"{where}: filename {path.name!r} is already on line {line_of[path]}; keep one of the two rows"
            )
        line_of[path] = line
        values = cells[:filename_at] + cells[filename_at + 1 :]
        image = _labelled(path, dict(zip(label_names, values, strict=True)), columns, where)
        if set(image.labels) & set(columns.unlabelled):
            unlabelled.append(path)
        else:
            images.append(image)
    if not images:
        raise UserError(f"{csv_path}: no rows below the header; add one row an image")

    images.sort(key=lambda image: image.path)
    unlisted = tuple(path for path in list_images(csv_path.parent) if path not in line_of)
    return Split(split, tuple(images), columns, unlisted, tuple(unlabelled))


def _read_rows(csv_path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and stripped cells of every row that is not blank, the header included."""
    try:
        # utf-8-sig drops the byte order mark of Excel, which would otherwise become part of the first column's name.
        with csv_path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield reader.line_num, cells
    except FileNotFoundError:
        raise UserError(f"{csv_path}: no such file; a split is a folder with {CSV_NAME} beside its images") from None
    except UnicodeDecodeError:
        raise UserError(f"{csv_path}: not UTF-8 text; save it as CSV UTF-8") from None
    except (OSError, csv.Error) as error:
        raise UserError(f"{csv_path}: cannot be read as CSV: {error}; check the file and its quotes") from None


def _read_header(header: list[str], csv_path: Path) -> tuple[int, list[str]]:
    """Find the position of the filename column and the names of the other columns."""
    if not header:
        raise UserError(
            f"{csv_path}: the file is empty; it needs a header '{_FILENAME},<class>,...' and one row an image"
        )
    keys = [name.casefold() for name in header]
    for position, key in enumerate(keys):
        if not key:
            raise UserError(f"{csv_path}: column {position + 1} has no name in the header; name it or delete it")
        if key in keys[:position]:
            raise UserError(f"{csv_path}: two columns are named {header[position]!r}; rename or delete one")
    if _FILENAME not in keys:
        raise UserError(
            f"{csv_path}: no column {_FILENAME!r} in the header {','.join(header)!r}; "
            "add it, and separate columns with commas"
        )
    filename_at = keys.index(_FILENAME)
    label_names = header[:filename_at] + header[filename_at + 1 :]
    if not label_names:
        raise UserError(f"{csv_path}: no label column beside {_FILENAME!r}; add one 0/1 column a class")
    return filename_at, label_names


def _image_path(folder: Path, name: str, where: str) -> Path:
    """Return the file that a row names, after checking that it exists and lies inside the split's folder."""
    if not name:
        raise UserError(f"{where}: {_FILENAME} is empty; name an image or delete the row")
    # The rules of Windows cover both kinds of slash and drive letters, so a CSV is equally safe on every system.
    parts = PureWindowsPath(name)
    if parts.anchor or ".." in parts.parts:
        raise UserError(f"{where}: {_FILENAME} {name!r} leads out of the split's folder; name a file inside it")
    path = folder / name
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise UserError(f"{where}: {_FILENAME} {name!r} is not an image file; name one of these kinds: {kinds}")
    try:
        there = path.is_file()
    except OSError:  # the name is too long for a file, or the folder may not be entered
        there = False
    if not there:
        raise UserError(f"{where}: {_FILENAME} {name!r} is not in {folder}; add the image or delete the row")
    return path


def _labelled(path: Path, values: dict[str, str], columns: Columns, where: str) -> LabelledImage:
    for column, value in values.items():
        if value not in _VALUES:
            raise UserError(f"{where}: column {column!r} is {value!r} for {path.name!r}; write 0 or 1")
    labels = tuple(column for column, value in values.items() if _VALUES[value])
    if not labels and not columns.defect:
        raise UserError(
            f"{where}: {path.name!r} is in none of the healthy columns, and no column marks a defect; "
            "mark it, or name the defect columns"
        )
    return LabelledImage(path, any(label in columns.defect for label in labels), labels)
