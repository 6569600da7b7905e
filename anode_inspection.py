"""Find cracks in the anode edges of CT slices: PatchCore learns from good slices, RF-DETR from labelled slices."""

from __future__ import annotations

import argparse
from pathlib import Path

from fastener.anode.settings import AnodeSettings
from fastener.commands import cli, ct_jobs
from fastener.common.files import CONFIGS
from fastener.common.settings import load_settings

EXAMPLE = "python anode_inspection.py train-patchcore --config configs/anode.yaml"
PRESET = CONFIGS / "anode.yaml"
COMMANDS = {
    "train-patchcore": ct_jobs.train_patchcore,
    "export-patchcore": ct_jobs.export_patchcore,
    "infer-patchcore": ct_jobs.infer,
    "train-rf-detr": ct_jobs.train_rf_detr,
    "infer-rf-detr": ct_jobs.infer,
    "infer-both": ct_jobs.infer,
}


def main() -> int:
    arguments = _arguments()
    settings = load_settings(AnodeSettings, arguments.config or PRESET, arguments.set, cli.run_flags(arguments))
    return COMMANDS[arguments.command](settings, arguments)


def _arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__, EXAMPLE)
    parser.add_argument("command", choices=list(COMMANDS), help="what to do; the folders stand in the settings")
    parser.add_argument(
        "--weights", type=Path, metavar="F", help="file of the backbone's weights; default: searched for"
    )
    parser.add_argument(
        "--update", action="store_true", help="train-patchcore: learn good_images_dir beside what the models know"
    )
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
