"""Read the NEU surface defect images: six kinds of defects of hot-rolled steel strip, grey, 200 x 200 px.

Song and Yan 2013, "A noise robust method based on completed local binary patterns for hot-rolled steel strip surface
defects" (NEU-CLS, ``Cr_12.bmp``); He et al. 2020, "An End-to-end Steel Surface Defect Detection Approach" (NEU-DET,
``crazing/crazing_12.jpg`` and Pascal VOC boxes). The images may lie in any folders: the class is taken
from the name of the folder, or from the names of the files in a folder that holds several classes. A folder with a name
of its own is a class, so that a mill's own kinds of defects are read in the same way.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.images import list_images
from fastener.datasets.labelled_image import LabelledImage

CLASSES = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
# Folders with these names sort images by something else than their class.
_NO_CLASS = {"", "image", "images", "img", "jpegimages", "photos", "train", "valid", "validation", "val", "test"}
_CODES = {"cr": 0, "in": 1, "pa": 2, "ps": 3, "rs": 4, "sc": 5}


@dataclass(frozen=True)
class VocBox:
    """Locate a defect as Pascal VOC does: whole pixels, x to the right, y down, the edges included.

    Parameters
    ----------
    label
        Name of the defect.
    left, top, right, bottom
        First and last column and row of the box.
    """

    label: str
    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class NeuImage(LabelledImage):
    """Hold an image with its class, which is the only one of ``labels``, and its boxes (none without an XML file)."""

    boxes: tuple[VocBox, ...] = ()

    @property
    def defect(self) -> str:
        """The class of the image: one of ``CLASSES``, or the name of its folder."""
        return self.labels[0]

    def view(self, photo: np.ndarray) -> np.ndarray:
        """Return the part of the photo, uint8 RGB (H, W, 3), that shows the defect: all of it."""
        return photo


def load_neu(root: Path) -> tuple[list[NeuImage], list[Path]]:
    """List the images below ``root``, sorted by path; also list the files whose class no name states.

    Raises UserError if the folder is missing, holds no image whose class a name states, or holds an XML file that
    cannot be read.
    """
    paths = list_images(root)
    annotations = {path.stem: path for path in sorted(root.rglob("*.xml"), reverse=True)}
    mixed = _mixed(paths)
    images, skipped = [], []
    for path in paths:
        defect = class_of(path) if path.parent in mixed else class_of_folder(path.parent, root) or class_of(path)
        if defect is None:
            skipped.append(path)
            continue
        boxes = _read_boxes(annotations[path.stem]) if path.stem in annotations else ()
        images.append(NeuImage(path, True, (defect,), boxes=boxes))
    if not images:
        raise UserError(
            f"{root}: no name says of which class an image is, e.g. {paths[0].name}; expected a folder for each class, "
            "or files named like crazing_12.jpg or Cr_12.bmp"
        )
    return images, skipped


def class_of(path: Path) -> str | None:
    """Tell the class of NEU from the name of the folder or else of the file; None if neither names one.

    Codes of two letters count in names of files only: a folder may be called "in" or "PS" for any reason.
    """
    return _named(path.parent.name) or _of_file(path)


def class_of_folder(folder: Path, root: Path) -> str | None:
    """Tell the class that a folder below ``root`` stands for: a class of NEU, or its own name; None for "images"."""
    plain = None if folder == root or folder.name.lower() in _NO_CLASS else folder.name
    return _named(folder.name) or plain


def _of_file(path: Path) -> str | None:
    file = re.sub(r"[-_ ]*[0-9]+$", "", path.stem)
    code = _CODES.get(file.lower())
    return _named(file) if code is None else CLASSES[code]


def _mixed(paths: Sequence[Path]) -> set[Path]:
    """Find the folders in which every file is named after a class of NEU, and not all after the same."""
    names: dict[Path, set[str | None]] = {}
    for path in paths:
        names.setdefault(path.parent, set()).add(_of_file(path))
    return {folder for folder, found in names.items() if None not in found and len(found) > 1}


def _named(text: str) -> str | None:
    """Read a class, in upper or lower case, with any of "-_ " between words."""
    plain = re.sub(r"[-_ ]", "", text).lower()
    return next((name for name in CLASSES if re.sub(r"[-_ ]", "", name) == plain), None)


def _read_boxes(path: Path) -> tuple[VocBox, ...]:
    try:
        found = ElementTree.parse(path).getroot().iter("object")
        return tuple(_box(one) for one in found)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); repair or remove it") from None
    # An unknown encoding is a LookupError, an infinite corner an OverflowError.
    except (ElementTree.ParseError, ValueError, LookupError, OverflowError) as error:
        raise UserError(f"{path}: not a Pascal VOC annotation ({error}); repair or remove it") from None


def _box(element: ElementTree.Element) -> VocBox:
    def text(name: str) -> str:
        value = element.findtext(name)
        if value is None:
            raise ValueError(f"an object without {name}")
        return value

    left, top, right, bottom = (round(float(text(f"bndbox/{side}"))) for side in ("xmin", "ymin", "xmax", "ymax"))
    if left > right or top > bottom:
        raise ValueError(f"a box from ({left}, {top}) to ({right}, {bottom})")
    name = text("name")
    return VocBox(_named(name) or name, left, top, right, bottom)
