"""The baselines as evidence: honest calibration, maps or none, saving, resuming, and every setting of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from data_factory import SMALL, config_from
from hypothesis import given, settings
from hypothesis import strategies as st

from fastener.common.errors import UserError
from fastener.config import CalibrationSettings, Config
from fastener.inspection import baselines
from fastener.inspection.baselines import AutoencoderEvidence, GlobalEvidence, hold_out
from fastener.inspection.decision import Decision, Traits
from fastener.inspection.evidence_base import Setup
from fastener.inspection.inspector import Inspector
from fastener.inspection.reading import batches
from fastener.inspection.result import Inspection
from fastener.models.calibration import conformal_threshold
from fastener.models.progress import no_progress
from fastener.models.scores import HealthyScores
from fastener.preprocessing.pipeline import Prepared, Preprocessor

TINY: dict[str, Any] = {
    **SMALL,
    "preprocess.enabled": False,
    "preprocess.size": 48,
    "preprocess.keep_aspect": False,
    "autoencoder.side": 32,
    "autoencoder.width": 2,
    "autoencoder.latent": 4,
    "autoencoder.epochs": 6,
    "autoencoder.learning_rate": 0.003,  # so that each of the few passes lowers the error
}


pytestmark = pytest.mark.usefixtures("one_thread")


def config(**changes: Any) -> Config:
    """TINY with ``section__key=value`` changed."""
    return config_from(TINY, **changes)


def plate(seed: int, defect: bool = False) -> np.ndarray:
    """A light plate with stains of its own, uint8 RGB (64, 96, 3); the defect is a hole: rows 40:54, columns 8:24."""
    rng = np.random.default_rng(seed)
    stains = cv2.GaussianBlur(rng.normal(0, 60, (64, 96)), (0, 0), 3)
    photo = np.repeat(rng.uniform(150, 190) + stains[..., None], 3, axis=2)
    if defect:
        photo[40:54, 8:24] = 20
    return np.clip(photo + rng.normal(0, 2, photo.shape), 0, 255).astype(np.uint8)


HEALTHY = [plate(seed) for seed in range(12)]
NEW = [plate(50), plate(51), plate(52, defect=True)]


def prepared(photos: Iterable[np.ndarray], chosen: Config) -> list[Prepared]:
    return [Preprocessor(chosen.preprocess)(photo) for photo in photos]


def setup(chosen: Config, **more: Any) -> Setup:
    return Setup(chosen, torch.device("cpu"), "filters", **more)


def fit(evidence: AutoencoderEvidence | GlobalEvidence, groups: Iterable[int] = range(12)) -> HealthyScores:
    return evidence.fit(batches(prepared(HEALTHY, evidence.setup.config), 5), list(groups))


def inspect(inspector: Inspector, photos: list[np.ndarray]) -> list[Inspection]:
    results = inspector.inspect(photos)
    assert all(isinstance(result, Inspection) for result in results)
    return [result for result in results if isinstance(result, Inspection)]


@pytest.fixture(scope="module")
def autoencoder() -> Inspector:
    """One that has learned something."""
    chosen = config(evidence=("autoencoder",), autoencoder__epochs=150, autoencoder__width=4)
    return Inspector.fit(HEALTHY, chosen)


class TestGlobal:
    def test_judges_the_image_and_marks_no_place(self) -> None:
        inspector = Inspector.fit(HEALTHY, config(evidence=("global",)))
        assert not inspector.decision.localises
        good, _, defect = inspect(inspector, NEW)
        assert defect.is_anomalous
        assert defect.score > good.score
        for result in (good, defect):
            assert result.map.shape == (48, 48)
            assert np.isnan(result.map).all()
            assert result.regions == ()
            assert np.isnan(result.photo_map()).all()

    def test_threshold_comes_from_leaving_each_photo_out(self) -> None:
        inspector = Inspector.fit(HEALTHY, config(evidence=("global",)))
        evidence = inspector.evidence["global"]
        assert isinstance(evidence, GlobalEvidence)
        rows = evidence.model.bank_.features.numpy().astype(float)
        gaps = np.linalg.norm(rows[:, None] - rows[None], axis=2)
        np.fill_diagonal(gaps, np.inf)
        np.testing.assert_allclose(inspector.decision.healthy["global"], gaps.min(1), rtol=1e-4)

    def test_pools_the_last_layer_of_the_network(self, tmp_path: Path) -> None:
        from torchvision.models import resnet18

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = resnet18(weights=None).eval()
        torch.save(network.state_dict(), tmp_path / "resnet18.pth")
        chosen = config(run__precision="fp32")
        cnn = Setup(chosen, torch.device("cpu"), "resnet18", tmp_path / "resnet18.pth")
        evidence = GlobalEvidence(cnn)
        scores = fit(evidence)
        seen = torch.from_numpy(np.stack([one.image for one in prepared(HEALTHY, chosen)])).permute(0, 3, 1, 2) / 255
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        trunk = torch.nn.Sequential(*list(network.children())[:7])
        with torch.inference_mode():
            rows = trunk((seen - mean[:, None, None]) / std[:, None, None]).mean((2, 3)).numpy().astype(float)
        gaps = np.linalg.norm(rows[:, None] - rows[None], axis=2)
        np.fill_diagonal(gaps, np.inf)
        np.testing.assert_allclose(scores.images, gaps.min(1), rtol=1e-3)

        other = {
            key: value + 0.01 if value.is_floating_point() else value for key, value in network.state_dict().items()
        }
        torch.save(other, tmp_path / "other.pth")
        stranger = GlobalEvidence(Setup(chosen, torch.device("cpu"), "resnet18", tmp_path / "other.pth"))
        with pytest.raises(UserError, match=r"other\.pth is not the file this model was trained with"):
            stranger.restore(evidence.state())

    def test_beside_a_kind_with_a_map_the_map_is_that_kinds(self) -> None:
        alone = Inspector.fit(HEALTHY, config(evidence=("filters",)))
        both = Inspector.fit(HEALTHY, config(evidence=("filters", "global")))
        assert both.decision.localises
        for one, other in zip(inspect(alone, NEW), inspect(both, NEW), strict=True):
            np.testing.assert_allclose(one.map, other.map, rtol=1e-5)
            assert set(other.evidence) == {"filters", "global"}
            assert one.score != other.score


class TestAutoencoder:
    def test_finds_the_defect_and_its_place(self, autoencoder: Inspector) -> None:
        *good, defect = inspect(autoencoder, NEW)
        assert all(defect.score > one.score for one in good)
        row, column = np.unravel_index(np.nanargmax(defect.photo_map()), (64, 96))
        assert 40 <= row < 54
        assert 8 <= column < 24

    def test_what_it_learned_from_calibrates_nothing(self) -> None:
        evidence = AutoencoderEvidence(setup(config()))
        groups = [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8]
        scores = fit(evidence, groups)
        training, stopping, calibrating = hold_out(groups, 0.3, 42)
        assert np.array_equal(np.isnan(scores.images), training | stopping)
        assert np.array_equal(np.isnan(scores.peaks), training | stopping)
        unseen = [image for image, use in zip(prepared(HEALTHY, config()), calibrating, strict=True) if use]
        again = evidence.score(unseen)
        np.testing.assert_allclose(scores.images[calibrating], again.images, rtol=1e-5)
        np.testing.assert_allclose(scores.peaks[calibrating], again.maps.max((1, 2)), rtol=1e-5)

    def test_held_out_photos_do_not_touch_the_network(self) -> None:
        groups = list(range(12))
        calibrating = np.flatnonzero(hold_out(groups, 0.3, 42)[2])
        chosen = config()
        changed = [plate(99 + i) if i in calibrating else photo for i, photo in enumerate(HEALTHY)]
        one, other = AutoencoderEvidence(setup(chosen)), AutoencoderEvidence(setup(chosen))
        fit(one)
        other.fit(batches(prepared(changed, chosen), 5), groups)
        assert same_state(one, other)

    def test_needs_four_different_photos(self) -> None:
        with pytest.raises(UserError, match=r"at least 4 different healthy photos.*; 3 given"):
            Inspector.fit(HEALTHY[:3], config(evidence=("autoencoder",)))
        assert Inspector.fit(HEALTHY[:4], config(evidence=("autoencoder",))).alpha == pytest.approx(1 / 3)

    def test_new_photos_widen_the_calibration_and_leave_the_network(self) -> None:
        inspector = Inspector.fit(HEALTHY, config(evidence=("autoencoder",)))
        evidence, before = inspector.evidence["autoencoder"], len(inspector.decision.healthy["autoencoder"])
        weights = evidence.state()["weights"]
        assert inspector.partial_fit([plate(70), plate(71)]).new_photos_ == 2
        assert len(inspector.decision.healthy["autoencoder"]) == before + 2
        assert all(torch.equal(tensor, weights[key]) for key, tensor in evidence.state()["weights"].items())


@pytest.mark.parametrize("kind", ["global", "autoencoder"])
class TestBoth:
    def test_saved_and_loaded_scores_are_the_same(self, kind: str, tmp_path: Path) -> None:
        inspector = Inspector.fit(HEALTHY, config(evidence=(kind,)))
        inspector.save(tmp_path / "model")
        loaded = Inspector.load(tmp_path / "model", "cpu")
        assert loaded.threshold == inspector.threshold
        for one, other in zip(inspect(inspector, NEW), inspect(loaded, NEW), strict=True):
            assert one.score == other.score
            np.testing.assert_array_equal(one.map, other.map)

    def test_same_seed_same_scores(self, kind: str) -> None:
        one, other = (inspect(Inspector.fit(HEALTHY, config(evidence=(kind,))), NEW) for _ in range(2))
        assert [result.score for result in one] == [result.score for result in other]


class TestDecision:
    def test_groups_with_a_nan_calibrate_nothing(self) -> None:
        rng = np.random.default_rng(0)
        groups = np.array([0, 0, 1, 2, 3, 3, 4, 5])
        seen = np.array([1, 0, 0, 1, 0, 0, 0, 0], bool)  # with its copy, image 1 is out too
        images, peaks = rng.uniform(1, 2, (2, 8))
        other = HealthyScores(*rng.uniform(1, 2, (2, 8)))
        partial = HealthyScores(np.where(seen, np.nan, images), np.where(seen, np.nan, peaks))
        left = [2, 4, 5, 6, 7]
        rest = {
            "a": HealthyScores(images[left], peaks[left]),
            "b": HealthyScores(other.images[left], other.peaks[left]),
        }
        about = (CalibrationSettings(), {"a": Traits("x"), "b": Traits("x")})
        decision = Decision.fit({"a": partial, "b": other}, groups, *about)
        expected = Decision.fit(rest, groups[left], *about)
        assert decision.image_scales == expected.image_scales
        assert decision.map_scales == expected.map_scales
        assert decision.threshold() == expected.threshold()
        assert decision.threshold()[1] == conformal_threshold(np.arange(4.0), 0.01)[1]

    def test_nothing_left_is_an_error(self) -> None:
        scores = {"a": HealthyScores(*np.full((2, 2), np.nan))}
        with pytest.raises(ValueError, match="nothing is left to calibrate"):
            Decision.fit(scores, np.arange(2), CalibrationSettings(), {"a": Traits("x")})


class TestHoldOut:
    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.integers(0, 40), min_size=4, max_size=80).filter(lambda groups: len(set(groups)) >= 4),
        st.floats(0.05, 0.5),
        st.integers(0, 3),
    )
    def test_is_a_partition_by_groups(self, groups: list[int], share: float, seed: int) -> None:
        parts = hold_out(groups, share, seed)
        assert (np.sum(parts, axis=0) == 1).all()
        training, stopping, calibrating = (set(np.array(groups)[part]) for part in parts)
        assert len(training) + len(stopping) + len(calibrating) == len(set(groups))
        count = len(set(groups))
        assert len(training) >= 1
        assert len(stopping) >= 1
        assert len(calibrating) >= 2
        assert abs(len(calibrating) - share * 2 / 3 * count) <= 2
        assert abs(len(stopping) - share / 3 * count) <= 1

    def test_depends_on_the_seed_alone(self) -> None:
        one, same, other = (hold_out(range(20), 0.3, seed)[2].tolist() for seed in (1, 1, 2))
        assert one == same != other


class TestCheckpoint:
    def test_an_interrupted_training_goes_on_to_the_same_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = AutoencoderEvidence(setup(config()))
        expected = fit(whole)
        file = self.interrupted(tmp_path, monkeypatch)
        resumed, epochs = self.counting(config(), file)
        scores = fit(resumed)
        assert epochs == [4, 5, 6]
        assert not file.exists()
        assert same_state(resumed, whole)
        np.testing.assert_array_equal(scores.images, expected.images)

    @pytest.mark.parametrize("what", ["seed", "setting", "photos", "damage"])
    def test_one_of_another_training_is_ignored(
        self, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = self.interrupted(tmp_path, monkeypatch)
        changes = {"seed": {"run__seed": 7}, "setting": {"autoencoder__latent": 5}}
        chosen = config(**changes.get(what, {}))
        photos = [plate(80), *HEALTHY[1:], plate(81)] if what == "photos" else HEALTHY
        if what == "damage":
            file.write_bytes(file.read_bytes()[:1000])
        fresh, (resumed, epochs) = AutoencoderEvidence(setup(chosen)), self.counting(chosen, file)
        for evidence in (fresh, resumed):
            evidence.fit(batches(prepared(photos, chosen), 5), list(range(len(photos))))
        assert epochs == [1, 2, 3, 4, 5, 6]
        assert same_state(fresh, resumed)
        assert not file.exists()

    def test_without_a_path_nothing_is_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(baselines, "_CHECKPOINT_EVERY_S", 0.0)
        fit(AutoencoderEvidence(setup(config())))
        assert not list(tmp_path.iterdir())

    @staticmethod
    def interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The checkpoint of a training that was stopped in its fourth pass, after each of which it is written."""
        monkeypatch.setattr(baselines, "_CHECKPOINT_EVERY_S", 0.0)

        def stop(items: Iterable[Any], total: int, label: str) -> Iterator[Any]:
            for item in items:
                if item.number == 4:
                    raise KeyboardInterrupt
                yield item

        file = folder / "checkpoint"
        with pytest.raises(KeyboardInterrupt):
            fit(AutoencoderEvidence(setup(config(), progress=stop, checkpoint=file)))
        assert file.is_file()
        return file

    @staticmethod
    def counting(chosen: Config, file: Path) -> tuple[AutoencoderEvidence, list[int]]:
        """Evidence that keeps a checkpoint, and the numbers of the passes that it is going to train."""
        epochs: list[int] = []

        def count(items: Iterable[Any], total: int, label: str) -> Iterator[Any]:
            for item in items:
                epochs.append(item.number)
                yield item
            assert len(epochs) == total

        return AutoencoderEvidence(setup(chosen, progress=count, checkpoint=file)), epochs


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value"), [("width", 3), ("latent", 6), ("learning_rate", 0.01), ("side", 48), ("epochs", 2)]
    )
    def test_changes_the_network(self, name: str, value: float) -> None:
        one = AutoencoderEvidence(setup(config()))
        other = AutoencoderEvidence(setup(config(**{f"autoencoder__{name}": value})))
        fit(one)
        fit(other)
        assert not same_state(one, other)

    def test_sizes_are_those_of_the_settings(self) -> None:
        chosen = config(autoencoder__width=3, autoencoder__latent=6, autoencoder__side=48)
        weights = AutoencoderEvidence(setup(chosen)).state()["weights"]
        assert tuple(weights["0.weight"].shape) == (3, 3, 4, 4)
        assert (6, 24, 3, 3) in [tuple(tensor.shape) for tensor in weights.values()]

    @pytest.mark.parametrize("patience", [1, 3])
    def test_patience_and_epochs_end_the_training(self, patience: int) -> None:
        chosen = config(
            autoencoder__patience=patience, autoencoder__epochs=300, autoencoder__learning_rate=0.1
        )  # too coarse a step to improve for long
        losses: list[float] = []

        def watch(items: Iterable[Any], total: int, label: str) -> Iterator[Any]:
            for item in items:
                losses.append(item.stopping_loss)
                yield item

        fit(AutoencoderEvidence(setup(chosen, progress=watch)))
        assert len(losses) == int(np.argmin(losses)) + 1 + patience < 300

    @pytest.mark.parametrize(("share", "calibrating"), [(0.25, 2), (0.5, 4)])
    def test_held_out_is_the_share_that_does_not_train(self, share: float, calibrating: int) -> None:
        scores = fit(AutoencoderEvidence(setup(config(autoencoder__held_out=share, autoencoder__epochs=1))))
        assert np.isfinite(scores.images).sum() == calibrating

    def test_top_share_is_what_the_score_averages(self) -> None:
        for share, statistic in ((1e-5, np.max), (1.0, np.mean)):
            evidence = AutoencoderEvidence(setup(config(autoencoder__top_share=share, autoencoder__epochs=1)))
            fit(evidence)
            scores = evidence.score(prepared(NEW, config()))
            np.testing.assert_allclose(scores.images, [statistic(map_) for map_ in scores.maps], rtol=1e-4)

    def test_default_progress_passes_everything_on(self) -> None:
        assert list(no_progress(range(3), 3, "")) == [0, 1, 2]


def same_state(one: AutoencoderEvidence, other: AutoencoderEvidence) -> bool:
    """Whether two networks are equal to the bit."""
    mine, theirs = one.state()["weights"], other.state()["weights"]
    return mine.keys() == theirs.keys() and all(
        tensor.shape == theirs[key].shape and torch.equal(tensor, theirs[key]) for key, tensor in mine.items()
    )
