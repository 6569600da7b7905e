"""Anomaly detection on metal parts, under one import name.

In a clone the packages stand beside this folder, where their scripts can be run without installing anything; an
installed wheel holds them inside it. Either way ``fastener.models`` and ``fastener.train`` are the same modules.
Importing this package imports neither torch nor any other library.

Examples
--------
Fit to six healthy nuts and inspect a rusty one; without ``model__backbone`` a pretrained network is used:

>>> from fastener import Inspector
>>> from fastener.datasets.synthetic.parts import render_part
>>> def nut(seed, defect="none"):
...     return render_part(seed, "nut", "silver", defect, size=(64, 64), background="white").image
>>> healthy = [nut(seed) for seed in range(6)]
>>> inspector = Inspector.fit(healthy, model__backbone="filters", preprocess__size=64)
>>> inspector.new_photos_
6
>>> (result,) = inspector.inspect(nut(9, "rust"))
>>> result.is_anomalous, result.photo_map().shape
(True, (64, 64))
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastener.config import Config as Config
    from fastener.config import load_config as load_config
    from fastener.evaluation.experiments.settings import Experiment as Experiment
    from fastener.inspection.inspector import Inspector as Inspector
    from fastener.inspection.result import Failure as Failure
    from fastener.inspection.result import Inspection as Inspection

__version__ = "0.1.0"

_HERE = Path(__file__).resolve().parent
if not (_HERE / "models").is_dir():  # a clone
    __path__ = [str(_HERE.parent)]

_PUBLIC = {
    "Config": "fastener.config",
    "load_config": "fastener.config",
    "Experiment": "fastener.evaluation.experiments.settings",
    "Inspector": "fastener.inspection.inspector",
    "Inspection": "fastener.inspection.result",
    "Failure": "fastener.inspection.result",
}
__all__ = ["Config", "Experiment", "Failure", "Inspection", "Inspector", "load_config"]


def __getattr__(name: str) -> Any:
    """Import a public class when it is first asked for, so that ``import fastener`` stays quick."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'fastener' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
