"""Decode an upload and cut it into the tiles that a model reads."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

from fastener.common.errors import UserError
from fastener.console.catalogue import ServedModel
from fastener.console.pictures import OVERLAY_SIDE
from fastener.datasets.images import ImageTooLarge, decode_photo, shrunk
from fastener.inspection.drawing import Picture
from fastener.inspection.reading import Loaded

MAX_PIXELS = 100_000_000


class UnusableImage(UserError):
    """Raised when an upload is not an image, is damaged, or is too small."""


@dataclass(frozen=True)
class Upload:
    """A file that a client sent.

    Attributes
    ----------
    name : str
        The client's file name. It is shown, and never used as a path.
    content : bytes
        The encoded image.
    """

    name: str
    content: bytes


@dataclass(frozen=True)
class Prepared:
    """An upload, ready for the model.

    Attributes
    ----------
    upload : Upload
        The file.
    checksum : str
        SHA-256 of its content.
    model : ServedModel
        The model to ask, with the threshold that was in force when the image was decoded.
    preview : Picture or None
        The photo under the overlay; None if the client wants no pictures.
    loaded : Loaded
        Tiles of the photo. Only this reduced photo waits for the model, so that the queue's memory does not grow with
        the size of photos.
    """

    upload: Upload
    checksum: str
    model: ServedModel
    preview: Picture | None
    loaded: Loaded


def prepare(upload: Upload, model: ServedModel, with_pictures: bool) -> Prepared:
    """Decode and cut an upload. Raises ImageTooLarge, or UnusableImage."""
    preprocessor = model.inspector.preprocessor
    white_level = preprocessor.settings.white_level
    content = BytesIO(upload.content)
    try:
        photo = decode_photo(
            content, "the image", longest=preprocessor.useful_side, white_level=white_level, max_pixels=MAX_PIXELS
        )
    except ImageTooLarge:
        raise
    except UserError as error:
        raise UnusableImage(str(error)) from None
    return Prepared(
        upload,
        sha256(upload.content).hexdigest(),
        model,
        shrunk(photo.pixels, OVERLAY_SIDE) if with_pictures else None,
        model.inspector.prepared(photo),
    )
