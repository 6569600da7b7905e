"""Reading settings: what is accepted, what is refused and how, and which of several sources wins."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import get_args

import pytest
import yaml
from data_factory import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from fastener.anode.settings import AnodeSettings
from fastener.common.errors import UserError
from fastener.common.settings import _fields, known_settings, load_settings
from fastener.config import Config, load_config

DEFAULTS_FILE = ROOT / "configs" / "fastener.yaml"


def error_of(*, file: Path | None = None, assignments: tuple[str, ...] = ()) -> str:
    with pytest.raises(UserError) as caught:
        load_config(file, assignments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "settings.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_import_creates_nothing_and_loads_no_torch(tmp_path: Path) -> None:
    code = "import config, sys; config.load_config(); print([m for m in ('torch', 'numpy', 'cv2') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert list(tmp_path.iterdir()) == []


def test_precedence_flag_over_assignment_over_file_over_default(tmp_path: Path) -> None:
    file = write(tmp_path, "model: {coreset_ratio: 0.3, num_neighbors: 3, patch_size: 5}")
    merged = load_config(
        file,
        ["model.coreset_ratio=0.4", "model.num_neighbors=4"],
        {"model.coreset_ratio": 0.5, "model.patch_size": None},
    )
    assert merged.model.coreset_ratio == 0.5
    assert merged.model.num_neighbors == 4
    assert merged.model.patch_size == 5
    assert merged.model.smoothing_sigma == Config().model.smoothing_sigma
    assert load_config() == Config()


def test_later_assignment_wins() -> None:
    assert load_config(assignments=["run.seed=1", "run.seed=2"]).run.seed == 2


def test_a_setting_of_a_section_that_is_off_turns_it_on(tmp_path: Path) -> None:
    preset = ROOT / "configs" / "anode.yaml"
    chosen = load_settings(AnodeSettings, preset, ["filter_index_range.max=20"])
    assert chosen.filter_index_range is not None
    assert (chosen.filter_index_range.min, chosen.filter_index_range.max) == (0, 20)
    with pytest.raises(UserError, match="'roi_config' is a list"):
        load_settings(AnodeSettings, preset, ["roi_config.x_min=3"])


def test_assignments_reach_sections_lists_and_null() -> None:
    read = load_config(
        assignments=["model.target_dim=null", "preprocess.size=[64, 96]", "evidence=[colour]", "baseline_tag=start"]
    )
    assert read.model.target_dim is None
    assert read.preprocess.size == (64, 96)
    assert read.evidence == ("colour",)
    assert read.baseline_tag == "start"


@pytest.mark.parametrize("key", ["model.coreset_ratio", "preprocess.size", "run.device", "evidence"])
def test_the_file_and_the_assignment_know_the_same_keys(key: str, tmp_path: Path) -> None:
    value = {"model.coreset_ratio": 0.3, "preprocess.size": 64, "run.device": "cpu", "evidence": ["filters"]}[key]
    section, _, leaf = key.rpartition(".")
    file = write(tmp_path, yaml.safe_dump({section: {leaf: value}} if section else {leaf: value}))
    assert load_config(file) == load_config(assignments=[f"{key}={value}"]) != Config()


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("model.coreset_ration", "model.coreset_ratio"),
        ("coreset_ratio", "model.coreset_ratio"),
        ("modle.coreset_ratio", "model.coreset_ratio"),
        ("preprocess.coreset_ratio", "model.coreset_ratio"),
        ("preprocess.clahe_clip", "preprocess.clahe_clip_limit"),
        ("run.sed", "run.seed"),
        ("baseline_tags", "baseline_tag"),
    ],
)
def test_unknown_key_names_the_nearest_known_one(wrong: str, nearest: str, tmp_path: Path) -> None:
    expected = f"unknown setting '{wrong}'; the nearest known one is '{nearest}'"
    assert expected in error_of(assignments=(f"{wrong}=1",))
    with pytest.raises(UserError, match="unknown setting"):
        load_config(flags={wrong: 1})
    section, _, leaf = wrong.rpartition(".")
    if section in ("", "model", "preprocess", "run"):
        file = write(tmp_path, yaml.safe_dump({section: {leaf: 1}} if section else {leaf: 1}))
        assert error_of(file=file) == f"{file}: {expected}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.coreset_ratio", "0"),
        ("model.coreset_ratio", "1.01"),
        ("model.coreset_ratio", "much"),
        ("model.coreset_ratio", ".nan"),
        ("model.backbone", "resnet19"),
        ("model.patch_size", "0"),
        ("model.target_dim", "7"),
        ("preprocess.size", "31"),
        ("preprocess.size", "[64, 4000]"),
        ("preprocess.size", "[64]"),
        ("preprocess.enabled", "perhaps"),
        ("preprocess.background", "256"),
        ("calibration.alpha", "1"),
        ("calibration.upper_quantile", "0.5"),
        ("calibration.rule", "sum"),
        ("run.device", "gpu"),
        ("run.device", "cuda:x"),
        ("run.batch_size", "0"),
        ("run.seed", "-1"),
        ("run.precision", "double"),
        ("evidence", "[]"),
        ("evidence", "[cnn, colour, smell]"),
        ("baseline_tag", "T 0"),
        ("colour.hue_min", "361"),
    ],
)
def test_bad_value_names_key_and_meaning(key: str, value: str) -> None:
    message = error_of(assignments=(f"{key}={value}",))
    assert message.startswith(f"{key} = ")
    assert f"is not allowed: {known_settings(Config)[key]}" in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("model: [", "is not valid YAML"),
        (b"\xff\xfe\x00", "is not valid YAML"),
        ("- model\n- run", "must hold 'section:' blocks"),
        ("just words", "must hold 'section:' blocks"),
        ("model: 3", "'model' is a section"),
        ("model:", "'model' is a section"),
    ],
)
def test_file_that_is_no_settings_file(text: str | bytes, part: str, tmp_path: Path) -> None:
    file = write(tmp_path, text)
    message = error_of(file=file)
    assert part in message
    assert str(file) in message


def test_missing_file(tmp_path: Path) -> None:
    assert "No such file" in error_of(file=tmp_path / "none.yaml")


def test_empty_file_means_defaults(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "# nothing yet\n")) == Config()


@pytest.mark.parametrize("text", ["model.coreset_ratio", "=3", "model.coreset_ratio 0.3"])
def test_assignment_without_key_or_equals(text: str) -> None:
    assert "write it as section.key=value" in error_of(assignments=(text,))


def test_assignment_that_yaml_cannot_read() -> None:
    assert "cannot be read" in error_of(assignments=("evidence=[cnn",))


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_any_assignment_gives_settings_or_a_user_error(key: str, value: str) -> None:
    with contextlib.suppress(UserError):
        load_config(assignments=[f"{key}={value}"])


def test_descriptions_name_every_choice() -> None:
    for key, field in dict(_fields(Config)).items():
        assert field.description, key
        for choice in get_args(field.annotation):
            if isinstance(choice, str):
                assert choice in field.description, f"{key}: {choice}"


def test_fastener_yaml_spells_out_the_defaults_with_their_descriptions() -> None:
    rewrite = "settings have changed: run PYTHONPATH=. python tests/common/test_config.py"
    assert DEFAULTS_FILE.read_text(encoding="utf-8") == spelled_out(), rewrite
    assert load_config(DEFAULTS_FILE) == Config()


def spelled_out() -> str:
    """All defaults as YAML, each setting below its description."""
    values = Config().model_dump(mode="json")
    lines = [
        "# Every setting with its default, as in config.py. Copy this file, keep what you change, and pass it with",
        "# --config FILE. --set section.key=value goes before a file, and a flag of the command before both.",
    ]
    block = None
    for key, description in known_settings(Config).items():
        section, _, leaf = key.rpartition(".")
        if section != block:
            lines += ["", f"{section}:"] if section else [""]
            block = section
        value = values[section][leaf] if section else values[leaf]
        indent = "  " if section else ""
        lines += textwrap.wrap(description, 118, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
        lines.append(f"{indent}{leaf}: {yaml.safe_dump(value, default_flow_style=True, width=1000).splitlines()[0]}")
    return "\n".join(lines) + "\n"


# Settings of a job of its own, see the tests of that job.
OTHERS = {"anode.yaml"}
FILES = sorted(path for path in (ROOT / "configs").glob("*.yaml") if path.name not in OTHERS)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_every_settings_file_is_valid(file: Path) -> None:
    load_config(file)


def test_mvtec_yaml_looks_at_the_whole_photo() -> None:
    mvtec = load_config(ROOT / "configs" / "mvtec.yaml")
    assert not mvtec.preprocess.enabled
    assert (mvtec.preprocess.size, mvtec.preprocess.center_crop, mvtec.preprocess.keep_aspect) == (256, 1.0, True)
    assert (mvtec.model.colour_weight, mvtec.model.coreset_ratio) == (0, None)
    assert mvtec.evidence is None


def test_mvtec_paper_yaml_is_the_published_frame_and_score() -> None:
    paper = load_config(ROOT / "configs" / "mvtec_paper.yaml")
    assert not paper.preprocess.enabled
    assert (paper.preprocess.size, paper.preprocess.center_crop) == (224, 224 / 256)
    assert not paper.preprocess.keep_aspect
    assert (paper.model.colour_weight, paper.model.coreset_ratio, paper.model.top_share) == (0, 0.1, None)
    assert paper.evidence is None


def test_old_names_are_taken_with_a_line_and_from_saved_models_silently(tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    file.write_text("model: {by_place: true}\n", encoding="utf-8")
    told: list[str] = []
    assert load_config(file, warn=told.append).model.per_position
    assert load_config(assignments=["model.by_place=true"], warn=told.append).model.per_position
    assert len(told) == 2
    assert all("model.by_place is called model.per_position now" in line for line in told)
    assert Config.model_validate({"model": {"by_place": True}}).model.per_position
    assert len(told) == 2


if __name__ == "__main__":
    DEFAULTS_FILE.write_text(spelled_out(), encoding="utf-8")
