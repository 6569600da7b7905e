"""One list of fields behind every file, and one registry of writers, open to those from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from data_factory import part, run_inside, save
from inspection_factory import inspection

from fastener.console.result_schemas import API_NAMES
from fastener.console.schemas import ReviewedInspection, StoredInspection
from fastener.console.tables import InspectionRow
from fastener.datasets import images
from fastener.inspection.fields import RESULT_FIELDS
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Failure, Inspection
from fastener.inspection.tables import flat_record, record
from fastener.inspection.writers import WRITERS, Finding, Writer, open_writers, written_in_thread


def test_files_have_the_fields_of_the_list() -> None:
    done, failed = record(inspection()), record(Failure(Path("x.png"), "why"))
    assert list(done) == [field.name for field in RESULT_FIELDS if Inspection in field.on]
    assert list(failed) == [field.name for field in RESULT_FIELDS if Failure in field.on]
    assert set(flat_record(done, ("filters",))) >= {field.name for field in RESULT_FIELDS} - {"evidence"}
    for field in RESULT_FIELDS:
        assert field.description, field.name


def test_the_console_stores_and_answers_the_fields_of_the_list() -> None:
    own = ("path", "verdict", "is_anomalous", "is_baseline", "error")
    stored = [field.name for field in RESULT_FIELDS if field.name not in own]
    assert set(InspectionRow.__table__.columns.keys()) >= set(stored)
    answered = StoredInspection.model_fields
    assert set(answered) >= {API_NAMES.get(name, name) for name in stored}
    described = {field.name: field.description for field in RESULT_FIELDS}
    assert answered["anomaly_score"].description == described["score"]
    assert issubclass(ReviewedInspection, StoredInspection)


def test_parquet_has_the_fields_of_the_list() -> None:
    pytest.importorskip("pyarrow")
    from fastener.distributed.shards import _schema

    assert _schema(("filters",)).names == [field.name for field in RESULT_FIELDS]


class LinesWriter(Writer):
    """A writer from outside: verdicts.txt, one line a photo."""

    help = "write verdicts.txt"

    def __init__(self, output: Path, kinds: tuple[str, ...]):
        super().__init__(output, kinds)
        self._lines: list[str] = []

    def write(self, finding: Finding) -> None:
        self._lines.append(f"{finding.name} {finding.entry.get('is_anomalous')}\n")

    def close(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        (self.output / "verdicts.txt").write_text("".join(self._lines))


class SizesWriter(Writer):
    """A writer from outside that draws: one file a photo, from the photo itself."""

    help = "write <name>.size"
    draws = True

    def write(self, finding: Finding) -> None:
        assert finding.inspection is not None
        assert finding.inspection.photo is not None
        self.output.mkdir(parents=True, exist_ok=True)
        (self.output / f"{finding.name}.size").write_text(str(finding.inspection.photo.shape))


def test_writers_from_outside_get_a_flag_and_the_results(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WRITERS, "lines", LinesWriter)
    monkeypatch.setitem(WRITERS, "photo_sizes", SizesWriter)
    save(part(5), tmp_path / "in" / "a.png")
    save(part(7, "rust"), tmp_path / "in" / "b.png")
    flags = ("--dir", tmp_path / "in", "--model", model_file, "--output", tmp_path / "out")
    done = run_inside("inference.py", *flags, "--lines", "--photo-sizes")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "verdicts.txt").read_text().splitlines()[1] == "b True"
    assert (tmp_path / "out" / "a.size").read_text() == "(96, 96, 3)"
    assert "--photo-sizes" in run_inside("inference.py", "--help").stdout


def test_a_photo_is_decoded_once_also_for_its_pictures(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        save(part(seed), tmp_path / "in" / f"{seed}.png")
    decoded: list[Path] = []
    opened = images._opened_file

    def counted(path: Path) -> object:
        decoded.append(path)
        return opened(path)

    monkeypatch.setattr(images, "_opened_file", counted)
    flags = ("--dir", tmp_path / "in", "--model", model_file, "--output", tmp_path / "out")
    done = run_inside("inference.py", *flags, "--visualize", "--visualize-jpeg", "--ground-truth")
    assert done.returncode == 0, done.stderr
    assert len(decoded) == 3
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"det_0.png", "overlay_0.png", "det_0.jpg", "overlay_0.jpg", "0_result.png", "0_heatmap.png"}


def test_results_keep_a_photo_only_if_asked(inspector: Inspector, tmp_path: Path) -> None:
    path = save(part(3), tmp_path / "a.png")
    (plain,) = inspector.stream([path])
    (kept,) = inspector.stream([path], photo_side=48)
    assert isinstance(plain, Inspection)
    assert isinstance(kept, Inspection)
    assert plain.photo is None
    assert kept.photo is not None
    assert kept.photo.shape == (48, 48, 3)
    assert (kept.score, kept.photo_size) == (plain.score, plain.photo_size)


def test_findings_are_written_in_order_and_few_wait() -> None:
    written: list[str] = []
    inspected = 0

    class Slow(Writer):
        help = ""

        def write(self, finding: Finding) -> None:
            time.sleep(0.01)
            written.append(str(finding.name))

    def findings() -> Iterator[Finding]:
        nonlocal inspected
        for number in range(10):
            inspected += 1
            yield Finding({}, Path(str(number)))
        raise KeyboardInterrupt

    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setitem(WRITERS, "slow", Slow)
        writers = open_writers(stack, ["slow"], Path(), kinds=())
        come = written_in_thread(findings(), writers, window=3)
        assert next(come).name == Path("0")
        assert inspected <= 4
        with pytest.raises(KeyboardInterrupt):
            list(come)
    assert written == [str(number) for number in range(10)]
