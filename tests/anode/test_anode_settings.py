"""configs/anode.yaml and what is refused in its place, always in one line that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from data_factory import ROOT

from fastener.anode.regions import check_regions
from fastener.anode.settings import AnodeSettings
from fastener.common.errors import UserError
from fastener.common.settings import known_settings, load_settings
from fastener.datasets.ct_slices import CtSlice, Volume
from fastener.datasets.synthetic.ct import REGIONS, SIZE

PRESET = ROOT / "configs" / "anode.yaml"
# The keys of the first version of this program, all of which are still read.
OF_OLD = {
    "output_dir_model_rf_detr", "output_dir_model_patchcore", "output_inference_dir", "input_dir", "good_images_dir",
    "export_ai_csv_files", "roi_config", "rf_detr_checkpoint", "class_label", "patchcore_threshold",
    "rf_detr_threshold", "resize_size", "filter_index_range",
}  # fmt: skip


def tree() -> dict[str, Any]:
    return dict(yaml.safe_load(PRESET.read_text(encoding="utf-8")))


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "anode.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def error_of(folder: Path, **changes: object) -> str:
    with pytest.raises(UserError) as caught:
        load_settings(AnodeSettings, write(folder, {**tree(), **changes}))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_preset_names_the_defaults_and_every_key_of_old() -> None:
    read = load_settings(AnodeSettings, PRESET)
    assert set(tree()) >= OF_OLD
    assert set(tree()) == set(AnodeSettings.model_fields)
    assert read == AnodeSettings(roi_config=read.roi_config)
    assert read.filter_index_range is None, "no slice is left out unless someone asks for it"
    assert {r.name: (r.x_min, r.y_min, r.x_max, r.y_max) for r in read.roi_config} == REGIONS


def test_every_setting_is_described() -> None:
    assert all(known_settings(AnodeSettings).values())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patchcore_treshold": 3}, "'patchcore_treshold'; the nearest known one is 'patchcore_threshold'"),
        ({"rf_detr": {"epoch": 3}}, "unknown setting 'rf_detr.epoch'; the nearest known one is 'rf_detr.epochs'"),
        ({"filter_index_range": {"min": 9, "max": 3}}, "filter_index_range: min 9 must not lie above max 3"),
        ({"filter_index_range": {"from": 9}}, "unknown setting 'filter_index_range.from'"),
        ({"patchcore_threshold": "calibrate"}, "patchcore_threshold = 'calibrate' is not allowed"),
        ({"patchcore_threshold": -1}, "patchcore_threshold = -1 is not allowed"),
        ({"roi_config": []}, "roi_config = [] is not allowed"),
        ({"resize_size": [256]}, "resize_size = "),
        ({"rf_detr": 5}, "'rf_detr' is a section"),
        ({"rf_detr": {"resolution": 100}}, "rf_detr.resolution = 100 is not allowed"),
        ({"window_percentiles": [90, 10]}, "window_percentiles: 90 must lie below 10"),
        ({"consecutive_slices": 0}, "consecutive_slices = 0 is not allowed"),
        ({"dbscan": {"eps": 0, "min_samples": 5}}, "dbscan.eps = 0 is not allowed"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    assert words in error_of(tmp_path, **changes)


def region(**changes: object) -> dict[str, Any]:
    return {"x_min": 10, "x_max": 60, "y_min": 20, "y_max": 80, "name": "left"} | changes


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ([region(x_min=60)], "region left: x_min 60 must lie below x_max 60"),
        ([region(y_min=90)], "region left: y_min 90 must lie below y_max 80"),
        ([region(), region(name="LEFT")], "two regions share a name"),
        ([region(x_mni=3)], "unknown setting 'roi_config.x_mni'; the nearest known one is 'roi_config.x_min'"),
        ([region(), region(name="b", x_max="wide")], "roi_config.1.x_max = 'wide' is not allowed: right edge"),
        ([region(name="a/b")], "roi_config.0.name = 'a/b' is not allowed"),
        ([{"name": "left", "x_min": 1}], "roi_config.0.x_max is missing"),
    ],
)
def test_regions_that_cannot_be(regions: list[Any], words: str, tmp_path: Path) -> None:
    assert words in error_of(tmp_path, roi_config=regions)


def test_without_regions_nothing_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="roi_config is missing"):
        load_settings(AnodeSettings, write(tmp_path, {"class_label": "crack"}))


def test_flags_win_over_assignments_over_the_file() -> None:
    read = load_settings(
        AnodeSettings, PRESET, ["run.seed=7", "dbscan.eps=9", "run.device=cuda"], {"run.device": "cpu"}
    )
    assert (read.run.seed, read.dbscan.eps, read.run.device) == (7, 9.0, "cpu")


def test_a_region_outside_the_slice_names_both(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("I;16", (SIZE[1], SIZE[0])).save(tmp_path / "s_0001.tif")
    volume = Volume("b", "x", (CtSlice(tmp_path / "s_0001.tif", 0, 1, "s_0001"),))
    settings = load_settings(
        AnodeSettings, PRESET, ["roi_config=[{x_min: 300, x_max: 400, y_min: 0, y_max: 99, name: r}]"]
    )
    with pytest.raises(UserError, match=r"region r \(x 300 to 400, y 0 to 99\) reaches outside slice .*384 x 256"):
        check_regions(settings.roi_config, [volume])
    check_regions(load_settings(AnodeSettings, PRESET).roi_config, [volume])
