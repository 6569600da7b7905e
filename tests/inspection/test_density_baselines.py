"""PaDiM, the pooled Gaussian and the subspace, each beside plain NumPy and scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data_factory import SMALL, config_from
from mvtec_factory import blot, plate
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from fastener.inspection.density_baselines import DensityEvidence
from fastener.inspection.inspector import Inspector
from fastener.inspection.registry import METHODS
from fastener.inspection.result import Inspection
from fastener.models.anomaly_map import to_pixels
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.gaussians import Gaussians
from fastener.models.image_scores import TopScore
from fastener.models.layer_memory import LayerMemory
from fastener.models.padim import RIDGE, Padim
from fastener.models.pooled_gaussian import PooledGaussian
from fastener.models.subspace import KEPT, Subspace

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE, GRID, DIM = (16, 24), (4, 6), 3
GROUPS = [0, 1, 2, 2, 3, 4, 5, 6]


class _Cells(torch.nn.Module):
    """Averages of 4 x 4 pixels, as two layers."""

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        cells = torch.nn.functional.avg_pool2d(images, 4)
        return [cells, cells[:, :2].square()]


def extractor() -> FeatureExtractor:
    return FeatureExtractor(_Cells(), patch_size=1)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (len(GROUPS) + 2, *SIZE, 3)).astype(np.uint8)


def features(images: np.ndarray) -> np.ndarray:
    return extractor()(images).numpy().astype(float)


def others(group: int) -> list[int]:
    return [i for i, one in enumerate(GROUPS) if one != group]


def test_padim_is_the_gaussian_of_each_place(images: np.ndarray) -> None:
    model = Padim(extractor(), sigma=2.0)
    model.collect_features(images[:5])
    model.collect_features(images[5 : len(GROUPS)])
    healthy = model.fit_collected(GROUPS)
    rows = features(images)

    def expected(train: list[int], new: int) -> float:
        grid = np.empty(GRID)
        for place in np.ndindex(*GRID):
            seen = rows[(train, *place)]
            gap = rows[(new, *place)] - seen.mean(0)
            covariance = np.cov(seen, rowvar=False) + RIDGE * np.eye(seen.shape[1])
            grid[place] = np.sqrt(gap @ np.linalg.solve(covariance, gap))
        return float(to_pixels(grid[None].astype(np.float32), SIZE, 2.0).max())

    scores = model.score(images[-2:])
    everything = list(range(len(GROUPS)))
    np.testing.assert_allclose(scores.images, [expected(everything, 8), expected(everything, 9)], rtol=1e-4)
    left_out = [expected(others(group), i) for i, group in enumerate(GROUPS)]
    np.testing.assert_allclose(healthy.images, left_out, rtol=1e-4)


def test_pooled_gaussian_is_ledoit_and_wolfs(images: np.ndarray) -> None:
    model = PooledGaussian(extractor())
    model.collect_features(images[: len(GROUPS)])
    healthy = model.fit_collected(GROUPS)
    layers = [layer.mean((2, 3)).double().numpy() for layer in extractor().layers(images)]
    fitted = [LedoitWolf().fit(layer[: len(GROUPS)]) for layer in layers]
    expected = sum(np.sqrt(one.mahalanobis(layer[-2:])) for one, layer in zip(fitted, layers, strict=True))
    np.testing.assert_allclose(model.score(images[-2:]), expected, rtol=1e-4)

    total = np.zeros(len(GROUPS))
    for one, layer in zip(fitted, layers, strict=True):
        ridge = one.shrinkage_ * layer[: len(GROUPS)].var(0).mean()
        for i, group in enumerate(GROUPS):
            seen = layer[others(group)]
            covariance = (1 - one.shrinkage_) * np.cov(seen, rowvar=False, ddof=0) + ridge * np.eye(seen.shape[1])
            gap = layer[i] - seen.mean(0)
            total[i] += np.sqrt(gap @ np.linalg.solve(covariance, gap))
    np.testing.assert_allclose(healthy, total, rtol=1e-4)


def test_subspace_is_what_pca_cannot_redraw(images: np.ndarray) -> None:
    top = TopScore(0.1, "patches")
    model = Subspace(extractor(), top)
    model.collect_features(images[: len(GROUPS)])
    healthy = model.fit_collected(GROUPS)
    rows = features(images)

    def expected(train: list[int], new: int) -> float:
        pca = PCA(n_components=KEPT, svd_solver="full").fit(rows[train].reshape(-1, rows.shape[3]))
        patches = rows[new].reshape(-1, rows.shape[3])
        rest = np.linalg.norm(patches - pca.inverse_transform(pca.transform(patches)), axis=1)
        return float(top(rest.reshape(1, *GRID).astype(np.float32), SIZE, 4.0).images[0])

    everything = list(range(len(GROUPS)))
    scores = model.score(images[-2:]).images
    np.testing.assert_allclose(scores, [expected(everything, 8), expected(everything, 9)], rtol=1e-3)
    left_out = [expected(others(group), i) for i, group in enumerate(GROUPS)]
    np.testing.assert_allclose(healthy.images, left_out, rtol=1e-3)


def test_gaussians_of_two_sets_join_to_those_of_both() -> None:
    rows = torch.from_numpy(np.random.default_rng(1).normal(size=(9, 2, 3)))
    joined = Gaussians.of(rows[:4], 0.1).joined(Gaussians.of(rows[4:], 0.1))
    together = Gaussians.of(rows, 0.1)
    torch.testing.assert_close(joined.mean, together.mean)
    torch.testing.assert_close(joined.scatter, together.scatter)


@pytest.mark.parametrize("kind", ["padim", "gaussian", "subspace"])
def test_a_model_finds_blots_and_is_the_same_when_loaded(kind: str, tmp_path: Path) -> None:
    healthy = [plate(seed) for seed in range(8)]
    new = [plate(50), plate(51), blot(plate(52), (40, 40), 14)[0]]
    chosen = config_from({**SMALL, "preprocess.enabled": False, "model.colour_weight": 0}, evidence=(kind,))
    memory = LayerMemory(2**24)
    inspector = Inspector.fit(healthy, chosen, memory=memory)
    assert memory.held > 0
    inspector.save(tmp_path / "model.pkl")
    results = inspector.inspect(new)
    again = Inspector.load(tmp_path / "model.pkl").inspect(new)
    for one, other in zip(results, again, strict=True):
        assert isinstance(one, Inspection)
        assert isinstance(other, Inspection)
        assert other.score == pytest.approx(one.score, rel=1e-5)
    good, _, bad = (one.score for one in results if isinstance(one, Inspection))
    assert bad > good
    evidence = inspector.evidence[kind]
    assert isinstance(evidence, DensityEvidence)
    assert inspector.decision.localises == (kind != "gaussian")
    inspector.partial_fit([plate(seed) for seed in range(70, 73)])
    assert inspector.new_photos_ > 0


@pytest.mark.parametrize("kind", ["global", "gaussian", "subspace"])
def test_a_photo_is_learned_at_each_angle_and_counts_once(kind: str) -> None:
    settings = {**SMALL, "preprocess.enabled": False, "model.colour_weight": 0}
    across = np.rot90(plate(60, (120, 96))).copy()  # stripes that no photo has unless it is turned
    scores = []
    for turns in (1, 4):
        chosen = config_from(settings, evidence=(kind,), model__turns=turns)
        inspector = Inspector.fit([plate(seed) for seed in range(4)], chosen, groups=range(4), report=False)
        assert inspector.decision.healthy[kind].shape == (4,)
        (result,) = inspector.inspect([across])
        assert isinstance(result, Inspection)
        scores.append(result.evidence[kind].score)
    assert scores[1] < 0.8 * scores[0]


def test_every_method_of_a_comparison_names_kinds_that_exist() -> None:
    from fastener.inspection.registry import EVIDENCE

    assert {kind for kinds in METHODS.values() for kind in kinds or ()} <= set(EVIDENCE)
