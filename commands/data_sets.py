"""List the data sets that can be read as they are unpacked, or say how a folder is read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fastener.commands import cli, data
from fastener.datasets.dataset import Dataset

EXAMPLE = "python -m fastener.datasets --list   or   python -m fastener.datasets --data-dir mvtec_loco"


def main() -> int:
    """Print the catalogue, or the categories of a folder with the number of their images."""
    arguments = _arguments()
    if arguments.list:
        from fastener.datasets.catalogue import CATALOGUE

        listed = [(one.name, one.shows, one.layout, one.licence, one.site) for one in CATALOGUE]
        cli.say(_table(("data set", "shows", "layout", "licence", "site"), listed))
        cli.say("docs/datasets.md says how each is laid out")
        return cli.EXIT_OK
    layout = data.recognised(arguments)
    assert layout is not None  # --data-dir is checked above
    dataset = data.load(arguments, layout)
    names = dataset.categories or ("",)
    rows = [_counts(dataset, name) for name in names]
    cli.say(_table(("category", *dataset.splits, "with a mask", "defects"), rows))
    data.report_unused(dataset, names)
    return cli.EXIT_OK


def _counts(dataset: Dataset, category: str) -> tuple[str, ...]:
    """Count the good and the defective images of each split, and the defective ones that have a mask."""
    cells, good, bad = [category or "all"], [], []
    for name in dataset.splits:
        images = dataset.read(name, category).images
        here = [image for image in images if image.is_anomalous]
        number = f"{len(images) - len(here)} good" if dataset.labelled else f"{len(images)} without a label"
        cells.append(f"{number}, {len(here)} defective" if here else number)
        good += [image for image in images if not image.is_anomalous]
        bad += here
    labels = {label for image in bad for label in image.labels} - {label for image in good for label in image.labels}
    return (*cells, str(sum(image.has_mask for image in bad)), ", ".join(sorted(labels)) or "none")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]
    return "\n".join(line.rstrip() for line in lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="fastener-datasets",
        description=__doc__,
        epilog=f"example: {EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", action="store_true", help="list published data sets: layout, licence, site")
    data.add_flags(parser.add_argument_group("a folder"))
    arguments = parser.parse_args()
    arguments.method, arguments.category = "patchcore", None
    if not arguments.list and arguments.data_dir is None and arguments.mvtec_dir is None:
        parser.error("say what to do: --list, or --data-dir with a folder")
    data.check_flags(parser, arguments)
    return arguments
