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
# Grey values beyond these are cut off: twice the range of 16 bits, for slopes up to 2.
LOWEST, HIGHEST = -(2**17), 2**17 - 1
# With a smaller slope, whole units would be coarser than the stored values, which are then kept as they are.
_LEAST_SLOPE = 0.1
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
        Grey values that the scanner shows as black and white; None if the file does not say.
    spacing
        Distance of rows, columns and slices in mm; None for each that the file does not say.
    place
        Place of the slice along the axis in mm; None if the file does not say.
    """

    frames: int
    number: int | None
    size: tuple[int, int]
    window: tuple[float, float] | None
    spacing: tuple[float | None, float | None, float | None]
    place: float | None = None


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
    data = _opened(path)
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
            place=_place(data),
        )
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path}: no DICOM slice ({error}); export it again") from None


def read_pixels(path: Path, page: int) -> np.ndarray:
    """Read one slice as int32 (H, W): Hounsfield units, or the scanner's values.

    Raises UserError for a file that is no DICOM, damaged, in colour, or compressed in a way that cannot be read.
    """
    from pydicom.pixels.utils import pixel_array

    data = _opened(path)
    try:
        values = pixel_array(path, index=page)  # of a file with many frames, only this one is decoded
        if values.ndim != 2:
            raise UserError(f"{path}: a colour picture, no CT slice; export the slice itself")
        slope, intercept = _scale(data)
        values = values * slope + intercept
        if data.get("PhotometricInterpretation") == "MONOCHROME1":  # the lowest value is white
            values = -values
    except UserError:
        raise
    except Exception as error:  # each decoder has its own family of exceptions
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path}: its pixels cannot be read ({reason}); export it uncompressed") from None
    return np.asarray(np.clip(np.rint(values), LOWEST, HIGHEST), np.int32)


def _window(data: FileDataset) -> tuple[float, float] | None:
    """Read the first window that the scanner suggests; of an inverted picture or with a fine slope, none."""
    centre, width = (_first(data.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width <= 1:
        return None
    if data.get("PhotometricInterpretation") == "MONOCHROME1" or abs(_stated_slope(data)) < _LEAST_SLOPE:
        return None
    # DICOM PS3.3, C.11.2.1.2: the window reaches half its width, less half a unit, to either side.
    half = (width - 1) / 2
    return centre - 0.5 - half, centre - 0.5 + half


def _stated_slope(data: FileDataset) -> float:
    return float(data.get("RescaleSlope", 1) or 1)


def _scale(data: FileDataset) -> tuple[float, float]:
    """Read slope and intercept of Hounsfield units or the like; 1 and 0 where whole units would be too coarse."""
    slope, intercept = _stated_slope(data), float(data.get("RescaleIntercept", 0) or 0)
    return (slope, intercept) if abs(slope) >= _LEAST_SLOPE else (1.0, 0.0)


def _place(data: FileDataset) -> float | None:
    """Project the slice's position on the normal of its plane (DICOM PS3.3, C.7.6.2.1.1)."""
    position = [float(value) for value in data.get("ImagePositionPatient") or ()]
    plane = [float(value) for value in data.get("ImageOrientationPatient") or (1, 0, 0, 0, 1, 0)]
    if len(position) != 3 or len(plane) != 6:
        return None
    return float(np.dot(position, np.cross(plane[:3], plane[3:])))


def _first(value: object) -> float | None:
    if value is None or value == "":
        return None
    one = value[0] if isinstance(value, list | tuple) or hasattr(value, "__getitem__") else value
    return float(one)  # type: ignore[arg-type]


def _opened(path: Path) -> FileDataset:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        return pydicom.dcmread(path, stop_before_pixels=True)
    except InvalidDicomError:
        raise UserError(f"{path}: not a DICOM file; copy or export it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path and the disk") from None
    except Exception as error:  # a damaged header fails wherever it is damaged
        raise UserError(f"{path}: damaged DICOM file ({' '.join(str(error).split())[:120]}); export it again") from None
