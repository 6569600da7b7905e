"""The setup report: complete on a machine that is ready, and still a report on one that is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fastener import verify_setup
from fastener.verify_setup import MISSING, NOTE, OK, Finding, gpu_advice, satisfies

SCRIPT = Path(verify_setup.__file__)
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")
sys.meta_path.insert(0, Block())
"""


def report(folder: Path, blocked: tuple[str, ...] = (), encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    """Run the script in ``folder`` with a Python that lacks these packages."""
    (folder / "sitecustomize").mkdir()
    (folder / "sitecustomize" / "sitecustomize.py").write_text(BLOCK.format(blocked=blocked), encoding="utf-8")
    environment = {"PYTHONPATH": str(folder / "sitecustomize"), "PYTHONIOENCODING": encoding, "PATH": "/nowhere"}
    work = folder / "work"
    work.mkdir()
    environment["HOME"] = environment["TORCH_HOME"] = str(folder / "home")
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert list(work.iterdir()) == [], "the checks left files"
    assert done.stderr == ""
    return done


@pytest.mark.slow
def test_ready_machine(tmp_path: Path) -> None:
    done = report(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "✗" not in done.stdout
    assert "✓ Python 3." in done.stdout
    assert "tiny inspection" in done.stdout
    # No weights are there, and that is a note with the command that brings them.
    assert "– weights of resnet18: not here" in done.stdout
    assert "python download_models.py --backbone resnet18" in done.stdout


def test_everything_missing_is_still_a_whole_report(tmp_path: Path) -> None:
    blocked = ("torch", "torchvision", "faiss", "cv2", "numpy", "pydantic", "yaml", "PIL", "tqdm", "safetensors")
    done = report(tmp_path, blocked, encoding="ascii")
    assert done.returncode == 1
    for name in ("torch", "faiss-cpu", "opencv-python-headless", "numpy", "pydantic", "pyyaml", "Pillow"):
        assert f"[missing] {name}: import" in done.stdout
    assert done.stdout.count("pip install -r requirements.txt") == 1
    assert "[missing] inspection could not be checked" in done.stdout
    assert "[ok] Python" in done.stdout
    assert "can be written" in done.stdout


def test_every_requirement_is_checked() -> None:
    listed = [
        line.split(">")[0].strip()
        for line in (SCRIPT.parent / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    findings = list(verify_setup.check_packages())
    assert len(findings) == len(listed)
    assert all(finding.state == OK for finding in findings), findings


@pytest.mark.parametrize(
    ("version", "bounds", "fits"),
    [
        ("2.10.1", ">=2.8,<3", True),
        ("2.8", ">=2.8,<3", True),
        ("3.0.0", ">=2.8,<3", False),
        ("2.7.9", ">=2.8", False),
        ("2.13.0+cpu", ">=2.6", True),
        ("10.0", ">=9.1.2", True),
        ("1.0", "", True),
    ],
)
def test_version_bounds(version: str, bounds: str, fits: bool) -> None:
    assert satisfies(version, bounds) is fits


def test_old_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0.1")
    findings = list(verify_setup.check_packages())
    assert all(finding.state == MISSING for finding in findings)
    assert "torch 0.0.1, needed is torch>=" in findings[0].text


@pytest.mark.parametrize(
    ("cuda", "index"), [("11.8", "cu118"), ("12.4", "cu126"), ("12.9", "cu126"), ("13.1", None), ("14.0", None)]
)
def test_pip_command_follows_the_driver(cuda: str, index: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    advice = gpu_advice(f"| NVIDIA-SMI 550.54   Driver Version: 550.54   CUDA Version: {cuda} |")
    assert "pip install --force-reinstall torch torchvision" in advice
    assert advice.endswith(f"--index-url https://download.pytorch.org/whl/{index}" if index else "torchvision")


def test_gpu_hidden_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_advice("CUDA Version: 12.4").startswith("unset CUDA_VISIBLE_DEVICES")


def test_gpu_driver_that_does_not_answer() -> None:
    assert "install it again" in gpu_advice("NVIDIA-SMI has failed because it couldn't communicate with the driver.\n")


def test_gpu_that_torch_cannot_use_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(verify_setup, "driver_report", lambda: "CUDA Version: 12.2")
    (finding,) = verify_setup.check_gpu()
    assert finding.state == NOTE
    assert "cu126" in finding.advice
    monkeypatch.setattr(verify_setup, "driver_report", lambda: None)
    (finding,) = verify_setup.check_gpu()
    assert (finding.state, finding.advice) == (NOTE, "")


def test_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    findings = list(verify_setup.check_folders())
    assert [finding.state for finding in findings] == [MISSING, MISSING]
    assert "Permission denied" in findings[0].text
    assert findings[0].advice.startswith("chmod u+w ")


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def check_weather() -> list[Finding]:
        raise ValueError("rain\nand wind")

    monkeypatch.setattr("sys.argv", ["verify_setup.py"])
    monkeypatch.setattr(verify_setup, "CHECKS", (check_weather,))
    assert verify_setup.main() == 1
    assert "weather could not be checked: rain\n" in capsys.readouterr().out
