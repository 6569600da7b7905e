"""Photos of a plain folder: all of them, or the baseline shots among them."""

from __future__ import annotations

import re
from pathlib import Path

from fastener.common.errors import UserError
from fastener.datasets.listing import folders_in, list_images
from fastener.datasets.mvtec import good_folder
from fastener.datasets.names import is_bad, is_good


def good_images(folder: Path) -> list[Path]:
    """List every image below ``folder``, sorted by path.

    Raises:
        UserError: no such folder, no image in it, or folders in it that say that not all of its images are of good
            parts.
    """
    images = list_images(folder, recursive=True)
    refuse_other_than_good(folder)
    return images


def refuse_other_than_good(folder: Path) -> None:
    """Raise UserError, with the command that was meant, for a folder of a labelled data set."""
    inside = folders_in(folder)
    deeper = [path for one in inside for path in folders_in(one)]
    category = next((path for path in [folder, *inside] if good_folder(path) is not None), None)
    if category is not None:
        raise UserError(
            f"{folder}: a data set with defects and masks, which are no good photos; learn it with --mvtec-dir "
            f"{category.parent} --category {category.name}, or its good photos with --images {good_folder(category)}"
        )
    bad = next((path for path in inside + deeper if is_bad(path.name)), None)
    if bad is not None:
        good = next((path for path in inside + deeper if is_good(path.name)), None)
        meant = f"--images {good}" if good is not None else "--images and the folder of the good ones alone"
        raise UserError(f"{bad}: by its name these are no good photos; name only good ones, with {meant}")


def baseline_images(folder: Path, tag: str) -> list[Path]:
    """List the images below ``folder`` whose names ``tag`` marks as baseline shots, sorted by path.

    Raises:
        UserError: no such folder, or none of its images carries the tag.
    """
    images = [path for path in list_images(folder, recursive=True) if is_baseline(path, tag)]
    if not images:
        raise UserError(
            f"{folder}: no image is tagged {tag!r}; name the baseline shots like 'Nut Black-{tag}.jpg' or "
            f"'Nut Black-{tag}-1.jpg', or give another baseline tag"
        )
    return images


def is_baseline(path: Path, tag: str) -> bool:
    """Tell whether the file name ends in the token ``tag``, as in ``Nut Black-T0.jpg`` or ``nut_black_t0_1.jpg``.

    The tag is compared as a whole token, in any case: neither ``bolt01.jpg`` nor ``bolt-T01.jpg`` is a "T0".
    """
    return match_tag(path, re.escape(tag)) is not None


def match_tag(path: Path, tag_pattern: str) -> re.Match[str] | None:
    """Match ``[<name>-]<tag>[-<shot>]`` on the file name without its suffix; ``_`` separates as ``-`` does.

    ``tag_pattern`` is a regular expression for the tag. The match has the groups ``name`` (None if the file name is the
    tag alone), ``shot`` (digits, or None) and the groups of ``tag_pattern``.
    """
    pattern = rf"(?:(?P<name>.*)[-_])?(?:{tag_pattern})(?:[-_](?P<shot>[0-9]+))?"
    return re.fullmatch(pattern, path.stem, re.IGNORECASE | re.DOTALL)
