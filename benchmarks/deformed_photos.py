"""Bends and cuts on real photos: python benchmarks/deformed_photos.py --category-dir <mvtec>/screw

Learns the good training photos of a category of long single parts, as train.py does. Then good test photos are bent at
the middle of the part, or a piece is cut out of the middle and the rest is moved up, by calculation; texture and light
stay real. Prints the share flagged of each amount, and of the photos as they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

from fastener.benchmarks.shape import share as share_flagged
from fastener.commands import cli
from fastener.common.sampling import evenly
from fastener.config import load_config
from fastener.datasets.images import read_image
from fastener.datasets.mvtec import load_category
from fastener.inspection.inspector import Inspector
from fastener.preprocessing.registration import upright_angle
from fastener.preprocessing.segmentation import find_part

_MVTEC = Path(__file__).resolve().parents[1] / "configs" / "mvtec.yaml"
_ARC = 0.1  # share of the part's length along which it is bent
_DEGREES = (0.0, 3.0, 5.0, 8.0, 12.0, 20.0)
_SHARES = (0.05, 0.1, 0.2)


def main() -> int:
    """Learn, deform, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--category-dir", type=Path, required=True)
    parser.add_argument("--learn", type=int, help="good photos to learn from, evenly taken (default: all)")
    parser.add_argument("--test", type=int, default=30, help="good test photos to deform (default: 30)")
    arguments = parser.parse_args()
    category = load_category(arguments.category_dir.parent, arguments.category_dir.name)
    learned = [category.train[i] for i in evenly(len(category.train), arguments.learn or len(category.train))]
    inspector = Inspector.fit(learned, load_config(_MVTEC), progress=cli.progress)
    photos = [read_image(photo.path) for photo in category.test if not photo.is_anomalous][: arguments.test]
    masks = [find_part(photo).mask for photo in photos]
    for degrees in _DEGREES:
        bent = [bend(photo, mask, degrees) for photo, mask in zip(photos, masks, strict=True)]
        print(f"bent by {degrees:2.0f} degrees: {share_flagged(inspector, bent)}")
    for share in _SHARES:
        cut = [shorten(photo, mask, share) for photo, mask in zip(photos, masks, strict=True)]
        print(f"shorter by {share:.0%} of its length: {share_flagged(inspector, cut)}")
    return cli.EXIT_OK


def bend(photo: np.ndarray, mask: np.ndarray, degrees: float) -> np.ndarray:
    """Bend the part of uint8 RGB (H, W, 3) along an arc that begins at the middle of its ``mask``, bool (H, W).

    Half of the photo stays, the other half is turned by ``degrees`` about the arc's centre.
    """
    if degrees == 0.0:
        return photo.copy()
    along, across, axis, length = _frame(mask)
    turn = np.deg2rad(degrees)
    radius = _ARC * length / turn
    angle = np.arctan2(along, radius - across)  # as seen from the arc's centre
    in_arc, beyond = (along > 0) & (angle <= turn), (along > 0) & (angle > turn)
    back = along * np.cos(turn) + (across - radius) * np.sin(turn)
    from_along = np.where(in_arc, angle * radius, np.where(beyond, back + _ARC * length, along))
    back = radius - along * np.sin(turn) + (across - radius) * np.cos(turn)
    from_across = np.where(in_arc, radius - np.hypot(along, radius - across), np.where(beyond, back, across))
    return _drawn(photo, axis, from_along - along, from_across - across)


def shorten(photo: np.ndarray, mask: np.ndarray, share: float) -> np.ndarray:
    """Cut a ``share`` of the part's length out of its middle, in uint8 RGB (H, W, 3), and move the rest up."""
    along, _, axis, length = _frame(mask)
    return _drawn(photo, axis, np.where(along > 0, share * length, 0.0), np.zeros_like(along))


def _frame(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Each pixel's place along and across the part's long axis, float64 (H, W); its direction (x, y); its length."""
    angle = upright_angle(mask)
    axis = np.array([np.sin(angle), np.cos(angle)])
    rows, columns = np.indices(mask.shape)
    centre_row, centre_column = np.argwhere(mask).mean(axis=0)
    x, y = columns - centre_column, rows - centre_row
    along = x * axis[0] + y * axis[1]
    return along, y * axis[0] - x * axis[1], axis, float(np.ptp(along[mask]))


def _drawn(photo: np.ndarray, axis: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Take each pixel from a place this far off, along and across the part's axis."""
    rows, columns = np.indices(photo.shape[:2])
    x = columns + along * axis[0] - across * axis[1]
    y = rows + along * axis[1] + across * axis[0]
    maps = x.astype(np.float32), y.astype(np.float32)
    return cv2.remap(photo, *maps, interpolation=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


if __name__ == "__main__":
    cli.run(main)
