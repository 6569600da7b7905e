"""Inspect photos by fitted evidence and a decision. Nothing here learns, and nothing here needs torch."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from fastener.config import Config
from fastener.datasets.images import Photo
from fastener.inspection.decision import Decision
from fastener.inspection.description import CONFORMAL
from fastener.inspection.input_check import InputCheck
from fastener.inspection.judging import LOOK_BAND, Scorer, judge
from fastener.inspection.reading import Images, Loaded, ahead, batches, load, sources_of
from fastener.inspection.result import Failure, Inspection
from fastener.preprocessing.pipeline import Preprocessor


class BaseInspector:
    """Join preprocessing, evidence and decision; inspect photos.

    Photos are given as a list of paths, of uint8 RGB arrays (H, W, 3) or of Pillow images; as one such photo; or as the
    path of a folder, which stands for all images in it.

    Parameters
    ----------
    config : Config
        Settings of the model.
    evidence : mapping of str to Scorer
        Fitted evidence by kind.
    decision : Decision
        Calibration on healthy photos: it joins the kinds of evidence into one score.
    check : InputCheck, optional
        Tells photos that cannot be judged. Models that were saved before there was a check have none.
    threshold : tuple of float and str, optional
        Threshold on the joined score, and its origin; the decision's own if it is missing.

    Attributes
    ----------
    threshold : float
        Joined score above which a part is flagged.
    threshold_source : str
        Origin of the threshold; ``CONFORMAL`` if it comes from the healthy training photos.
    preprocessor : Preprocessor
        Brings photos into the canonical frame. A subclass such as ``SquareTiles`` is not saved with the model.
    """

    kinds: tuple[str, ...] = ()  # of defects, which only other models name

    def __init__(
        self,
        config: Config,
        *,
        evidence: Mapping[str, Scorer],
        decision: Decision,
        check: InputCheck | None = None,
        threshold: tuple[float, str] | None = None,
    ):
        self.config = config
        self.evidence = evidence
        self.decision = decision
        self.check = check
        self.preprocessor = Preprocessor(config.preprocess)
        self.threshold, self.threshold_source = threshold or (decision.threshold()[0], CONFORMAL)

    @property
    def alpha(self) -> float:
        """Return the share of healthy parts that a threshold from the training photos flags at most."""
        return self.decision.threshold()[1]

    @property
    def healthy_scores(self) -> np.ndarray:
        """Return the joined scores of the healthy photos that the threshold is compared with, float64 (n,)."""
        return self.decision.healthy_joined

    def prepared(self, photo: Photo) -> Loaded:
        """Prepare a decoded photo for ``inspect_loaded``."""
        return Loaded(None, self.preprocessor.tiles(photo.pixels, photo.size), notes=photo.notes)

    def inspect(self, images: Images) -> list[Inspection | Failure]:
        """Inspect photos, in their order. A photo that cannot be read gives a Failure instead of an Inspection."""
        return list(self.stream(images))

    def stream(self, images: Images, *, photo_side: int | None = None) -> Iterator[Inspection | Failure]:
        """Inspect photos and yield one result after another; memory does not grow with the number of photos.

        With ``photo_side`` each result holds its photo for pictures, the longer side at most that many pixels, so that
        no file is decoded twice. Photos are then read one batch ahead instead of two, because they take more memory
        than the frames that the model needs.
        """
        run = self.config.run

        def loaded(source: Any) -> Loaded:
            return load(source, self.preprocessor, photo_side=photo_side)

        window = (2 if photo_side is None else 1) * run.batch_size
        for batch in batches(ahead(loaded, sources_of(images), run.workers, window), run.batch_size):
            yield from self.inspect_loaded(batch)

    def inspect_loaded(self, batch: Sequence[Loaded]) -> Iterator[Inspection | Failure]:
        """Inspect photos that were prepared with this inspector's ``preprocessor``, in one forward pass.

        Photos of several tiles may take several passes, of ``run.batch_size`` tiles each.
        """
        at_once = max(len(batch), self.config.run.batch_size)
        judged = judge(
            batch,
            self.evidence,
            self.decision,
            threshold=self.threshold,
            at_once=at_once,
            check=self.check,
            look_below=LOOK_BAND * self.decision.alpha if self.config.calibration.look_band else 0.0,
        )
        return iter(judged)

    def with_threshold(self, threshold: float, source: str) -> Self:
        """Copy the inspector with another threshold on the joined score; ``source`` says where it comes from."""
        other = copy.copy(self)
        other.threshold, other.threshold_source = threshold, source
        return other

    def with_look_band(self) -> Self:
        """Copy the inspector with the third verdict LOOK, see ``calibration.look_band``."""
        other = copy.copy(self)
        calibration = self.config.calibration.model_copy(update={"look_band": True})
        other.config = self.config.model_copy(update={"calibration": calibration})
        return other

    def with_preprocessor(self, preprocessor: Preprocessor) -> Self:
        """Copy the inspector with another preprocessor, such as one that cuts photos into tiles."""
        other = copy.copy(self)
        other.preprocessor = preprocessor
        return other

    def adapted_to(self, baseline_scores: Sequence[float]) -> Self:
        """Copy the inspector for another camera or light, from joined scores of healthy shots that were taken there.

        The threshold moves by the distance between the median of these scores and the median of the training photos'
        scores. The guaranteed false-alarm rate is lost: the new threshold is an estimate, and the more baseline shots,
        the better it is.
        """
        shift = float(np.median(baseline_scores) - np.median(self.decision.healthy_joined))
        return self.with_threshold(self.threshold + shift, f"{len(baseline_scores)} baseline shots")
