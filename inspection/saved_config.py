"""The settings of a saved model: as they were when it was trained, with those of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastener.config import Config, RunSettings

# Settings of ``run`` that change no score, so that each machine may have its own.
_OF_THE_MACHINE = ("batch_size", "workers", "memory_limit_mb")


def saved_config(settings: Mapping[str, Any], run: RunSettings | None) -> Config:
    """Restore the settings of a model file; ``run`` gives those that change no score, None keeps them.

    Raises ValueError, TypeError or LookupError for settings of another version.
    """
    config = Config.model_validate(_with_old_defaults(settings))
    if run is None:
        return config
    here = config.run.model_copy(update={name: getattr(run, name) for name in _OF_THE_MACHINE})
    return config.model_copy(update={"run": here})


def _with_old_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give settings that a model was saved without the values that they had when it was trained."""
    tree = {name: dict(section) if isinstance(section, Mapping) else section for name, section in settings.items()}
    tree["model"].setdefault("top_share", None)
    tree["preprocess"].setdefault("keep_aspect", False)
    tree["preprocess"].setdefault("white_level", "brightest")
    tree["calibration"].setdefault("threshold", "conformal")
    return tree
