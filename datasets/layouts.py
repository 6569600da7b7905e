"""The layouts that a data set can have on disk, in one registry.

A new layout is one entry in ``LAYOUTS``: an object of a class of its own, or of ``PatternLayout``, as those of
datasets/published.py are.

A layout tells whether a folder has it, and reads the folder into a ``Dataset``. Both look at names only; no image is
opened. Scripts list the layouts in their help, so readers of images are imported when a folder is read.
"""

from __future__ import annotations

from pathlib import Path

from fastener.common.errors import UserError
from fastener.datasets.dataset import CSV_NAME, GOOD, SPLIT_NAMES, TEST, TRAIN, Dataset, Split
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.layout import NO_RULES, named
from fastener.datasets.layout import LabelRules as LabelRules
from fastener.datasets.layout import Layout as Layout
from fastener.datasets.listing import folders_in
from fastener.datasets.pattern_layout import EXAMPLE, parse_patterns
from fastener.datasets.published import PUBLISHED

# Folders with these names say that the images are sorted into splits, so that they cannot all be healthy.
_SPLIT_FOLDERS = {"train", "valid", "val", "test", "ground_truth"}
_SHOWN = 5


class CsvSplits(Layout):
    """Folders train, valid and test, each with a CSV file of labels beside its images."""

    title = "CSV splits"
    looks_for = f"{'|'.join(SPLIT_NAMES)}/{CSV_NAME}"

    def matches(self, folder: Path) -> bool:
        """Tell whether one of the splits has a CSV file."""
        from fastener.datasets.csv_splits import labels_file, split_folder

        found = [split_folder(folder, name) for name in SPLIT_NAMES]
        return any(labels_file(split).is_file() for split in found if split is not None)

    def load(self, folder: Path, labels: LabelRules = NO_RULES) -> Dataset:
        """Read the splits whose folder is there; none of them may lack its CSV file when it is used."""
        from fastener.datasets.csv_splits import load_split, split_names

        splits = tuple(split_names(folder))
        if not splits:
            raise UserError(f"{folder}: no split found; looked for {self.looks_for}; name the folder that holds them")

        def read(split: str, category: str) -> Split:
            return load_split(
                folder, split, defect_columns=labels.defect_columns, healthy_columns=labels.healthy_columns
            )

        return Dataset(folder, splits, read)


class MvtecCategories(Layout):
    """Folders as in MVTec AD: one category, or a folder of categories."""

    title = "MVTec categories"
    looks_for = "train/good, test/<defect>, or folders that hold these"
    preset = "mvtec.yaml"

    def matches(self, folder: Path) -> bool:
        """Tell whether the folder, or one inside it, has train/good."""
        from fastener.datasets.listing import folders_in

        return _is_category(folder) or any(_is_category(path) for path in folders_in(folder))

    def load(self, folder: Path, labels: LabelRules = NO_RULES) -> Dataset:
        """Read one category, or all that the folder holds."""
        from fastener.datasets.mvtec import check_category, good_images, list_categories, test_images

        one = named(folder)
        root, names = (one.parent, [one.name]) if _is_category(one) else (folder, list_categories(folder))

        def read(split: str, category: str) -> Split:
            check_category(root, category, names)
            if split == TRAIN:
                images = good_images(root / category)
                return Split(TRAIN, tuple(LabelledImage(path, False, (GOOD,)) for path in images))
            return Split(split, test_images(root / category))

        return Dataset(root, (TRAIN, TEST), read, tuple(names))


class PlainFolder(Layout):
    """A folder of photos without labels: all of them are healthy when a model is trained."""

    title = "plain folder of photos"
    looks_for = "photos, and no folders named train, valid or test"
    fallback = True

    def matches(self, folder: Path) -> bool:
        """Tell whether there are images, and no folder that sorts them into splits within two levels."""
        from fastener.datasets.listing import files_in, folders_in, is_image

        inside = folders_in(folder)
        deeper = [path for one in inside for path in folders_in(one)]
        sorted_into_splits = any(path.name.casefold() in _SPLIT_FOLDERS for path in inside + deeper)
        return not sorted_into_splits and any(is_image(path) for path in files_in(folder))

    def load(self, folder: Path, labels: LabelRules = NO_RULES) -> Dataset:
        """Take all photos, those in subfolders too, as one split: to learn from, or to inspect."""
        from fastener.datasets.listing import list_images

        def read(split: str, category: str) -> Split:
            return Split(split, tuple(LabelledImage(path, False) for path in list_images(folder)))

        return Dataset(folder, (TRAIN,), read, labelled=False)


LAYOUTS: dict[str, Layout] = {"csv": CsvSplits(), "mvtec": MvtecCategories(), **PUBLISHED, "plain": PlainFolder()}


def layout_named(text: str) -> Layout:
    """Return the layout of a name, or of patterns such as good=...,defect=...; UserError for neither."""
    if text in LAYOUTS:
        return LAYOUTS[text]
    if "=" in text:
        return parse_patterns(text)
    raise UserError(f"--layout {text}: no such layout; there are {', '.join(LAYOUTS)}, and patterns such as {EXAMPLE}")


def recognise(folder: Path) -> Layout:
    """Find the one layout that a folder has.

    Raises UserError if the folder is missing, or has none or several of them; the line says what was looked for, and
    what was found.
    """
    if not folder.is_dir():
        problem = "is a file; name its folder" if folder.is_file() else "no such folder; check the path"
        raise UserError(f"{folder}: {problem}")
    found = _matching(folder)
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        both = " and ".join(f"{layout.title} ({name})" for name, layout in found.items())
        raise UserError(f"{folder}: has the layouts of {both}; separate the two, or name one with --layout")
    wanted = "; ".join(f"{one.title}: {one.looks_for}" for name, one in LAYOUTS.items() if name not in PUBLISHED)
    others = ", ".join(layout.title for layout in PUBLISHED.values())
    if inside := _inside(folder):
        raise UserError(f"{folder}: holds {inside}; name that folder")
    raise UserError(
        f"{folder}: no layout that is known; looked for {wanted}; {others} (docs/datasets.md), and --layout takes "
        f"patterns; found {_contents(folder)}"
    )


def _matching(folder: Path) -> dict[str, Layout]:
    """Find the layouts of a folder: none that another one refines, and no fallback beside others."""
    matching = {name: layout for name, layout in LAYOUTS.items() if layout.matches(folder)}
    general = {name for layout in matching.values() for name in layout.refines}
    return {name: one for name, one in matching.items() if not one.fallback and name not in general} or matching


def _inside(folder: Path) -> str:
    """Name the first folder inside that has a layout, as where an archive was unpacked into a folder of its name."""
    for path in folders_in(folder):
        for layout in _matching(path).values():
            if not layout.fallback:
                return f"{path.name}, which has the layout of {layout.title}"
    return ""


def _is_category(folder: Path) -> bool:
    from fastener.datasets.mvtec import good_folder

    return good_folder(folder) is not None


def _contents(folder: Path) -> str:
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir())
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}" if names else "nothing"
