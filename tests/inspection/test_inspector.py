"""The whole inspector: one score for one photo however it is asked, and a file that survives what happens to it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from data_factory import ROOT, part, parts, save, tiny_config, write_photos

from fastener.common.errors import UserError
from fastener.config import RunSettings
from fastener.inspection.inspector import CONFORMAL, Inspector
from fastener.inspection.reading import Source, fingerprint
from fastener.inspection.result import Failure, Inspection
from fastener.models.runtime.storage import load_state, save_state

SCORES = """
import json, sys
from pathlib import Path
from fastener.inspection.inspector import Inspector
found = Inspector.load(sys.argv[1]).inspect([Path(p) for p in sys.argv[2:]])
print(json.dumps([[one.score, float(one.map.max())] for one in found]))
"""


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("queries"), [*parts(5, 100), *parts(2, 200, "rust")])


def scored(inspector: Inspector, sources: Sequence[Source]) -> list[Inspection]:
    results = inspector.inspect(sources)
    assert all(isinstance(result, Inspection) for result in results)
    return [result for result in results if isinstance(result, Inspection)]


def test_rusty_parts_are_flagged_and_marked_healthy_ones_not(inspector: Inspector, queries: list[Path]) -> None:
    results = scored(inspector, queries)
    assert [result.is_anomalous for result in results[5:]] == [True, True]
    assert sum(result.is_anomalous for result in results[:5]) <= 1
    for result in results[5:]:
        assert result.regions
        assert result.regions[0].score > result.threshold
        assert result.p_value == pytest.approx(1 / 13)
        assert result.evidence["colour"].score > 0.1
    assert set(results[0].evidence) == {"filters", "colour", "shape"}


def test_same_score_alone_in_a_batch_saved_and_in_another_process(
    inspector: Inspector, model_file: Path, queries: list[Path]
) -> None:
    together = scored(inspector, queries)
    expected = np.array([[one.score, one.map.max()] for one in together])
    alone = [scored(inspector, [path])[0] for path in queries]
    assert np.abs(np.array([[one.score, one.map.max()] for one in alone]) - expected).max() < 1e-4
    loaded = scored(Inspector.load(model_file), queries)
    assert np.abs(np.array([[one.score, one.map.max()] for one in loaded]) - expected).max() < 1e-4
    command = [sys.executable, "-c", SCORES, str(model_file), *map(str, queries)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert np.abs(np.array(json.loads(printed)) - expected).max() < 1e-4
    for one, other in zip(together, loaded, strict=True):
        assert (one.threshold, one.p_value, one.regions) == (other.threshold, other.p_value, other.regions)


def test_same_seed_same_bytes(good_photos: list[Path], tmp_path: Path) -> None:
    for name in ("one.pkl", "two.pkl"):
        Inspector.fit(good_photos[:4], tiny_config()).save(tmp_path / name)
    assert (tmp_path / "one.pkl").read_bytes() == (tmp_path / "two.pkl").read_bytes()


def test_scores_have_no_ties(inspector: Inspector) -> None:
    scores = [one.score for one in scored(inspector, parts(12, 300))]
    assert len(set(scores)) == 12


def test_arrays_and_files_score_alike(inspector: Inspector, queries: list[Path]) -> None:
    (result,) = scored(inspector, [part(100)])
    assert result.path is None
    assert result.score == scored(inspector, queries[:1])[0].score


def test_a_photo_that_cannot_be_read_costs_that_photo(
    inspector: Inspector, queries: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(queries[0].read_bytes()[:200])
    missing = tmp_path / "missing.png"
    results = inspector.inspect([queries[0], broken, queries[1], missing, queries[2]])
    assert [type(result) for result in results] == [Inspection, Failure, Inspection, Failure, Inspection]
    assert [result.path for result in results] == [queries[0], broken, queries[1], missing, queries[2]]
    assert "broken.png" in results[1].error  # type: ignore[union-attr]
    assert inspector.inspect([broken])[0].path == broken
    assert inspector.inspect([]) == []


def test_streaming_reads_at_most_two_batches_ahead(inspector: Inspector, queries: list[Path]) -> None:
    size, taken = inspector.config.run.batch_size, 0

    def source() -> Iterator[Path]:
        nonlocal taken
        for number in range(60):
            taken += 1
            yield queries[number % len(queries)]

    for done, _ in enumerate(inspector.stream(source()), start=1):
        in_batch = -(-done // size) * size
        assert taken <= in_batch + 2 * size


def test_load_takes_batch_size_and_workers_of_this_machine(model_file: Path) -> None:
    run = Inspector.load(model_file, run=RunSettings(batch_size=7, workers=0, seed=5)).config.run
    assert (run.batch_size, run.workers, run.seed) == (7, 0, 42)


def test_knows_copies_however_they_were_saved(inspector: Inspector, tmp_path: Path) -> None:
    photo = part(4)
    copies = [
        save(photo[:, ::-1], tmp_path / "mirrored.png"),
        save(photo[::-1, ::-1], tmp_path / "turned.png"),
        save(photo, tmp_path / "again.jpg", quality=90),
        save(np.repeat(np.repeat(photo, 2, 0), 2, 1), tmp_path / "larger.png"),
        save(np.clip(photo * 0.8, 0, 255).astype(np.uint8), tmp_path / "darker.png"),
    ]
    others = write_photos(tmp_path / "others", parts(6, 100))
    known = inspector.knows([fingerprint(path) for path in [*copies, *others]])
    assert known.tolist() == [True] * 5 + [False] * 6
    assert inspector.knows([]).shape == (0,)


def test_a_saved_model_knows_the_same_photos(model_file: Path, good_photos: list[Path]) -> None:
    loaded = Inspector.load(model_file)
    assert loaded.knows([fingerprint(path) for path in good_photos]).all()
    assert loaded.knows([fingerprint(np.ascontiguousarray(part(i)[:, ::-1])) for i in range(12)]).all()
    assert not loaded.knows([fingerprint(part(100))]).any()


def test_update_learns_new_photos_and_passes_over_copies(good_photos: list[Path], tmp_path: Path) -> None:
    model = Inspector.fit(good_photos[:6], tiny_config())
    bank = model.evidence["filters"].state()["bank"]
    black = [save((part(i) * 0.35).astype(np.uint8), tmp_path / f"{i}.png") for i in range(50, 54)]
    grown_model = model.partial_fit([*black, save(part(2)[:, ::-1], tmp_path / "copy.png")])
    assert grown_model is model
    assert model.new_photos_ == 4
    grown = model.evidence["filters"].state()["bank"]
    assert torch.equal(grown[: len(bank)], bank)
    assert len(grown) > len(bank)
    assert len(model.decision.healthy_joined) == 10
    assert model.knows([fingerprint(path) for path in black]).all()
    model.save(tmp_path / "updated.pkl")
    again = Inspector.load(tmp_path / "updated.pkl")
    assert scored(again, good_photos[8:9])[0].score == pytest.approx(scored(model, good_photos[8:9])[0].score, abs=1e-4)
    with pytest.raises(UserError, match="none of the 4 photos is new"):
        again.partial_fit(black)


def test_update_lowers_the_scores_of_what_it_learned(good_photos: list[Path]) -> None:
    model = Inspector.fit(good_photos[:6], tiny_config())
    odd = [part(70 + i, "pit") for i in range(4)]
    before = [one.score for one in scored(model, odd)]
    model.partial_fit(odd)
    after = [one.score for one in scored(model, odd)]
    assert np.mean(after) < np.mean(before)


def test_a_save_that_fails_leaves_the_old_file(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pkl"
    inspector.save(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastener.common.files.os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        inspector.save(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["model.pkl"]


def test_a_threshold_that_is_no_guess_needs_two_different_photos(tmp_path: Path) -> None:
    photo = part(0)
    alike = [save(photo, tmp_path / "a.png"), save(photo[:, ::-1], tmp_path / "b.png")]
    with pytest.warns(UserWarning, match="a guess"):
        one = Inspector.fit(alike, tiny_config())
    assert (one.training.n_photos, one.training.n_different) == (2, 1)
    with pytest.raises(UserError, match="no healthy photos"):
        Inspector.fit([], tiny_config())
    two = Inspector.fit([part(0), part(1)], tiny_config())
    assert two.alpha == pytest.approx(1 / 3)
    assert "alpha 0.1 was asked for" in two.describe()


def test_training_stops_at_a_photo_that_cannot_be_read(good_photos: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    with pytest.raises(UserError, match=r"broken\.png"):
        Inspector.fit([*good_photos[:3], broken], tiny_config())


def test_a_bank_from_one_photo_is_explained() -> None:
    with pytest.raises(UserError, match="coreset_ratio"):
        Inspector.fit([part(0), part(1)], tiny_config(model={"coreset_ratio": 1e-6}))


def test_a_model_of_another_version_is_explained(inspector: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    inspector.save(path)
    state = load_state(path)
    del state["decision"]["rule"]
    save_state(state, path)
    with pytest.raises(UserError, match="another version"):
        Inspector.load(path)
    path.write_bytes(b"garbage")
    with pytest.raises(UserError, match="damaged"):
        Inspector.load(path)
    with pytest.raises(UserError, match="no model at"):
        Inspector.load(tmp_path / "none.pkl")


def test_other_thresholds(inspector: Inspector, queries: list[Path]) -> None:
    lenient = inspector.with_threshold(1e9, "a test")
    assert not any(one.is_anomalous or one.regions for one in scored(lenient, queries))
    assert inspector.threshold < 1e9
    median = float(np.median(inspector.decision.healthy_joined))
    assert inspector.adapted_to([median + 0.5]).threshold == pytest.approx(inspector.threshold + 0.5)
    assert inspector.adapted_to([median - 1, median + 0.25, median + 9]).threshold == pytest.approx(
        inspector.threshold + 0.25
    )


def test_an_update_forgets_a_threshold_from_elsewhere() -> None:
    moved = Inspector.fit(parts(6), tiny_config()).with_threshold(1e9, "a test")
    moved.partial_fit(parts(2, first=40))
    assert moved.threshold == moved.decision.threshold()[0]
    assert moved.threshold_source == CONFORMAL


def test_photos_without_a_findable_part_are_told() -> None:
    said: list[str] = []
    noise = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    Inspector.fit([*parts(5), *noise], tiny_config(), warn=said.append)
    (line,) = [line for line in said if "no part was found" in line]
    assert "in 3 of 8 photos" in line
    said.clear()
    Inspector.fit(parts(5), tiny_config(), warn=said.append)
    assert not any("no part" in line for line in said)
