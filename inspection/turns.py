"""Learn each photo at several angles, so that few photos vouch for parts that lie at any angle (model.turns)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import cv2
import numpy as np

from fastener.inspection.evidence_base import Evidence, images_of
from fastener.models.scores import HealthyScores
from fastener.preprocessing.pipeline import Prepared


class TurningEvidence(Evidence):
    """Show each photo to the model at ``model.turns`` angles; the scores of a photo are those of it as it was taken.

    All copies of a photo belong to its group, and are left out with it.
    """

    @abstractmethod
    def collect_images(self, images: np.ndarray) -> None:
        """Take in healthy images, uint8 RGB (n, h, w, 3)."""

    @abstractmethod
    def fit_images(self, groups: Sequence[int]) -> HealthyScores:
        """Learn from all images taken in; return the score of each as if its group had not been among them."""

    def collect_features(self, batch: Sequence[Prepared]) -> None:
        self.collect_images(turned(images_of(batch), self.setup.config.model.turns))

    def fit_collected(self, groups: Sequence[int]) -> HealthyScores:
        turns = self.setup.config.model.turns
        scores = self.fit_images(np.repeat(groups, turns).tolist())
        return HealthyScores(scores.images[::turns], scores.peaks[::turns])


def turned(images: np.ndarray, turns: int) -> np.ndarray:
    """Repeat images (n, H, W, 3) at ``turns`` angles, evenly over the full circle: (n * turns, H, W, 3).

    The copies of an image follow one another, itself first. What comes in from outside repeats the border.
    """
    if turns == 1:
        return images
    height, width = images.shape[1:3]
    centre = ((width - 1) / 2, (height - 1) / 2)
    matrices = [cv2.getRotationMatrix2D(centre, 360 * turn / turns, 1.0) for turn in range(turns)]
    return np.stack(
        [
            cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for image in images
            for matrix in matrices
        ]
    )
