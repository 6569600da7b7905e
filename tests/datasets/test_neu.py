"""NEU images: the class by folder or name, boxes, what is left out and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from data_factory import save
from steel_factory import texture

from fastener.common.errors import UserError
from fastener.datasets.neu import CLASSES, VocBox, class_of, load_neu

XML = """<annotation><filename>x.jpg</filename>
<object><name>Rolled_in scale</name>
<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>193</xmax><ymax>40</ymax></bndbox></object>
<object><name>rust</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object>
</annotation>"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("images/crazing/1.jpg", "crazing"),
        ("images/Rolled_in-Scale/x.png", "rolled-in_scale"),
        ("all/pitted_surface_12.jpg", "pitted_surface"),
        ("all/Cr_12.bmp", "crazing"),
        ("all/PS_3.bmp", "pitted_surface"),
        ("all/rs_300.BMP", "rolled-in_scale"),
        ("Sc/whatever.bmp", None),
        # The folder wins over the name.
        ("patches/Cr_12.bmp", "patches"),
        ("all/holes_12.jpg", None),
        ("all/12.jpg", None),
    ],
)
def test_class_of(path: str, expected: str | None) -> None:
    assert class_of(Path(path)) == expected


def test_flat_folder_of_old_names(tmp_path: Path) -> None:
    for code, defect in zip(("Cr", "In", "Pa", "PS", "RS", "Sc"), CLASSES, strict=True):
        save(texture(defect, 0), tmp_path / f"{code}_7.bmp")
    save(texture("patches", 1), tmp_path / "readme_picture.png")
    images, skipped = load_neu(tmp_path)
    assert {image.path.name: image.defect for image in images} == {
        f"{code}_7.bmp": defect for code, defect in zip(("Cr", "In", "Pa", "PS", "RS", "Sc"), CLASSES, strict=True)
    }
    assert [path.name for path in skipped] == ["readme_picture.png"]
    assert all(image.is_anomalous and image.boxes == () for image in images)


def test_boxes_are_found_wherever_the_xml_lies(tmp_path: Path) -> None:
    save(texture("patches", 0), tmp_path / "train/images/patches/patches_1.png")
    (tmp_path / "train/annotations").mkdir()
    (tmp_path / "train/annotations/patches_1.xml").write_text(XML)
    (image,), _ = load_neu(tmp_path)
    assert image.boxes == (VocBox("rolled-in_scale", 2, 3, 193, 40), VocBox("rust", 1, 1, 9, 8))


@pytest.mark.parametrize("text", ["<annotation>", XML.replace("193", "1"), XML.replace("<xmin>2</xmin>", "")])
def test_a_broken_annotation_is_named(text: str, tmp_path: Path) -> None:
    save(texture("patches", 0), tmp_path / "patches_1.png")
    (tmp_path / "patches_1.xml").write_text(text)
    with pytest.raises(UserError, match=r"patches_1\.xml"):
        load_neu(tmp_path)


def test_a_folder_of_other_images_is_refused(tmp_path: Path) -> None:
    save(texture("patches", 0), tmp_path / "bolt.png")
    with pytest.raises(UserError, match=r"bolt\.png.*crazing"):
        load_neu(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        load_neu(tmp_path / "nowhere")


def test_a_folder_with_a_name_of_its_own_is_a_class(tmp_path: Path) -> None:
    """Whatever its files are named, unless they name several classes of NEU."""
    for name in ("edge crack/in_1.png", "edge crack/in_2.png", "Crazing/3.png", "images/x.png", "NEU-CLS/Cr_1.bmp",
                 "NEU-CLS/Sc_1.bmp"):  # fmt: skip
        save(texture("patches", len(name)), tmp_path / name)
    images, skipped = load_neu(tmp_path)
    found = {str(image.path.relative_to(tmp_path)): image.defect for image in images}
    assert found == {
        "Crazing/3.png": "crazing",
        "NEU-CLS/Cr_1.bmp": "crazing",
        "NEU-CLS/Sc_1.bmp": "scratches",
        "edge crack/in_1.png": "edge crack",
        "edge crack/in_2.png": "edge crack",
    }
    assert [path.name for path in skipped] == ["x.png"]


@pytest.mark.real_data
@pytest.mark.skipif("FASTENER_DATA_DIR" not in os.environ, reason="FASTENER_DATA_DIR is not set")
def test_the_real_ones() -> None:
    images, skipped = load_neu(Path(os.environ["FASTENER_DATA_DIR"]) / "neu_det")
    assert not skipped
    assert {name: sum(image.defect == name for image in images) for name in CLASSES} == dict.fromkeys(CLASSES, 220)
    assert all(image.boxes for image in images)
    # A few images show a defect of another class beside their own.
    assert all(any(box.label == image.defect for box in image.boxes) for image in images)
    assert {box.label for image in images for box in image.boxes} == set(CLASSES)
