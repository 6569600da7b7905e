"""Measure how well thumbnails tell copies from similar photos: python benchmarks/near_copies.py FOLDER [FOLDER ...]

For plain 16 x 16 thumbnails and for the detail of 64 x 64 thumbnails, the script prints the number of groups of copies
by a correlation of 0.95 alone, and the lowest similarity of a photo to itself after halving its size and saving it as
JPEG of quality 25. The last line is the number of groups by the rule of datasets/near_copies.py, which judges
similarity against the whole collection.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.datasets.images import list_images, read_image
from fastener.datasets.near_copies import NEAR_COPY_SIMILARITY, copy_groups, signature


def plain_thumbnail(image: np.ndarray) -> np.ndarray:
    """Compute a grey thumbnail of 16 x 16 pixels with mean 0 and unit norm."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    thumbnail = cv2.resize(grey, (16, 16), interpolation=cv2.INTER_AREA).ravel()
    centred = thumbnail - thumbnail.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6))


def best_over_flips(signatures: np.ndarray) -> np.ndarray:
    """Compute the best correlation over the four flips between signatures (n, side * side): (n, n)."""
    side = int(np.sqrt(signatures.shape[1]))
    square = signatures.reshape(-1, side, side)
    flips = (square, square[:, ::-1], square[:, :, ::-1], square[:, ::-1, ::-1])
    return np.asarray(np.max([signatures @ flip.reshape(len(square), -1).T for flip in flips], axis=0))


def degraded(image: np.ndarray) -> np.ndarray:
    """Halve the size and compress as JPEG of quality 25."""
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", half, [cv2.IMWRITE_JPEG_QUALITY, 25])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def report(name: str, sign: Callable[[np.ndarray], np.ndarray], images: list[np.ndarray]) -> None:
    """Print one line of the table."""
    from scipy.sparse.csgraph import connected_components

    signatures = np.stack([sign(image) for image in images])
    groups = connected_components(best_over_flips(signatures) >= NEAR_COPY_SIMILARITY)[0]
    lowest = min(float(one @ sign(degraded(image))) for one, image in zip(signatures, images, strict=True))
    print(f"  {name:22} {groups:5} groups   lowest similarity after re-encoding {lowest:.3f}")


def main() -> None:
    """Measure every folder given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    for folder in parser.parse_args().folders:
        images = [read_image(path) for path in list_images(folder)]
        print(f"{folder.name}: {len(images)} photos")
        report("plain 16 x 16", plain_thumbnail, images)
        report("detail of 64 x 64", signature, images)
        groups = copy_groups(np.stack([signature(image) for image in images]))
        print(f"  {'by the rule':22} {groups.max() + 1:5} groups")


if __name__ == "__main__":
    main()
