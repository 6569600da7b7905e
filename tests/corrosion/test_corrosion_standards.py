"""Ratings against the published tables, and the hours of first corrosion with the requirement on them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastener.common.errors import UserError
from fastener.corrosion.first_signs import (
    FAIL,
    NOT_SHOWN,
    PASS,
    FirstSign,
    earliest,
    first_sign,
    judge_all,
    parse_requirements,
)
from fastener.corrosion.standards import rating, rust_degree, rust_grade

# Area in percent up to and including which a rating holds, as printed in the tables.
ISO_10289 = {
    0.0: 10, 0.1: 9, 0.25: 8, 0.5: 7, 1.0: 6, 2.5: 5, 5.0: 4, 10.0: 3, 25.0: 2, 50.0: 1, 100.0: 0,
}  # fmt: skip
ASTM_D610 = {
    0.01: 10, 0.03: 9, 0.1: 8, 0.3: 7, 1.0: 6, 3.0: 5, 10.0: 4, 16.0: 3, 33.0: 2, 50.0: 1, 100.0: 0,
}  # fmt: skip
ISO_4628_3 = {0.0: 0, 0.05: 1, 0.5: 2, 1.0: 3, 8.0: 4, 40.0: 5, 50.0: 5}
AREAS = st.floats(0.0, 100.0)


@pytest.mark.parametrize(
    ("function", "table"), [(rating, ISO_10289), (rust_grade, ASTM_D610), (rust_degree, ISO_4628_3)]
)
def test_the_published_tables(function, table) -> None:  # type: ignore[no-untyped-def]
    assert {area: function(area) for area in table} == table


@pytest.mark.parametrize(("function", "table"), [(rating, ISO_10289), (rust_grade, ASTM_D610)])
def test_a_grade_holds_up_to_its_limit_and_not_above(function, table) -> None:  # type: ignore[no-untyped-def]
    for area, grade in list(table.items())[:-1]:
        assert function(area) == grade
        assert function(area + 1e-9) == grade - 1


@given(AREAS, AREAS)
def test_more_area_never_rates_better(first: float, second: float) -> None:
    less, more = sorted((first, second))
    assert rating(less) >= rating(more)
    assert rust_grade(less) >= rust_grade(more)
    assert rust_degree(less) <= rust_degree(more)
    assert rating(more) in range(11)
    assert rust_grade(more) in range(11)
    assert rust_degree(more) in range(6)


@pytest.mark.parametrize("function", [rating, rust_degree, rust_grade])
@pytest.mark.parametrize("area", [-0.1, 100.1, float("nan"), float("inf")])
def test_what_is_no_percentage_is_refused(function, area: float) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="percentage"):
        function(area)


@pytest.mark.parametrize(
    ("inspections", "interval"),
    [
        ([(0, False), (24, False), (48, True), (72, True)], (24, 48)),
        ([(0, False), (24, True), (48, False)], (0, 24)),
        ([(0, False), (24, None), (48, True)], (0, 48)),
        ([(0, False), (24, False), (48, None), (72, True)], (24, 72)),
        ([(0, False), (24, False)], None),
        ([], None),
        ([(24, True)], (0, 24)),
    ],
)
def test_the_first_sign_lies_between_two_inspections(
    inspections: list[tuple[float, bool | None]], interval: tuple[float, float] | None
) -> None:
    assert first_sign(inspections).interval == interval


@pytest.mark.parametrize(
    ("clear", "seen", "outcome"),
    [
        (72, None, PASS),
        (96, None, PASS),
        (72, 96, PASS),
        (48, 72, FAIL),
        (0, 24, FAIL),
        (None, 24, FAIL),
        (48, 96, NOT_SHOWN),
        (48, None, NOT_SHOWN),
        (None, None, NOT_SHOWN),
    ],
)
def test_a_requirement_of_72_hours(clear: float | None, seen: float | None, outcome: str) -> None:
    assert FirstSign(clear, seen).meets(72) == outcome


def test_a_lot_is_as_good_as_its_worst_specimen() -> None:
    assert earliest([FirstSign(72, None), FirstSign(24, 48)]) == FirstSign(24, 48)
    assert earliest([FirstSign(48, None), FirstSign(72, 96)]).meets(72) == NOT_SHOWN
    assert earliest([FirstSign(None, None), FirstSign(72, None)]).meets(72) == NOT_SHOWN
    assert judge_all([PASS, NOT_SHOWN, FAIL]) == FAIL
    assert judge_all([PASS, NOT_SHOWN]) == NOT_SHOWN
    assert judge_all([PASS, PASS]) == PASS


def test_requirements_are_read() -> None:
    assert parse_requirements("white 72, red 120") == {"white": 72.0, "red": 120.0}
    assert parse_requirements(" Red 96 h") == {"red": 96.0}


@pytest.mark.parametrize("text", ["", "white", "72", "white 72 red 120", "green 5", "red 1, red 2", "red -5", "red x"])
def test_bad_requirements_are_one_line(text: str) -> None:
    with pytest.raises(UserError, match="white 72, red 120"):
        parse_requirements(text)
