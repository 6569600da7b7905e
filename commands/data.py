"""The data set that --data-dir names: its layout, its categories, and the model that belongs to each of them."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.config import Config
from fastener.datasets.layouts import LAYOUTS, LabelRules, layout_named, recognise
from fastener.datasets.listing import Unused
from fastener.datasets.names import LOOKED_FOR
from fastener.datasets.pattern_layout import EXAMPLE
from fastener.datasets.published import PUBLISHED
from fastener.inspection.registry import METHODS

if TYPE_CHECKING:
    from fastener.datasets.dataset import Dataset, Split
    from fastener.datasets.layouts import Layout

_IN_NO_SPLIT = "in no split or folder that is read; see docs/inputs.md for the folders that are"
_NO_CATEGORY = "no category, as it has no good photos to learn from, as in train/good"
_OF_NO_PHOTO = f"the mask of no photo; masks are {LOOKED_FOR}"
MODELS = Path("saved_models/mvtec")


def add_flags(group: argparse._ActionsContainer) -> None:
    """Add --data-dir with all that says how the folder is read."""
    group.add_argument(
        "--data-dir",
        type=Path,
        metavar="D",
        help="folder of a data set, whose layout is recognised: "
        + "; ".join(f"{one.title} ({one.looks_for})" for name, one in LAYOUTS.items() if name not in PUBLISHED)
        + f"; published sets: {', '.join(one.title for one in PUBLISHED.values())}",
    )
    group.add_argument(
        "--layout",
        metavar="L",
        help=f"read D in this layout (default: as recognised): {', '.join(LAYOUTS)}, or by patterns such as "
        f"{EXAMPLE.replace('%', '%%')} (docs/datasets.md)",
    )
    group.add_argument("--mvtec-dir", type=Path, metavar="D", help="alias of --data-dir D --layout mvtec")
    group.add_argument("--defect-columns", type=cli.names, metavar="A,B", help="CSV columns that mark a defect")
    group.add_argument("--healthy-columns", type=cli.names, metavar="A,B", help="CSV columns that mark a healthy part")


def add_category_flags(
    parser: argparse.ArgumentParser, *, methods: Collection[str], several: bool = True, more: str = ""
) -> None:
    """Add --category, --method and, where a script works on ``several`` categories, --all.

    ``more`` says which names ``methods`` contains beside those that it lists.
    """
    group = parser.add_argument_group("data sets with categories, each with a model of its own")
    group.add_argument("--category", metavar="C", help="one category")
    if several:
        group.add_argument("--all", action="store_true", help="every category")
    group.add_argument("--method", choices=methods, default="patchcore", help=f"default: patchcore{more}")


def check_flags(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Resolve the alias --mvtec-dir; end with a usage error where flags of this module do not go together."""
    if arguments.mvtec_dir is not None:
        if arguments.data_dir is not None:
            parser.error("--mvtec-dir is an alias of --data-dir; name one of them")
        arguments.data_dir, arguments.layout = arguments.mvtec_dir, "mvtec"
    if arguments.data_dir is None and arguments.layout is not None:
        parser.error("--layout says how --data-dir is read; name that folder")
    if arguments.data_dir is None and _category_flag(arguments):
        parser.error(f"{_category_flag(arguments)} is for the categories of --data-dir; name that folder")


def recognised(arguments: argparse.Namespace) -> Layout | None:
    """Find the layout of --data-dir and print which it is; None without that flag. Raises UserError.

    ``arguments.layout`` is its name from here on, "patterns" for a layout that patterns state.
    """
    if arguments.data_dir is None:
        return None
    layout = recognise(arguments.data_dir) if arguments.layout is None else layout_named(arguments.layout)
    arguments.layout = next((name for name, one in LAYOUTS.items() if one is layout), "patterns")
    print(f"{arguments.data_dir}: read as {layout.title}")
    return layout


