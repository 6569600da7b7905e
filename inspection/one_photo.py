"""Train on a single photo: disturbed copies of it stand in for the photos that are missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from fastener.config import Config
from fastener.datasets.levels import WhiteLevel
from fastener.datasets.near_copies import copy_groups
from fastener.inspection.evidence_base import Evidence
from fastener.inspection.grouping import Grouping
from fastener.inspection.reading import Fingerprint, Source, decode
from fastener.inspection.training import collect, names_of_photos
from fastener.models.scores import HealthyScores
from fastener.preprocessing.pipeline import Preprocessor

_SEED = 0
# Sizes of the disturbances: factors on all pixels, fractions of the shorter side, degrees, and grey levels of 255.
_DARKER, _BRIGHTER = 0.85, 1.15
_SHIFT = 0.02
_TURN_DEG = 3.0
_BLUR = 0.004
_NOISE = 4.0
# Another part differs more from a photo than the photo's own disturbed copies do. On cookies, commutators,
# bolts, screws and brushes its raw score is 1.2, 1.1, 1.5, 1.8 and 2.1 times their median. A larger factor lets more
# defects pass than it spares false alarms.
_OTHER_PARTS = 1.2


def _exposed(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda photo: photo.astype(np.float32) * factor


def _moved(turn_deg: float, shift: float) -> Callable[[np.ndarray], np.ndarray]:
    def move(photo: np.ndarray) -> np.ndarray:
        height, width = photo.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn_deg, 1.0)
        matrix[:, 2] += shift * min(height, width)
        return cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)

    return move


def _blurred(photo: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(photo, (0, 0), max(0.5, _BLUR * min(photo.shape[:2])))


def _noisy(photo: np.ndarray) -> np.ndarray:
    return photo + np.random.default_rng(_SEED).normal(0, _NOISE, photo.shape).astype(np.float32)


DISTURBANCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "darker": _exposed(_DARKER),
    "brighter": _exposed(_BRIGHTER),
    "shifted": _moved(0.0, _SHIFT),
    "turned left": _moved(_TURN_DEG, 0.0),
    "turned right": _moved(-_TURN_DEG, -_SHIFT),
    "blurred": _blurred,
    "noisy": _noisy,
}


def disturb(photo: np.ndarray) -> list[np.ndarray]:
    """Make one copy of a photo, uint8 RGB (H, W, 3), for each of ``DISTURBANCES``; the same photo gives the same bytes.

    Each copy differs from the photo as another shot of the same part would: in light, position, focus or noise.
    """
    return [np.clip(np.rint(change(photo)), 0, 255).astype(np.uint8) for change in DISTURBANCES.values()]


def disturbed_copies(source: Source, longest: int, white_level: WhiteLevel = None) -> list[np.ndarray]:
    """Decode a photo at a size of at least ``longest`` pixels, and disturb it. Raises UserError if it is unreadable."""
    return disturb(decode(source, longest, white_level).pixels)


def is_one_photo(photos: Sequence[Fingerprint]) -> bool:
    """Tell whether all photos are copies of a single one."""
    return len(np.unique(copy_groups(np.stack([one.signature for one in photos])))) == 1


def add_disturbed(
    photos: Sequence[Fingerprint],
    source: Source,
    evidence: dict[str, Evidence],
    config: Config,
    *,
    preprocessor: Preprocessor,
) -> tuple[list[Fingerprint], Grouping]:
    """Let all evidence collect disturbed copies of a single photo, and group them.

    ``photos`` are the photo and its copies, collected before; ``source`` is the photo. Each disturbed copy is left out
    by itself, as if it were another photo, when it is scored as unseen.
    """
    copies = disturbed_copies(source, preprocessor.useful_side, preprocessor.settings.white_level)
    disturbed = collect(copies, evidence, config, preprocessor=preprocessor)
    original = names_of_photos(photos)[0]
    named = [replace(one, name=f"{original}, {kind}") for one, kind in zip(disturbed, DISTURBANCES, strict=True)]
    groups = np.concatenate([np.zeros(len(photos), np.int64), np.arange(1, len(named) + 1)])
    return [*photos, *named], Grouping(groups, groups, disturbed=len(named))


def as_of_other_parts(
    scores: Mapping[str, HealthyScores], evidence: Mapping[str, Evidence], grouping: Grouping
) -> dict[str, HealthyScores]:
    """Raise the scores of disturbed copies, if there are any, towards what other healthy parts would have."""
    if not grouping.disturbed:
        return dict(scores)
    factor = {kind: _OTHER_PARTS if one.prior_spread else 1.0 for kind, one in evidence.items()}
    return {kind: HealthyScores(one.images * factor[kind], one.peaks * factor[kind]) for kind, one in scores.items()}
