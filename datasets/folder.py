"""Photos of a plain folder: all of them, or the baseline shots among them."""

from __future__ import annotations

import re
from pathlib import Path

from fastener.common.errors import UserError
from fastener.datasets.images import list_images


def good_images(folder: Path) -> list[Path]:
    """List every image below ``folder``, sorted by path.

    Raises:
        UserError: no such folder, or no image in it.
    """
    return list_images(folder, recursive=True)


def baseline_images(folder: Path, tag: str) -> list[Path]:
    """List the images below ``folder`` whose names ``tag`` marks as baseline shots, sorted by path.

    Raises:
        UserError: no such folder, or none of its images carries the tag.
    """
    images = [path for path in good_images(folder) if is_baseline(path, tag)]
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
