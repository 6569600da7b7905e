"""List the images of a folder, and name what lies there beside them: one filter for all readers."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastener.common.errors import UserError

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
# Photos and films of these kinds cannot be read; callers warn of them, so that nobody believes they were inspected.
OTHER_IMAGES = frozenset({
    ".3fr", ".apng", ".arw", ".avi", ".avif", ".bay", ".cr2", ".cr3", ".crw", ".czi", ".dcm", ".dcr", ".dib",
    ".dicom", ".dng", ".eps", ".erf", ".exr", ".fff", ".fits", ".hdr", ".heic", ".heics", ".heif", ".hif", ".iiq",
    ".ima", ".img", ".j2c", ".j2k", ".jls", ".jp2", ".jpc", ".jpf", ".jpx", ".jxl", ".jxr", ".kdc", ".lif", ".lsm",
    ".mef", ".mhd", ".mkv", ".mos", ".mov", ".mp4", ".mpo", ".mrc", ".mrw", ".nd2", ".nef", ".nii", ".nrrd", ".nrw",
    ".orf", ".pam", ".pbm", ".pcx", ".pef", ".pgm", ".pnm", ".ppm", ".psb", ".psd", ".qoi", ".raf", ".raw", ".rw2",
    ".rwl", ".sgi", ".sr2", ".srf", ".srw", ".svs", ".tga", ".wdp", ".wmv", ".x3f", ".xcf", ".yuv"
})  # fmt: skip
# Files and folders of operating systems, of file servers, and of programs that look at folders; compared without case.
_SYSTEM_NAMES = frozenset({
    "@eadir", "#recycle", "@recycle", "@recently-snapshot", "#snapshot", "lost+found", "$recycle.bin", "recycler",
    "system volume information", "network trash folder", "temporary items", "__macosx", "__pycache__", "thumbs.db",
    "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"
})  # fmt: skip
# First bytes of images, for files whose ending does not say that they are any.
_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
_WRONG_KIND = "cannot be read; convert to JPEG, PNG or TIFF"
_NO_ENDING = "an image by its content, but not by the ending of its name; give it the right one"
_SEARCHED = "no image was read there; --recursive searches subfolders too"
_SHOWN = 3  # files that are named for one reason, before the rest is counted
# A mark of our own in the pictures of results: a text chunk of PNG, or a comment of JPEG, right behind the header.
_MARK = b"fastener inspection result"
_PNG_CHUNK = b"tEXtSource\0" + _MARK
_PNG_MARK = struct.pack(">I", len(_PNG_CHUNK) - 4) + _PNG_CHUNK + struct.pack(">I", zlib.crc32(_PNG_CHUNK))
_JPEG_MARK = b"\xff\xfe" + struct.pack(">H", len(_MARK) + 2) + _MARK
# Bytes of a file before its mark, by its first byte: of a PNG before its second chunk, of JFIF behind its own segment.
_MARKS = {b"\x89": (33, _PNG_MARK), b"\xff": (20, _JPEG_MARK)}
# Files that lie beside images and are none, so that they need not be opened to know it.
_NO_IMAGES = frozenset({
    ".cfg", ".csv", ".css", ".db", ".doc", ".docx", ".gz", ".htm", ".html", ".ini", ".ipynb", ".js", ".json",
    ".log", ".md", ".npy", ".npz", ".onnx", ".pdf", ".pkl", ".pth", ".py", ".pyc", ".safetensors", ".sh", ".sqlite",
    ".tar", ".toml", ".tsv", ".txt", ".xls", ".xlsx", ".xml", ".yaml", ".yml", ".zip"
})  # fmt: skip


def is_system(name: str) -> bool:
    """Tell from its name whether a file or folder is hidden, or belongs to a system and not to the user's data."""
    return name.startswith((".", "~$")) or name.casefold() in _SYSTEM_NAMES


def is_image(path: Path) -> bool:
    """Tell from its name whether a file is an image that can be read; endings compare without case."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_system(path.name)


def files_in(folder: Path, recursive: bool = True) -> Iterator[Path]:
    """Yield the files of a folder, and of its subfolders if ``recursive``, without those of systems.

    A link that is no folder counts as a file, wherever it leads. Folders behind links are not searched. Raises
    ``UserError`` if the folder is missing or a file, or if it or a folder in it may not be read.
    """
    if folder.is_file():
        raise UserError(f"{folder}: is a file; name its folder")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; check the path")

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: not allowed to read this folder; check its permissions") from error

    for at, folders, names in os.walk(folder, onerror=refuse):
        inside = Path(at)
        yield from (inside / name for name in names if not is_system(name))
        folders[:] = [name for name in folders if recursive and not is_system(name)]


def folders_in(folder: Path) -> list[Path]:
    """List the folders in a folder, sorted, without those of systems."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_system(path.name))


