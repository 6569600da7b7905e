"""Visual words: patches of parts sorted into a few groups, so that a part is described by how often it shows each.

The bag of visual words of Sivic and Zisserman, "Video Google" (2003). Parts lie at any angle, so that the features of a
patch do not change with a turn: how strong and how much of one direction its gradients are, at three scales (the
structure tensor of Bigün and Granlund, 1987), and how bright it is. No network is needed, here or where models run.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

_WORDS, _MOST_PATCHES = 12, 4000
_CELL = 8  # pixels a side of a patch's middle; a patch takes in the cells round it
_SCALES = (0.8, 1.6, 3.2)  # pixels
_PRIOR = 0.5  # patches of each word that a part is taken to show before any is seen: small parts have few patches


def patch_features(lightness: np.ndarray) -> np.ndarray:
    """Describe each patch of ``lightness``, float32 (h, w), 0 to 100: float32 (h / 8, w / 8, 8)."""
    size = (max(1, lightness.shape[1] // _CELL), max(1, lightness.shape[0] // _CELL))

    def pooled(values: np.ndarray) -> np.ndarray:
        return cv2.blur(cv2.resize(values, size, interpolation=cv2.INTER_AREA), (3, 3))

    found = [pooled(lightness), np.sqrt(np.maximum(pooled(lightness**2) - pooled(lightness) ** 2, 0))]
    for scale in _SCALES:
        calm = cv2.GaussianBlur(lightness, (0, 0), scale)
        x, y = cv2.Sobel(calm, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(calm, cv2.CV_32F, 0, 1, scale=1 / 8)
        xx, yy, xy = pooled(x * x), pooled(y * y), pooled(x * y)
        energy = xx + yy
        found += [np.log(energy + 0.01), np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (energy + 0.01)]
    return np.stack(found, axis=-1).astype(np.float32)


class Vocabulary:
    """Learn the visual words of healthy parts, and count them on others.

    Attributes
    ----------
    mean_, spread_ : ndarray of float64, (d,)
        Mean and standard deviation of the patches' features, which are measured in units of these.
    words_ : ndarray of float64, (k, d)
        Centres of the groups; none if too few patches were seen.
    """

    def fit(self, parts: list[np.ndarray], seed: int) -> Vocabulary:
        """Learn from the patches of parts, float (n, d) each; return this object."""
        from scipy.cluster.vq import kmeans2  # loads slowly, and only those who learn need it

        patches = np.concatenate(parts).astype(float)
        rng = np.random.default_rng(seed)
        if len(patches) > _MOST_PATCHES:
            patches = patches[rng.choice(len(patches), _MOST_PATCHES, replace=False)]
        if len(patches) < 2 * _WORDS:
            self.mean_, self.spread_ = np.zeros(patches.shape[1]), np.ones(patches.shape[1])
            self.words_ = np.empty((0, patches.shape[1]))
            return self
        self.mean_, self.spread_ = patches.mean(axis=0), np.maximum(patches.std(axis=0), 1e-6)
        self.words_ = kmeans2(self._scaled(patches), _WORDS, minit="++", seed=rng)[0]
        return self

    def shares(self, patches: np.ndarray) -> np.ndarray:
        """Share of each word among the patches of one part, float (n, d): float64 (k,), 1 in all."""
        if not len(self.words_):
            return np.empty(0)
        counts = np.full(len(self.words_), _PRIOR)
        if len(patches):
            apart = np.square(self._scaled(patches)[:, None] - self.words_).sum(axis=2)
            counts += np.bincount(apart.argmin(axis=1), minlength=len(counts))
        return np.asarray(counts / counts.sum())

    def _scaled(self, patches: np.ndarray) -> np.ndarray:
        return np.asarray((patches - self.mean_) / self.spread_, float)

    def state(self) -> dict[str, Any]:
        """Return arrays that ``restore`` takes back."""
        return {name: getattr(self, f"{name}_") for name in ("mean", "spread", "words")}

    def restore(self, state: dict[str, Any]) -> Vocabulary:
        """Take over a saved ``state``, whose arrays may be tensors; return this object."""
        self.mean_, self.spread_, self.words_ = (np.asarray(state[name]) for name in ("mean", "spread", "words"))
        return self
