"""The notebook runs from its first cell to its last, on drawn steel."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

import nbformat
import pytest
from data_factory import ROOT
from nbclient import NotebookClient
from steel_factory import flags, write_neu, write_severstal, write_weights

pytestmark = pytest.mark.slow

NOTEBOOK = ROOT / "notebooks" / "open_set_recognition.ipynb"


def test_the_notebook_runs(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "resnet18.npz")
    small = [word for word in flags(tmp_path, tmp_path, weights, tmp_path) if "=" in word]
    environment = {
        "OPEN_SET_NEU": str(write_neu(tmp_path / "neu")),
        "OPEN_SET_SEVERSTAL": str(write_severstal(tmp_path / "severstal")),
        "OPEN_SET_OUTPUT": str(tmp_path / "output"),
        "OPEN_SET_WEIGHTS": str(weights),
        "OPEN_SET_SET": " ".join([*small, "run.device=cpu"]),
        # Away from the home folder of whoever runs the tests.
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
    }
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with patch.dict(os.environ, environment):
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "known/unknown AUROC" in printed
    assert "two_stage_plain" in printed
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2


def test_the_notebook_is_stored_without_results() -> None:
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)
