"""Where a backbone's weights come from, and how their files are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import torch

from fastener.common.errors import UserError
from fastener.models.backbones import Backbone
from fastener.models.runtime.download import download

WEIGHTS_DIR_VARIABLE = "FASTENER_WEIGHTS_DIR"
SUFFIXES = (".pth", ".pt", ".safetensors", ".npz")


def find_weights(
    backbone: Backbone, file: Path | None = None, download: bool = True, progress: bool = False
) -> Path | None:
    """Path of the weights, or None if they cannot be had.

    Order: ``file``, the folder in FASTENER_WEIGHTS_DIR, torch's hub cache, torchvision's download (into that cache).
    Raises UserError if ``file`` is given and missing.
    """
    if file is not None:
        if not Path(file).is_file():
            raise UserError(f"--weights {file}: no such file")
        return Path(file)
    local = find_local_weights(backbone)
    if local is not None or not download:
        return local
    return download_weights(backbone, progress)


def find_local_weights(backbone: Backbone) -> Path | None:
    """The weights if they are already on this machine: FASTENER_WEIGHTS_DIR first, then torch's hub cache."""
    folder = os.environ.get(WEIGHTS_DIR_VARIABLE)
    if folder:
        found = _in_folder(Path(folder), backbone.name)
        if found is not None:
            return found
    cached = cache_path(backbone)
    return cached if cached.is_file() else None


def cache_path(backbone: Backbone) -> Path:
    """Where torch.hub keeps the published file of ``backbone``."""
    assert backbone.url is not None
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(backbone.url).path).name


def download_weights(backbone: Backbone, progress: bool = False) -> Path | None:
    """Fetch the published file into torch's hub cache, checked against the hash in its name; None if that fails.

    What an interrupted download has brought is kept, and the next one goes on from there.
    """
    assert backbone.url is not None
    target = cache_path(backbone)
    try:
        download(backbone.url, target, "sha256", target.stem.rsplit("-", 1)[-1], progress)
    except UserError:
        return None
    return target


def how_to_get(backbone: Backbone) -> str:
    """The commands that bring the weights to a machine without a network, on one line."""
    name = cache_path(backbone).name
    return (
        f"on a machine with a network run 'curl -LO {backbone.url}', copy {name} here, "
        f"then pass '--weights {name}' or put its folder in {WEIGHTS_DIR_VARIABLE}"
    )


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a .pth/.pt, .safetensors or .npz file under torchvision's names; half precision becomes float32.

    Runs no code from the file. Raises UserError if it cannot be read.
    """
    try:
        if path.suffix == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                state: Mapping[str, torch.Tensor] = {key: torch.from_numpy(archive[key]) for key in archive.files}
        elif path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has its own family of exceptions
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path} cannot be read as weights ({', '.join(SUFFIXES)}): {reason[:160]}") from None
    nested = state.get("state_dict", state) if isinstance(state, Mapping) else state
    if not isinstance(nested, Mapping) or not all(isinstance(value, torch.Tensor) for value in nested.values()):
        raise UserError(f"{path} holds no state dict: expected tensors under torchvision's names")
    return {
        key.removeprefix("module."): value.float() if value.is_floating_point() else value
        for key, value in nested.items()
    }


def checksum(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names and float32 bytes of the tensors that matter, so that .pth and .npz copies agree."""
    digest = hashlib.sha256()
    for key in sorted(state):
        if not key.endswith("num_batches_tracked"):
            digest.update(key.encode())
            digest.update(state[key].detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _in_folder(folder: Path, name: str) -> Path | None:
    """``<name>.ext`` first, then ``<name>-anything.ext`` or ``<name>_anything.ext``, in sorted order."""
    files = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES and path.is_file())
    exact = [path for path in files if path.stem == name]
    longer = [path for path in files if path.stem.startswith((f"{name}-", f"{name}_"))]
    return next(iter(exact + longer), None)
