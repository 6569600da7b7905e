"""A folder's layout is recognised, read into one type, or named in one line; a new layout is one class and one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from data_factory import FLAGS, part, run_inside, save, write_photos
from mvtec_factory import write_category

from fastener.common.errors import UserError
from fastener.datasets.dataset import GOOD, TEST, TRAIN, Dataset, Split
from fastener.datasets.images import list_images
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.layouts import LAYOUTS, LabelRules, Layout, recognise
from fastener.datasets.published import PUBLISHED


def write_csv(folder: Path, split: str = "train") -> Path:
    save(part(0), folder / split / "a.png")
    save(part(1, "rust"), folder / split / "b.png")
    (folder / split / "_classes.csv").write_text("filename,Good,Rust\na.png,1,0\nb.png,0,1\n")
    return folder


def name_of(layout: Layout) -> str:
    return next(name for name, one in LAYOUTS.items() if one is layout)


def test_each_layout_is_recognised(tmp_path: Path) -> None:
    write_csv(tmp_path / "csv")
    write_category(tmp_path / "mvtec" / "plate", 2, 1, 1)
    write_photos(tmp_path / "plain" / "below", [part(0)])
    names = [name for name in LAYOUTS if name not in PUBLISHED]  # those have tests/datasets/test_published.py
    assert {name: name_of(recognise(tmp_path / name)) for name in names} == {name: name for name in names}
    assert name_of(recognise(tmp_path / "mvtec" / "plate")) == "mvtec"


def test_all_layouts_give_one_type(tmp_path: Path) -> None:
    csv = LAYOUTS["csv"].load(write_csv(tmp_path / "csv"))
    assert (csv.splits, csv.categories, csv.labelled) == (("train",), (), True)
    assert [image.is_anomalous for image in csv.read(TRAIN, "").images] == [False, True]
    rules = LabelRules(defect_columns=["Good"])
    flipped = LAYOUTS["csv"].load(tmp_path / "csv", rules).read(TRAIN, "")
    assert [image.is_anomalous for image in flipped.images] == [True, False]

    write_category(tmp_path / "mvtec" / "plate", 2, 1, 1)
    mvtec = LAYOUTS["mvtec"].load(tmp_path / "mvtec")
    assert (mvtec.splits, mvtec.categories, mvtec.labelled) == ((TRAIN, TEST), ("plate",), True)
    category = mvtec.category("plate")
    assert [path.name for path in category.train] == ["000.png", "001.png"]
    assert [image.mask_path is not None for image in category.test] == [True, True, False]
    assert LAYOUTS["mvtec"].load(tmp_path / "mvtec" / "plate").category("plate") == category

    photos = write_photos(tmp_path / "plain", [part(0), part(1)])
    plain = LAYOUTS["plain"].load(tmp_path / "plain")
    assert (plain.splits, plain.labelled) == ((TRAIN,), False)
    assert list(plain.read(TRAIN, "").healthy) == photos


def test_wrong_and_mixed_folders_are_named_in_one_line(tmp_path: Path) -> None:
    for name in ("train", "valid"):
        save(part(0), tmp_path / "forgotten" / name / "a.png")
    with pytest.raises(UserError, match=r"looked for CSV splits: .*_classes\.csv; MVTec.*; found train/, valid/$"):
        recognise(tmp_path / "forgotten")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"found nothing$"):
        recognise(tmp_path / "empty")
    with pytest.raises(UserError, match="no such folder"):
        recognise(tmp_path / "none")
    write_category(write_csv(tmp_path / "mixed"), 2, 1, 1)
    with pytest.raises(UserError, match=r"CSV splits \(csv\) and MVTec categories \(mvtec\); .*--layout"):
        recognise(tmp_path / "mixed")
    for name in ("train", "inference", "evaluate"):
        done = run_inside(f"{name}.py", "--data-dir", tmp_path / "mixed")
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
    done = run_inside(
        "train.py", "--data-dir", tmp_path / "mixed", "--layout", "csv", *FLAGS, "--output", tmp_path / "m"
    )
    assert "its threshold is a guess" in done.stderr  # CSV splits hold one healthy photo


def test_a_plain_folder_can_be_learned_and_inspected_but_not_measured(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", [part(seed) for seed in range(4)])
    model = tmp_path / "m.pkl"
    done = run_inside("train.py", "--data-dir", tmp_path / "photos", *FLAGS, "--output", model)
    assert done.returncode == 0, done.stderr
    assert "read as plain folder of photos" in done.stdout
    flags = ("--data-dir", tmp_path / "photos", "--model", model, "--output", tmp_path / "out")
    done = run_inside("inference.py", *flags, "--json", "--visualize")
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())) == 4
    assert (tmp_path / "out" / "det_p00.png").is_file()
    done = run_inside("evaluate.py", *flags)
    assert done.returncode == 2
    assert "no labels" in done.stderr
    done = run_inside("evaluate.py", *flags, "--all")
    assert "--all is for a data set with categories" in done.stderr


class OkNok(Layout):
    """A layout from outside: ok_train, and ok and nok for the test."""

    title = "ok and nok"
    looks_for = "ok_train, ok, nok"

    def matches(self, folder: Path) -> bool:
        return (folder / "ok_train").is_dir()

    def load(self, folder: Path, labels: LabelRules | None = None) -> Dataset:
        def read(split: str, category: str) -> Split:
            sources = {"ok_train": False} if split == TRAIN else {"nok": True, "ok": False}
            images = [
                LabelledImage(path, bad, ("broken" if bad else GOOD,))
                for name, bad in sources.items()
                for path in list_images(folder / name)
            ]
            return Split(split, tuple(images))

        return Dataset(folder, (TRAIN, TEST), read)


def test_a_layout_from_outside_works_in_all_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = tmp_path / "data", tmp_path / "m.pkl"
    write_photos(data / "ok_train", [part(seed) for seed in range(6)])
    write_photos(data / "ok", [part(seed) for seed in range(20, 23)])
    write_photos(data / "nok", [part(seed, "rust") for seed in range(30, 33)])
    monkeypatch.setitem(LAYOUTS, "oknok", OkNok())
    trained = run_inside("train.py", "--data-dir", data, *FLAGS, "--output", model)
    assert trained.returncode == 0, trained.stderr
    assert f"{data}: read as ok and nok" in trained.stdout
    assert "6 healthy photos" in trained.stdout
    flags = ("--data-dir", data, "--model", model, "--output", tmp_path / "out")
    measured = run_inside("evaluate.py", *flags, "--layout", "oknok")
    assert measured.returncode == 0, measured.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["n_images"], metrics["n_anomalous"]) == (6, 3)
    inspected = run_inside("inference.py", *flags)
    assert inspected.returncode == 0, inspected.stderr
    assert "broken/p00.png: ANOMALOUS" in inspected.stdout
    assert len(list((tmp_path / "out" / "good").glob("*_result.png"))) == 3
