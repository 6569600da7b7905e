"""Choose the backbone and the kinds of evidence of a new model, from the settings and from what this machine has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastener.common.errors import UserError
from fastener.config import Config
from fastener.inspection.registry import EVIDENCE
from fastener.models.backbones import BACKBONES, DEFAULT_BACKBONE, GPU_BACKBONE
from fastener.models.runtime.device import resolve_device
from fastener.models.runtime.weights import WEIGHTS_DIR_VARIABLE, as_name, find_local_weights, find_weights, how_to_get


@dataclass(frozen=True)
class Choice:
    """Say what a new model is built from.

    Parameters
    ----------
    backbone : str
        Name in ``BACKBONES``; "filters" where no network is used.
    kinds : tuple of str
        Names in ``EVIDENCE``.
    weights : Path or None
        File of the backbone's weights.
    warning : str
        A line for the user, or empty.
    """

    backbone: str
    kinds: tuple[str, ...]
    weights: Path | None
    warning: str = ""


def choose(config: Config, weights: Path | None = None, *, progress: bool = False) -> Choice:
    """Resolve ``backbone: auto`` and ``evidence: null``.

    ``progress`` shows a bar where weights are downloaded. Raises UserError if a named backbone or kind cannot be had,
    with the commands that bring it.
    """
    wanted = config.evidence
    needed = wanted is None or any(EVIDENCE[kind].backbone_use != "none" for kind in wanted)
    backbone, found, warning = _backbone(config, weights, progress) if needed else ("filters", None, "")
    if wanted is None:
        kinds = tuple(kind for kind, one in EVIDENCE.items() if one.is_default(config, backbone))
        return Choice(backbone, kinds, found, warning)
    for kind in wanted:
        if EVIDENCE[kind].backbone_use == "required" and backbone == "filters":
            raise UserError(
                warning or f"evidence {kind} needs a CNN; name one with --backbone, or leave {kind} out of --evidence"
            )
    return Choice(backbone, tuple(dict.fromkeys(wanted)), found, warning)


def _backbone(config: Config, weights: Path | None, progress: bool) -> tuple[str, Path | None, str]:
    """Return the backbone, the file of its weights, and a warning."""
    name = config.model.backbone
    if name == "auto" and weights is not None:
        name = _named_by_file(weights)
    if name == "auto":
        return _automatic(config, progress)
    if not BACKBONES[name].pretrained:
        return "filters", None, ""
    found = find_weights(BACKBONES[name], weights, progress=progress)
    if found is None:
        raise UserError(f"no weights for {name} on this machine: {how_to_get(BACKBONES[name])}")
    return name, found, ""


def _automatic(config: Config, progress: bool) -> tuple[str, Path | None, str]:
    """Take the large network on CUDA if its weights can be had, else the one that pip brings, else the filters."""
    on_cuda = resolve_device(config.run.device).type == "cuda"
    for name in (GPU_BACKBONE, DEFAULT_BACKBONE) if on_cuda else (DEFAULT_BACKBONE,):
        found = find_weights(BACKBONES[name], progress=progress)
        if found is not None:
            return name, found, ""
    others = [name for name, one in BACKBONES.items() if one.pretrained and find_local_weights(one) is not None]
    hint = f"; weights of {', '.join(others)} are here, name one with --backbone" if others else ""
    missing = BACKBONES[DEFAULT_BACKBONE]
    return (
        "filters",
        None,
        f"no weights for {missing.name} here, using the weight-free filters alone: {how_to_get(missing)}, "
        f"or bring a CNN in by --weights FILE or {WEIGHTS_DIR_VARIABLE}{hint}",
    )


def _named_by_file(weights: Path) -> str:
    """Name the backbone with whose name the file's name begins, the longest first."""
    fitting = [name for name, one in BACKBONES.items() if one.pretrained and as_name(weights).startswith(name)]
    if not fitting:
        raise UserError(f"--weights {weights}: say which network it is for with --backbone")
    return max(fitting, key=len)
