"""Write the score and the verdict of every image of a measurement, as CSV for people and as NPZ for programs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from fastener.common.files import write_atomically
from fastener.common.spreadsheet import csv_text
from fastener.evaluation.kept_maps import remove_maps, write_maps
from fastener.evaluation.measure import Measurement


def write_scores(
    measurement: Measurement, folder: Path, validation: Measurement | None = None, *, keep_maps: bool = False
) -> None:
    """Write scores.csv and scores.npz, one row an image in the order of the measurement.

    Images that the threshold was chosen on, ``validation``, have validation_scores.csv and .npz of their own; those of
    an earlier measurement are removed.

    Columns of both: ``path``; ``is_anomalous``, the label; ``defect_type``, empty for a good image, several joined by
    "+"; ``score``, the joined score; ``score_<kind>``, the raw score of each kind of evidence; ``threshold`` that the
    image was judged by; ``verdict``; ``problem``, the reason why there is no part to judge, or empty. Numbers have all
    their digits. With ``keep_maps`` there is also ``map``, the file of the image's anomaly map below ``folder``, see
    ``kept_maps``.
    """
    remove_maps(folder)
    maps = {"map": _text(write_maps(measurement.inspections, folder))} if keep_maps else {}
    _write(score_columns(measurement) | maps, folder / "scores")
    if validation is not None:
        _write(score_columns(validation), folder / "validation_scores")
    else:
        for ending in (".csv", ".npz"):
            (folder / f"validation_scores{ending}").unlink(missing_ok=True)


def _write(columns: dict[str, np.ndarray], path: Path) -> None:
    rows = ({name: _plain(values[i]) for name, values in columns.items()} for i in range(len(columns["path"])))
    write_atomically(path.with_suffix(".csv"), csv_text(list(columns), rows))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)  # type: ignore[arg-type]  # keyword arrays; the stub takes a flag for one
    write_atomically(path.with_suffix(".npz"), buffer.getvalue())


def score_columns(measurement: Measurement) -> dict[str, np.ndarray]:
    """List the columns of ``write_scores`` as arrays (n,) of bool, float64 and text."""
    images, inspections, defects = measurement.images, measurement.inspections, measurement.defects
    return {
        "path": _text([str(image.path) for image in images]),
        "is_anomalous": measurement.labels,
        "defect_type": _text(["+".join(label for label in image.labels if label in defects) for image in images]),
        "score": measurement.scores,
        **{f"score_{kind}": measurement.evidence_scores(kind) for kind in measurement.kinds},
        "threshold": measurement.thresholds,
        "verdict": _text([one.verdict for one in inspections]),
        "problem": _text([one.problem for one in inspections]),
    }


def _text(values: list[str]) -> np.ndarray:
    """Hold texts in an array without Python objects, so that NPZ needs no pickle; odd file names get escapes."""
    return np.array([value.encode("utf-8", "backslashreplace").decode() for value in values], np.str_)


def _plain(value: Any) -> Any:
    """Convert a value of an array to Python's; a label becomes 0 or 1."""
    plain = value.item()
    return int(plain) if isinstance(plain, bool) else plain
