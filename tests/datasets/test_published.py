"""Published data sets are recognised by themselves, and read as their descriptions say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import published_factory as made
import pytest
from mvtec_factory import blot, plate

from fastener.commands import data
from fastener.common.errors import UserError
from fastener.datasets.dataset import Dataset
from fastener.datasets.layouts import LAYOUTS, layout_named, recognise
from fastener.datasets.names import is_good
from fastener.datasets.path_patterns import PathPattern
from fastener.datasets.pattern_layout import parse_patterns

TRUTH = blot(plate(0, made.SIZE), made.CENTRE, 4)[1]
# How the set is made; its layout; its categories; number of images in train, valid, test that are good and defective;
# the defects of the test; whether their pixels are marked.
Case = tuple[Callable[[Path], None], str, tuple[str, ...], dict[str, tuple[int, int]], set[str], bool]
CASES: dict[str, Case] = {
    "visa": (
        made.visa, "visa", ("candle", "pcb1"), {"train": (2, 0), "test": (1, 1)}, {"bent", "melt"}, True,
    ),
    "ad2": (
        made.mvtec_ad2, "mvtec-ad2", ("can",), {"train": (2, 0), "valid": (1, 0), "test": (1, 1)}, {"bad"}, True,
    ),
    "loco": (
        made.mvtec_loco, "mvtec-loco", ("pushpins",), {"train": (4, 0), "valid": (1, 0), "test": (3, 2)},
        {"logical_anomalies", "structural_anomalies"}, True,
    ),
    "3d": (made.mvtec_3d, "mvtec-3d", ("bagel",), {"train": (2, 0), "valid": (2, 0), "test": (2, 1)}, {"crack"}, True),
    "btad": (made.btad, "mvtec", ("01",), {"train": (2, 0), "test": (1, 1)}, {"ko"}, True),
    "mpdd": (made.mpdd, "mvtec", ("bracket_black",), {"train": (2, 0), "test": (1, 1)}, {"hole"}, True),
    "ksdd2": (made.kolektor_sdd2, "kolektor-sdd2", ("set",), {"train": (2, 1), "test": (1, 1)}, {"defect"}, True),
    "dagm": (made.dagm, "dagm", ("Class1",), {"train": (2, 1), "test": (2, 1)}, {"defect"}, True),
    "ellipses": (made.dagm_ellipses, "dagm-ellipses", ("Class1",), {"train": (4, 0), "test": (1, 1)}, {"defect"}, True),
    "real_iad": (made.real_iad, "real-iad", ("usb",), {"train": (2, 0), "test": (1, 1)}, {"HS"}, True),
    "severstal": (made.severstal, "severstal", ("set",), {"train": (4, 0), "test": (1, 1)}, {"3"}, True),
    "casting": (made.casting, "casting", ("set",), {"train": (2, 0), "test": (1, 1)}, {"def_front"}, False),
}  # fmt: skip


def counts(dataset: Dataset, category: str) -> dict[str, tuple[int, int]]:
    found = {}
    for split in dataset.splits:
        images = dataset.read(split, category).images
        bad = sum(image.is_anomalous for image in images)
        found[split] = (len(images) - bad, bad)
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_published_set_is_recognised_and_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    make, layout, categories, expected, defects, marked = CASES[name]
    root = tmp_path / "set"
    make(root)
    assert recognise(root) is LAYOUTS[layout]
    dataset = recognise(root).load(root)
    assert dataset.categories == categories
    for category in categories:
        assert counts(dataset, category) == expected
        test = dataset.category(category).test
        assert {label for image in test for label in image.labels if image.is_anomalous} == defects
        assert all(is_good(image.labels[0]) != image.is_anomalous for image in test)
        for image in test:
            assert image.has_mask == (marked and image.is_anomalous), image
            if image.has_mask and name not in ("loco", "ellipses"):
                np.testing.assert_array_equal(image.mask(made.SIZE), TRUTH)
    data.report_unused(dataset, categories)
    assert capsys.readouterr().err == "", "all that is there is used, or set aside by the layout"


def test_the_folder_of_one_category_is_that_category(tmp_path: Path) -> None:
    for name, make, category in (
        ("visa", made.visa, "pcb1"), ("loco", made.mvtec_loco, "pushpins"), ("ad2", made.mvtec_ad2, "can"),
        ("dagm", made.dagm, "Class1"), ("3d", made.mvtec_3d, "bagel"),
    ):  # fmt: skip
        make(tmp_path / name)
        whole = recognise(tmp_path / name).load(tmp_path / name)
        alone = recognise(tmp_path / name / category).load(tmp_path / name / category)
        assert alone.categories == (category,)
        assert alone.category(category) == whole.category(category)
    made.real_iad(tmp_path / "real")
    coarse = recognise(tmp_path / "real/realiad_256").load(tmp_path / "real/realiad_256")
    assert {image.path.parts[-6] for image in coarse.category("usb").test if image.is_anomalous} == {"realiad_256"}


def test_one_folder_too_high_or_the_present_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.casting(tmp_path / "casting_data/casting_data")
    with pytest.raises(UserError, match="holds casting_data, which has the layout of casting products; name"):
        recognise(tmp_path / "casting_data")
    made.mpdd(tmp_path / "mpdd")
    for folder, category in (("casting_data/casting_data", "casting_data"), ("mpdd/bracket_black", "bracket_black")):
        monkeypatch.chdir(tmp_path / folder)
        dataset = recognise(Path()).load(Path())
        assert dataset.categories == (category,)
        assert counts(dataset, category) == {"train": (2, 0), "test": (1, 1)}


def test_an_ellipse_marks_its_pixels(tmp_path: Path) -> None:
    made.dagm_ellipses(tmp_path)
    (bad,) = [one for one in recognise(tmp_path).load(tmp_path).category("Class1").test if one.is_anomalous]
    mask = bad.mask((40, 50))
    assert mask is not None
    rows, columns = np.nonzero(mask)
    # Semi-axes 6.2 and 3.2, the longer one upright by an angle of 90 degrees, around x 13 and y 11 counted from 1.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 16, 9, 15)
    assert mask.sum() == pytest.approx(np.pi * 6.2 * 3.2, rel=0.05)


def test_loco_says_when_a_defect_counts_as_found(tmp_path: Path) -> None:
    made.mvtec_loco(tmp_path)
    test = recognise(tmp_path).load(tmp_path).category("pushpins").test
    area = int(TRUTH.sum())
    regions = {image.labels[0]: image.regions(made.SIZE) for image in test}
    assert regions["good"] == []
    assert sorted(one.saturation for one in regions["logical_anomalies"] or []) == [12, area / 2]
    assert [one.saturation for one in regions["structural_anomalies"] or []] == [area]
    (image,) = [image for image in test if image.labels == ("logical_anomalies",)]
    joined = np.logical_or.reduce([one.mask for one in regions["logical_anomalies"] or []])
    np.testing.assert_array_equal(image.mask(made.SIZE), joined)
    (tmp_path / "pushpins/defects_config.json").write_text(json.dumps([{"pixel_value": 255}]))
    with pytest.raises(UserError, match=r"defects_config.json: not a list of defects"):
        recognise(tmp_path).load(tmp_path)


def test_patterns_read_any_other_shape(tmp_path: Path) -> None:
    made.photo(*(tmp_path / f"healthy/day{number}/a.png" for number in range(10)))
    truth = made.defective(tmp_path / "rejects/Scratch/1.png", tmp_path / "marks/1.png")
    made.defective(tmp_path / "rejects/dent/2.png")
    dataset = layout_named("good=healthy/**,defect=rejects/{defect}/*,mask=marks/{name}.*").load(tmp_path)
    assert dataset.categories == (tmp_path.name,)
    category = dataset.category(tmp_path.name)
    assert [path.parent.name for path in category.train] == [f"day{number}" for number in range(8)]
    assert category.defects == ("Scratch", "dent")
    marked = {image.path.name: image.mask(made.SIZE) for image in category.test}
    assert {name: mask is not None for name, mask in marked.items()} == {"1.png": True, "2.png": False, "a.png": False}
    np.testing.assert_array_equal(marked["1.png"], truth)
    by_line = layout_named("good={category}/ok/*,defect={category}/{defect}/*").load
    for line in ("a", "b"):
        made.photo(tmp_path / "lines" / line / "ok/0.png", tmp_path / "lines" / line / "ok/1.png")
        made.defective(tmp_path / "lines" / line / "ng/0.png")
    assert by_line(tmp_path / "lines").categories == ("a", "b")


def test_stars_stay_in_a_name_and_fields_read_folders() -> None:
    assert PathPattern("a/*.png").match("a/b/c.png") is None
    assert PathPattern("**/*.PNG").match("a/b/c.png") == {}
    assert PathPattern("x/{defect}/* | y/{defect}/*").match("Y/dent/1.jpg") == {"defect": "dent"}
    assert PathPattern("{folder}/{name}_GT.*").match("a/b/1_GT.png") == {"folder": "a/b", "name": "1"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("mvtek", r"no such layout; there are csv, mvtec, .*good="),
        ("defect=a/*", "nothing of good photos"),
        ("good=a/*,god=b/*", "god=b/"),
        ("good=a/*,good=b/*", "stands twice"),
        ("good=a/{part}/*", r"unknown field \{part\}"),
        ("good={defect}/{defect}/*", "twice"),
        ("good={category}/a/*,defect=b/{defect}/*", "name it in both"),
        ("good=a/*,defect=b/*,mask=m/{defect}/{name}.png", r"photos have no \{defect\}"),
        ("good=nothing/*,defect=b/*", "no good photo there; looked for nothing/"),
    ],
)
def test_patterns_that_cannot_be_read_cost_one_line(tmp_path: Path, text: str, line: str) -> None:
    made.photo(tmp_path / "a/0.png")
    with pytest.raises(UserError, match=line) as raised:
        layout_named(text).load(tmp_path)
    assert len(str(raised.value).splitlines()) == 1


def test_tables_that_cannot_be_trusted_cost_one_line(tmp_path: Path) -> None:
    made.visa(tmp_path / "visa")
    table = tmp_path / "visa/split_csv/1cls.csv"
    text = table.read_text()
    for wrong, line in (
        (text.replace("0002.JPG", "9.JPG"), "line 4: candle/Data/Images/Normal/9.JPG is not in"),
        (text.replace("candle,test,anomaly", "candle,test,odd"), "line 5: split 'test' and label 'odd'"),
        (text.replace("object,", "thing,"), "no column 'object'"),
    ):
        table.write_text(wrong)
        with pytest.raises(UserError, match=line):
            LAYOUTS["visa"].load(tmp_path / "visa")
    made.real_iad(tmp_path / "real")
    file = tmp_path / "real/realiad_jsons/realiad_jsons/usb.json"
    for wrong, line in (("{", "cannot be read as JSON"), ('{"meta": {}, "train": [{}]}', "not as expected")):
        file.write_text(wrong)
        with pytest.raises(UserError, match=line):
            LAYOUTS["real-iad"].load(tmp_path / "real")
    made.dagm_ellipses(tmp_path / "dagm")
    (tmp_path / "dagm/Class1_def/labels.txt").write_text("1 6 -3 0 13 11\n")
    with pytest.raises(UserError, match=r"labels.txt, line 1: not a number"):
        LAYOUTS["dagm-ellipses"].load(tmp_path / "dagm")
    for number in (1, 2):
        made.write_mask(TRUTH, tmp_path / "masks" / f"0_{number}.png")
    made.write_mask(TRUTH, tmp_path / "masks/1_1.png")
    made.photo(tmp_path / "ok/9.png", tmp_path / "bad/0.png", tmp_path / "bad/1.png")
    with pytest.raises(UserError, match=r"bad/0.png: has several masks"):
        parse_patterns("good=ok/*,defect=bad/*,mask=masks/{name}_*").load(tmp_path)
