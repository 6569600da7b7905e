"""Log an experiment's results to MLflow or TensorBoard, by their own libraries, where these are installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from fastener.common.errors import UserError
from fastener.evaluation.experiments.results import METRICS, Results


def log_results(results: Results, sink: str) -> None:
    """Log each cell to ``sink``: "mlflow" or "mlflow:URI", "tensorboard" or "tensorboard:FOLDER".

    Raises UserError for another name and where the library is not installed.
    """
    name, _, place = sink.partition(":")
    if name not in SINKS:
        raise UserError(f"--log {sink}: one of {', '.join(SINKS)}")
    SINKS[name](results, place)


def _to_mlflow(results: Results, place: str) -> None:
    mlflow = _library("mlflow", "mlflow")
    if place:
        mlflow.set_tracking_uri(place)
    mlflow.set_experiment(results.output.resolve().name)
    for one in results.cells:
        with mlflow.start_run(run_name=_title(one)):
            mlflow.log_params({key: one[key] for key in ("data", "method", "shots", "seed", "n_train", "backbone")})
            mlflow.log_metrics(_figures(one))


def _to_tensorboard(results: Results, place: str) -> None:
    _library("tensorboard", "tensorboard")  # torch's own error does not say what to type
    writer_class = _library("torch.utils.tensorboard", "tensorboard").SummaryWriter
    folder = place or str(results.output / "tensorboard")
    for one in results.cells:
        with writer_class(f"{folder}/{_title(one)}") as writer:
            for name, value in _figures(one).items():
                writer.add_scalar(name, value, one["n_train"])


def _title(cell: dict[str, Any]) -> str:
    return f"{cell['data']}_{cell['method']}_{cell['shots']}_{cell['seed']}"


def _figures(cell: dict[str, Any]) -> dict[str, float]:
    return {name: cell[name] for name in METRICS if cell.get(name) is not None}


def _library(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise UserError(f"--log needs {package}: pip install {package}") from None


SINKS: dict[str, Callable[[Results, str], None]] = {"mlflow": _to_mlflow, "tensorboard": _to_tensorboard}
