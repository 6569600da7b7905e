"""The functions behind ``fastener-train``, ``fastener-inspect`` and the other installed commands."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from fastener.commands import cli


def _command(script: str) -> Callable[[], None]:
    """Return a function that runs ``main`` of the script as ``python script.py`` does."""

    def command() -> None:
        cli.run(lambda: int(import_module(f"fastener.{script}").main()))

    return command


train = _command("train")
inspect = _command("inference")
evaluate = _command("evaluate")
corrosion = _command("corrosion_analysis")
open_set = _command("open_set_recognition")
anode = _command("anode_inspection")
console = _command("start_app")
benchmark = _command("benchmark")
export = _command("export")
download = _command("download_models")
datasets = _command("commands.data_sets")
