"""A long history is exported row by row."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

from console_factory import console, send, service_of
from sqlalchemy import text

from fastener.console.exports import as_csv
from fastener.console.filters import Filter
from fastener.console.tables import InspectionRow

ROWS = 4_000


def test_a_long_history_streams_in_bounded_memory(
    console_models: Path, tmp_path: Path, good_photos: list[Path]
) -> None:
    with console(console_models, tmp_path) as client:
        send(client, good_photos[0], return_visualizations=False)
        history = service_of(client).history
        others = ", ".join(f'"{one.key}"' for one in InspectionRow.__table__.columns if one.key != "id")
        copies = f"""WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS - 1})
            INSERT INTO inspections (id, {others}) SELECT printf('%032x', i), {others} FROM n, inspections"""
        with history._engine.begin() as connection:
            connection.execute(text(copies))
        lines = as_csv(history.all(Filter()))
        assert "id,time,category" in next(lines)
        tracemalloc.start()
        some = sum(len(line) for line in itertools.islice(lines, 1000))
        begun = tracemalloc.get_traced_memory()[1]
        rest = sum(1 for _ in lines)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (some > 1000 * 100, rest) == (True, ROWS - 1000)
        assert peak < 1.2 * begun  # four times the rows take no more memory
        with client.stream("GET", "/export/inspections.csv") as answer:
            assert sum(1 for _ in answer.iter_lines()) == ROWS + 1
