"""Coreset selection: one matrix-vector product per pick against one matrix product per block of picks.

python benchmarks/coreset.py [--features FILE.npy] [--n 60000 --dim 384 --keep 0.1]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.coreset import BLOCK, Coreset, greedy_coreset


def naive_coreset(features: torch.Tensor, k: int) -> Coreset:
    """The textbook loop in float32: every pick costs one pass over all features."""
    norms = features.square().sum(1)
    nearest = torch.full_like(norms, torch.inf)
    picks = [0]
    while True:
        centre = picks[-1]
        nearest = torch.minimum(nearest, norms + norms[centre] - 2 * (features @ features[centre]))
        if len(picks) == k:
            return Coreset(np.array(picks), float(nearest.max().clamp(min=0).sqrt()), k)
        picks.append(int(nearest.argmax()))


def clustered_features(n: int, dim: int, seed: int) -> np.ndarray:
    """Vectors round 50 centres, spread in fewer directions than they have numbers, as patch features are."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(dim // 4 + 1, dim)).astype(np.float32)
    centres = rng.normal(size=(50, len(directions))).astype(np.float32)
    inner = centres[rng.integers(50, size=n)] + 0.5 * rng.normal(size=(n, len(directions))).astype(np.float32)
    return inner @ directions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, help="float32 or float16 array (n, d); default: made from --seed")
    parser.add_argument("--n", type=int, default=60000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--keep", type=float, default=0.1, help="share of rows kept")
    parser.add_argument("--block", type=int, default=BLOCK)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    made = options.features is None
    features = clustered_features(options.n, options.dim, options.seed) if made else np.load(options.features)
    k = max(1, round(options.keep * len(features)))
    on_device = torch.from_numpy(features).float().to(options.device)
    greedy_coreset(on_device, min(k, 50), block=options.block, device=options.device)  # loads the libraries

    start = time.perf_counter()
    fast = greedy_coreset(on_device, k, block=options.block, device=options.device)
    block_seconds = time.perf_counter() - start
    start = time.perf_counter()
    naive = naive_coreset(on_device, k)
    naive_seconds = time.perf_counter() - start

    print(f"{len(features)} x {features.shape[1]}, {k} kept, {torch.get_num_threads()} threads, {options.device}")
    print(f"{'':8}{'seconds':>10}{'cover radius':>16}{'full updates':>15}")
    print(f"{'naive':8}{naive_seconds:10.2f}{naive.cover_radius:16.6f}{naive.n_updates:15d}")
    print(f"{'block':8}{block_seconds:10.2f}{fast.cover_radius:16.6f}{fast.n_updates:15d}")
    print(f"ratio {naive_seconds / block_seconds:.1f}")
    same_set = set(naive.indices.tolist()) == set(fast.indices.tolist())
    moved = int((naive.indices != fast.indices).sum())
    print(f"same picks: {'yes' if same_set else 'no'}; in another place of the order: {moved}")


if __name__ == "__main__":
    main()
