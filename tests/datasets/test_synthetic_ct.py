"""Rendered CT slices: exact boxes, repeatable bytes, the layout that is read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastener.common.errors import UserError
from fastener.datasets.ct_folders import list_volumes
from fastener.datasets.ct_labels import read_labels
from fastener.datasets.ct_slices import read_slice
from fastener.datasets.synthetic.ct import REGIONS, SIZE, render_battery, write_ct_dataset

HEADER = "battery_id,axis,file_name,xmin,ymin,xmax,ymax"


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    one, again, other = (render_battery(seed, 3) for seed in (5, 5, 6))
    assert all((a.image == b.image).all() for a, b in zip(one, again, strict=True))
    assert not (one[0].image == other[0].image).all()
    assert one[0].image.shape == SIZE


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_depths(bits: int, dtype: type) -> None:
    assert render_battery(1, 1, bits=bits)[0].image.dtype == dtype


@pytest.mark.slow
def test_boxes_hold_the_crack_and_hardly_more() -> None:
    """Against the difference to the same battery without the crack, which is where the crack is."""
    for seed in range(4):
        sound, cracked = render_battery(seed, 20), render_battery(seed, 20, cracks=1)
        checked = 0
        for a, b in zip(sound, cracked, strict=True):
            changed = np.abs(a.image.astype(int) - b.image) > 4000
            if not b.boxes:
                assert not changed.any()
                continue
            (box,) = b.boxes
            rows, columns = np.nonzero(changed)
            inside = (columns >= box[0] - 1) & (columns <= box[2]) & (rows >= box[1] - 1) & (rows <= box[3])
            assert inside.all()
            if len(rows) > 60:
                seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                assert np.abs(np.subtract(seen, box)).max() <= 4
                checked += 1
        assert checked >= 5


@pytest.mark.slow
def test_cracks_run_over_consecutive_slices_inside_a_region() -> None:
    for seed in range(6):
        slices = render_battery(seed, 25, cracks=2)
        for region in REGIONS.values():
            inside = [
                [
                    b
                    for b in one.boxes
                    if region[0] <= b[0] and b[2] <= region[2] and region[1] <= b[1] and b[3] <= region[3]
                ]
                for one in slices
            ]
            numbers = [number for number, boxes in enumerate(inside) if boxes]
            assert len(numbers) >= 7
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert sum(len(one.boxes) for one in slices) == sum(
            1 for one in slices for b in one.boxes if any(r[0] <= b[0] and b[2] <= r[2] for r in REGIONS.values())
        )


def test_batteries_drift_along_the_axis() -> None:
    """Ends of a scan differ by more than their noise does."""
    slices = [one.image.astype(float) for one in render_battery(3, 30)]
    next_to, far = np.abs(slices[1] - slices[0]).mean(), np.abs(slices[-1] - slices[0]).mean()
    assert far > 1.2 * next_to


def test_the_data_set_is_read_back(tmp_path: Path) -> None:
    write_ct_dataset(tmp_path, good=1, cracked=2, slices=8, seed=3)
    volumes = list_volumes(tmp_path).volumes
    assert [(v.battery, v.axis, len(v.slices)) for v in volumes] == [
        ("cracked_01", "axial", 8), ("cracked_02", "axial", 8), ("good_01", "axial", 8),
    ]  # fmt: skip
    assert read_slice(volumes[0].slices[0]).dtype == np.uint16
    labels = read_labels(tmp_path / "labels.csv", volumes)
    assert {battery for battery, _, _ in labels} == {"cracked_01", "cracked_02"}
    rendered = render_battery(3001, 8, cracks=2)
    for (battery, _, number), boxes in labels.items():
        if battery == "cracked_01":
            assert boxes == [tuple(map(float, box)) for box in rendered[number].boxes]


def test_what_cannot_be_rendered_is_named() -> None:
    with pytest.raises(UserError, match="bits: 12"):
        render_battery(0, bits=12)
    with pytest.raises(UserError, match="slices: 3 are too few"):
        render_battery(0, 3, cracks=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("battery_id,axis,file_name\n", "no column xmin, ymin, xmax, ymax"),
        (f"{HEADER}\ngood_01,axial,slice_0000.tif,5,5,5,9\n", "line 2: the box has no area"),
        (f"{HEADER}\ngood_01,axial,slice_0000.tif,a,5,5,9\n", "line 2: .* must be numbers"),
        (f"{HEADER}\nelse,axial,slice_0000.tif,1,1,5,9\n", "no line names a battery"),
        (f"{HEADER}\ngood_01,axial,slice_0000,1,1,5,9\n", "line 2: good_01/axial has no slice 'slice_0000'"),
        (None, "cannot be read"),
    ],
)
def test_labels_that_cannot_be_used_are_explained(text: str | None, words: str, tmp_path: Path) -> None:
    write_ct_dataset(tmp_path, good=1, cracked=0, slices=1)
    path = tmp_path / "labels.csv"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        read_labels(path, list_volumes(tmp_path).volumes)
    assert "labels.csv" in str(caught.value)
