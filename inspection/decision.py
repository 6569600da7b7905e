"""Several kinds of evidence, one decision: everything that was learned from the scores of healthy images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastener.config import CalibrationSettings
from fastener.models.calibration import HealthyTail, Scale, conformal_threshold, healthy_threshold, p_values
from fastener.models.scores import HealthyScores

# The unit of every scale is about one standard deviation of healthy scores, so this is expected of the joined ones.
_PRIOR_DEVIATION = 1.0


@dataclass(frozen=True)
class Traits:
    """How one kind of evidence is joined with the others.

    Parameters
    ----------
    family : str
        Kinds of one family judge the same thing and speak with one voice.
    weight : float
        Weight within the family.
    min_unit : float
        Floor of the calibrated scale, in raw score.
    prior_spread : float
        Unit of the scale, in parts of the median, that is expected before any photo is seen.
    map_threshold : float, optional
        Raw map value below which the kind marks no pixel; set only when the image score is the map's mean.
    top_scored : bool
        Whether the image score is the mean of the map's highest pixels. Map and image then share one scale, so that a
        flagged image has a place over the threshold. Otherwise maps are scaled by the peaks of healthy maps.
    """

    family: str
    weight: float = 1.0
    min_unit: float = 0.0
    prior_spread: float = 0.0
    map_threshold: float | None = None
    top_scored: bool = False


@dataclass(frozen=True)
class Decision:
    """Joins the kinds of evidence into one score and one map, on one scale with one threshold.

    Parameters
    ----------
    rule : {"norm", "max", "mean"}
        How families are joined. Under "norm" a strong voice is heard whatever the other says, and the noise of a weak
        one hardly moves the score.
    method : {"robust", "conformal"}
        How the threshold follows from the healthy scores, see ``robust_threshold`` and ``conformal_threshold``.
    alpha : float, 0 to 1
        Share of healthy parts that may be flagged.
    families : dict of str to str
        Family of each kind. Kinds of one family judge the same thing and speak with one voice, the weighted mean of
        their calibrated scores, so that two banks of structure do not outvote colour.
    weights : dict of str to float
        Weight of each kind within its family.
    image_scales, map_scales : dict of str to Scale
        Put the image scores and the maps of every kind on a common scale.
    healthy : dict of str to float64 (n,)
        Raw scores of healthy images that their bank had not seen, one a photo (copies of a photo count once).
    groups : int64 (n,)
        Group of copies of each healthy image; empty for models that were saved before groups were.
    healthy_peaks : dict of str to float64 (n,)
        Highest raw map value of each healthy image by kind; empty for models that were saved before peaks were.
    """

    rule: str
    method: str
    alpha: float
    families: dict[str, str]
    weights: dict[str, float]
    image_scales: dict[str, Scale]
    map_scales: dict[str, Scale]
    healthy: dict[str, np.ndarray]
    groups: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    healthy_peaks: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        scores: Mapping[str, HealthyScores],
        groups: np.ndarray,
        settings: CalibrationSettings,
        traits: Mapping[str, Traits],
    ) -> Decision:
        """Calibrate on leave-one-out ``scores`` of healthy images; ``groups`` (n,) joins the copies of one photo.

        ``traits`` say how each kind is joined. A kind without maps (peaks all NaN) has no scale for them.

        Images with a NaN score calibrate nothing, nor do their copies: that kind was trained on them, and how it scores
        them says little of new parts. The other kinds are then calibrated on fewer images too, as all speak as one.
        """
        keep = _measured(scores, groups)
        if not keep.any():
            raise ValueError("every healthy image was trained on: nothing is left to calibrate with")
        scores, groups = _of(scores, keep), groups[keep]
        images = {kind: _worst_of_group(s.images, groups) for kind, s in scores.items()}

        def scale(kind: str, values: np.ndarray) -> Scale:
            trait = traits[kind]
            return Scale.fit(values, settings.upper_quantile, trait.min_unit, prior_spread=trait.prior_spread)

        image_scales = {kind: scale(kind, values) for kind, values in images.items()}
        decision = cls(
            settings.rule,
            settings.threshold,
            settings.alpha,
            {kind: trait.family for kind, trait in traits.items()},
            {kind: trait.weight for kind, trait in traits.items()},
            image_scales,
            {},
            images,
            np.unique(groups),
        )
        threshold = decision.tail().threshold
        map_scales = {}
        for kind, kept in scores.items():
            if np.isnan(kept.peaks).all():
                continue
            lowest = traits[kind].map_threshold
            if lowest is not None:
                map_scales[kind] = _stretched(image_scales[kind], lowest, threshold)
            elif traits[kind].top_scored:
                map_scales[kind] = image_scales[kind]
            else:
                map_scales[kind] = scale(kind, _worst_of_group(kept.peaks, groups))
        peaks = {kind: _worst_of_group(scores[kind].peaks, groups) for kind in map_scales}
        return replace(decision, map_scales=map_scales, healthy_peaks=peaks)

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
        known = np.concatenate([self.groups, np.unique(groups)]) if self.groups.size else self.groups
        peaks = {
            kind: np.concatenate([old, _worst_of_group(scores[kind].peaks, groups)])
            for kind, old in self.healthy_peaks.items()
        }
        return replace(self, healthy=images, groups=known, healthy_peaks=peaks)

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
        """Return the threshold of the joined score, and the share of healthy parts that it flags at most."""
        tail = self.tail()
        return tail.threshold, tail.bound

    def tail(self, healthy: np.ndarray | None = None) -> HealthyTail:
        """Find the threshold of the joined score, and what it rests on.

        ``healthy`` (n,) are joined scores of healthy images that were not trained on; without them, the training
        images' scores as unseen.
        """
        healthy = self.healthy_joined if healthy is None else healthy
        if self.method == "conformal":
            threshold, alpha = conformal_threshold(healthy, self.alpha)
            return HealthyTail(threshold, alpha, alpha, np.empty(0, np.int64))
        # The soft rectifier of "norm" squeezes scores below the median together; without it they are nearly normal.
        straight = softplus_inverse(healthy) if self.rule == "norm" else healthy
        tail = healthy_threshold(straight, self.alpha, prior_deviation=_PRIOR_DEVIATION)
        return replace(tail, threshold=float(np.logaddexp(0.0, tail.threshold))) if self.rule == "norm" else tail

    def place_limit(self) -> float:
        """Find the map value that the highest place of a healthy photo exceeds with a chance of at most alpha.

        Photos that are too odd for the threshold do not count. A photo's kinds peak at different places, so that their
        joined peaks bound its joined map from above: the limit errs towards fewer places. Infinite where peaks are
        unknown.
        """
        if not self.healthy_peaks:
            return float("inf")
        joined = self._join({kind: scale(self.healthy_peaks[kind]) for kind, scale in self.map_scales.items()})
        usual = np.delete(joined, self.tail().outliers)
        return conformal_threshold(usual, self.alpha)[0] if usual.size else float("inf")

    def p_values(self, joined: np.ndarray) -> np.ndarray:
        """Conformal p-values of joined scores (n,)."""
        return p_values(self.healthy_joined, joined)

    def evidence_p_values(self, kind: str, scores: np.ndarray) -> np.ndarray:
        """Conformal p-values of one kind's raw scores (n,)."""
        return p_values(self.healthy[kind], scores)

    def state(self) -> dict[str, Any]:
        """Plain values and arrays that ``from_state`` takes back."""
        return {
            "rule": self.rule,
            "method": self.method,
            "alpha": self.alpha,
            "families": self.families,
            "weights": self.weights,
            "image_scales": {kind: [s.median, s.unit] for kind, s in self.image_scales.items()},
            "map_scales": {kind: [s.median, s.unit] for kind, s in self.map_scales.items()},
            "healthy": dict(self.healthy),
            "groups": self.groups,
            "healthy_peaks": dict(self.healthy_peaks),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Decision:
        """Restore a decision from its ``state``, whose arrays may be tensors.

        Raises ValueError, TypeError or LookupError for anything else.
        """
        families = {str(kind): _text(family) for kind, family in state["families"].items()}
        # Files of earlier versions lack weights and method: their weights were equal, their thresholds conformal.
        weights = state.get("weights", dict.fromkeys(families, 1.0))
        method = state.get("method", "conformal")
        if method not in ("robust", "conformal"):
            raise ValueError(f"unknown kind of threshold: {method!r}")
        return cls(
            rule=state["rule"],
            method=method,
            alpha=state["alpha"],
            families=families,
            weights={kind: _positive(weights[kind]) for kind in families},
            image_scales={kind: Scale(*values) for kind, values in state["image_scales"].items()},
            map_scales={kind: Scale(*values) for kind, values in state["map_scales"].items()},
            healthy={kind: np.asarray(values) for kind, values in state["healthy"].items()},
            groups=np.asarray(state["groups"]) if "groups" in state else np.empty(0, np.int64),
            healthy_peaks={kind: np.asarray(peaks) for kind, peaks in state.get("healthy_peaks", {}).items()},
        )

    def _join(self, calibrated: Mapping[str, np.ndarray]) -> np.ndarray:
        voices = []
        for family in dict.fromkeys(self.families.values()):
            kinds = [kind for kind in calibrated if self.families[kind] == family]
            if kinds:
                weights = [self.weights[kind] for kind in kinds]
                voices.append(np.average([calibrated[kind] for kind in kinds], axis=0, weights=weights))
        return JOIN[self.rule](np.stack(voices))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value


def _positive(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ValueError(f"expected a positive number, got {value!r}")
    return float(value)


def _norm(voices: np.ndarray) -> np.ndarray:
    """Euclidean length of how far each voice rises above healthy; the soft rectifier keeps scores free of ties."""
    return np.asarray(np.sqrt(np.square(np.logaddexp(0.0, voices)).sum(0)))


def softplus_inverse(values: np.ndarray) -> np.ndarray:
    """Undo ``log(1 + exp(x))`` for positive values of any shape."""
    values = np.maximum(values, np.finfo(float).tiny)
    return np.asarray(values + np.log(-np.expm1(-values)))


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
