"""Small photos, folders and settings that several tests share."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from fastener.commands import cli
from fastener.config import Config, load_config
from fastener.datasets.synthetic.parts import render_part

ROOT = Path(__file__).resolve().parent.parent
SIDE = 96


def part(seed: int, defect: str = "none", side: int = SIDE) -> np.ndarray:
    """A rendered silver part on white: bolts, nuts and washers take turns."""
    kind = "bolt" if defect == "bend" else ("bolt", "nut", "washer")[seed % 3]
    share = 0.4 if defect == "rust" else None
    return render_part(seed, kind, "silver", defect, size=(side, side), rust_share=share, background="white").image


def parts(count: int, first: int = 0, defect: str = "none") -> list[np.ndarray]:
    return [part(first + i, defect) for i in range(count)]


def save(image: np.ndarray, path: Path, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


def write_photos(folder: Path, images: Sequence[np.ndarray], name: str = "p{:02d}.png") -> list[Path]:
    return [save(image, folder / name.format(i)) for i, image in enumerate(images)]


def tiny_config(**sections: object) -> Config:
    """Filters and colour at 64 px, with a coarse bank: a model in a second."""
    tree: dict[str, Any] = {
        "preprocess": {"size": 64},
        "model": {"backbone": "filters", "coreset_ratio": 0.1},
        "run": {"device": "cpu", "batch_size": 4},
        "calibration": {"alpha": 0.1},
    }
    for section, values in sections.items():
        tree[section] = {**tree.get(section, {}), **values} if isinstance(values, dict) else values
    return Config.model_validate(tree)


# Settings of a model that needs no weights and is trained in a moment.
SMALL: dict[str, Any] = {"preprocess.size": 64, "model.backbone": "filters", "run.device": "cpu", "run.workers": 0}


def config_from(start: Mapping[str, Any], **changes: object) -> Config:
    """Settings that start from dotted ones, e.g. SMALL; ``section__key=value`` changes section.key."""
    return load_config(flags={**start, **{key.replace("__", "."): value for key, value in changes.items()}})


FLAGS = ("--backbone", "filters", "--coreset-ratio", "0.1", "--set", "preprocess.size=64", "--device", "cpu")


def run_inside(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """As ``script``, within this process: the imports of a fresh one take most of a small run's time."""
    main = importlib.import_module(f"fastener.{name.removesuffix('.py')}").main
    out, err, argv = io.StringIO(), io.StringIO(), [name, *map(str, arguments)]
    with patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            cli.run(main)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())


def script(name: str, *arguments: object, cwd: Path = ROOT, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts at the root as a user would."""
    command = [sys.executable, str(ROOT / name), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)