def load(arguments: argparse.Namespace, layout: Layout) -> Dataset:
    """Read --data-dir as ``layout``. Raises UserError if a flag is for categories and the data set has none."""
    dataset = layout.load(arguments.data_dir, LabelRules(arguments.defect_columns, arguments.healthy_columns))
    if not dataset.categories and _category_flag(arguments):
        raise UserError(
            f"{_category_flag(arguments)} is for a data set with categories; {arguments.data_dir} has the layout of "
            f"{layout.title}"
        )
    return dataset


def categories(arguments: argparse.Namespace, dataset: Dataset) -> list[str]:
    """List the categories that --category or --all asks for; [""] for a data set without categories.

    Raises UserError if a category is not there, or if there are several and neither flag is given.
    """
    from fastener.datasets.mvtec import check_category

    if arguments.category is not None:
        check_category(dataset.root, arguments.category, dataset.categories)
        return [arguments.category]
    if getattr(arguments, "all", False) or len(dataset.categories) <= 1:
        return list(dataset.categories) or [""]
    both = "a --category, or --all" if hasattr(arguments, "all") else "a --category"
    raise UserError(f"{dataset.root}: name {both}; there are: {', '.join(dataset.categories)}")


def report_unused(dataset: Dataset, names: Sequence[str]) -> None:
    """Warn of what looks like data in a data set, or in the categories ``names`` of it, and belongs to no split.

    Time series of components are no mistake: one line says which command follows them.
    """
    from fastener.datasets.components import parse_component
    from fastener.datasets.listing import folders_in, holds_image, told, unused_in
    from fastener.datasets.names import masks_in

    if not dataset.labelled:
        return cli.report_passed_over(dataset.root, recursive=True)
    left: list[Unused] = []
    series: list[Path] = []
    if len(dataset.categories) > 1:
        others = [path for path in folders_in(dataset.root) if path.name not in dataset.categories]
        left += [Unused(path, _NO_CATEGORY) for path in others if holds_image(path)]
    for name in names:
        folder = dataset.root / name
        used = set(dataset.belongs)
        for split in dataset.splits:
            with suppress(UserError):  # a split that is not used may be damaged
                read = dataset.read(split, name)
                used |= {*read.unlisted, *read.unlabelled, *(image.path for image in read.images)}
                masks = [image.mask_path for image in read.images if image.mask_path is not None]
                used |= {file for mask in masks for file in (mask.iterdir() if mask.is_dir() else (mask,))}
        truth = masks_in(folder)
        for one in unused_in(folder, used, reason=_IN_NO_SPLIT):
            if one.reason != _IN_NO_SPLIT:
                left.append(one)
            elif truth is not None and one.path.is_relative_to(truth):
                left.append(Unused(one.path, _OF_NO_PHOTO))
            elif parse_component(one.path):
                series.append(one.path)
            else:
                left.append(one)
    if series:
        where = series[0].parent
        cli.say(f"{where}: {len(series)} photos of time series; corrosion_analysis.py --dir {where} follows them")
    for line in told(left):
        cli.warn(line)


def with_method(config: Config, method: str) -> Config:
    """Choose the kinds of evidence that a method stands for."""
    evidence = METHODS[method]
    return config if evidence is None else config.model_copy(update={"evidence": evidence})


def model_path(category: str, method: str = "patchcore", layout: str = MODELS.name) -> Path:
    """Name the model file of a category, with the method in its name unless it is PatchCore; "" has the default's.

    Each layout has a folder of its own: several published sets have a toothbrush.
    """
    if not category:
        return cli.DEFAULT_MODEL
    return MODELS.with_name(layout) / (f"{category}.pkl" if method == "patchcore" else f"{category}-{method}.pkl")


def report(split: Split) -> Split:
    """Print how a split was read, and return it."""
    cli.report_split(split)
    return split


def _category_flag(arguments: argparse.Namespace) -> str:
    """Name the first flag given that only makes sense with categories, or ""."""
    given = {
        "--method": arguments.method != "patchcore",
        "--category": arguments.category is not None,
        "--all": getattr(arguments, "all", False),
    }
    return next((flag for flag, was in given.items() if was), "")
