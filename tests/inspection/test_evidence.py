"""Every kind of evidence: what it measures, and that its state brings it back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from data_factory import part, tiny_config

from fastener.datasets.synthetic.parts import render_part
from fastener.inspection.colour_evidence import ColourEvidence
from fastener.inspection.evidence import FilterEvidence
from fastener.inspection.evidence_base import Evidence, Setup, sharing
from fastener.inspection.inspector import Inspector
from fastener.inspection.registry import EVIDENCE
from fastener.preprocessing.pipeline import Prepared, Preprocessor

CONFIG = tiny_config()


def prepare(images: list[np.ndarray]) -> list[Prepared]:
    preprocessor = Preprocessor(CONFIG.preprocess)
    return [preprocessor(image) for image in images]


def fresh(kind: str) -> Evidence:
    return EVIDENCE[kind](Setup(CONFIG, torch.device("cpu"), "filters"))


@pytest.mark.parametrize("kind", ["filters", "colour"])
def test_rusty_parts_score_above_healthy_ones(kind: str) -> None:
    evidence = fresh(kind)
    healthy = prepare([part(i) for i in range(9)])
    own = evidence.fit([healthy[:5], healthy[5:]], list(range(9)))
    assert own.images.shape == (9,)
    assert own.peaks.shape == (9,)
    rusty = evidence.score(prepare([part(20 + i, "rust") for i in range(3)]))
    assert rusty.images.min() > np.median(own.images)
    assert rusty.images.dtype == np.float32


@pytest.mark.parametrize("kind", ["filters", "colour"])
def test_state_restores_the_same_scores(kind: str) -> None:
    evidence, again = fresh(kind), fresh(kind)
    evidence.fit([prepare([part(i) for i in range(6)])], list(range(6)))
    again.restore(evidence.state())
    batch = prepare([part(30), part(31, "rust")])
    assert np.array_equal(evidence.score(batch).images, again.score(batch).images)
    assert np.array_equal(evidence.score(batch).maps, again.score(batch).maps)


@pytest.mark.parametrize("kind", ["filters", "colour"])
def test_alone_or_in_a_batch(kind: str) -> None:
    evidence = fresh(kind)
    evidence.fit([prepare([part(i) for i in range(6)])], list(range(6)))
    batch = prepare([part(40 + i) for i in range(5)])
    together = evidence.score(batch).images
    alone = np.concatenate([evidence.score([one]).images for one in batch])
    assert np.abs(together - alone).max() < 1e-4


def test_colour_measures_the_share_of_rust() -> None:
    """The rendered share is exact; the measured one may lack what the sector leaves out, and keeps its order."""
    shares = (0.0, 0.1, 0.3, 0.6)
    images = [
        render_part(
            3,
            "bolt",
            "silver",
            "rust" if share else "none",
            size=(256, 256),
            rust_share=share or None,
            background="white",
        ).image
        for share in shares
    ]
    measured = fresh("colour").score(prepare(images)).images
    assert (np.diff(measured) > 0.03).all()
    assert measured[0] < 0.01


def test_colour_is_judged_on_the_unprocessed_photo_inside_the_mask() -> None:
    prepared = prepare([part(1)])[0]
    rust = np.zeros_like(prepared.photo)
    rust[:] = (150, 80, 40)
    half = prepared.mask.copy()
    half[:, 32:] = False
    painted = np.where(half[..., None], rust, np.full_like(rust, 128))
    changed = Prepared(**{**vars(prepared), "photo": painted, "white": np.full(3, 255, np.float32)})
    score = fresh("colour").score([changed])
    assert score.images[0] == pytest.approx(half.sum() / prepared.mask.sum(), abs=0.01)
    assert score.maps[0][~cv2.dilate(prepared.mask.astype(np.uint8), np.ones((19, 19))).astype(bool)].max() < 1e-3


def test_an_empty_mask_scores_zero() -> None:
    prepared = prepare([part(1)])[0]
    changed = Prepared(**{**vars(prepared), "mask": np.zeros_like(prepared.mask)})
    assert fresh("colour").score([changed]).images[0] == 0


def test_leave_one_out_hides_copies() -> None:
    """A photo that is there twice must not vouch for its copy: its score is that of an unseen photo."""
    photos = prepare([part(i) for i in range(6)])
    doubled = [*photos, photos[0]]
    apart, together = fresh("filters"), fresh("filters")
    as_copies = apart.fit([doubled], [0, 1, 2, 3, 4, 5, 0]).images
    as_others = together.fit([doubled], list(range(7))).images
    assert as_copies[0] == pytest.approx(as_copies[6])
    assert as_others[[0, 6]].min() < 0.8 * as_copies[0]


def test_kinds_that_hold_features_share_the_memory() -> None:
    kinds = ("cnn", "filters", "colour")
    assert sharing(kinds) == 2
    assert sharing(("colour",)) == 0
    config = tiny_config(run={"memory_limit_mb": 10})
    trained = Inspector.fit([part(i) for i in range(4)], config)
    assert sorted(trained.evidence) == ["colour", "filters", "shape"]
    alone = trained.evidence["filters"]
    assert isinstance(alone, FilterEvidence)
    assert alone.patchcore.memory_limit == 10 * 2**20
    shared = FilterEvidence(Setup(config, torch.device("cpu"), "filters", sharing=sharing(kinds)))
    assert shared.patchcore.memory_limit == 5 * 2**20


def test_families() -> None:
    assert FilterEvidence.family != ColourEvidence.family
    assert EVIDENCE["cnn"].family == EVIDENCE["filters"].family
