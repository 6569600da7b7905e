"""The work of open_set_recognition.py predict: judge new photos with a saved open-set model, and write the answers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.common.files import GrowingFile, check_writable

if TYPE_CHECKING:
    import numpy as np

    from fastener.open_set.model import OpenSetModel, Verdict

_DIGITS = 6


def predict(arguments: argparse.Namespace) -> int:
    """Judge the photos of --dir or --image. The exit code is 1 if a photo cannot be read."""
    from fastener.datasets.images import list_images, read_image
    from fastener.inspection.pictures import picture_names
    from fastener.inspection.reading import ahead
    from fastener.open_set.model import load_open_set_model, summary_line

    if (arguments.dir is None) == (arguments.image is None):
        raise UserError("predict: name the photos by --dir or by --image")
    output = arguments.output or Path("outputs/open_set_predictions")
    check_writable(output / "results.json")
    if arguments.image is not None:
        paths, root = [arguments.image], arguments.image.parent
    else:
        root, paths = arguments.dir, list_images(arguments.dir, arguments.recursive)
        cli.report_passed_over(root, arguments.recursive)
    model_file = arguments.model or Path("outputs/open_set/split_a/model.pt")
    model = load_open_set_model(model_file, arguments.device or "auto", with_gate=not arguments.no_gate)
    names = picture_names({path: path.relative_to(root) for path in paths})
    verdicts: list[str] = []

    def read(path: Path) -> np.ndarray | UserError:
        try:
            return read_image(path)
        except UserError as error:
            return error

    with ExitStack() as stack:
        tables = _tables(stack, arguments, output)
        photos = cli.progress(ahead(read, paths, 1, 4), len(paths), "judging")
        for path, photo in zip(paths, photos, strict=True):
            entry = _entry(path, photo, model)
            for table in tables:
                table.write(entry)
            if isinstance(photo, UserError):
                cli.warn(str(photo))
                continue
            verdicts.append(entry["verdict"])
            if arguments.visualize:
                _draw(photo, entry, output / f"{names[path]}_{entry['verdict']}.png")
            if not tables:
                cli.say(_line(entry))
    print(summary_line(verdicts, len(paths) - len(verdicts)))
    return cli.EXIT_SOME_FAILED if len(verdicts) < len(paths) else cli.EXIT_OK


def add_flags(group: argparse._ActionsContainer) -> None:
    """Add the flags of predict."""
    group.add_argument(
        "--model", type=Path, metavar="F", help="saved model (default: outputs/open_set/split_a/model.pt)"
    )
    group.add_argument("--dir", type=Path, metavar="D", help="folder of new photos")
    group.add_argument("--image", type=Path, metavar="F", help="one new photo")
    group.add_argument("--recursive", action="store_true", help="search the folders in --dir, too")
    group.add_argument("--json", action="store_true", help="write results.json")
    group.add_argument("--csv", action="store_true", help="write results.csv")
    group.add_argument("--visualize", action="store_true", help="write each photo with its verdict")
    group.add_argument("--no-gate", action="store_true", help="leave out PatchCore: every photo shows a defect")


def _tables(stack: ExitStack, arguments: argparse.Namespace, output: Path) -> Sequence[Any]:
    from fastener.inspection.tables import JsonList

    found: list[Any] = []
    if arguments.json:
        found.append(JsonList(GrowingFile(output / "results.json")))
    if arguments.csv:
        found.append(_Csv(GrowingFile(output / "results.csv")))
    for table in found:
        stack.callback(table.close)
    return found


class _Csv:
    """Write entries as lines of a table."""

    def __init__(self, file: GrowingFile):
        from fastener.common.spreadsheet import CsvWriter
        from fastener.open_set.model import Verdict

        self._file = file
        self._columns = ["file", *(field.name for field in fields(Verdict)), "error"]
        self._writer = CsvWriter(file)
        self._writer.write_row(self._columns)

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line."""
        self._writer.write_row(entry.get(column) for column in self._columns)

    def close(self) -> None:
        """Put the file in its place."""
        self._file.close()


def _entry(path: Path, photo: np.ndarray | UserError, model: OpenSetModel) -> dict[str, Any]:
    if isinstance(photo, UserError):
        return {"file": str(path), "error": str(photo)}
    verdict: Verdict = model.judge(photo)
    return {"file": str(path), **dict(_rounded(asdict(verdict)))}


def _rounded(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        yield name, round(value, _DIGITS) if isinstance(value, float) else value


def _line(entry: dict[str, Any]) -> str:
    gate = (
        "" if entry["gate_score"] is None else f"; PatchCore {entry['gate_score']:.2f} of {entry['gate_threshold']:.2f}"
    )
    return (
        f"{Path(entry['file']).name}: {entry['verdict']}, most like {entry['named']} ({entry['confidence']:.0%}); "
        f"unknown score {entry['score']:.2f} of {entry['threshold']:.2f}{gate}"
    )


def _draw(photo: np.ndarray, entry: dict[str, Any], path: Path) -> None:
    """Write the photo under its verdict."""
    from fastener.inspection.drawing import contact_sheet, save_picture

    caption = f"{entry['verdict']}: {entry['score']:.2f} of {entry['threshold']:.2f}"
    most_like = f"most like {entry['named']}, {entry['confidence']:.0%}"
    save_picture(contact_sheet([[photo]], [caption], [most_like], cell=420), path)
