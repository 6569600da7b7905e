"""CSV splits: how columns are read, what an image's label is, and which files are refused."""

from __future__ import annotations

import csv
import os
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest

from fastener.common.errors import UserError
from fastener.common.spreadsheet import BOM
from fastener.datasets.csv_splits import load_split, load_splits
from fastener.datasets.label_columns import Columns, is_healthy_name, read_columns

HEADER = "filename, Corroded-Bolt, Non-Corroded-Bolt"


def write_split(root: Path, text: str, name: str = "train", images: str = "a b c", encoding: str = "utf-8") -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    for stem in images.split():
        cv2.imwrite(str(folder / f"{stem}.jpg"), np.full((8, 8, 3), 90, np.uint8))
    (folder / "_classes.csv").write_bytes(text.encode(encoding))
    return root


def failure(root: Path, **overrides: list[str]) -> str:
    """The one line that loading this split fails with; it always names the file."""
    with pytest.raises(UserError) as caught:
        load_split(root, "train", **overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert str(root / "train" / "_classes.csv") in message
    return message


@pytest.mark.parametrize(
    "name",
    [
        "Non-Corroded-Bolt", "non corroded", "NON_CORRODED", "nonCorroded", "NonCorrodedBolt", "noncorroded",
        "NOTCORRODED", "notrusty", "Non-corroded Nut", "not.rusty", "Not_OK", "good-bolt", "GoodBolt", "goodbolts",
        "Good", "HEALTHY", "healthy_nut", "Normal", "normal2", "OK", "ok-part", "OKBolt", "ok1", "Okay",
        " Good", "non", "Not",
    ],
)  # fmt: skip
def test_healthy_names(name: str) -> None:
    assert is_healthy_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "Corroded-Bolt", "Notch", "notch_left", "Nonuniform-wear", "Nonconforming", "Oksid", "NOK", "nOK", "node",
        "rust", "Bolt-not-tight", "abnormal", "unhealthy", "no good", "Énormal", "7", "",
    ],
)  # fmt: skip
def test_defect_names(name: str) -> None:
    assert not is_healthy_name(name)


def test_columns_are_described_in_file_order() -> None:
    columns = read_columns(["B", "Good", "A", "ok"], "x.csv")
    assert columns == Columns(defect=("B", "A"), healthy=("Good", "ok"))
    assert columns.describe() == "defect: B, A; healthy: Good, ok"
    assert Columns(("A",), ()).describe() == "defect: A; healthy: none"


def test_one_override_settles_the_other_group() -> None:
    names = ["Not_OK", "Fine", "Rust"]
    assert read_columns(names, "x.csv", defect_columns=["not_ok", "Rust"]) == Columns(("Not_OK", "Rust"), ("Fine",))
    assert read_columns(names, "x.csv", healthy_columns=["Fine "]) == Columns(("Not_OK", "Rust"), ("Fine",))
    both = read_columns(names, "x.csv", defect_columns=["Rust", "Not_OK"], healthy_columns=["Fine"])
    assert both == Columns(("Not_OK", "Rust"), ("Fine",))


@pytest.mark.parametrize(
    ("defect", "healthy", "words"),
    [
        (["Rst"], None, ["'Rst'", "did you mean 'Rust'", "defect columns"]),
        (None, ["zzz"], ["'zzz'", "Fine, Rust, Dent", "healthy columns"]),
        (["Rust"], ["Rust", "Fine"], ["'Rust'", "both"]),
        (["Rust"], ["Fine"], ["'Dent'", "neither"]),
    ],
)
def test_bad_overrides(defect: list[str] | None, healthy: list[str] | None, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read_columns(["Fine", "Rust", "Dent"], "x.csv", defect_columns=defect, healthy_columns=healthy)
    assert all(word in str(caught.value) for word in ["x.csv", *words])


def test_any_defect_column_makes_an_image_anomalous(tmp_path: Path) -> None:
    split = load_split(write_split(tmp_path, f"{HEADER}\nc.jpg,0,0\nb.jpg,1,1\na.jpg,0,1\n"), "train")
    assert split.name == "train"
    assert split.columns == Columns(("Corroded-Bolt",), ("Non-Corroded-Bolt",))
    assert [(i.path.name, i.is_anomalous, i.labels) for i in split.images] == [
        ("a.jpg", False, ("Non-Corroded-Bolt",)),
        ("b.jpg", True, ("Corroded-Bolt", "Non-Corroded-Bolt")),
        ("c.jpg", False, ()),
    ]
    assert [image.path.name for image in split.unmarked] == ["c.jpg"]
    assert split.unlisted == ()


def test_masks_of_a_split_belong_to_its_defective_images(tmp_path: Path) -> None:
    rows = f"{HEADER}\na.jpg,1,0\nb.jpg,1,0\nc.jpg,0,1\n"
    write_split(write_split(tmp_path, rows), rows, "test")
    for name in ("test/a_mask.png", "test/c.png", "train/b.png"):
        (tmp_path / "Masks" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "Masks" / name), np.zeros((8, 8), np.uint8))
    found = {
        split: {image.path.stem: image.mask_path for image in load_split(tmp_path, split).images}
        for split in ("train", "test")
    }
    assert found["test"] == {"a": tmp_path / "Masks/test/a_mask.png", "b": None, "c": None}
    assert found["train"] == {"a": None, "b": tmp_path / "Masks/train/b.png", "c": None}