def list_images(folder: Path, recursive: bool = True) -> list[Path]:
    """List the image files in ``folder``, sorted by path, without those of systems and pictures of earlier results.

    A link counts as the file that it leads to, and a link that leads nowhere counts as a file, so that no image is
    missed in silence. Folders behind links are not searched. Raises ``UserError`` if the folder is missing or holds no
    image, or if it or a folder in it may not be read.
    """
    folder = Path(folder)
    files = list(files_in(folder, recursive))
    found = without_results([path for path in files if is_image(path)])
    if found:
        return sorted(found)
    if not recursive and unsearched(folder):
        raise UserError(f"{folder}: holds no image, but folders; search them too with --recursive")
    others = [one for one in map(unused, sorted(files)) if one is not None]
    seen = f"; found {others[0].path.name}, {others[0].reason}" if others else ""
    kinds = ", ".join(sorted(IMAGE_SUFFIXES))
    raise UserError(f"{folder}: holds no image; put files of these kinds there: {kinds}{seen}")


@dataclass(frozen=True)
class Unused:
    """Name a file or folder that looks like data and was not used.

    Parameters
    ----------
    path : Path
        The file or folder.
    reason : str
        Why it was not used and what to do, in words that go for several files.
    """

    path: Path
    reason: str


def unused(path: Path) -> Unused | None:
    """Say why a file that looks like an image cannot be read; None for images that can be, and for other files."""
    suffix = path.suffix.lower()
    if suffix in OTHER_IMAGES:
        return Unused(path, _WRONG_KIND)
    if suffix in IMAGE_SUFFIXES or suffix in _NO_IMAGES:
        return None
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return None
    is_one = start.startswith(tuple(_STARTS)) or start[8:] == b"WEBP" or start[4:8] == b"ftyp"
    return Unused(path, _NO_ENDING) if is_one else None


def unused_in(folder: Path, used: Collection[Path] = (), *, recursive: bool = True, reason: str = "") -> list[Unused]:
    """List what looks like data in a folder and was not used, sorted by path.

    With a ``reason``, images that can be read and are not among the ``used`` ones are listed for it.
    """
    found = []
    known = set(used)
    for path in sorted(files_in(folder, recursive)):
        one = Unused(path, reason) if reason and is_image(path) and path not in known else unused(path)
        if one is not None and not (one.reason == reason and is_result(path)):
            found.append(one)
    if not recursive:
        found += [Unused(path, _SEARCHED) for path in folders_in(folder) if holds_image(path)]
    return found


def told(left: Iterable[Unused]) -> list[str]:
    """Put unused files into one line for each reason, which names the first of them and counts the rest."""
    by_reason: dict[str, list[Path]] = {}
    for one in left:
        by_reason.setdefault(one.reason, []).append(one.path)
    lines = []
    for reason, paths in by_reason.items():
        more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        lines.append(f"not used: {', '.join(str(path) for path in paths[:_SHOWN])}{more}: {reason}")
    return lines


def unsearched(folder: Path) -> int:
    """Count the folders in ``folder`` that hold images, which ``list_images`` skips unless it is recursive."""
    return sum(holds_image(path) for path in folders_in(folder))


def marked(picture: bytes) -> bytes:
    """Mark the bytes of a PNG or JFIF file as the picture of a result, which no reader takes for a photo."""
    header, mark = _MARKS[picture[:1]]
    return picture[:header] + mark + picture[header:]


def is_result(path: Path) -> bool:
    """Tell whether a file is a picture that an inspection wrote."""
    return not without_results([path])


def without_results(paths: Sequence[Path]) -> list[Path]:
    """Leave out the pictures that inspections wrote: those with a mark, and pairs without one by their names."""
    return [path for path in paths if not (_has_mark(path) or _has_twin(path))]


def _has_mark(path: Path) -> bool:
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        return False
    try:
        with path.open("rb") as file:
            start = file.read(max(header + len(mark) for header, mark in _MARKS.values()))
    except OSError:
        return False
    header, mark = _MARKS.get(start[:1], (0, b"-"))
    return start[header:].startswith(mark)


def _has_twin(path: Path) -> bool:
    """Tell whether the other picture of a pair lies beside it, as earlier versions wrote them without a mark."""
    for one, other in (("det_{}.png", "overlay_{}.png"), ("{}_result.png", "{}_heatmap.png")):
        for mine, twin in ((one, other), (other, one)):
            start, end = mine.split("{}")
            if path.name.startswith(start) and path.name.endswith(end):
                name = path.name[len(start) : len(path.name) - len(end)]
                if name and path.with_name(twin.format(name)).is_file():
                    return True
    return False


def holds_image(folder: Path) -> bool:
    """Tell whether a folder, or one in it, holds an image that can be read."""
    return any(is_image(path) and not is_result(path) for path in files_in(folder))
