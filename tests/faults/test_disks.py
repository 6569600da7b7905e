"""A full disk or a read-only folder costs one clear line and no file: nothing half-written, nothing of before lost."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from corrosion_factory import rendered, write_series
from data_factory import FLAGS, ROOT, part, parts, run_inside, write_photos
from kills import TEMPORARY, check_whole, files_in
from mvtec_factory import write_category
from privileges import unprivileged

from fastener.common.errors import UserError
from fastener.common.files import GrowingFile
from fastener.inspection.tables import JsonList

pytestmark = pytest.mark.slow

ROOM = 8192


@pytest.fixture(scope="module")
def home(model_file: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the scripts read."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copy(model_file, folder / "model.pkl")
    shutil.copytree(data_dir, folder / "data")
    write_photos(folder / "photos", [*parts(6, first=40), part(7, "rust")] * 5)
    photos = [one.image for one in rendered((0.0, 0.2), size=(128, 128))]
    write_series(folder / "series", "Bolt", photos, ("0", "24"))
    write_category(folder / "mvtec" / "plate", 6, 2, 2)
    return folder


def _inference(home: Path, output: Path) -> tuple[object, ...]:
    return ("inference.py", "--model", home / "model.pkl", "--dir", home / "photos", "--json", "--output", output)


WRITERS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "train": lambda home, output: ("train.py", "--images", home / "photos", *FLAGS, "--output", output / "model.pkl"),
    "update": lambda home, output: (
        *("train.py", "--update", home / "model.pkl", "--images", home / "photos", "--output", output / "model.pkl"),
    ),
    "tables": lambda home, output: (*_inference(home, output), "--csv"),
    "pictures": lambda home, output: (*_inference(home, output), "--visualize"),
    "evaluate": lambda home, output: (
        *("evaluate.py", "--model", home / "model.pkl", "--data-dir", home / "data", "--output", output),
    ),
    "categories": lambda home, output: (
        *("evaluate.py", "--model", home / "model.pkl", "--mvtec-dir", home / "mvtec", "--all", "--output", output),
    ),
    "corrosion": lambda home, output: (
        *("corrosion_analysis.py", "--model", home / "model.pkl", "--dir", home / "series", "--output", output),
        *("--set", "corrosion.frame=128"),
    ),
}


@contextmanager
def mounted(folder: Path) -> Iterator[bool]:
    """A file system of 1 MiB at ``folder``; False where this process may not mount one."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    may = os.geteuid() == 0 and shutil.which("mount") is not None
    may = may and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield may
    finally:
        if may:
            subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Within, ``folder`` is a disk with ``ROOM`` bytes left; where none can be mounted, files end there."""
    free = shutil.disk_usage(folder).free
    if free < 2**21:
        (folder / "filling").write_bytes(bytes(free - ROOM))
        yield
        (folder / "filling").unlink()
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(params=["tmpfs", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    with ExitStack() as stack:
        if request.param == "tmpfs" and not stack.enter_context(mounted(folder)):
            pytest.skip("this process may not mount a small file system; files limited in size stand in for it")
        yield folder


def one_line(text: str, start: str) -> str:
    """The last line, which is the only one but for warnings."""
    lines = text.splitlines()
    assert lines
    assert lines[-1].startswith(start), text
    assert all(line.startswith("warning: ") for line in lines[:-1]), text
    return lines[-1]


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk(name: str, home: Path, disk: Path) -> None:
    words = [str(word) for word in WRITERS[name](home, disk)]
    earlier = disk / ("model.pkl" if words[0] == "train.py" else "earlier.txt")
    earlier.write_bytes(b"what was there\n")
    with full(disk):
        done = run_inside(*words, "--device", "cpu")
    # A category that cannot be finished does not stop the others: that is code 1, and a warning for each.
    assert done.returncode == (1 if name == "categories" else 2), done.stderr
    line = one_line(done.stderr, "warning: cannot write" if name == "categories" else "error: cannot write")
    assert str(disk) in line
    assert ("File too large" in line) or ("No space left on device" in line)
    assert earlier.read_bytes() == b"what was there\n"
    left = [path for path in disk.rglob("*") if path.is_file()]
    assert not [path for path in left if TEMPORARY.fullmatch(path.name)]
    for path in left:
        if path != earlier:
            check_whole(path)


def test_a_table_that_fills_the_disk_keeps_its_entries_and_its_end(disk: Path) -> None:
    entries = 0
    with full(disk):
        table = JsonList(GrowingFile(disk / "results.json"))
        with suppress(UserError):
            for entries in range(10_000):
                table.write({"filling": "x" * (57 + entries % 7)})
        # Somebody else takes what the failed piece had to leave.
        with suppress(OSError), (disk / "other").open("wb", buffering=0) as other:
            for _ in range(ROOM):
                other.write(b"x")
        table.close()
    check_whole(disk / "results.json")
    assert (disk / "results.json").read_text().count("filling") == entries
    assert 50 < entries < 9_999
    assert not [path for path in disk.iterdir() if TEMPORARY.fullmatch(path.name)]


@pytest.mark.parametrize("name", WRITERS)
def test_a_read_only_folder(name: str, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    with ExitStack() as stack:
        if os.geteuid() != 0:
            folder.chmod(0o555)
        elif stack.enter_context(mounted(folder)):
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        else:
            pytest.skip("root, whom permissions do not bind, and no read-only file system can be mounted")
        done = run_inside(*map(str, WRITERS[name](home, folder)), "--device", "cpu")
        assert done.returncode == 2
        assert "cannot write" in one_line(done.stderr, "error: ")
        assert files_in(folder) == {}


def test_a_folder_without_permission(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(b"what was there")
    folder.chmod(0o555)
    words = [str(word) for word in WRITERS["train"](home, folder)]
    done = subprocess.run(
        [*unprivileged(), sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert one_line(done.stderr, "error: cannot write").endswith("model.pkl: Permission denied")
    assert [path.read_bytes() for path in folder.iterdir()] == [b"what was there"]
