"""Small categories in the MVTec layout, drawn: a striped plate, with a bright blot as its defect."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def plate(seed: int, size: tuple[int, int] = (96, 120)) -> np.ndarray:
    """A healthy plate, uint8 RGB (H, W, 3)."""
    rng = np.random.default_rng(seed)
    columns = np.arange(size[1]) + rng.uniform(0, 12)
    stripes = 120 + 40 * np.sin(columns / 12 * 2 * np.pi)
    grey = np.broadcast_to(stripes, size) + rng.normal(0, 3, size)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def blot(image: np.ndarray, centre: tuple[int, int], radius: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """The image with a bright blot, and the blot's mask, bool (H, W)."""
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.circle(mask, centre, radius, 1, -1)
    spoiled = image.copy()
    spoiled[mask > 0] = 250
    return spoiled, mask > 0


def write_category(
    folder: Path, n_train: int = 8, n_good: int = 4, n_defect: int = 4, masks: bool = True, suffix: str = ".png"
) -> Path:
    """train/good, test/good, test/blot and test/big_blot with their masks."""
    _write(folder / "train/good", [plate(seed) for seed in range(n_train)], suffix)
    _write(folder / "test/good", [plate(100 + seed) for seed in range(n_good)], suffix)
    for offset, (defect, radius) in enumerate({"blot": 8, "big_blot": 14}.items()):
        spoiled = [
            blot(plate(200 + 50 * offset + seed), (30 + 12 * (seed % 5), 40), radius) for seed in range(n_defect)
        ]
        _write(folder / "test" / defect, [image for image, _ in spoiled], suffix)
        if masks:
            pictures = [np.repeat(mask[..., None] * np.uint8(255), 3, axis=2) for _, mask in spoiled]
            _write(folder / "ground_truth" / defect, pictures, "_mask.png")
    return folder


def _write(folder: Path, images: list[np.ndarray], ending: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number:03}{ending}"), image[..., ::-1])