def test_unlabelled_images_are_left_out(tmp_path: Path) -> None:
    """As Roboflow marks them: they are neither healthy nor defective."""
    text = "filename, Rust, Unlabeled\na.jpg, 1, 0\nb.jpg, 0, 1\nc.jpg, 0, 0\n"
    split = load_split(write_split(tmp_path, text), "train")
    assert split.columns == Columns(("Rust",), (), ("Unlabeled",))
    assert [(image.path.name, image.is_anomalous) for image in split.images] == [("a.jpg", True), ("c.jpg", False)]
    assert [path.name for path in split.unlabelled] == ["b.jpg"]
    assert split.unlisted == ()
    named = load_split(tmp_path, "train", defect_columns=["Unlabeled", "Rust"])
    assert [image.is_anomalous for image in named.images] == [True, True, False]


def test_overrides_change_the_labels(tmp_path: Path) -> None:
    write_split(tmp_path, "filename,Not_OK,Fine\na.jpg,1,0\nb.jpg,0,1\n", images="a b")
    assert [image.is_anomalous for image in load_split(tmp_path, "train", defect_columns=["Not_OK"]).images] == [
        True,
        False,
    ]
    assert [image.is_anomalous for image in load_split(tmp_path, "train").images] == [False, True]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (f"{HEADER}\r\na.jpg, 1, 0\r\nb.jpg, 0, 1\r\n", "utf-8-sig"),
        (f"{HEADER}\na.jpg,1.0,0.0\n\n  \n,,\nb.jpg,0.0,1.0", "utf-8"),
        ('Corroded-Bolt,"FileName",Non-Corroded-Bolt\n1, "a.jpg",0\n0,./b.jpg,1\n', "utf-8"),
    ],
)
def test_dialects(tmp_path: Path, text: str, encoding: str) -> None:
    split = load_split(write_split(tmp_path, text, encoding=encoding), "train")
    assert [(image.path.name, image.is_anomalous) for image in split.images] == [("a.jpg", True), ("b.jpg", False)]
    assert split.unlisted == (tmp_path / "train" / "c.jpg",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("\n\n", ["empty"]),
        (HEADER, ["no rows"]),
        ("filename\na.jpg\n", ["no label column"]),
        ("image,Rust\na.jpg,1\n", ["no column 'filename'", "image,Rust"]),
        ("filename|Rust\na.jpg|1\n", ["no column 'filename'", "commas"]),
        (",filename,Rust\n0,a.jpg,1\n", ["column 1 has no name"]),
        ("filename,Rust,rust\na.jpg,0,1\n", ["two columns", "'rust'"]),
        (f"{HEADER}\na.jpg,1,0\nz.jpg,1,0\n", ["line 3", "'z.jpg'", "not in"]),
        (f"{HEADER}\na.jpg,1,0\n\na.jpg,0,1\n", ["line 4", "'a.jpg'", "already on line 2"]),
        (f"{HEADER}\na.jpg,1,0\n./a.jpg,1,0\n", ["line 3", "already on line 2"]),
        (f"{HEADER}\na.jpg,2,0\n", ["line 2", "'Corroded-Bolt'", "'2'", "0 or 1"]),
        (f"{HEADER}\na.jpg,,1\n", ["line 2", "'Corroded-Bolt'", "''"]),
        (f"{HEADER}\na.jpg,0,yes\n", ["line 2", "'Non-Corroded-Bolt'", "'yes'"]),
        (f"{HEADER}\na.jpg,0\n", ["line 2", "2 fields"]),
        (f"{HEADER}\na.jpg,0,1,1\n", ["line 2", "4 fields"]),
        (f"{HEADER}\n,1,0\n", ["line 2", "filename is empty"]),
        (f"{HEADER}\n../b.jpg,1,0\n", ["line 2", "'../b.jpg'", "out of"]),
        (f"{HEADER}\n..\\b.jpg,1,0\n", ["line 2", "out of"]),
        (f"{HEADER}\n/etc/hostname,1,0\n", ["line 2", "'/etc/hostname'", "out of"]),
        (f"{HEADER}\nC:\\b.jpg,1,0\n", ["line 2", "out of"]),
        (f"{HEADER}\n.,1,0\n", ["line 2", "not an image file"]),
        (f"{HEADER}\n_classes.csv,1,0\n", ["line 2", "'_classes.csv'", "not an image file"]),
        (f"{HEADER}\nfolder.jpg,1,0\n", ["line 2", "'folder.jpg'", "not in"]),
        (f'{HEADER}\n"a.jpg,1,0\n', ["cannot be read as CSV"]),
        ("filename,Good\na.jpg,1\nb.jpg,0\n", ["line 3", "'b.jpg'", "no column marks a defect"]),
    ],
)
def test_refused_files(tmp_path: Path, text: str, words: list[str]) -> None:
    write_split(tmp_path, text)
    (tmp_path / "train" / "folder.jpg").mkdir()
    message = failure(tmp_path)
    assert all(word in message for word in words), message


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    text = f"{HEADER}\nschräg.jpg,1,0\n"
    assert "UTF-8" in failure(write_split(tmp_path, text, encoding="latin-1"))


