"""benchmark.py coreset, fit, search, memory and peers on tiny inputs: what is computed, not how fast."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import amazon_patchcore
import numpy as np
import ours
import protocol
import pytest
import torch
from mvtec_factory import write_category
from random_networks import random_state, without_head

from fastener import benchmark
from fastener.benchmarks import asking, search
from fastener.benchmarks.asking import OURS, Contender
from fastener.benchmarks.growth import exponent, sizes
from fastener.benchmarks.machine import Machine, measure_machine
from fastener.benchmarks.report import table
from fastener.benchmarks.work import network_flop
from fastener.common.errors import UserError
from fastener.datasets.mvtec import load_category
from fastener.models.bank_rows import rows_to_keep
from fastener.models.coreset import greedy_coreset
from fastener.models.feature_extractor import FeatureExtractor

MACHINE = Machine("a machine", 2, flops=100.0, bandwidth=10.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No measuring of the machine, and contenders answer inside this process."""
    for question in ("coreset", "fit", "search", "memory", "peers"):
        monkeypatch.setattr(f"fastener.benchmarks.{question}.measure_machine", lambda *device: MACHINE)
    monkeypatch.setattr(Contender, "ask", ask_inside)


def ask_inside(contender: Contender, task: str, **values: Any) -> dict[str, Any]:
    assert contender == OURS
    answer: dict[str, Any] = getattr(ours, task)(**json.loads(json.dumps(values)))
    return {**answer, "peak_bytes": 3 * 2**20, "imported_bytes": 2**20}


