"""Charts of a long report, and that none of them costs the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from corrosion_factory import analyse, rendered, small_config, write_series
from matplotlib.patches import Rectangle

from fastener.corrosion.plots import delta_bars
from fastener.corrosion.report import Report


def record(number: int) -> dict[str, Any]:
    point = {"colour_delta_vs_t0": 1.0, "colour_noise": 0.5}
    return {"component": f"Part {number}", "timepoints": {"0": point, "24": point}}


def test_bars_are_all_named_while_there_is_room() -> None:
    figure = delta_bars([record(number) for number in range(40)])
    assert len(figure.axes[0].get_yticklabels()) == len(figure.axes[0].patches) == 40
    assert figure.get_figheight() == pytest.approx(2.4 + 0.42 * 40)


def test_each_kind_that_was_measured_has_a_bar() -> None:
    one = record(0)
    one["timepoints"]["24"] |= {"white_corrosion_pct": 9.0, "white_corrosion_ci95": [7.0, 11.0]}
    bars = delta_bars([one]).axes[0].patches
    assert sorted(bar.get_width() for bar in bars if isinstance(bar, Rectangle)) == [1.0, 9.0]


def test_chart_of_many_bars_is_no_higher_than_can_be_drawn() -> None:
    figure = delta_bars([record(number) for number in range(500)])
    assert figure.get_figheight() * 150 < 2**15
    assert len(figure.axes[0].patches) == 500
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[:2] == ["Part 0  T24 h", "Part 3  T24 h"]
    assert len(names) * 0.4 < figure.get_figheight()


def test_chart_that_fails_does_not_cost_the_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(records: object) -> None:
        raise ValueError("image size is too large")

    monkeypatch.setattr("fastener.corrosion.report.delta_bars", fails)
    write_series(tmp_path / "in", "Bolt", [part.image for part in rendered((0.0, 0.2))], ["0", "24"])
    report = Report(tmp_path / "out", model=None, threshold=None, config=small_config())
    report.add(analyse(tmp_path / "in")[0])
    with pytest.raises(ValueError, match="too large"):
        report.finish()
    for name in ("report.json", "report.csv", "summary.txt"):
        assert "Bolt" in (tmp_path / "out" / name).read_text()
