"""Read images by name: a path that every worker sees, or a URL that fsspec can open, such as one of a bucket."""

from __future__ import annotations

import io
import posixpath
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import fsspec
import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.images import IMAGE_SUFFIXES, decode_image, decode_photo, list_images, read_image
from fastener.inspection.reading import Loaded, load
from fastener.preprocessing.pipeline import Preprocessor

_TRIES, _WAIT_S = 3, 1.0


def is_url(name: str) -> bool:
    """Tell whether a name is a URL for fsspec, and no plain path."""
    return "://" in name


def images_in(folder: str, recursive: bool) -> list[str]:
    """List the image files of a folder, sorted: absolute paths, or URLs if ``folder`` is a URL.

    Raises UserError if the folder is missing, cannot be listed or holds no image.
    """
    if not is_url(folder):
        return [str(path) for path in list_images(Path(folder).absolute(), recursive)]
    try:
        system, root = fsspec.core.url_to_fs(folder)
        found = system.find(root, maxdepth=None if recursive else 1)
    except Exception as error:  # every kind of storage raises a family of its own
        raise _unreadable(folder, error) from error
    names = [name for name in found if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES]
    names = [name for name in names if not PurePosixPath(name).name.startswith(".")]
    if not names:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise UserError(f"{folder}: holds no image; put files of these kinds there: {kinds}")
    return sorted(system.unstrip_protocol(name) for name in names)


def listed_in(manifest: Path) -> list[str]:
    """List the images that a text file names, one a line; an image that is named twice is listed once.

    A relative path starts at the folder of the text file. Raises UserError if the file is missing, is no text or names
    no image.
    """
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"--manifest {manifest}: not a text file in UTF-8; name one image a line") from None
    except OSError as error:
        raise UserError(f"--manifest {manifest}: {error.strerror}; name a text file with one image a line") from None
    folder = manifest.absolute().parent
    names = [line if is_url(line) else str(folder / line) for line in map(str.strip, lines) if line]
    if not names:
        raise UserError(f"--manifest {manifest}: names no image; write one path or URL a line")
    return list(dict.fromkeys(names))


def check_storage(names: Sequence[str]) -> None:
    """Check that fsspec knows every kind of storage, as otherwise every image there would fail. Raises UserError."""
    for name in {name.split("://")[0]: name for name in names if is_url(name)}.values():
        try:
            fsspec.core.url_to_fs(name)
        except (ImportError, ValueError) as error:
            raise _unreadable(name, error) from error


def read_named(name: str) -> np.ndarray:
    """Read a photo as uint8 RGB (H, W, 3); a URL that fails is tried three times. Raises UserError."""
    if not is_url(name):
        return read_image(Path(name))
    return decode_image(io.BytesIO(_fetched(name)), name)


def load_named(name: str, preprocessor: Preprocessor) -> Loaded:
    """Decode and prepare the photo at a path or URL, as ``inspection.reading.load`` does."""
    if not is_url(name):
        return load(Path(name), preprocessor)
    try:
        white_level, side = preprocessor.settings.white_level, preprocessor.useful_side
        photo = decode_photo(io.BytesIO(_fetched(name)), name, longest=side, white_level=white_level)
        return Loaded(Path(name), preprocessor.tiles(photo.pixels, photo.size), notes=photo.notes)
    except UserError as error:
        return Loaded(Path(name), (), str(error))


def relative_names(names: Sequence[str], root: str | None = None) -> dict[str, Path]:
    """Give each image a path relative to the deepest folder that holds all images and ``root``; none has "..".

    The rest of a URL after its scheme counts as a path: s3://bucket/a.png is bucket/a.png in the folder s3.
    """
    full = {name: _as_path(name) for name in names}
    folders = [posixpath.dirname(path) for path in full.values()] + ([] if root is None else [_as_path(root)])
    common = posixpath.commonpath(folders)
    return {name: Path(posixpath.relpath(path, common)) for name, path in full.items()}


def _as_path(name: str) -> str:
    name = name if is_url(name) else str(Path(name).absolute())
    return posixpath.normpath("/" + name.replace("://", "/").lstrip("/"))


def _fetched(name: str) -> bytes:
    for left in reversed(range(_TRIES)):
        try:
            system, path = fsspec.core.url_to_fs(name)
            return bytes(system.cat_file(path))
        except FileNotFoundError:
            raise UserError(f"{name}: no such file; check the name") from None
        except ImportError:  # the image itself may be good, so it must not count as done
            raise
        except Exception as error:  # every kind of storage raises a family of its own
            if isinstance(error, (PermissionError, ValueError)) or not left:
                raise _unreadable(name, error) from error
            time.sleep(_WAIT_S)
    raise AssertionError


def _unreadable(name: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{name}: cannot be read ({reason}); check its name and your access")
