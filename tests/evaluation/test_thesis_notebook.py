"""The notebook of experiments runs from its first cell to its last, on a drawn category."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

import nbformat
import pytest
from data_factory import ROOT
from mvtec_factory import write_category
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

NOTEBOOK = ROOT / "notebooks" / "thesis.ipynb"


def test_the_notebook_runs(tmp_path: Path) -> None:
    small = ("model.backbone=filters", "preprocess.size=48", "run.device=cpu", "run.workers=0")
    environment = {
        "THESIS_DATA": str(write_category(tmp_path / "mvtec/screw", n_train=5, n_good=3, n_defect=2)),
        "THESIS_OUTPUT": str(tmp_path / "output"),
        "THESIS_SETTINGS": " ".join(small),
        # Away from the home folder of whoever runs the tests.
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "OMP_NUM_THREADS": "1",
    }
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:  # fewer cells of the experiment, so that the test takes seconds
        cell.source = cell.source.replace('("all", 1, 2, 4)', '("all", 2)').replace("repeats=3", "repeats=2")
    with patch.dict(os.environ, environment):
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    assert "<th>subspace</th>" in shown
    assert "AUPRO, trained on all healthy photos" in shown
    assert any("screw: patchcore" in output.get("text", "") for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
    assert (tmp_path / "output/figures/few_shot_screw.pdf").is_file()


def test_the_notebook_is_stored_without_results() -> None:
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)
