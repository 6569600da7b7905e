"""Find the masks of photos: which file, or which folder of files, marks the pixels of a defect."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.images import read_image
from fastener.datasets.listing import is_image
from fastener.datasets.names import LOOKED_FOR as LOOKED_FOR

# What follows the photo's name; endings of MVTec AD first.
_ENDINGS = ("_mask", "_gt", "_label", "_labels", "_seg", "-mask", "")


class Masks:
    """The masks of the photos of one defect, by the photos' paths below their folder.

    Parameters
    ----------
    photos : iterable of Path
        The photos, relative to their folder.
    folder : Path or None
        Folder of the masks, in the same order of subfolders; None if there is none.
    """

    def __init__(self, photos: Iterable[Path], folder: Path | None):
        self._found: dict[tuple[str, str], Path] = {}
        names = [_key(path.stem) for path in photos]
        self._unique = {name for name in names if names.count(name) == 1}
        for path in sorted(folder.rglob("*")) if folder is not None else ():
            if is_image(path):
                below = path.relative_to(folder or path)
                self._found.setdefault((_key(str(below.parent)), _key(path.stem)), path)
                # Several masks of one photo lie in a folder that has its name.
                if below.parent.name:
                    self._found.setdefault((_key(str(below.parent.parent)), _key(path.parent.name)), path.parent)

    def of(self, photo: Path) -> Path | None:
        """Find the mask of a photo, given relative to its folder: a file, or a folder of files that belong together.

        Masks that all lie in one folder serve photos in subfolders too, where no two photos have the same name.
        """
        places = [str(photo.parent)] + ([""] if _key(photo.stem) in self._unique else [])
        for place in places:
            for name in (photo.name, photo.stem):
                for ending in _ENDINGS:
                    key = (_key(place), _key(f"{name}{ending}"))
                    if key in self._found:
                        return self._found[key]
        return None


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read a mask as bool (H, W): pixels of the defect are True. The masks in a folder are joined.

    A pixel belongs to the defect if its level is over 127, or over 0 in a mask without levels that high.

    Raises UserError if a file cannot be read, or is not of the photo's ``size`` (H, W).
    """
    if path.is_dir():
        files = sorted(inside for inside in path.iterdir() if is_image(inside))
        return np.asarray(np.logical_or.reduce([read_mask(file, size) for file in files]))
    levels = read_image(path)[..., 0]
    mask = levels > (127 if levels.max() > 127 else 0)
    if mask.shape != size:
        raise UserError(
            f"{path}: the mask is {mask.shape[1]} x {mask.shape[0]}, its photo {size[1]} x {size[0]} pixels"
        )
    return np.asarray(mask)


def _key(name: str) -> str:
    return "" if name == "." else str(PurePosixPath(unicodedata.normalize("NFC", name).casefold()))
