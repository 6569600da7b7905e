"""The Severstal layout: both forms of the table, run-length encoding, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from data_factory import save
from hypothesis import given
from hypothesis import strategies as st
from steel_factory import runs_of, strip

from fastener.common.errors import UserError
from fastener.datasets.severstal import SteelStrip, decode_runs, load_severstal

NEW = "ImageId,ClassId,EncodedPixels\n"
OLD = "ImageId_ClassId,EncodedPixels\n"
DEFECTS = {"b.png_1": "20 2", "b.png_3": "1 4"}
OLD_TABLE = OLD + "".join(f"{key},{DEFECTS.get(key, '')}\n" for key in (f"{i}.png_{c}" for i in "abc" for c in "1234"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "c.png"):
        save(strip(0)[0], tmp_path / "train_images" / name)
    return tmp_path


def test_runs_go_down_the_columns_and_count_from_one() -> None:
    mask = decode_runs("2 2 6 1", (3, 2))
    assert mask.tolist() == [[False, False], [True, False], [True, True]]


@given(st.data(), st.tuples(st.integers(1, 7), st.integers(1, 7)))
def test_decoding_undoes_a_pixelwise_encoding(data: st.DataObject, size: tuple[int, int]) -> None:
    count = size[0] * size[1]
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count))).reshape(size)
    assert np.array_equal(decode_runs(runs_of(mask), size), mask)


@pytest.mark.parametrize("text", ["1", "0 1", "6 2", "7 1", "3 0", "a b", "-1 2"])
def test_runs_that_cannot_be(text: str) -> None:
    with pytest.raises(ValueError, match=r"pairs|leave|invalid literal"):
        decode_runs(text, (3, 2))


@pytest.mark.parametrize(
    "table",
    [
        NEW + "b.png,3,1 4\nb.png,1,20 2\n",
        NEW + "a.png,1,\nb.png,1,20 2\nb.png,3,1 4\n",
        OLD_TABLE,
    ],
    ids=["a row a defect", "empty pixels", "four rows an image"],
)
def test_both_forms_of_the_table(table: str, folder: Path) -> None:
    (folder / "train.csv").write_text(table)
    strips = load_severstal(folder)
    assert [(one.path.name, one.is_anomalous, one.labels) for one in strips] == [
        ("a.png", False, ()),
        ("b.png", True, ("1", "3")),
        ("c.png", False, ()),
    ]
    mask = strips[1].mask((48, 200))
    assert sorted(np.flatnonzero(mask.T.ravel()) + 1) == [1, 2, 3, 4, 20, 21]
    assert not strips[0].mask((48, 200)).any()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "train.csv"),
        ("ImageId,Pixels\n", "columns"),
        (NEW + "z.png,1,1 2\n", r"line 2: z\.png"),
        (NEW + "a.png,1,1 2\na.png,1,5 2\n", "line 3: a second row"),
    ],
)
def test_tables_that_are_refused(table: str | None, message: str, folder: Path) -> None:
    if table is not None:
        (folder / "train.csv").write_text(table)
    with pytest.raises(UserError, match=message):
        load_severstal(folder)


def test_pixels_that_do_not_fit_name_the_image(folder: Path) -> None:
    (folder / "train.csv").write_text(NEW + "a.png,1,9600 5\n")
    with pytest.raises(UserError, match=r"a\.png, class 1"):
        load_severstal(folder)[0].mask((48, 200))


@pytest.mark.real_data
@pytest.mark.skipif("FASTENER_DATA_DIR" not in os.environ, reason="FASTENER_DATA_DIR is not set")
def test_the_real_ones() -> None:
    strips = load_severstal(Path(os.environ["FASTENER_DATA_DIR"]) / "severstal_like")
    assert (len(strips), sum(one.is_anomalous for one in strips)) == (148, 28)
    assert all(one.mask((256, 1600)).any() == one.is_anomalous for one in strips)


def test_a_strip_shows_the_square_with_most_of_its_defect() -> None:
    mask = np.zeros((40, 200), bool)
    mask[5:30, 120:140] = True
    pixels = " ".join(f"{column * 40 + 6} 25" for column in range(120, 140))
    strip = SteelStrip(Path("x.png"), True, ("3",), encoded=(pixels,))
    assert strip.defect == "severstal_3"
    assert SteelStrip(Path("x.png"), True, ("1", "3"), encoded=(pixels, pixels)).defect == ""
    shown = strip.view(np.repeat(mask[..., None], 3, axis=2).astype(np.uint8))
    assert shown.shape == (40, 40, 3)
    assert shown[..., 0].sum() == mask.sum()
