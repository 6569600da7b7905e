"""DICOM slices: Hounsfield units, the scanner's window, numbers and distances of slices, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from fastener.common.errors import UserError
from fastener.datasets.ct_dicom import is_dicom, read_header
from fastener.datasets.ct_folders import list_volumes
from fastener.datasets.ct_slices import read_slice, slice_size
from fastener.datasets.ct_window import window_of


def values(seed: int) -> np.ndarray:
    """Stored values of a scanner, int16 (30, 40)."""
    return np.random.default_rng(seed).integers(-500, 2000, (30, 40)).astype(np.int16)


def write(path: Path, number: int, window: tuple[float, float] | None = (500, 2000), **changes: object) -> Path:
    """Write a CT slice whose Hounsfield units are 2 x - 1000; ``changes`` are other values of its header."""
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
    for name, value in changes.items():
        setattr(data, name, value)
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
        np.testing.assert_array_equal(read_slice(one), 2 * values(one.number).astype(int) - 1000)
    assert slice_size(volume.slices[0]) == (30, 40)


def test_the_window_is_the_scanners_where_all_slices_name_one(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / "b" / f"{number}.dcm", number)
    window = window_of(list_volumes(tmp_path).volumes[-1])
    # DICOM PS3.3, C.11.2.1.2: c - 0.5 - (w - 1) / 2 and c - 0.5 + (w - 1) / 2
    assert (window.low, window.high) == (500 - 0.5 - 999.5, 500 - 0.5 + 999.5)
    write(tmp_path / "b" / "3.dcm", 3, window=(0, 100))
    mixed = window_of(list_volumes(tmp_path).volumes[0])
    assert (mixed.low, mixed.high) != (window.low, window.high)


def test_unsigned_values_of_sixteen_bits_are_not_cut_off(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 2**16, (30, 40)).astype(np.uint16)
    unsigned = {"PixelRepresentation": 0, "PixelData": stored.tobytes(), "RescaleSlope": 1}
    write(tmp_path / "b" / "1.dcm", 1, None, **unsigned)
    (volume,) = list_volumes(tmp_path).volumes
    np.testing.assert_array_equal(read_slice(volume.slices[0]), stored.astype(int) - 1000)
    window = window_of(volume, (0, 100))
    assert (window.low, window.high) == (int(stored.min()) - 1000, int(stored.max()) - 1000)


def test_a_slope_too_fine_for_whole_units_keeps_the_stored_values(tmp_path: Path) -> None:
    write(tmp_path / "b" / "1.dcm", 1, (0, 10), RescaleSlope=1e-4, RescaleIntercept=0)
    (volume,) = list_volumes(tmp_path).volumes
    np.testing.assert_array_equal(read_slice(volume.slices[0]), values(1))
    assert window_of(volume).high > 1000, "the scanner's window is in units that are not used"


def test_slices_are_as_far_apart_as_their_places_whatever_their_thickness(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write(tmp_path / "b" / f"{number}.dcm", number, ImagePositionPatient=[5, 7, 0.4 * number])
    assert list_volumes(tmp_path).volumes[0].spacing == pytest.approx(0.4)


def test_of_many_frames_each_is_a_slice(tmp_path: Path) -> None:
    frames = np.stack([values(seed) for seed in range(3)])
    write(tmp_path / "b" / "scan.dcm", 1, NumberOfFrames=3, PixelData=frames.tobytes())
    (volume,) = list_volumes(tmp_path).volumes
    for one, frame in zip(volume.slices, frames, strict=True):
        np.testing.assert_array_equal(read_slice(one), 2 * frame.astype(int) - 1000)


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
