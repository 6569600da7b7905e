"""Write a corrosion report component by component, so that memory does not grow with the number of components."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fastener.common.files import write_atomically
from fastener.common.spreadsheet import csv_text
from fastener.config import Config
from fastener.corrosion.analysis import ComponentResult
from fastener.corrosion.areas import Scale, with_areas
from fastener.corrosion.html import ShotRow, data_uri, page
from fastener.corrosion.lab_sheet import LabSheet
from fastener.corrosion.lots import lot_records
from fastener.corrosion.pdf import pdf
from fastener.corrosion.pictures import caption, grid, overlays, strip
from fastener.corrosion.plots import delta_bars, progression, score_timeline
from fastener.corrosion.provenance import photo_checksums, software
from fastener.corrosion.ratings import rated
from fastener.corrosion.records import component_record, flat_rows
from fastener.corrosion.tables import lab_tables, plain_text
from fastener.corrosion.text import summary
from fastener.corrosion.timelapse import animation, views
from fastener.corrosion.timelapse import strip as timelapse_strip
from fastener.evaluation.visualize import save_figure
from fastener.inspection.drawing import Picture, save_picture

_CHARTS = {
    "progression": "Shares of the part with their 95 % intervals, means over the views, over time",
    "score_timeline": "Anomaly score of the model: line through the means, dots for single shots",
    "delta_bars": "Change of white corrosion, red rust and dark places since T0, with 95 % intervals",
}


class Report:
    """Collect the components of a report, and write it.

    Parameters
    ----------
    folder
        Where the files go; missing folders are made.
    model
        Name of the model, as the report states it.
    threshold
        The model's decision threshold; None without a model.
    config
        Settings by which the components were analysed.
    plots
        Whether charts and pictures are also written as PNG files.
    sheet
        What the laboratory states about the test; None if nothing.
    required
        Hours that "white" and "red" corrosion must stay away.
    gif
        Whether an animation of each view is written.
    zone
        The significant surface, as it was given; None for the whole part.
    """

    def __init__(
        self,
        folder: Path,
        *,
        model: str | None,
        threshold: float | None,
        config: Config,
        plots: bool = True,
        sheet: LabSheet | None = None,
        required: Mapping[str, float] | None = None,
        gif: bool = False,
        zone: str | None = None,
    ):
        self.folder = folder
        self.model = model
        self.threshold = threshold
        self.config = config
        self.plots = plots
        self.sheet = sheet
        self.required = required or {}
        self.gif = gif
        self.zone = zone
        self.records: list[dict[str, Any]] = []
        self._rows: dict[str, list[ShotRow]] = {}
        self._strips: dict[str, list[Picture]] = {}
        self._names: set[str] = set()

    def add(
        self, result: ComponentResult, *, until: str = "", scale: Scale | None = None, lot: str = ""
    ) -> dict[str, Any]:
        """Record one component and write its pictures. Returns its record, see ``component_record`` and ``rated``.

        ``lot`` names what the component is a replicate of. Raises UserError if a picture cannot be written.
        """
        record = component_record(result, self.config.corrosion, until=until)
        if scale is not None:
            record = with_areas(record, result, scale)
        record = {**rated(record, self.required), "lot": lot or None}
        self.records.append(record)
        if result.points:
            self._rows[result.component] = [
                ShotRow(caption(point, shot), tuple(map(data_uri, pictures)))
                for point in result.points
                for shot, pictures in zip(point.shots, strip(point, self.threshold), strict=True)
            ]
        name = self._file_name(result.component)
        for index, frames in views(result).items():
            self._strips.setdefault(result.component, []).append(timelapse_strip(frames))
            if self.gif:
                write_atomically(self.folder / "animations" / f"{name}_view{index + 1}.gif", animation(frames))
        if result.points and self.plots:
            save_picture(grid(result, self.threshold), self.folder / "plots" / f"{name}_grid.png")
            save_picture(overlays(result), self.folder / "overlays" / f"{name}_overlays.png")
        return record

    def finish(self, skipped: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Write the report as .json, .csv, .html and .pdf, charts and summary.txt. Returns the content of report.json.

        ``skipped`` maps each skipped file or folder to the reason. Raises UserError if a file cannot be written.
        """
        report: dict[str, Any] = {
            "model": self.model,
            "model_threshold": None if self.threshold is None else round(self.threshold, 6),
            "settings": self.config.model_dump(mode="json", include={"corrosion", "colour"}),
            "skipped": list(skipped or ()),
            "skipped_because": dict(skipped or {}),
            "sheet": self.sheet.entries() if self.sheet else None,
            "required": self.required,
            "zone": self.zone,
            "lots": lot_records(self.records, self.required),
            "photos": photo_checksums(self.records),
            "software": software(),
            "components": self.records,
        }
        # The figures are written first, so that a failing chart does not cost them.
        write_atomically(self.folder / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
        write_atomically(self.folder / "report.csv", _table(self.records))
        tables = [plain_text(table) for table in lab_tables(report)]
        write_atomically(self.folder / "summary.txt", "\n".join([summary(report), *tables]))
        charts = self._charts() if self.plots and any(record["timepoints"] for record in self.records) else {}
        write_atomically(self.folder / "report.html", page(report, self._rows, self._strips, charts))
        write_atomically(self.folder / "report.pdf", pdf(report, self._strips, charts))
        return report

    def _charts(self) -> dict[str, bytes]:
        settings = self.config.corrosion
        figures: dict[str, Figure] = {"progression": progression(self.records, settings)}
        if self.threshold is not None:
            figures["score_timeline"] = score_timeline(self.records, self.threshold)
        figures["delta_bars"] = delta_bars(self.records)
        charts = {}
        for name, figure in figures.items():
            path = self.folder / "plots" / f"{name}.png"
            save_figure(figure, path)
            charts[_CHARTS[name]] = path.read_bytes()
        return charts

    def _file_name(self, component: str) -> str:
        """Turn a component's name into a file name; a number keeps two components apart that would share one."""
        plain = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", component).strip(" .") or "component"
        name, number = plain, 2
        while name.casefold() in self._names:
            name, number = f"{plain} ({number})", number + 1
        self._names.add(name.casefold())
        return name


def _table(records: Sequence[dict[str, Any]]) -> str:
    rows = flat_rows(records)
    return csv_text(list(dict.fromkeys(key for row in rows for key in row)) or ["component", "hours"], rows)
