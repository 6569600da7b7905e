"""Which patches a memory bank keeps, and how many."""

from __future__ import annotations

import math
from contextlib import closing

import torch

from fastener.common.sampling import evenly, one_of_each_stretch
from fastener.models.coreset import greedy_coreset
from fastener.models.progress import Progress, no_progress
from fastener.models.random_projection import gaussian_projection, store_projected

_RATIO, _FEW_IMAGES = 0.02, 200
_CANDIDATES, _CANDIDATES_PER_ROW = 2**17, 10


def rows_to_keep(n_patches: int, n_images: int, ratio: float | None = None, *, known_images: int = 0) -> int:
    """Choose how many of the patches of ``n_images`` new images a bank keeps, at least one.

    ``ratio`` is the share of the patches; None: 2 % for up to 200 images, and rows that grow with the square root of
    the number of images beyond, ``known_images`` among them. On screws, tiles, cookies, brushes and commutators, 2 %
    found as much as 10 %, and many images show little that is new.
    """
    if ratio is None:
        ratio = _RATIO * min(1.0, math.sqrt(_FEW_IMAGES / max(1, known_images + n_images)))
    return max(1, round(ratio * n_patches))


def select_rows(
    patches: torch.Tensor,
    keep: int,
    *,
    centres: torch.Tensor | None,
    projection: int | None,
    seed: int,
    memory_limit: int,
    device: torch.device,
    progress: Progress = no_progress,
) -> tuple[torch.Tensor, float | None]:
    """Select ``keep`` of the patches (n, d) by greedy k-centre: indices int64 (k,), and their cover radius.

    Neighbours overlap, and many photos show little that is new. So of very many patches only some stand for election,
    drawn from ``seed``, one from each stretch: ten for each row that is kept, and 131,072 at least. The cover radius is
    that of the candidates.

    ``centres`` (m, d) are rows that the bank has already. With ``projection``, patches are compared by a random
    projection to this many numbers, drawn from ``seed``; the cover radius is then unknown, None. ``memory_limit`` is in
    bytes.
    """
    if keep >= len(patches):
        return torch.arange(len(patches)), 0.0
    at_most = max(_CANDIDATES, _CANDIDATES_PER_ROW * keep)
    if len(patches) > at_most:
        candidates = torch.from_numpy(one_of_each_stretch(len(patches), at_most, seed))
        patches = patches[candidates]
    else:
        candidates = torch.arange(len(patches))
    if projection is None or projection >= patches.shape[1]:
        coreset = greedy_coreset(patches, keep, centres=centres, device=device, progress=progress)
        return candidates[coreset.indices], coreset.cover_radius
    matrix = gaussian_projection(patches.shape[1], projection, seed)
    held = patches.nbytes if patches.nbytes <= memory_limit else 0  # otherwise they are in a file
    with closing(store_projected(patches, matrix, memory_limit - held)) as projected:
        before = None if centres is None else centres @ matrix
        coreset = greedy_coreset(projected.rows(), keep, centres=before, device=device, progress=progress)
    return candidates[coreset.indices], None


def between(patches: torch.Tensor, at_most: int = 1024) -> torch.Tensor:
    """Average neighbours among ``patches`` (n, d): patches as they could be, none of which is in the bank."""
    first = torch.from_numpy(evenly(len(patches) - 1, at_most))
    return (patches[first].float() + patches[first + 1].float()) / 2
