"""Read CT slices from DICOM files: density in Hounsfield units, the scanner's window, and the distances of pixels."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastener.common.errors import UserError

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
# Added to Hounsfield units, which may be negative, so that all slices are unsigned 16-bit.
OFFSET = 2**15
_MAGIC_PLACE, _MAGIC = 128, b"DICM"


@dataclass(frozen=True)
class DicomHeader:
    """Hold what a DICOM file says of its slices.

    Parameters
    ----------
    frames
        Number of slices in the file.
    number
        Number of the slice in its series; None if the file does not say.
    size
        (height, width) in pixels.
    window
        Grey values that the scanner shows as black and white, with ``OFFSET`` added; None if the file does not say.
    spacing
        Distance of rows, columns and slices in mm; None for each that the file does not say.
    """

    frames: int
    number: int | None
    size: tuple[int, int]
    window: tuple[float, float] | None
    spacing: tuple[float | None, float | None, float | None]


def is_dicom(path: Path) -> bool:
    """Tell a DICOM file by its ending, or by its content if it has no ending."""
    if path.suffix.lower() in SUFFIXES:
        return True
    # Archives often name files by numbers with dots.
    if path.suffix and not path.suffix[1:].isdecimal():
        return False
    with suppress(OSError), path.open("rb") as file:
        file.seek(_MAGIC_PLACE)
        return file.read(len(_MAGIC)) == _MAGIC
    return False


@lru_cache(maxsize=4096)
def read_header(path: Path) -> DicomHeader:
    """Read what a file says of its slices, without their pixels. Raises UserError for a file that is no DICOM."""
    data = _opened(path, pixels=False)
    try:
        number = data.get("InstanceNumber")
        inner = [float(value) for value in (data.get("PixelSpacing") or data.get("ImagerPixelSpacing") or ())]
        rows, columns = inner if len(inner) == 2 else (None, None)
        between = data.get("SpacingBetweenSlices") or data.get("SliceThickness")
        return DicomHeader(
            frames=int(data.get("NumberOfFrames") or 1),
            number=None if number is None else int(number),
            size=(int(data.Rows), int(data.Columns)),
            window=_window(data),
            spacing=(rows, columns, None if between is None else float(between)),
        )
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path}: no DICOM slice ({error}); export it again") from None


def read_pixels(path: Path, page: int) -> np.ndarray:
    """Read one slice as uint16 (H, W): Hounsfield units, or the scanner's values, plus ``OFFSET``.

    Raises UserError for a file that is no DICOM, damaged, in colour, or compressed in a way that cannot be read.
    """
    data = _opened(path, pixels=True)
    try:
        values = np.asarray(data.pixel_array)
        frames = values if int(data.get("NumberOfFrames") or 1) > 1 else values[None]
        values = frames[page]
        if values.ndim != 2:
            raise UserError(f"{path}: a colour picture, no CT slice; export the slice itself")
        values = values * float(data.get("RescaleSlope", 1) or 1) + float(data.get("RescaleIntercept", 0) or 0)
        if data.get("PhotometricInterpretation") == "MONOCHROME1":  # the lowest value is white
            values = -values
    except UserError:
        raise
    except Exception as error:  # each decoder has its own family of exceptions
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path}: its pixels cannot be read ({reason}); export it uncompressed") from None
    return np.asarray(np.clip(np.rint(values + OFFSET), 0, 2 * OFFSET - 1), np.uint16)


def _window(data: FileDataset) -> tuple[float, float] | None:
    """Read the first window that the scanner suggests; of an inverted picture, none."""
    centre, width = (_first(data.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width <= 1 or data.get("PhotometricInterpretation") == "MONOCHROME1":
        return None
    # DICOM PS3.3, C.11.2.1.2: the window reaches half its width, less half a unit, to either side.
    half = (width - 1) / 2
    return centre - 0.5 - half + OFFSET, centre - 0.5 + half + OFFSET


def _first(value: object) -> float | None:
    if value is None or value == "":
        return None
    one = value[0] if isinstance(value, list | tuple) or hasattr(value, "__getitem__") else value
    return float(one)  # type: ignore[arg-type]


def _opened(path: Path, *, pixels: bool) -> FileDataset:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        return pydicom.dcmread(path, stop_before_pixels=not pixels)
    except InvalidDicomError:
        raise UserError(f"{path}: not a DICOM file; copy or export it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path and the disk") from None
    except Exception as error:  # a damaged header fails wherever it is damaged
        raise UserError(f"{path}: damaged DICOM file ({' '.join(str(error).split())[:120]}); export it again") from None
