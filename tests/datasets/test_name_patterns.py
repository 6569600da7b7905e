"""Patterns of file names: what they read, what they refuse, and the pattern that is offered for an unknown name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastener.common.errors import UserError
from fastener.datasets.components import EACH_SHOT, load_components
from fastener.datasets.name_patterns import NameFields, NamePattern, fitting_pattern


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("pattern", "stem", "read"),
    [
        ("{component}_{hours}h-{view}", "NutSilver_24h-1", NameFields("NutSilver", 24.0, "1")),
        ("{component}_{hours}h-{view}", "nut_m6_2.5H-top", NameFields("nut_m6", 2.5, "top")),
        ("{component}_{hours}h-{view}", "NutSilver_24h", None),
        ("{component}_{hours}h[-{view}]", "NutSilver_24h", NameFields("NutSilver", 24.0)),
        ("{component}_{days}d", "Nut_3d", NameFields("Nut", 72.0)),
        ("{component}{hours}h", "Nut124h", NameFields("Nut", 124.0)),
        ("{component}{hours}h", "Nut1.5h", NameFields("Nut", 1.5)),
        ("day {days}/{component}", "day 1/Nut", NameFields("Nut", 24.0)),
        ("{component}-S{sample}_{hours}h_{*}", "Nut-S07_24h_IMG 1", NameFields("Nut", 24.0, None, "07")),
        ("{component}.{hours}h", "Nut+24h", None),
        ("{component}_{hours}h", " _24h", None),
    ],
)
def test_patterns_read_names(pattern: str, stem: str, read: NameFields | None) -> None:
    assert NamePattern(pattern).fields(stem) == read


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{hours}h", "{component}"),
        ("{component}", "{hours}"),
        ("{component}{hours}{days}", "either"),
        ("{component}_{hour}h", r"unknown field \{hour\}"),
        ("{component}_{hours}_{hours}", "twice"),
        ("{component}_{hours}[h", "closed"),
        ("{component}_{hours}]h", "pairs"),
        ("{component}_{hours}h}", "unknown field"),
        ("{component}_{hours}{}", "unknown field"),
        ("", "needs"),
    ],
)
def test_bad_patterns_are_one_line(pattern: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        NamePattern(pattern)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("stem", "pattern"),
    [
        ("NutSilver_24h-1", "{component}_{hours}h[-{view}]"),
        ("Nut day3", "{component} day{days}[-{view}]"),
        ("Nut 3 days_top", "{component} {days} days[_{view}]"),
        ("24h_Nut Black", "{hours}h_{component}"),
        ("Nut-T24-a", "{component}-T{hours}[-{view}]"),
        ("IMG_20240301_101112", None),
        ("Nut[24h]", None),
        ("Nut", None),
    ],
)
def test_a_fitting_pattern_is_found(stem: str, pattern: str | None) -> None:
    assert fitting_pattern(stem) == pattern


@given(st.text(st.sampled_from("Nut 0123456789hdTay_-.[]{}"), max_size=20))
def test_what_is_offered_reads_the_name(stem: str) -> None:
    pattern = fitting_pattern(stem)
    assert pattern is None or NamePattern(pattern).fields(stem) is not None


def test_a_folder_with_other_names(tmp_path: Path) -> None:
    touch(tmp_path, "NutSilver_0h-1.jpg", "NutSilver_24h-1.jpg", "NutSilver_24h-side.jpg", "Nut-T0.jpg", "notes.txt")
    touch(tmp_path, "Bolt_2d-top.jpg", "Bolt_2d-side.jpg")
    touch(tmp_path / "other", "A_24h.jpg")
    with pytest.raises(UserError, match=r"--pattern '\{component\}_\{hours\}h\[-\{view\}\]' would fit"):
        load_components(tmp_path / "other")
    (tmp_path / "other" / "A_24h.jpg").unlink()
    (bolt, nut), skipped = load_components(tmp_path, ["{component}_{hours}h-{view}", "{component}_{days}d-{view}"])
    assert [(shot.hours, shot.number) for shot in nut.shots] == [(0.0, 1), (24.0, 1), (24.0, 2)]
    assert [(shot.path.name, shot.hours, shot.number) for shot in bolt.shots] == [
        ("Bolt_2d-side.jpg", 48.0, 1),
        ("Bolt_2d-top.jpg", 48.0, 2),
    ]
    assert "--pattern '{component}-T{hours}[-{view}]' would fit" in skipped[tmp_path / "Nut-T0.jpg"]
    assert "would fit" not in skipped[tmp_path / "notes.txt"]


@pytest.mark.parametrize(
    ("names", "patterns", "replicates", "found"),
    [
        (["Bolt #1-T0", "Bolt #2-T0", "Nut-T0"], [], "#[0-9]+", {"Bolt #1": "Bolt", "Bolt #2": "Bolt", "Nut": ""}),
        (["A7_01-T0", "A7_02-T0"], [], r"^(\w+)_\d+$", {"A7_01": "A7", "A7_02": "A7"}),
        (["Nut-T0", "Nut-T0-1", "Nut-T24-1"], [], EACH_SHOT, {"Nut": "Nut", "Nut #1": "Nut"}),
        (["Nut-Sa_0h", "Nut-Sb_0h"], ["{component}-S{sample}_{hours}h"], None, {"Nut #a": "Nut", "Nut #b": "Nut"}),
        (["Nut-T0", "Nut-T0-1"], [], None, {"Nut": ""}),
    ],
)
def test_replicates_are_grouped(
    tmp_path: Path, names: list[str], patterns: list[str], replicates: str | None, found: dict[str, str]
) -> None:
    touch(tmp_path, *(f"{name}.jpg" for name in names))
    series, _ = load_components(tmp_path, patterns, replicates)
    assert {one.component: one.lot for one in series} == found


def test_a_bad_expression_is_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "Nut-T0.jpg")
    with pytest.raises(UserError, match="--replicates"):
        load_components(tmp_path, replicates="(")
