"""Read labelled images from ``train|valid|test/_classes.csv`` beside the images (Roboflow's multi-class export).

The CSV is UTF-8 with a header, separated by commas, semicolons or tabs: a column ``filename``, then one column a class
with 0 or 1 (also ``0.0`` and ``1.0``, as spreadsheets and pandas write them). An image is anomalous if any defect
column is 1, and healthy otherwise; ``label_columns`` tells from their names which columns mark a defect. Anything that
could turn a defective part into a healthy one by mistake is an error that names the file, the line and the fix.

Masks of defects may lie in ``masks/train|valid|test``, named as datasets/masks.py says.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PureWindowsPath

from fastener.common.errors import UserError
from fastener.common.spreadsheet import read_rows, with_point
from fastener.datasets.dataset import CSV_NAME, SPLIT_NAMES, TEST, TRAIN, VALID, Split
from fastener.datasets.label_columns import Columns, read_columns
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.listing import IMAGE_SUFFIXES, files_in, list_images
from fastener.datasets.masks import Masks
from fastener.datasets.names import masks_in, subfolder

_FILENAME = "filename"
_VALUES = {"0": False, "1": True, "0.0": False, "1.0": True}
# Folders that people call otherwise, first the name of the split itself.
_FOLDERS = {VALID: (VALID, "val", "validation"), TRAIN: (TRAIN, "training"), TEST: (TEST, "testing")}


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
        splits = split_names(data_dir)
        if not splits:
            looked_for = ", ".join(f"{name}/{CSV_NAME}" for name in SPLIT_NAMES)
            raise UserError(f"{data_dir}: no split found; looked for {looked_for}; name the folder that holds them")
    return [
        load_split(data_dir, name, defect_columns=defect_columns, healthy_columns=healthy_columns) for name in splits
    ]


def split_folder(data_dir: Path, split: str) -> Path | None:
    """Find the folder of a split, also under another usual name (val, training); None if there is none."""
    return subfolder(data_dir, *_FOLDERS[split])


def split_names(data_dir: Path) -> list[str]:
    """List the splits whose folder is there, in the order train, valid, test."""
    return [name for name in SPLIT_NAMES if split_folder(data_dir, name) is not None]


def labels_file(folder: Path) -> Path:
    """Name the CSV file of a split's folder, however it is spelt."""
    found = [path for path in folder.glob("*.[cC][sS][vV]") if path.name.casefold() == CSV_NAME]
    return sorted(found)[-1] if found else folder / CSV_NAME


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
    csv_path = labels_file(split_folder(data_dir, split) or data_dir / split)
    files = _Files(csv_path.parent)
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
        path = _image_path(files, cells[filename_at], where)
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

    images = _with_masks(sorted(images, key=lambda image: image.path), csv_path.parent, data_dir)
    unlisted = tuple(path for path in list_images(csv_path.parent) if path not in line_of)
    return Split(split, tuple(images), columns, unlisted, tuple(unlabelled))


def _with_masks(images: Sequence[LabelledImage], folder: Path, data_dir: Path) -> list[LabelledImage]:
    """Give defective images of a split's ``folder`` their masks, which lie in a folder of the split's name."""
    masks = masks_in(data_dir)
    truth = None if masks is None else subfolder(masks, folder.name)
    found = Masks((image.path.relative_to(folder) for image in images), truth)
    return [
        replace(image, mask_path=found.of(image.path.relative_to(folder))) if image.is_anomalous else image
        for image in images
    ]


def _read_rows(csv_path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and stripped cells of every row that is not blank, the header included."""
    try:
        yield from read_rows(csv_path)
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
            "add it, and separate columns with commas or semicolons"
        )
    filename_at = keys.index(_FILENAME)
    label_names = header[:filename_at] + header[filename_at + 1 :]
    if not label_names:
        raise UserError(f"{csv_path}: no label column beside {_FILENAME!r}; add one 0/1 column a class")
    return filename_at, label_names


class _Files:
    """The files of a folder by the names that rows give them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._by_key: dict[str, list[Path]] | None = None

    def find(self, name: str) -> Path | None:
        """Find a file by its name; if it is not there as it is written, whatever its slashes, accents and case.

        Systems write an accented letter as one character or as two, and Windows separates folders by backslashes.
        """
        path = self.folder / name
        try:
            if path.is_file():
                return path
        except OSError:  # the name is too long for a file, or the folder may not be entered
            return None
        if self._by_key is None:
            self._by_key = {}
            for one in files_in(self.folder):
                self._by_key.setdefault(_key(one.relative_to(self.folder).as_posix()), []).append(one)
        found = self._by_key.get(_key(PureWindowsPath(name).as_posix()), [])
        return found[0] if len(found) == 1 else None


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _image_path(files: _Files, name: str, where: str) -> Path:
    """Return the file that a row names, after checking that it exists and lies inside the split's folder."""
    if not name:
        raise UserError(f"{where}: {_FILENAME} is empty; name an image or delete the row")
    # The rules of Windows cover both kinds of slash and drive letters, so a CSV is equally safe on every system.
    parts = PureWindowsPath(name)
    if parts.anchor or ".." in parts.parts:
        raise UserError(f"{where}: {_FILENAME} {name!r} leads out of the split's folder; name a file inside it")
    if PureWindowsPath(name).suffix.lower() not in IMAGE_SUFFIXES:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise UserError(f"{where}: {_FILENAME} {name!r} is not an image file; name one of these kinds: {kinds}")
    path = files.find(name)
    if path is None:
        raise UserError(f"{where}: {_FILENAME} {name!r} is not in {files.folder}; add the image or delete the row")
    return path


def _labelled(path: Path, values: dict[str, str], columns: Columns, where: str) -> LabelledImage:
    for column, value in values.items():
        if with_point(value) not in _VALUES:
            raise UserError(f"{where}: column {column!r} is {value!r} for {path.name!r}; write 0 or 1")
    labels = tuple(column for column, value in values.items() if _VALUES[with_point(value)])
    if not labels and not columns.defect:
        raise UserError(
            f"{where}: {path.name!r} is in none of the healthy columns, and no column marks a defect; "
            "mark it, or name the defect columns"
        )
    return LabelledImage(path, any(label in columns.defect for label in labels), labels)
