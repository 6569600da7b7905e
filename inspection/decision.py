"""Several kinds of evidence, one decision: everything that was learned from the scores of healthy images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from fastener.config import CalibrationSettings
from fastener.models.calibration import Scale, conformal_threshold, p_values
from fastener.models.scores import HealthyScores


@dataclass(frozen=True)
class Decision:
    """Joins the kinds of evidence into one score and one map, on one scale with one threshold.

    ``image_scales`` and ``map_scales`` put every kind on a common scale (see ``Scale``). ``families`` says which kinds
    judge the same thing: a family speaks with one voice, the mean of its kinds, so that two banks of structure do not
    outvote colour. ``rule`` then joins the families: a strong voice is heard whatever the other says, and the noise of
    a weak one hardly moves the score.

    ``healthy``: kind -> float64 (n,), raw scores of healthy images that their bank had not seen, one a photo (copies
    of a photo count once).
    """

    rule: str
    alpha: float
    families: dict[str, str]
    image_scales: dict[str, Scale]
    map_scales: dict[str, Scale]
    healthy: dict[str, np.ndarray]

    @classmethod
    def fit(
        cls,
        scores: Mapping[str, HealthyScores],
        groups: np.ndarray,
        settings: CalibrationSettings,
        families: Mapping[str, str],
        min_units: Mapping[str, float],
        map_threshold: Mapping[str, float],
    ) -> Decision:
        """Calibrate on leave-one-out ``scores`` of healthy images; ``groups`` (n,) joins the copies of one photo.

        ``families`` and ``min_units``: kind -> family, and kind -> least unit of its scale. ``map_threshold``: kind ->
        raw map value, for kinds whose image score is the mean of their map. All others score an image by its worst
        place, so their maps are scaled by the peaks of healthy maps; a kind without maps (peaks all NaN) has none.

        Images with a NaN score calibrate nothing, nor do their copies: that kind was trained on them, and how it scores
        them says little of new parts. The other kinds are then calibrated on fewer images too, as all speak as one.
        """
        keep = _measured(scores, groups)
        if not keep.any():
            raise ValueError("every healthy image was trained on: nothing is left to calibrate with")
        scores, groups = _of(scores, keep), groups[keep]
        images = {kind: _worst_of_group(s.images, groups) for kind, s in scores.items()}

        def scale(kind: str, values: np.ndarray) -> Scale:
            return Scale.fit(values, settings.upper_quantile, min_units[kind])

        image_scales = {kind: scale(kind, values) for kind, values in images.items()}
        decision = cls(settings.rule, settings.alpha, dict(families), image_scales, {}, images)
        threshold = decision.threshold()[0]
        map_scales = {
            kind: _stretched(image_scales[kind], map_threshold[kind], threshold)
            if kind in map_threshold
            else scale(kind, _worst_of_group(s.peaks, groups))
            for kind, s in scores.items()
            if not np.isnan(s.peaks).all()
        }
        return replace(decision, map_scales=map_scales)

    def extend(self, scores: Mapping[str, HealthyScores], groups: np.ndarray) -> Decision:
        """Add healthy images. Scales stay, so that old and new scores compare; thresholds move.

        The scores of the earlier images were measured with a smaller bank. A larger one can only bring them down, so
        the threshold errs towards fewer false alarms. Images with a NaN score are left out, as in ``fit``.
        """
        keep = _measured(scores, groups)
        if not keep.any():
            return self
        scores, groups = _of(scores, keep), groups[keep]
        images = {
            kind: np.concatenate([old, _worst_of_group(scores[kind].images, groups)])
            for kind, old in self.healthy.items()
        }
        return replace(self, healthy=images)

    def join(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """Raw image scores by kind, each (n,) -> joined score (n,)."""
        return self._join({kind: scale(np.asarray(images[kind], float)) for kind, scale in self.image_scales.items()})

    def join_maps(self, maps: Mapping[str, np.ndarray]) -> np.ndarray:
        """Raw maps by kind, each (n, h, w) -> joined map float32 (n, h, w); NaN where no kind says where."""
        if not self.localises:
            return np.full(next(iter(maps.values())).shape, np.nan, np.float32)
        return self._join({kind: scale(maps[kind]) for kind, scale in self.map_scales.items()}).astype(np.float32)

    @property
    def localises(self) -> bool:
        """Whether any kind says where in the image; if none does, there are no regions and no pixel metrics."""
        return bool(self.map_scales)

    @property
    def healthy_joined(self) -> np.ndarray:
        """Joined scores of the healthy images, (n,)."""
        return self.join(self.healthy)

    def threshold(self) -> tuple[float, float]:
        """Threshold of the joined score, and the false-alarm rate it stands for."""
        return conformal_threshold(self.healthy_joined, self.alpha)

    def p_values(self, joined: np.ndarray) -> np.ndarray:
        """Conformal p-values of joined scores (n,)."""
        return p_values(self.healthy_joined, joined)

    def evidence_p_values(self, kind: str, scores: np.ndarray) -> np.ndarray:
        """Conformal p-values of one kind's raw scores (n,)."""
        return p_values(self.healthy[kind], scores)

    def state(self) -> dict[str, Any]:
        """Plain values and tensors that ``from_state`` takes back."""
        return {
            "rule": self.rule,
            "alpha": self.alpha,
            "families": self.families,
            "image_scales": {kind: [s.median, s.unit] for kind, s in self.image_scales.items()},
            "map_scales": {kind: [s.median, s.unit] for kind, s in self.map_scales.items()},
            "healthy": {kind: torch.from_numpy(values) for kind, values in self.healthy.items()},
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
            healthy={kind: values.numpy() for kind, values in state["healthy"].items()},
        )

    def _join(self, calibrated: Mapping[str, np.ndarray]) -> np.ndarray:
        voices = []
        for family in dict.fromkeys(self.families.values()):
            kinds = [values for kind, values in calibrated.items() if self.families[kind] == family]
            if kinds:
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


def _stretched(scale: Scale, map_threshold: float, threshold: float) -> Scale:
    """Widen the unit so that map values below ``map_threshold`` stay under the decision threshold.

    A place then stands as high as an image that looks like it all over: a part flagged for being rusty shows where.
    """
    return Scale(scale.median, max(scale.unit, (map_threshold - scale.median) / max(threshold, 1.0)))


def _measured(scores: Mapping[str, HealthyScores], groups: np.ndarray) -> np.ndarray:
    """Which images (n,) are in a group without any NaN score of any kind."""
    seen = np.any([np.isnan(s.images) for s in scores.values()], axis=0)
    return ~np.isin(groups, groups[seen])


def _of(scores: Mapping[str, HealthyScores], keep: np.ndarray) -> Mapping[str, HealthyScores]:
    return {kind: HealthyScores(s.images[keep], s.peaks[keep]) for kind, s in scores.items()}


def _worst_of_group(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The highest value of each group: copies of a photo are one observation, not several."""
    return np.array([values[groups == group].max() for group in np.unique(groups)], float)
