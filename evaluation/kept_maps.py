"""Keep anomaly maps beside the scores, small enough for thousands of photos, and read them again.

A map is kept as the model drew it, float16 in the canonical frame, with the transform that takes it to the photo: a
photo of 2448 x 2048 pixels costs some 100 KB instead of 10 MB. Rounding to float16 changes a value by at most one part
in 2,000.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.inspection.result import Inspection
from fastener.preprocessing.pipeline import map_to_photo

FOLDER = "maps"


def write_maps(inspections: Sequence[Inspection], folder: Path) -> list[str]:
    """Write one file a photo to ``folder``/maps, and return their paths below ``folder``; earlier maps are removed.

    Each NPZ file holds ``map``, float16 (h, w) on the scale of the joined score, NaN where nothing was inspected;
    ``transform``, float64 (2, 3), from photo pixels to pixels of the map; ``photo_size``, (H, W).
    """
    remove_maps(folder)
    names = []
    for number, one in enumerate(inspections):
        stem = "photo" if one.path is None else one.path.stem
        name = f"{FOLDER}/{number:05d}_{stem[:80]}.npz"
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, map=one.map.astype(np.float16), transform=one.transform, photo_size=np.array(one.photo_size)
        )
        write_atomically(folder / name, buffer.getvalue(), durable=False)
        names.append(name)
    return names


def remove_maps(folder: Path) -> None:
    """Remove the maps of an earlier measurement, which would not fit the scores of this one; other files stay."""
    for path in (folder / FOLDER).glob("[0-9][0-9][0-9][0-9][0-9]_*.npz"):
        path.unlink()
    with suppress(OSError):  # it is not there, or holds files of another origin
        (folder / FOLDER).rmdir()


def read_map(path: Path) -> np.ndarray:
    """Draw a kept map in the photo's frame: float32 (H, W), NaN where nothing was inspected.

    Raises UserError if the file cannot be read as a map.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            height, width = (int(side) for side in archive["photo_size"])
            return map_to_photo(archive["map"], archive["transform"], (height, width))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read as a map ({error}); evaluate again with --keep-maps") from None
