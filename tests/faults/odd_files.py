"""Image files of every kind that turns up in a real folder: good ones, odd ones, bad ones, and how they are named."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 24


@dataclass(frozen=True)
class Kind:
    """``make`` writes one at a path; ``reason`` is what the message about it must say, "" for what can be read."""

    suffix: str
    make: Callable[[Path], object]
    reason: str = ""


def texture(seed: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """Noise, uint8 RGB (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def encoded(image: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, format=kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A grey PNG of that size up to where its pixels begin."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 1000) + b"IDAT"


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _loop(path: Path) -> None:
    other = path.with_name(f".{path.name}")
    path.symlink_to(other.name)
    other.symlink_to(path.name)


def _locked(path: Path) -> None:
    path.write_bytes(encoded(texture(), "PNG"))
    path.chmod(0)


def _kinds() -> dict[str, Kind]:
    photo = texture()
    grey, picture = photo[..., 0], Image.fromarray(photo)
    png, jpeg = encoded(photo, "PNG"), encoded(photo, "JPEG")
    holes = (grey / 255).astype(np.float32)
    holes[::3] = np.nan
    good = {
        "plain": (".png", png),
        "capitals": (".PNG", png),
        "sixteen-bit": (".png", encoded(grey.astype(np.uint16) * 257, "PNG")),
        "cmyk": (".jpg", encoded(picture.convert("CMYK"), "JPEG")),
        "palette": (".png", encoded(picture.quantize(16), "PNG")),
        "bilevel": (".png", encoded(grey > 127, "PNG")),
        "transparent": (".png", encoded(np.dstack([photo, grey]), "PNG")),
        "animated": (".gif", encoded(picture, "GIF", save_all=True, append_images=[Image.fromarray(255 - photo)])),
        "animated-webp": (".webp", encoded(picture, "WEBP", save_all=True, append_images=[picture.rotate(90)])),
        "pages": (".tif", encoded(picture, "TIFF", save_all=True, append_images=[picture.rotate(90)])),
        "nan": (".tiff", encoded(holes, "TIFF")),
        "jpeg-named-png": (".png", jpeg),
        "png-named-jpeg": (".jpeg", png),
        "one-side-5000": (".png", encoded(texture(1, (5000, 20)), "PNG")),
    }
    bad = {
        "empty": (".png", b"", "not an image"),
        "text": (".jpg", b"not a picture", "not an image"),
        "page-of-html": (".png", b"<html>404</html>", "not an image"),
        "cut-png": (".png", png[: len(png) // 2], "damaged"),
        "cut-jpeg": (".jpg", jpeg[: len(jpeg) // 2], "damaged"),
        "cut-tiff": (".tif", encoded(photo, "TIFF")[:-900], "damaged"),
        "only-a-header": (".jpg", jpeg[:12], "damaged"),
        "1x1": (".png", encoded(photo[:1, :1], "PNG"), "1x1 px is too small"),
        "1x5000": (".png", encoded(texture(0, (5000, 1)), "PNG"), "1x5000 px is too small"),
        # No pixel is in this file: had any been decoded, the message would be another.
        "20000x20000": (".png", png_header(20_000, 20_000), "more than 144 megapixels"),
        "postscript": (".png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n", "not an image"),
    }
    return (
        {name: Kind(suffix, _bytes(content)) for name, (suffix, content) in good.items()}
        | {name: Kind(suffix, _bytes(content), reason) for name, (suffix, content, reason) in bad.items()}
        | {
            "dangling": Kind(".png", lambda path: path.symlink_to("nowhere.png"), "a link that leads to no file"),
            "loop": Kind(".png", _loop, "a link that leads to no file"),
            "locked": Kind(".png", _locked, "not allowed to read this file"),
        }
    )


KINDS = _kinds()
# Before the number and the ending of a file's name; the kind stands in front.
MANNERS = (
    b"",
    b" with spaces  ",
    b" new\nline\t",
    b" \xff\xfe latin-1",
    " ボルト 六角".encode(),
    b" \x1b[31mred '\"%s{}",
)


def write_mixed(folder: Path, count: int, kinds: Sequence[str] = tuple(KINDS)) -> dict[str, Kind]:
    """``count`` files, every one of ``kinds`` named in every manner, by their names (surrogates for what is no UTF-8).

    Copies of a file are hard links to it.
    """
    folder.mkdir()
    (folder / "loop").symlink_to(folder)
    written: dict[str, Kind] = {}
    first: dict[str, Path] = {}
    pairs = [(kind, manner) for manner in MANNERS for kind in kinds]
    for number in range(count):
        name, manner = pairs[number % len(pairs)]
        kind = KINDS[name]
        path = folder / os.fsdecode(name.encode() + manner + f"-{number}{kind.suffix}".encode())
        if name in first and not first[name].is_symlink():
            path.hardlink_to(first[name])
        else:
            kind.make(path)
            first[name] = path
        written[path.name] = kind
    return written
