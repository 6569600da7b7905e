"""Fetch the weights of pretrained networks ahead of time, for a machine that will have no network."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from fastener.anode.checkpoints import CHECKPOINTS
from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.models.backbones import BACKBONES, GPU_BACKBONE
from fastener.models.runtime.download import download, file_digest

EXAMPLE = (
    "python download_models.py --backbone resnet18 --output weights   or   python download_models.py --rf-detr nano"
)
NAMES = [backbone.name for backbone in BACKBONES.values() if backbone.url is not None]
RF_DETR_FOLDER = Path("saved_models")


def main() -> int:
    arguments = _arguments()
    default = [] if arguments.rf_detr else [GPU_BACKBONE]
    backbones = NAMES if arguments.all else arguments.backbone or default
    fetched = [_fetch_backbone(name, arguments.output) for name in backbones]
    if backbones and all(fetched):
        from fastener.models.runtime.weights import WEIGHTS_DIR_VARIABLE

        print(f"on the other machine: export {WEIGHTS_DIR_VARIABLE}=$HOME/weights")
    fetched += [_fetch_rf_detr(size, arguments.output or RF_DETR_FOLDER) for size in arguments.rf_detr or ()]
    return cli.EXIT_OK if all(fetched) else cli.EXIT_SOME_FAILED


def _fetch_backbone(name: str, output: Path | None) -> bool:
    """One backbone into torch's cache, and a copy into ``output``; False if it cannot be had."""
    from fastener.models.runtime.weights import find_weights, how_to_get

    found = find_weights(BACKBONES[name], progress=sys.stderr.isatty())
    if found is None:
        print(f"error: {name} could not be downloaded: {how_to_get(BACKBONES[name])}", file=sys.stderr)
        return False
    if output is not None:
        write_atomically(output / found.name, found.read_bytes())
        found = output / found.name
    _describe(name, found, "weights")
    return True


def _fetch_rf_detr(size: str, folder: Path) -> bool:
    """One checkpoint of RF-DETR into ``folder``, unless it is there; False if it cannot be had."""
    checkpoint = CHECKPOINTS[size]
    target = folder / checkpoint.file_name
    if not target.is_file() or file_digest(target, "md5") != checkpoint.md5:
        try:
            download(checkpoint.url, target, "md5", checkpoint.md5, progress=sys.stderr.isatty())
        except UserError as error:
            command = f"curl -L -o {checkpoint.file_name} {checkpoint.url}"
            print(f"error: RF-DETR {size}: {error}; or run '{command}' elsewhere", file=sys.stderr)
            return False
    _describe(f"RF-DETR {size}", target, str(RF_DETR_FOLDER))
    print(f"on the other machine: rf_detr.start_from: {RF_DETR_FOLDER / checkpoint.file_name}, in configs/anode.yaml")
    return True


def _describe(name: str, file: Path, folder: str) -> None:
    """Where a file is, its checksum, and how it gets to a machine without a network."""
    print(f"{name}: {file.absolute()}, {file.stat().st_size / 1e6:.1f} MB")
    print(f"  SHA-256 {file_digest(file, 'sha256')}")
    print(f"  ssh OTHER mkdir -p {folder} && scp {shlex.quote(str(file.absolute()))} OTHER:{folder}/")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"example: {EXAMPLE}")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--backbone", nargs="+", choices=NAMES, metavar="B", help=f"of {', '.join(NAMES)} (default: {GPU_BACKBONE})"
    )
    which.add_argument("--all", action="store_true", help="every one of them, some 290 MB")
    parser.add_argument(
        "--rf-detr", nargs="+", choices=list(CHECKPOINTS), metavar="S", help=f"RF-DETR of {', '.join(CHECKPOINTS)}"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help=f"put copies here (default: backbones only where torch keeps such files, RF-DETR in {RF_DETR_FOLDER})",
    )
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
