"""DICOM slices: Hounsfield units, the scanner's window, numbers and distances of slices, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from fastener.common.errors import UserError
from fastener.datasets.ct_dicom import OFFSET, is_dicom, read_header
from fastener.datasets.ct_folders import list_volumes
from fastener.datasets.ct_slices import read_slice, slice_size
from fastener.datasets.ct_window import window_of


def values(seed: int) -> np.ndarray:
    """Stored values of a scanner, int16 (30, 40)."""
    return np.random.default_rng(seed).integers(-500, 2000, (30, 40)).astype(np.int16)


def write(path: Path, number: int, window: tuple[float, float] | None = (500, 2000)) -> Path:
    """Write a CT slice whose Hounsfield units are 2 x - 1000."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 30, 40, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.InstanceNumber, data.RescaleSlope, data.RescaleIntercept = number, 2, -1000
    data.PixelSpacing, data.SliceThickness = [0.1, 0.1], 0.25
    if window is not None:
        data.WindowCenter, data.WindowWidth = window
    data.PixelData = values(number).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def test_slices_are_in_the_order_of_their_headers_and_in_hounsfield_units(tmp_path: Path) -> None:
    for name, number in (("a.dcm", 3), ("b.dcm", 2), ("1.2.840.77", 4)):
        write(tmp_path / "battery" / "axial" / name, number)
    (volume,) = list_volumes(tmp_path).volumes
    assert [one.number for one in volume.slices] == [2, 3, 4]
    assert volume.spacing == 0.25
    for one in volume.slices:
        np.testing.assert_array_equal(read_slice(one), 2 * values(one.number).astype(int) - 1000 + OFFSET)
    assert slice_size(volume.slices[0]) == (30, 40)


def test_the_window_is_the_scanners_where_all_slices_name_one(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / "b" / f"{number}.dcm", number)
    window = window_of(list_volumes(tmp_path).volumes[0])
    # DICOM PS3.3, C.11.2.1.2: c - 0.5 - (w - 1) / 2 and c - 0.5 + (w - 1) / 2
    assert (window.low - OFFSET, window.high - OFFSET) == (500 - 0.5 - 999.5, 500 - 0.5 + 999.5)
    write(tmp_path / "b" / "3.dcm", 3, window=(0, 100))
    mixed = window_of(list_volumes(tmp_path).volumes[0])
    assert (mixed.low, mixed.high) != (window.low, window.high)


def test_what_is_no_dicom_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(b"no dicom")
    with pytest.raises(UserError, match=r"x\.dcm"):
        read_header(tmp_path / "x.dcm")
    (tmp_path / "readme").write_bytes(b"text")
    assert not is_dicom(tmp_path / "readme")
    cut = write(tmp_path / "b" / "s_1.dcm", 1)
    cut.write_bytes(cut.read_bytes()[:-400])
    write(tmp_path / "b" / "s_2.dcm", 2)
    (volume,) = list_volumes(tmp_path / "b").volumes
    assert [one.number for one in volume.slices] == [1, 2]
    with pytest.raises(UserError, match=r"s_1\.dcm"):
        read_slice(volume.slices[0])
