"""Several kinds of evidence, one decision: everything that was learned from the scores of healthy images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from config import CalibrationSettings
from models.calibration import Scale, conformal_threshold, p_values
from models.scores import Scores


@dataclass(frozen=True)
class Healthy:
    """Scores of healthy images that their bank had not seen, one row a photo (copies of a photo count once).

    ``images`` and ``peaks``: kind -> float64 (n,), image scores and map maxima; ``joined_peaks``: float64 (n,), maxima
    of the joined map.
    """

    images: dict[str, np.ndarray]
    joined_peaks: np.ndarray


@dataclass(frozen=True)
class Decision:
    """Joins the kinds of evidence into one score and one map, and knows the threshold of each.

    ``image_scales`` and ``map_scales`` put every kind on a common scale (see ``Scale``). ``families`` says which kinds
    judge the same thing: a family speaks with one voice, the mean of its kinds, so that two banks of structure do not
    outvote colour. ``rule`` then joins the families: a strong voice is heard whatever the other says, and the noise of
    a weak one hardly moves the score.
    """

    rule: str
    alpha: float
    families: dict[str, str]
    image_scales: dict[str, Scale]
    map_scales: dict[str, Scale]
    healthy: Healthy

    @classmethod
    def fit(
        cls,
        scores: Mapping[str, Scores],
        groups: np.ndarray,
        settings: CalibrationSettings,
        families: Mapping[str, str],
        min_units: Mapping[str, float],
    ) -> Decision:
        """Calibrate on leave-one-out ``scores`` of healthy images; ``groups`` (n,) joins the copies of one photo.

        ``families`` and ``min_units``: kind -> family, and kind -> least unit of its scale.
        """
        images = {kind: _worst_of_group(s.images, groups) for kind, s in scores.items()}
        peaks = {kind: _worst_of_group(s.maps.max((1, 2)), groups) for kind, s in scores.items()}

        def scales(values: Mapping[str, np.ndarray]) -> dict[str, Scale]:
            return {kind: Scale.fit(v, settings.upper_quantile, min_units[kind]) for kind, v in values.items()}

        decision = cls(
            rule=settings.rule,
            alpha=settings.alpha,
            families=dict(families),
            image_scales=scales(images),
            map_scales=scales(peaks),
            healthy=Healthy(images, np.empty(0)),
        )
        return replace(decision, healthy=Healthy(images, decision._joined_peaks(scores, groups)))

    def extend(self, scores: Mapping[str, Scores], groups: np.ndarray) -> Decision:
        """Add healthy images. Scales stay, so that old and new scores compare; thresholds move.

        The scores of the earlier images were measured with a smaller bank. A larger one can only bring them down, so
        the threshold errs towards fewer false alarms.
        """
        added = {kind: _worst_of_group(s.images, groups) for kind, s in scores.items()}
        images = {kind: np.concatenate([old, added[kind]]) for kind, old in self.healthy.images.items()}
        peaks = np.concatenate([self.healthy.joined_peaks, self._joined_peaks(scores, groups)])
        return replace(self, healthy=Healthy(images, peaks))

    def join(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """Raw image scores by kind, each (n,) -> joined score (n,)."""
        return self._join({kind: scale(np.asarray(images[kind], float)) for kind, scale in self.image_scales.items()})

    def join_maps(self, maps: Mapping[str, np.ndarray]) -> np.ndarray:
        """Raw maps by kind, each (n, h, w) -> joined map float32 (n, h, w)."""
        return self._join({kind: scale(maps[kind]) for kind, scale in self.map_scales.items()}).astype(np.float32)

    @property
    def healthy_joined(self) -> np.ndarray:
        """Joined scores of the healthy images, (n,)."""
        return self.join(self.healthy.images)

    def threshold(self) -> tuple[float, float]:
        """Threshold of the joined score, and the false-alarm rate it stands for."""
        return conformal_threshold(self.healthy_joined, self.alpha)

    def map_threshold(self) -> float:
        """Value that the joined map of at most ``alpha`` of healthy images exceeds anywhere."""
        return conformal_threshold(self.healthy.joined_peaks, self.alpha)[0]

    def p_values(self, joined: np.ndarray) -> np.ndarray:
        """Conformal p-values of joined scores (n,)."""
        return p_values(self.healthy_joined, joined)

    def evidence_p_values(self, kind: str, scores: np.ndarray) -> np.ndarray:
        """Conformal p-values of one kind's raw scores (n,)."""
        return p_values(self.healthy.images[kind], scores)

    def state(self) -> dict[str, Any]:
        """Plain values and tensors that ``from_state`` takes back."""
        return {
            "rule": self.rule,
            "alpha": self.alpha,
            "families": self.families,
            "image_scales": {kind: [s.median, s.unit] for kind, s in self.image_scales.items()},
            "map_scales": {kind: [s.median, s.unit] for kind, s in self.map_scales.items()},
            "healthy_images": {kind: torch.from_numpy(values) for kind, values in self.healthy.images.items()},
            "healthy_joined_peaks": torch.from_numpy(self.healthy.joined_peaks),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Decision:
        """The decision that ``state`` was taken from."""
        return cls(
            rule=state["rule"],
            alpha=state["alpha"],
            families=state["families"],
            image_scales={kind: Scale(*values) for kind, values in state["image_scales"].items()},
            map_scales={kind: Scale(*values) for kind, values in state["map_scales"].items()},
            healthy=Healthy(
                {kind: values.numpy() for kind, values in state["healthy_images"].items()},
                state["healthy_joined_peaks"].numpy(),
            ),
        )

    def _joined_peaks(self, scores: Mapping[str, Scores], groups: np.ndarray) -> np.ndarray:
        joined = self.join_maps({kind: s.maps for kind, s in scores.items()})
        return _worst_of_group(joined.max((1, 2)), groups)

    def _join(self, calibrated: Mapping[str, np.ndarray]) -> np.ndarray:
        voices = []
        for family in dict.fromkeys(self.families.values()):
            kinds = [values for kind, values in calibrated.items() if self.families[kind] == family]
            voices.append(np.mean(kinds, axis=0))
        return JOIN[self.rule](np.stack(voices))


def _norm(voices: np.ndarray) -> np.ndarray:
    """Euclidean length of how far each voice rises above healthy; the soft rectifier keeps scores free of ties."""
    return np.sqrt(np.square(np.logaddexp(0.0, voices)).sum(0))


JOIN: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "norm": _norm,
    "max": lambda voices: voices.max(0),
    "mean": lambda voices: voices.mean(0),
}


def _worst_of_group(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The highest value of each group: copies of a photo are one observation, not several."""
    return np.array([values[groups == group].max() for group in np.unique(groups)], float)
