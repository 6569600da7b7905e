"""Fetch the weights of pretrained networks ahead of time, for a machine that will have no network."""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
from pathlib import Path

import cli
from files import write_atomically
from models.backbones import BACKBONES, DEFAULT_BACKBONE

EXAMPLE = "python download_models.py --backbone resnet18 --output weights   or   python download_models.py --all"
NAMES = [backbone.name for backbone in BACKBONES.values() if backbone.url is not None]


def main() -> int:
    arguments = _arguments()
    from models.weights import WEIGHTS_DIR_VARIABLE, find_weights, how_to_get

    code = cli.EXIT_OK
    for name in NAMES if arguments.all else arguments.backbone or [DEFAULT_BACKBONE]:
        found = find_weights(BACKBONES[name], progress=sys.stderr.isatty())
        if found is None:
            print(f"error: {name} could not be downloaded: {how_to_get(BACKBONES[name])}", file=sys.stderr)
            code = cli.EXIT_SOME_FAILED
            continue
        content = found.read_bytes()
        if arguments.output is not None:
            found = arguments.output / found.name
            write_atomically(found, content)
        print(f"{name}: {found.absolute()}, {len(content) / 1e6:.1f} MB")
        print(f"  SHA-256 {hashlib.sha256(content).hexdigest()}")
        print(f"  ssh OTHER mkdir -p weights && scp {shlex.quote(str(found.absolute()))} OTHER:weights/")
    if code == cli.EXIT_OK:
        print(f"on the other machine: export {WEIGHTS_DIR_VARIABLE}=$HOME/weights")
    return code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"example: {EXAMPLE}")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--backbone", nargs="+", choices=NAMES, metavar="B", help=f"of {', '.join(NAMES)} (default: {DEFAULT_BACKBONE})"
    )
    which.add_argument("--all", action="store_true", help="every one of them, some 290 MB")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="put a copy here (default: only where torch keeps such files)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
