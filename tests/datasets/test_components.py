"""Component photos: what a file name says, and the series that a folder holds."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastener.common.errors import UserError
from fastener.datasets.components import Series, Shot, load_components, parse_component


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def paths(series: Series, folder: Path) -> list[str]:
    return [shot.path.relative_to(folder).as_posix() for shot in series.shots]


@pytest.mark.parametrize(
    ("name", "component", "hours", "shot"),
    [
        ("Nut Black-T0.jpg", "Nut Black", 0.0, None),
        ("Bolt M5x0.8 Grey-T24-1.JPG", "Bolt M5x0.8 Grey", 24.0, 1),
        ("Bolt-T2.5.png", "Bolt", 2.5, None),
        ("bolt-t168-02.jpeg", "bolt", 168.0, 2),
        ("T-Nut-T8-x-T72.jpg", "T-Nut-T8-x", 72.0, None),
        ("Écrou à tête-T0.jpg", "Écrou à tête", 0.0, None),
        ("E\u0301crou-T0.jpg", "Écrou", 0.0, None),
        ("nut_black_T24_3.jpg", "nut_black", 24.0, 3),
    ],
)
def test_parsed_names(name: str, component: str, hours: float, shot: int | None) -> None:
    path = Path("somewhere-T1") / name
    assert parse_component(path) == Shot(path, component, hours, shot)


@pytest.mark.parametrize(
    "name",
    [
        "Nut Black.jpg", "Nut-T.jpg", "Nut-Tx.jpg", "Nut-T2.jpg.bak", "Nut-T24.txt", "T24.jpg", "-T24.jpg", " -T24.jpg",
        "bolt24.jpg", "Nut-T-5.jpg", "Nut-T1-a.jpg", "Nut-T1-2-3.jpg", "Nut-T1..5.jpg", "NutT24.jpg", ".Nut-T24.jpg",
    ],
)  # fmt: skip
def test_refused_names(name: str) -> None:
    assert parse_component(Path(name)) is None


@given(
    component=st.text(st.characters(categories=["L", "N", "Zs"], include_characters="-_.()"), min_size=1).map(
        str.strip
    ),
    hours=st.one_of(st.integers(0, 10_000), st.integers(0, 99_999).map(lambda n: n / 100)),
    shot=st.none() | st.integers(0, 999),
)
def test_names_round_trip(component: str, hours: float, shot: int | None) -> None:
    path = Path(f"x{component}x-T{hours}{'' if shot is None else f'-{shot}'}.jpg")
    parsed = parse_component(path)
    assert parsed is not None
    expected = unicodedata.normalize("NFC", f"x{component}x")
    assert (parsed.component, parsed.hours, parsed.number) == (expected, float(hours), shot)


def test_a_folder_becomes_series(tmp_path: Path) -> None:
    touch(tmp_path, "Nut-T24-1.jpg", "Nut-T24.jpg", "Nut-T3.jpg", "Nut-T24-10.jpg", "Nut-T24-2.png", "Bolt-T0.jpg")
    touch(tmp_path, "readme.txt", "Nut.jpg", ".DS_Store")
    (tmp_path / "Bolt-T1.jpg").mkdir()
    series, skipped = load_components(tmp_path)
    assert [s.component for s in series] == ["Bolt", "Nut"]
    nut = series[1]
    assert [shot.path.name for shot in nut.shots] == [
        "Nut-T3.jpg", "Nut-T24.jpg", "Nut-T24-1.jpg", "Nut-T24-2.png", "Nut-T24-10.jpg",
    ]  # fmt: skip
    assert nut.hours == [3.0, 24.0]
    assert [shot.number for shot in nut.at(24)] == [None, 1, 2, 10]
    assert nut.at(5) == []
    reason = "not named <component>-T<hours>[-<shot>].jpg"
    assert skipped == {tmp_path / "Nut.jpg": reason, tmp_path / "readme.txt": reason}


def test_folders_below_are_searched_without_hidden_ones(tmp_path: Path) -> None:
    touch(tmp_path, "Nut-T0.jpg", "day 1/Nut-T24.jpg", "day 2/late/Nut-T48.jpg", "day 2/Bolt-T48.jpg")
    touch(tmp_path, ".thumbnails/Nut-T0.jpg", "day 1/.trash/Nut-T24.jpg", "day 1/notes.txt")
    (bolt, nut), skipped = load_components(tmp_path)
    assert paths(bolt, tmp_path) == ["day 2/Bolt-T48.jpg"]
    assert paths(nut, tmp_path) == ["Nut-T0.jpg", "day 1/Nut-T24.jpg", "day 2/late/Nut-T48.jpg"]
    assert list(skipped) == [tmp_path / "day 1" / "notes.txt"]


def test_folders_below_are_named_where_names_are_not_unique(tmp_path: Path) -> None:
    touch(tmp_path, "Nut-T0.jpg", "Nut-T24.jpg", "notes.txt", "old/Nut-T24.png", "old/deep/Nut-T48.jpg", "old/a.txt")
    touch(tmp_path, "more/Bolt-T0.jpg", "empty/b.txt")
    (nut,), skipped = load_components(tmp_path)
    assert paths(nut, tmp_path) == ["Nut-T0.jpg", "Nut-T24.jpg"]
    assert list(skipped) == [tmp_path / "notes.txt", tmp_path / "more", tmp_path / "old"]
    assert "not searched" in skipped[tmp_path / "old"]
    assert "Nut-T24.png" in skipped[tmp_path / "old"]


def test_names_that_are_not_unique_without_photos_above(tmp_path: Path) -> None:
    touch(tmp_path, "line 1/Nut-T0.jpg", "line 2/Nut-T0.jpg")
    with pytest.raises(UserError) as caught:
        load_components(tmp_path)
    assert "line 1" in str(caught.value)
    assert "line 2" in str(caught.value)


def test_formats_that_cannot_be_read_are_told_from_other_names(tmp_path: Path) -> None:
    touch(tmp_path, "Nut-T48.HEIC")
    with pytest.raises(UserError, match="convert it to JPEG") as caught:
        load_components(tmp_path)
    assert "\n" not in str(caught.value)
    touch(tmp_path, "Nut-T0.jpg", "IMG 0815.HEIC")
    _, skipped = load_components(tmp_path)
    assert ".HEIC cannot be read; convert it to JPEG" in skipped[tmp_path / "Nut-T48.HEIC"]
    assert "not named" in skipped[tmp_path / "IMG 0815.HEIC"]


@pytest.mark.parametrize("other", ["Nut-T24-1.png", "Nut-T24.0-1.jpg", "Nut-t24_01.jpg"])
def test_two_files_for_one_shot(tmp_path: Path, other: str) -> None:
    touch(tmp_path, "Nut-T24-1.jpg", other)
    with pytest.raises(UserError) as caught:
        load_components(tmp_path)
    assert "Nut-T24-1.jpg" in str(caught.value)
    assert other in str(caught.value)


def test_folders_without_components(tmp_path: Path) -> None:
    touch(tmp_path, "bolt01.jpg")
    with pytest.raises(UserError, match="<component>-T<hours>"):
        load_components(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        load_components(tmp_path / "elsewhere")


@pytest.mark.real_data
def test_real_components() -> None:
    root = os.environ.get("FASTENER_DATA_DIR")
    if root is None:
        pytest.skip("FASTENER_DATA_DIR is not set")
    series, skipped = load_components(Path(root) / "components")
    assert skipped == {}
    assert {s.component: len(s.shots) for s in series} == {
        "Bolt Allen Black": 8, "Bolt M5x0.8 Grey": 8, "Nut Black": 8, "Nut Insert Black": 12, "Washer Black": 4,
    }  # fmt: skip
    assert all(s.hours == [0.0, 24.0, 48.0, 72.0] for s in series)