@pytest.fixture(scope="module")
def category(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_category(tmp_path_factory.mktemp("mvtec") / "plate", n_train=4, n_good=2, n_defect=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(without_head(random_state("resnet18")), file)
    return file


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run benchmark.py and read its JSON."""

    def run(*flags: Any) -> dict[str, Any]:
        file = tmp_path / "deep" / "report.json"
        monkeypatch.setattr(sys, "argv", ["benchmark.py", *map(str, flags), "--json", str(file)])
        assert benchmark.main() == 0
        read: dict[str, Any] = json.loads(file.read_text())
        return read

    return run


def test_coreset_compares_methods_on_the_same_rows(
    report: Callable[..., dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features = np.random.default_rng(0).normal(size=(800, 12)).astype(np.float32)
    np.save(tmp_path / "features.npy", features)
    flags = ("--features", tmp_path / "features.npy", "--projection", 8, "--textbook", 800, "--repeat", 1)
    rows = report("coreset", *flags)["rows"]
    assert [row["patches"] for row in rows[::3]] == [100, 200, 400, 800]
    exact, projected, textbook = rows[-3:]
    distances = np.linalg.norm(features[:, None] - features[greedy_coreset(features, 80).indices], axis=2)
    assert exact["cover_radius"] == pytest.approx(distances.min(1).max(), rel=1e-5)
    assert textbook["cover_radius"] == pytest.approx(exact["cover_radius"], rel=1e-5)
    assert exact["cover_radius"] < projected["cover_radius"] < 2 * exact["cover_radius"]
    assert exact["limit_s"] == 2 * 800 * 80 * 12 / 100
    assert exact["times_limit"] == exact["seconds"] / exact["limit_s"]
    printed = capsys.readouterr().out
    assert "a machine" in printed
    assert "textbook loop" in printed


def test_fit_is_measured_at_growing_numbers_of_images(
    report: Callable[..., dict[str, Any]], category: Path, weights: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "plot.png"
    flags = ("--category-dir", category, "--weights", weights, "--keep", 0.02, "--plot", plot)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastener.benchmarks.growth.EIGHTH", (2, 1))
        rows = report("fit", *flags)["rows"]
    assert [(row["images"], row["patches"], row["kept"]) for row in rows] == [(2, 1568, 31), (4, 3136, 63)]
    for row in rows:
        assert 0 < row["reading"] + row["coreset"] + row["calibrating"] < row["seconds"]
        assert (row["peak_mb"], row["imported_mb"]) == (3, 1)
        assert row["cpu_s"] > 0
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_fit_of_drawn_textures_keeps_what_the_settings_would(
    report: Callable[..., dict[str, Any]], weights: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastener.benchmarks.growth.EIGHTH", (1,))
        (row,) = report("fit", "--textures", 3, "--weights", weights, "--keep", "auto")["rows"]
    assert (row["images"], row["kept"]) == (3, rows_to_keep(3 * 784, 3))


def test_memory_is_beside_what_must_be_held(
    report: Callable[..., dict[str, Any]], category: Path, weights: Path
) -> None:
    rows = report("memory", "--category-dir", category, "--weights", weights, "--keep", 0.02, "--photos", 2)["rows"]
    assert [row["what"] for row in rows] == [
        "fit, memory limit 2048 MB",
        "fit, memory limit 64 MB",
        "fit, memory limit 0 MB",
        "inspect, batch 1",
        "inspect, batch 8",
    ]
    half = 2 * 2 * 784 * 384 / 2**20
    assert rows[0]["limit_mb"] - rows[2]["limit_mb"] == pytest.approx(half)
    assert rows[0]["own_mb"] == 2


def test_search_measures_every_kind_and_what_it_changes(
    report: Callable[..., dict[str, Any]], category: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTENER_WEIGHTS_DIR", str(weights.parent))
    flags = ("--n", 2000, "--dim", 16, "--images", 1, "--keep", 0.02, "--repeat", 1, "--kinds", "flat", "ivf", "pq")
    rows = report("search", "--category-dir", category, "--weights", weights, *flags)["rows"]
    assert [row["index"] for row in rows] == ["flat", "ivf", "pq"]
    assert (rows[0]["recall_at_1"], rows[0]["times_flat"]) == (1, 1)
    for row in rows:
        assert row["recall_at_1"] > 0.9
        assert row["times_flat"] == pytest.approx(rows[0]["ms_per_image"] / row["ms_per_image"])
        assert row["auroc_change_points"] == 0, "no index changes an image score"
    assert rows[0]["memory_mb"] < rows[2]["memory_mb"] < rows[1]["memory_mb"], "an index is held beside the rows"


def test_recall_counts_rows_as_near_as_the_nearest() -> None:
    assert search.recall(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 2.9, 4.0])) == 0.75


def test_peers_are_left_out_with_a_reason(report: Callable[..., dict[str, Any]], category: Path, weights: Path) -> None:
    flags = ("--category-dir", category, "--weights", weights, "--keep", 0.02, "--n", 1000, "--repeat", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastener.benchmarks.peers.BATCHES", (1,))
        patch.setattr("fastener.benchmarks.peers.spread", lambda items, count: (2 * list(items))[:count])
        found = report("peers", *flags, "--only", "coreset")
    assert [row["contender"] for row in found["rows"]] == ["ours, exact", "ours, projected to 128"]
    assert sum("left out" in note for note in found["notes"]) == 2


def test_a_peer_is_set_beside_ours_and_one_that_fails_costs_its_rows_only(
    report: Callable[..., dict[str, Any]],
    category: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(contender: Contender, task: str, **values: Any) -> dict[str, Any]:
        if contender.name == "amazon":
            raise UserError("amazon: out of memory")
        factor = 2 if contender.name == "anomalib" else 0.5 if "int8" in str(values.get("model")) else 1
        seconds = {"fit": factor * 3.0, "inspect": [factor * 0.1] * 4}
        if task == "fit" and contender == OURS:
            np.save(Path(values["model"]).with_suffix(".npy"), np.zeros((5, 384), np.float32))
        return {"seconds": seconds[task], "peak_bytes": factor * 2**20, "imported_bytes": 0}

    monkeypatch.setattr(Contender, "ask", ask)
    (tmp_path / "src/patchcore").mkdir(parents=True)
    (tmp_path / "src/patchcore/common.py").touch()
    peers = ("--anomalib-python", sys.executable, "--amazon-dir", tmp_path)
    found = report("peers", "--category-dir", category, "--weights", weights, *peers, "--only", "fit", "inspect")
    fitted, inspected = (
        [("ours", 1, 1), ("anomalib", 2, 2)],
        [("ours", 1, 1), ("ours, int8", 0.5, 0.5), ("anomalib", 2, 2)],
    )
    assert [(row["contender"], row["ratio"], row["memory_ratio"]) for row in found["rows"]] == fitted + 2 * inspected
    assert found["notes"]
    assert all("out of memory" in note for note in found["notes"])


def test_what_a_user_waits_for_is_whole_commands_and_their_verdicts(
    report: Callable[..., dict[str, Any]], category: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores that fall or rise with the names of the photos."""
    commands: list[tuple[str, ...]] = []

    def cold(*words: object) -> float:
        commands.append(tuple(map(str, words)))
        flags = dict(zip(words[1::2], words[2::2], strict=False))
        if words[0] == "train.py":
            return 3.0
        photos = sorted(Path(str(flags["--dir"])).iterdir())
        entries = [
            {"path": str(path), "score": float(at), "is_anomalous": at > 0} for at, path in enumerate(reversed(photos))
        ]
        Path(str(flags["--output"])).mkdir()
        (Path(str(flags["--output"])) / "results.json").write_text(json.dumps(entries))
        return 2.0

    def ask(contender: Contender, task: str, **values: Any) -> dict[str, Any]:
        assert contender.script == "anomalib_engine.py"
        photos = sorted(Path(values["images"]).iterdir())
        assert len(photos) == (2 if task == "learn" else 4)
        return {"found": {path.name: (float(at), False) for at, path in enumerate(photos)}}

    monkeypatch.setattr("fastener.benchmarks.waiting.cold", cold)
    monkeypatch.setattr(Contender, "ask", ask)
    flags = ("--weights", weights, "--anomalib-python", sys.executable, "--photos", 2, "--only", "wait")
    found = report("peers", "--category-dir", category, *flags)
    assert [(row["contender"], row["seconds"]) for row in found["rows"][:4]] == [
        ("ours", 3),
        ("ours", 2),
        ("ours, ResNet-18 alone", 3),
        ("ours, ResNet-18 alone", 2),
    ]
    assert [command[0] for command in commands] == ["train.py", "inference.py"] * 2
    assert "--weights" in commands[3]
    assert "--weights" not in commands[0]
    *_, last = found["rows"]
    assert (last["defects found"], last["good flagged"]) == ("0 of 2", "0 of 2")
    shares = [row["image AUROC (95 %)"].split()[0] for row in found["rows"] if "image AUROC (95 %)" in row]
    defects = [
        image.is_anomalous
        for image in sorted(load_category(category.parent, category.name).test, key=lambda one: one.path)
    ]
    pairs = [at > other for at, bad in enumerate(defects) if bad for other, worse in enumerate(defects) if not worse]
    rising = sum(pairs) / len(pairs)
    assert rising in (0, 1), "all good photos are on one side"
    assert [float(share) for share in shares] == [1 - rising, 1 - rising, rising, rising]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--anomalib-python", "none/python"), "none/python: no such file"),
        (("--amazon-dir", "none"), "clone amazon-science/patchcore-inspection"),
    ],
)
def test_a_peer_that_is_not_there_is_one_clear_line(
    report: Callable[..., dict[str, Any]], category: Path, weights: Path, flags: tuple[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        report("peers", "--category-dir", category, "--weights", weights, *flags)


def test_a_contender_is_a_process_whose_last_words_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(asking, "_SCRIPTS", tmp_path)
    lines = [
        f"import sys; sys.path.insert(0, {str(Path(protocol.__file__).parent)!r})",
        "from protocol import answer; print('hello')",
        "def add(a, b): return {'sum': a + b, 'held': len(bytearray(64 * 2**20))}",
        "answer({'add': add}, 'one')",
    ]
    (tmp_path / "adder.py").write_text("\n".join(lines))
    held = np.ones(200 * 2**17)  # 200 MB here must not count there
    answer = Contender("adder", "adder.py", always={"a": 2}).ask("add", b=3)
    assert (answer["sum"], answer["versions"]) == (5, "one")
    assert 56 * 2**20 < answer["peak_bytes"] - answer["imported_bytes"] < 80 * 2**20
    assert answer["peak_bytes"] < held.nbytes
    with pytest.raises(UserError, match=r"adder: add ended with code 1: TypeError.*missing"):
        Contender("adder", "adder.py").ask("add", b=3)
    with pytest.raises(UserError, match="nothing/python"):
        Contender("adder", "adder.py", "nothing/python").ask("add", b=3)


def test_peers_keep_the_threads_they_chose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the scripts of this project let idle threads sleep, whoever asks."""
    monkeypatch.undo()
    monkeypatch.setattr(asking, "_SCRIPTS", tmp_path)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    lines = "import json, os; print(json.dumps({'waits': os.environ.get('OMP_WAIT_POLICY')}))"
    (tmp_path / "waits.py").write_text(lines)
    assert Contender("a peer", "waits.py").ask("any") == {"waits": None}
    assert Contender("ours", "waits.py", tuned=OURS.tuned).ask("any") == {"waits": "PASSIVE"}


def test_what_cannot_be_measured_is_one_clear_line(
    report: Callable[..., dict[str, Any]], category: Path, weights: Path
) -> None:
    with pytest.raises(UserError, match="too few for a bank beside 4 images; lower --images"):
        report("search", "--category-dir", category, "--weights", weights, "--images", 4, "--n", 10**6)
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="CUDA cannot be used here"):
            report("coreset", "--device", "cuda")


def test_a_selection_that_was_stopped_is_extrapolated_from_its_picks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sampler:
        def __init__(self, share: float, device: torch.device, dimension_to_project_features_to: int) -> None:
            self.count = round(10 * share)

        def _compute_batchwise_differences(self, *matrices: torch.Tensor) -> torch.Tensor:
            return torch.zeros(1)

        def _compute_greedy_coreset_indices(self, features: torch.Tensor) -> list[int]:
            for _ in range(self.count):
                self._compute_batchwise_differences(features, features)
            return list(range(self.count))

        def run(self, features: torch.Tensor) -> None:
            self._compute_greedy_coreset_indices(features)

    reference = types.SimpleNamespace(
        sampler=types.SimpleNamespace(GreedyCoresetSampler=Sampler, ApproximateGreedyCoresetSampler=Sampler)
    )
    ticks = iter(range(0, 100, 2))
    monkeypatch.setattr("amazon_patchcore.time.perf_counter", lambda: next(ticks))
    watch = amazon_patchcore.Watch(reference, "approximate", 0.4, 128)
    watch.sampler.run(torch.zeros(10, 3))
    assert watch.picks.tolist() == [0, 1, 2, 3]
    assert watch.seconds_left(9) == 5 * 2
    assert watch.seconds_left(4) == 0


def test_limits_by_hand() -> None:
    assert MACHINE.beside(6.0, flop=200, moved=5) == {"limit_s": 2.0, "times_limit": 3.0}
    assert MACHINE.beside(6.0, flop=200, moved=30) == {"limit_s": 3.0, "times_limit": 2.0}
    machine = measure_machine(side=64, copied=2**16)
    assert min(machine.flops, machine.bandwidth) > 1e6


def test_work_of_a_convolution_by_hand() -> None:
    extractor = FeatureExtractor(torch.nn.Conv2d(3, 5, 3, padding=1))
    assert network_flop(extractor, (8, 10)) == 2 * 8 * 10 * 5 * 3 * 3 * 3


def test_growth_of_a_known_power() -> None:
    counts = sizes(320)
    assert counts == [40, 80, 160, 320]
    assert exponent(counts, [0.1 * count**1.5 for count in counts]) == pytest.approx(1.5)


def test_table_shows_what_a_row_lacks() -> None:
    assert table([{"a": 1234, "b": 0.12345}, {"a": 123.4, "c": None}]) == [
        "| a | b | c |",
        "|---|---|---|",
        "| 1,234 | 0.123 | - |",
        "| 123 | - | - |",
    ]
