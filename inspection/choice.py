"""Which backbone and which kinds of evidence a new model gets, from the settings and what this machine has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastener.common.errors import UserError
from fastener.config import Config
from fastener.models.backbones import BACKBONES, DEFAULT_BACKBONE
from fastener.models.runtime.weights import WEIGHTS_DIR_VARIABLE, find_local_weights, find_weights, how_to_get


@dataclass(frozen=True)
class Choice:
    """``backbone`` is "filters" where no CNN is used; ``warning`` is a line for the user, or empty."""

    backbone: str
    kinds: tuple[str, ...]
    weights: Path | None
    warning: str = ""


def choose(config: Config, weights: Path | None = None, progress: bool = False) -> Choice:
    """Resolve ``backbone: auto`` and ``evidence: null``.

    Raises UserError if what was named cannot be had, with the commands that fetch it.
    """
    wanted = config.evidence
    backbone, found, warning = _backbone(
        config, weights, progress, needed=wanted is None or not {"cnn", "global"}.isdisjoint(wanted)
    )
    if wanted is not None:
        if "cnn" in wanted and backbone == "filters":
            raise UserError(
                warning or "evidence cnn needs a CNN; name one with --backbone, or leave cnn out of --evidence"
            )
        return Choice(backbone, tuple(dict.fromkeys(wanted)), found, warning)
    cnn = () if backbone == "filters" else ("cnn",)
    colour = ("colour",) if config.preprocess.enabled else ()
    return Choice(backbone, (*cnn, "filters", *colour), found, warning)


def _backbone(config: Config, weights: Path | None, progress: bool, needed: bool) -> tuple[str, Path | None, str]:
    name: str = config.model.backbone
    if name == "filters" or not needed:
        return "filters", None, ""
    if name == "auto" and weights is not None:
        name = _named_by_file(weights)
    if name != "auto":
        found = find_weights(BACKBONES[name], weights, progress=progress)
        if found is None:
            raise UserError(f"no weights for {name} on this machine: {how_to_get(BACKBONES[name])}")
        return name, found, ""
    found = find_weights(BACKBONES[DEFAULT_BACKBONE], progress=progress)
    if found is not None:
        return DEFAULT_BACKBONE, found, ""
    others = [b.name for b in BACKBONES.values() if b.url is not None and find_local_weights(b) is not None]
    hint = f"; weights of {', '.join(others)} are here, name one with --backbone" if others else ""
    return (
        "filters",
        None,
        (
            f"no weights for {DEFAULT_BACKBONE} here and none could be downloaded: using the weight-free filters alone "
            f"(--weights FILE or {WEIGHTS_DIR_VARIABLE} brings the CNN in){hint}"
        ),
    )


def _named_by_file(weights: Path) -> str:
    """The backbone whose name the file's name begins with, the longest first."""
    fitting = [name for name, b in BACKBONES.items() if b.url is not None and weights.stem.startswith(name)]
    if not fitting:
        raise UserError(f"--weights {weights}: say which network it is for with --backbone")
    return max(fitting, key=len)