def test_unknown_override_names_the_csv(tmp_path: Path) -> None:
    write_split(tmp_path, f"{HEADER}\na.jpg,1,0\n")
    assert "did you mean 'Corroded-Bolt'" in failure(tmp_path, defect_columns=["Corroded-Bolts"])


def test_splits_that_exist_are_loaded(tmp_path: Path) -> None:
    for name in ("test", "train"):
        write_split(tmp_path, f"{HEADER}\na.jpg,1,0\n", name=name)
    assert [split.name for split in load_splits(tmp_path)] == ["train", "test"]
    assert [split.name for split in load_splits(tmp_path, ["test"])] == ["test"]
    with pytest.raises(UserError, match=r"valid/_classes\.csv: no such file"):
        load_splits(tmp_path, ["valid"])
    with pytest.raises(UserError, match=r"train/_classes\.csv, valid/_classes\.csv, test/_classes\.csv"):
        load_splits(tmp_path / "elsewhere")


def test_a_split_folder_without_its_csv_is_not_passed_over(tmp_path: Path) -> None:
    write_split(tmp_path, f"{HEADER}\na.jpg,1,0\n")
    (tmp_path / "valid").mkdir()
    with pytest.raises(UserError, match=r"valid/_classes\.csv: no such file"):
        load_splits(tmp_path)


@pytest.mark.real_data
def test_real_fasteners() -> None:
    root = os.environ.get("FASTENER_DATA_DIR")
    if root is None:
        pytest.skip("FASTENER_DATA_DIR is not set")
    folder = Path(root) / "fasteners"
    for split in load_splits(folder):
        with (folder / split.name / "_classes.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        corroded = {row["filename"] for row in rows if "1" in [row[key] for key in row if key.startswith("Corroded")]}
        assert {image.path.name for image in split.images if image.is_anomalous} == corroded
        assert len(split.images) == len(rows)
        assert split.columns is not None
        assert len(split.columns.defect) == len(split.columns.healthy) == 3
        assert split.unlisted == ()


@pytest.mark.parametrize("written", ["images\\0.png", "images/0.PNG", "Images\\0.png", '"images/0.png"'])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_rows_name_files_as_other_systems_write_them(tmp_path: Path, written: str, delimiter: str) -> None:
    folder = tmp_path / "train"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "0.png").touch()
    header = delimiter.join(["filename", "good"])
    value = "1,0" if delimiter != "," else "1.0"
    (folder / "_classes.csv").write_text(f"{BOM}{header}\r\n{written}{delimiter}{value}\r\n", encoding="utf-8")
    assert load_split(tmp_path, "train").healthy == (folder / "images" / "0.png",)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_count_once_however_they_are_written(tmp_path: Path, form: str) -> None:
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / unicodedata.normalize(form, "größe.png")).touch()  # type: ignore[arg-type]
    row = unicodedata.normalize(other, "größe.png")  # type: ignore[arg-type]
    (tmp_path / "train" / "_classes.csv").write_text(f"filename,good\n{row},1\n", encoding="utf-8")
    assert len(load_split(tmp_path, "train").images) == 1


@pytest.mark.parametrize("folder", ["valid", "val", "Validation", "VAL"])
def test_the_validation_split_has_many_names(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "0.png").touch()
    (tmp_path / folder / "_classes.csv").write_text("filename,good\n0.png,1\n")
    (split,) = load_splits(tmp_path)
    assert (split.name, len(split.images)) == ("valid", 1)
