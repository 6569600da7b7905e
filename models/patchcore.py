"""PatchCore (Roth et al. 2022, "Towards Total Recall in Industrial Anomaly Detection", arXiv 2106.08265)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

import numpy as np
import torch

from fastener.common.errors import UserError
from fastener.common.sampling import evenly_grouped
from fastener.models.anomaly_map import PositionStats, along_lines, to_pixels
from fastener.models.bank_rows import between, rows_to_keep, select_rows
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.image_scores import TopScore, weighted_scores
from fastener.models.leave_one_out import LeaveOneOut, nearest_groups, with_refill
from fastener.models.memory_bank import MemoryBank
from fastener.models.progress import Progress, no_progress
from fastener.models.runtime.feature_store import FeatureStore, chunks
from fastener.models.scores import HealthyScores, Scores

_IMAGES_AT_ONCE = 4


class PatchCore:
    """Keep patches of healthy images in a memory bank; score new images by the distance of their patches to the bank.

    Parameters
    ----------
    extractor : FeatureExtractor
        Turns images into patch features.
    coreset_ratio : float, optional
        Share of the training patches that the bank keeps (greedy k-centre), above 0 to 1; None: 2 % of the patches of
        up to 200 images, and rows that grow with the square root of the number of images beyond.
    num_neighbors : int
        b of equation 7; 1: the image score is the largest distance of a patch. Without effect on ``top_score``.
    top_score : TopScore, optional
        The image score is the mean of the highest distances; None: equations 6 and 7.
    smoothing_sigma : float
        Gaussian smoothing of the map, in input pixels; 0: none.
    index : {"auto", "flat", "ivf", "hnsw", "pq"}
        How the bank is searched, see models/search_index.py. No index changes an image score; for a patch of the map it
        may overlook the nearest row.
    memory_limit : int
        Bytes of features that are held in memory while learning; with more, all go to a file.
    max_calibrating : int
        Calibrate on at most this many groups of training images, evenly sampled.
    coreset_projection : int, optional
        Patches are selected by a random projection to this many numbers, as published; None: by all their numbers. The
        bank keeps whole patches either way.
    line_length : int
        Judge whole lines of this length, in input pixels, see models/anomaly_map.py; 0: each place by itself. The image
        score is then the highest place.
    per_position : bool
        Measure distances against the distances of healthy images at the same place, see models/anomaly_map.py. The
        image score is then the highest place.
    seed : int
        Source of the random projection.
    progress : callable
        Wraps loops that take long, see models/progress.py.

    Attributes
    ----------
    bank_ : MemoryBank
        The m patches that are kept.
    bank_groups_ : int64 tensor of shape (m,)
        The training group that each row came from.
    cover_radius_ : float
        No training patch is farther from the bank than this.
    position_stats_ : PositionStats or None
        With ``per_position``, the mean and deviation of healthy distances at each position.
    training_scores_ : HealthyScores
        Leave-one-out scores of the training images: neighbours of the same group are not seen. NaN where not measured.
    refills_ : dict of int to float32 tensor of shape (k, d)
        For each measured group, rows that the bank would have had instead of the group's own, see
        models/leave_one_out.py. Empty for a restored model, and where images are scored by every distance.

    Examples
    --------
    >>> from fastener.models.feature_extractor import filter_extractor
    >>> healthy = np.random.default_rng(0).integers(90, 110, (4, 64, 64, 3)).astype(np.uint8)
    >>> model = PatchCore(filter_extractor(0.003, 3), coreset_ratio=0.5).fit([healthy], groups=range(4))
    >>> scratched = healthy[:1].copy()
    >>> scratched[:, 30:34] = 255
    >>> bool(model.score(scratched).images[0] > model.training_scores_.images.max())
    True
    """

    bank_: MemoryBank
    bank_groups_: torch.Tensor
    cover_radius_: float
    position_stats_: PositionStats | None
    training_scores_: HealthyScores

    def __init__(
        self,
        extractor: FeatureExtractor,
        *,
        coreset_ratio: float | None = 0.1,
        num_neighbors: int = 9,
        top_score: TopScore | None = None,
        smoothing_sigma: float = 4.0,
        index: str = "auto",
        memory_limit: int = 2**31,
        max_calibrating: int = 1000,
        coreset_projection: int | None = None,
        line_length: int = 0,
        per_position: bool = False,
        seed: int = 0,
        progress: Progress = no_progress,
    ):
        self.extractor = extractor
        self.coreset_ratio = coreset_ratio
        self.num_neighbors = num_neighbors
        self.top_score = top_score
        self.smoothing_sigma = smoothing_sigma
        self.index = index
        self.memory_limit = memory_limit
        self.max_calibrating = max_calibrating
        self.coreset_projection = coreset_projection
        self.line_length = line_length
        self.per_position = per_position
        self.seed = seed
        self.progress = progress
        self.position_stats_ = None
        self.refills_: dict[int, torch.Tensor] = {}
        self._store = FeatureStore(memory_limit)
        self._size = (0, 0)

    def fit(self, batches: Iterable[np.ndarray], groups: Sequence[int]) -> PatchCore:
        """Collect the features of each batch of images (n, H, W, 3), then learn from all of them."""
        for batch in batches:
            self.collect_features(batch)
        return self.fit_collected(groups)

    def collect_features(self, images: np.ndarray) -> None:
        """Take in healthy images, uint8 RGB (n, H, W, 3), all of one size."""
        self._size = images.shape[1:3]
        for features in self._extract(images):
            if self.extractor.mean_ is None and not hasattr(self, "bank_"):
                features = self.extractor.centre_on(features)
            self._store.append(features)

    def take_features(self) -> torch.Tensor:
        """Hand over the collected features, float16 (n, h, w, c), and forget them: somebody else learns from them."""
        store, self._store = self._store, FeatureStore(self.memory_limit)
        with closing(store):
            return store.rows().reshape(store.n_images, *store.grid, -1)

    def fit_collected(self, groups: Sequence[int]) -> PatchCore:
        """Make the bank from all images whose features were collected.

        ``groups`` holds one number per image: images of one group (copies of a photo) never vouch for one another in
        the leave-one-out scores. Calling again extends the bank: the greedy selection goes on from the existing
        centres, and ``training_scores_`` holds the scores of the new images only. Raises ValueError without two
        different groups, UserError if all rows kept come from one group, or features cannot be written to a file.
        """
        store, self._store = self._store, FeatureStore(self.memory_limit)
        with closing(store):
            return self._learn(store, torch.as_tensor(groups))

    def calibrate(self, features: torch.Tensor, groups: Sequence[int], size: tuple[int, int]) -> HealthyScores:
        """Score training images as unseen, from their features (n, h, w, c), by the bank as it is.

        ``size`` is the images' height and width in pixels; ``groups`` as in ``fit_collected``.
        """
        self._size = size
        return self._leave_one_out(features, torch.as_tensor(groups))

    def score(self, images: np.ndarray) -> Scores:
        """Score uint8 RGB images (n, H, W, 3)."""
        return self._score_features(torch.cat(list(self._extract(images))), images.shape[1:3], self.bank_)

    def score_unseen(self, images: np.ndarray, group: int) -> Scores:
        """Score uint8 RGB images (n, H, W, 3) as if the training images of ``group`` had never been seen."""
        features, size = torch.cat(list(self._extract(images))), images.shape[1:3]
        if group not in self.refills_:
            own = self.bank_groups_ == group
            return self._score_features(features, size, self.bank_.without(own) if own.any() else self.bank_)
        patches = features.reshape(-1, features.shape[-1])
        distances = nearest_groups(patches, self.bank_, self.bank_groups_).without(group)
        distances = with_refill(distances, patches, self.refills_[group].to(features.device))
        assert self.top_score is not None
        return self.top_score(distances.reshape(features.shape[:3]).cpu().numpy(), size, self.smoothing_sigma)

    def _extract(self, images: np.ndarray) -> Iterator[torch.Tensor]:
        """Compute patch features; on a CPU of a few images at a time, which takes no longer and less memory."""
        at_once = _IMAGES_AT_ONCE if self.extractor.device.type == "cpu" else len(images)
        return (self.extractor(images[at : at + at_once]) for at in range(0, len(images), at_once))

    def _learn(self, store: FeatureStore, image_groups: torch.Tensor) -> PatchCore:
        extending, n_images = hasattr(self, "bank_"), store.n_images
        if len(image_groups) != n_images:
            raise ValueError(f"{n_images} images but {len(image_groups)} groups")
        if not extending and len(image_groups.unique()) < 2:
            raise ValueError("leave-one-out scores need at least two different training images")
        patches = store.rows()
        if not extending:
            patches = self.extractor.fit(patches)
        known = len(self.bank_groups_.unique()) if extending else 0
        keep = rows_to_keep(len(patches), n_images, self.coreset_ratio, known_images=known)
        centres = self.bank_.features if extending else None
        picks, radius = select_rows(
            patches,
            keep,
            centres=centres,
            projection=self.coreset_projection,
            seed=self.seed,
            memory_limit=self.memory_limit,
            device=self.extractor.device,
            progress=self.progress,
        )
        rows, row_groups = patches[picks].float(), image_groups[picks // (len(patches) // n_images)]
        if extending:
            rows, row_groups = torch.cat([self.bank_.features, rows]), torch.cat([self.bank_groups_, row_groups])
        self.set_bank(rows, row_groups, between(patches))
        radius = self._cover_radius(patches) if radius is None else radius
        self.cover_radius_ = max(radius, self.cover_radius_) if extending else radius
        self.training_scores_ = self._leave_one_out(patches.reshape(n_images, *store.grid, -1), image_groups)
        return self

    def set_bank(self, rows: torch.Tensor, groups: torch.Tensor, queries: torch.Tensor | None = None) -> None:
        """Take float32 ``rows`` (m, d) as the bank, from training ``groups`` int64 (m,).

        ``queries`` (n, d), patches that are not in the bank, measure how it is best searched; without them it has no
        index.
        """
        self.bank_groups_ = groups
        self.bank_ = MemoryBank(rows, self.extractor.device)
        if queries is not None and not self._compares_all:
            self.bank_.index_by(self.index, queries)

    def _cover_radius(self, patches: torch.Tensor) -> float:
        """Bound the distance of every patch to the bank; an index may make the bound larger than it has to be."""
        return max(float(self.bank_.search(chunk)[0].max()) for chunk in chunks(patches))

    def _leave_one_out(self, features: torch.Tensor, groups: torch.Tensor) -> HealthyScores:
        """Score groups of training images (n, h, w, c), each with a bank from which its own rows are taken out."""
        healthy = HealthyScores(*np.full((2, len(features)), np.nan, np.float32))
        unseen = self._as_unseen(groups)
        if self.scores_by_top and self.bank_.index is None:
            scores = self._refilled(features, groups)
        elif self.per_position and self.position_stats_ is None:
            scores = self._judged_as_unseen(features, unseen)
        else:
            scores = (
                (few, self._score_features(self._whole(features[few]), self._size, others))
                for images, others in unseen
                for few in _few(images)
            )
        for few, part in scores:
            healthy.images[few.numpy()], healthy.peaks[few.numpy()] = part.images, part.maps.max((1, 2))
        return healthy

    def _refilled(self, features: torch.Tensor, groups: torch.Tensor) -> Iterator[tuple[torch.Tensor, Scores]]:
        """Score each measured group of images (n, h, w, c) with the hole that its own rows leave filled."""
        assert self.top_score is not None
        measured = self._measured(groups)
        some = torch.isin(groups, measured).nonzero()[:, 0]
        left_out = LeaveOneOut(self.bank_, self.bank_groups_, features[some], groups[some])
        for group in self.progress(measured.tolist(), len(measured), "calibrating"):
            self._require_others(group)
            self.refills_[group] = left_out.refill(group).cpu()
            for i, grid in left_out.distances(group, self.refills_[group]):
                yield some[i : i + 1], self.top_score(grid[None].cpu().numpy(), self._size, self.smoothing_sigma)

    def _judged_as_unseen(
        self, features: torch.Tensor, unseen: Iterable[tuple[torch.Tensor, MemoryBank]]
    ) -> Iterator[tuple[torch.Tensor, Scores]]:
        """Learn healthy distances at each position from images (n, h, w, c); score each group beside the others."""
        grids = [
            (images, np.concatenate([self._distances(self._whole(features[few]), bank) for few in _few(images)]))
            for images, bank in unseen
        ]
        stats = self.position_stats_ = PositionStats.of(np.concatenate([grid for _, grid in grids]), self._size[0])
        for images, grid in grids:
            others = stats.without(grid)
            for few, part in zip(_few(images), _few(torch.from_numpy(grid)), strict=True):
                yield few, self._judged(part.numpy(), self._size, others)

    def _as_unseen(self, groups: torch.Tensor) -> Iterator[tuple[torch.Tensor, MemoryBank]]:
        """Yield, for each measured group, the indices of its images, int64 (n,), and the bank without their rows."""
        measured = self._measured(groups)
        for group in self.progress(measured.tolist(), len(measured), "calibrating"):
            self._require_others(group)
            yield (groups == group).nonzero()[:, 0], self.bank_.without(self.bank_groups_ == group)

    def _measured(self, groups: torch.Tensor) -> torch.Tensor:
        """Choose the groups, int64 (k,), whose images are scored as unseen: about ``max_calibrating`` images."""
        return torch.from_numpy(evenly_grouped(groups.numpy(), self.max_calibrating))

    def _require_others(self, group: int) -> None:
        if bool((self.bank_groups_ == group).all()):
            raise UserError("all rows of the bank come from one photo; raise coreset_ratio or add photos")

    @property
    def scores_by_top(self) -> bool:
        """Tell whether the image score is the mean of the highest distances."""
        return self.top_score is not None and not self._compares_all

    @property
    def _compares_all(self) -> bool:
        """Tell whether every distance has to be exact, so that an index is of no use."""
        return self.per_position or self.line_length > 0

    def _whole(self, features: torch.Tensor) -> torch.Tensor:
        """Turn stored features into the float32 features that are compared."""
        return features.float().to(self.extractor.device)

    def _distances(self, features: torch.Tensor, bank: MemoryBank) -> np.ndarray:
        """Measure the distance of each patch (n, h, w, c) to the bank, float32 (n, h, w); exact, as any may decide."""
        n, h, w, channels = features.shape
        return bank.search(features.reshape(-1, channels), exact=True)[0].reshape(n, h, w).cpu().numpy()

    def _score_features(self, features: torch.Tensor, size: tuple[int, int], bank: MemoryBank) -> Scores:
        if self._compares_all:
            return self._judged(self._distances(features, bank), size, self.position_stats_)
        n, h, w, channels = features.shape
        patches = features.reshape(n, h * w, channels)
        distances, rows = bank.search_images(patches)
        grids = distances.reshape(n, h, w).cpu().numpy()
        if self.top_score is not None:
            return self.top_score(grids, size, self.smoothing_sigma)
        images = weighted_scores(patches, distances, rows, bank, num_neighbors=self.num_neighbors)
        return Scores(images.cpu().numpy(), to_pixels(grids, size, self.smoothing_sigma))

    def _judged(self, grids: np.ndarray, size: tuple[int, int], stats: PositionStats | None) -> Scores:
        """Score images by their distances (n, h, w), beside healthy distances at each position, and along lines."""
        if stats is not None:
            grids = stats.standardise(grids)
        if self.line_length:
            grids = along_lines(grids, self.line_length * grids.shape[1] / size[0])
        return Scores(grids.max((1, 2)), to_pixels(grids, size, self.smoothing_sigma))


def _few(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Split indices of images into parts that are computed at once."""
    return torch.split(images, _IMAGES_AT_ONCE)
