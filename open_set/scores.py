"""Score how unknown an image looks: several scores with one interface, higher = more unknown.

Each score learns from known training images only; no score needs an unknown image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from fastener.open_set.classifier import Embedded
from fastener.open_set.settings import RejectionSettings, SingleScore

Floats = npt.NDArray[np.float64]
# A difference of two log-likelihoods needs good estimates of both covariances: this many images for each dimension.
_IMAGES_PER_DIMENSION = 20


class OpenSetScore(ABC):
    """Define a score: construct it with settings, ``fit`` it to known training images, and call it on any images."""

    @abstractmethod
    def fit(self, known: Embedded, labels: np.ndarray) -> OpenSetScore:
        """Learn from known images with ``labels`` int (n,), 0 to classes - 1."""

    @abstractmethod
    def __call__(self, images: Embedded) -> Floats:
        """Compute scores (n,), higher = more unknown."""


class Gaussian:
    """Describe data by a normal distribution round given centres, with one covariance for all centres.

    The covariance is shrunk as in Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance
    matrices", Journal of Multivariate Analysis 88.

    Parameters
    ----------
    centres
        Centres (k, d).
    residuals
        Differences (n, d) of the data from their centres.
    """

    def __init__(self, centres: Floats, residuals: Floats):
        self.centres = centres
        self._root = np.linalg.cholesky(LedoitWolf(assume_centered=True).fit(residuals).covariance_)

    def squared_distances(self, points: Floats) -> Floats:
        """Compute the squared Mahalanobis distance of each point (n, d) to each centre (k, d): (n, k)."""
        whiten = [solve_triangular(self._root, (points - centre).T, lower=True) for centre in self.centres]
        return np.stack([(one**2).sum(0) for one in whiten], 1)

    def whiten(self, points: Floats) -> Floats:
        """Scale points (n, d) so that their residuals have about the unit matrix as covariance: (n, d)."""
        return np.asarray(solve_triangular(self._root, points.T, lower=True).T)


class Mahalanobis(OpenSetScore):
    """Score by the distance to the nearest class mean, under a covariance that all classes share.

    Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks",
    equation 2, as a distance. Embeddings are standardised, and ``components`` principal components are kept, because a
    few hundred images cannot estimate a covariance in thousands of dimensions.
    """

    def __init__(self, components: int):
        self.components = components

    def fit(self, known: Embedded, labels: np.ndarray) -> Mahalanobis:
        self._project = _projection(known.embeddings, self.components)
        points = self._project.transform(known.embeddings)
        means = _class_means(points, labels)
        self._classes = Gaussian(means, points - means[labels])
        return self

    def __call__(self, images: Embedded) -> Floats:
        points = self._project.transform(images.embeddings)
        return np.asarray(np.sqrt(self._classes.squared_distances(points).min(1)))


class RelativeMahalanobis(OpenSetScore):
    """Score by the squared Mahalanobis distance to the nearest class, less the squared distance to all known images.

    Ren et al. 2021, "A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection", arXiv 2106.09022,
    equation 3. Properties that all steel images share cancel out. One principal component is kept for every 20
    training images, but never more than ``components``.
    """

    def __init__(self, components: int):
        self.components = components

    def fit(self, known: Embedded, labels: np.ndarray) -> RelativeMahalanobis:
        affordable = max(2, len(labels) // _IMAGES_PER_DIMENSION)
        self._project = _projection(known.embeddings, min(self.components, affordable))
        points = self._project.transform(known.embeddings)
        means, mean = _class_means(points, labels), points.mean(0)
        self._classes = Gaussian(means, points - means[labels])
        self._all = Gaussian(mean[None], points - mean)
        return self

    def __call__(self, images: Embedded) -> Floats:
        points = self._project.transform(images.embeddings)
        nearest = self._classes.squared_distances(points).min(1)
        return np.asarray(nearest - self._all.squared_distances(points)[:, 0])


class NearestNeighbour(OpenSetScore):
    """Score by the distance to the k-th nearest training image, on standardised embeddings of unit length.

    Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors", arXiv 2204.06507, equation 2. With
    fewer than ``neighbours`` training images, the farthest of them counts.
    """

    def __init__(self, neighbours: int):
        self.neighbours = neighbours

    def fit(self, known: Embedded, labels: np.ndarray) -> NearestNeighbour:
        self._normalise = make_pipeline(StandardScaler(), Normalizer()).fit(_double(known.embeddings))
        count = min(self.neighbours, len(known))
        self._search = NearestNeighbors(n_neighbors=count).fit(self._normalise.transform(_double(known.embeddings)))
        return self

    def __call__(self, images: Embedded) -> Floats:
        distances, _ = self._search.kneighbors(self._normalise.transform(_double(images.embeddings)))
        return np.asarray(distances[:, -1])


class WhitenedNeighbour(OpenSetScore):
    """Score by the distance to the nearest training image, on unit vectors of the space of ``Mahalanobis``.

    Directions in which images of one class vary count little there, so that the neighbour is alike in its class and not
    in its contrast or its number of scratches.
    """

    def __init__(self, components: int):
        self.components = components

    def fit(self, known: Embedded, labels: np.ndarray) -> WhitenedNeighbour:
        self._project = _projection(known.embeddings, self.components)
        points = self._project.transform(known.embeddings)
        means = _class_means(points, labels)
        self._classes = Gaussian(means, points - means[labels])
        self._search = NearestNeighbors(n_neighbors=1).fit(self._unit_vectors(known))
        return self

    def __call__(self, images: Embedded) -> Floats:
        return np.asarray(self._search.kneighbors(self._unit_vectors(images))[0][:, 0])

    def _unit_vectors(self, images: Embedded) -> Floats:
        points = self._classes.whiten(self._project.transform(images.embeddings))
        return np.asarray(Normalizer().transform(points))


class Energy(OpenSetScore):
    """Score by the free energy of the logits at temperature 1: minus the logarithm of the sum of their exponentials.

    Liu et al. 2020, "Energy-based Out-of-distribution Detection", arXiv 2010.03759, equation 4.
    """

    def fit(self, known: Embedded, labels: np.ndarray) -> Energy:
        return self

    def __call__(self, images: Embedded) -> Floats:
        return -np.asarray(logsumexp(_double(images.logits), axis=1))


class MaxSoftmax(OpenSetScore):
    """Score by minus the logarithm of the greatest softmax probability; exp(-score) is the classifier's confidence.

    Hendrycks and Gimpel 2017, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples". The logarithm
    tells probabilities apart that would round to 1.
    """

    def fit(self, known: Embedded, labels: np.ndarray) -> MaxSoftmax:
        return self

    def __call__(self, images: Embedded) -> Floats:
        logits = _double(images.logits)
        return np.asarray(logsumexp(logits - logits.max(1, keepdims=True), axis=1))


SCORES: dict[SingleScore, Callable[[RejectionSettings], OpenSetScore]] = {
    "mahalanobis": lambda settings: Mahalanobis(settings.components),
    "relative_mahalanobis": lambda settings: RelativeMahalanobis(settings.components),
    "knn": lambda settings: NearestNeighbour(settings.neighbours),
    "whitened_knn": lambda settings: WhitenedNeighbour(settings.components),
    "energy": lambda settings: Energy(),
    "max_softmax": lambda settings: MaxSoftmax(),
}


def fit_scores(known: Embedded, labels: np.ndarray, settings: RejectionSettings) -> dict[SingleScore, OpenSetScore]:
    """Fit every score to known images with ``labels`` int (n,), 0 to classes - 1."""
    return {name: make(settings).fit(known, labels) for name, make in SCORES.items()}


def _projection(embeddings: np.ndarray, components: int) -> Pipeline:
    """Fit standardised principal components: ``components`` of them, or as many as the data allow."""
    count = min(components, len(embeddings) - 1, embeddings.shape[1])
    return make_pipeline(StandardScaler(), PCA(count, svd_solver="full")).fit(_double(embeddings))


def _class_means(points: Floats, labels: np.ndarray) -> Floats:
    return np.stack([points[labels == label].mean(0) for label in np.unique(labels)])


def _double(values: np.ndarray) -> Floats:
    return np.asarray(values, np.float64)
