"""Measure how well copies are told from parts in one fixture: python benchmarks/near_copies.py [FOLDER ...]

For each folder of different photos, and for rendered plates in a fixture, the script prints how many of them are taken
for copies of each other (right: none), how many of the second half are taken for known by a model of the first half,
and which share of re-encoded, mirrored and shrunk copies is found. With --labelled FOLDER, a folder with real copies,
it prints the number of groups. --upright turns the parts of a folder upright first, as a rig holds them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.config import PreprocessSettings
from fastener.datasets.images import list_images, read_image
from fastener.datasets.near_copies import copy_groups, is_copy_of, signature
from fastener.preprocessing.pipeline import Preprocessor

# JPEG quality, size and whether it is mirrored.
COPIES = (
    (95, 1.0, False),
    (85, 1.0, True),
    (60, 1.0, False),
    (75, 0.7, False),
    (75, 0.5, True),
    (40, 0.5, False),
)
_COPIED = 20  # photos of a folder that copies are made of
_AT_MOST = 100  # photos of a folder


def plate(seed: int, jitter: float = 0.0, size: tuple[int, int] = (720, 960)) -> np.ndarray:
    """Render a plate in a fixture, uint8 RGB (H, W, 3), which lies ``jitter`` pixels off, with a grain of its own."""
    rng = np.random.default_rng(seed)
    height, width = size
    scene = np.full(size, 60, np.float32)
    cv2.rectangle(scene, (width // 12, height // 12), (width * 11 // 12, height * 11 // 12), 150, -1)
    for x in range(width // 6, width * 7 // 8, width // 6):
        for y in range(height // 5, height * 7 // 8, height * 2 // 9):
            cv2.circle(scene, (x, y), height // 20, 40, -1)
    move = np.array([[1, 0, rng.normal(0, 1) * jitter], [0, 1, rng.normal(0, 1) * jitter]])
    moved = cv2.warpAffine(scene, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    grain = cv2.GaussianBlur(rng.normal(0, 10, size), (0, 0), 1.2) * (moved > 100)
    shot = (moved + grain) * (1 + rng.normal(0, 0.01)) + rng.normal(0, 2, size)
    grey = np.clip(np.rint(shot), 0, 255).astype(np.uint8)
    return encoded(np.repeat(grey[..., None], 3, axis=2), 92)


def encoded(photo: np.ndarray, quality: int, scale: float = 1.0, mirrored: bool = False) -> np.ndarray:
    """Copy a photo, uint8 RGB (H, W, 3), as JPEG."""
    if scale != 1.0:
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    photo = np.ascontiguousarray(photo[:, :: -1 if mirrored else 1])
    content = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


def photos_of(folder: Path, upright: bool) -> list[np.ndarray]:
    """Read the first photos of a folder, turned ``upright`` if that is asked for."""
    photos = [read_image(path) for path in list_images(folder)[:_AT_MOST]]
    if not upright:
        return photos
    preprocessor = Preprocessor(PreprocessSettings(size=480))
    return [preprocessor(photo).photo for photo in photos]


def errors(photos: list[np.ndarray]) -> tuple[int, int, list[float]]:
    """Count different photos that are merged, and that are taken for known; and the share of copies that is found."""
    signatures = np.stack([signature(photo) for photo in photos])
    merged = len(photos) - len(np.unique(copy_groups(signatures)))
    half = len(photos) // 2
    known = int(is_copy_of(signatures[half:], signatures[:half]).sum())
    chosen = photos[:: max(1, len(photos) // _COPIED)]
    found = []
    for kind in COPIES:
        copies = np.stack([signature(encoded(photo, *kind)) for photo in chosen])
        found.append(float(is_copy_of(copies, signatures).mean()))
    return merged, known, found


def main() -> None:
    """Print one line for each collection."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--upright", type=Path, nargs="+", default=[])
    parser.add_argument("--labelled", type=Path, nargs="+", default=[])
    arguments = parser.parse_args()
    kinds = [f"q{quality}, {scale:.0%}{', mirrored' if mirrored else ''}" for quality, scale, mirrored in COPIES]
    print(f"| collection | photos | merged | second half known | {' | '.join(kinds)} |")
    print("|---" * (4 + len(COPIES)) + "|")
    collections = [(f"plates, {jitter:g} px off", [plate(i, jitter) for i in range(20)]) for jitter in (0, 0.5, 2)]
    collections += [(str(folder), photos_of(folder, upright=False)) for folder in arguments.folders]
    collections += [(f"{folder}, upright", photos_of(folder, upright=True)) for folder in arguments.upright]
    for name, photos in collections:
        merged, known, found = errors(photos)
        print(f"| {name} | {len(photos)} | {merged} | {known} | {' | '.join(f'{share:.0%}' for share in found)} |")
    for folder in arguments.labelled:
        signatures = np.stack([signature(read_image(path)) for path in list_images(folder)])
        print(f"{folder}: {len(signatures)} photos, {copy_groups(signatures).max() + 1} groups")


if __name__ == "__main__":
    main()
