"""Small drawn stand-ins: six textures in the NEU layout, strips in the Severstal layout, settings to run on them."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from data_factory import save
from random_networks import random_state

from fastener.datasets.neu import CLASSES
from fastener.open_set.settings import DEFAULT_FILE

SIDE, STRIP = 48, (48, 200)


def texture(defect: str, seed: int, side: int = SIDE) -> np.ndarray:
    """One image of a class, uint8 RGB (side, side, 3): each class has a direction and a grain of its own."""
    place = CLASSES.index(defect)
    rng = np.random.default_rng([place, seed])
    angle, period = place * np.pi / 6, (3, 12, 5, 9, 4, 7)[place]
    y, x = np.mgrid[:side, :side]
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period + rng.uniform(0, 2 * np.pi))
    spots = cv2.GaussianBlur(rng.normal(0, 1, (side, side)), (0, 0), 1 + place / 3)
    grey = 128 + 45 * wave + 25 * spots / spots.std() + rng.uniform(-10, 10)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def strip(seed: int, cracked: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A steel strip, uint8 RGB (H, W, 3), and the mask of its crack, bool (H, W)."""
    rng = np.random.default_rng([99, seed])
    grey = 110 + 6 * rng.normal(size=STRIP)
    mask = np.zeros(STRIP, np.uint8)
    if cracked:
        column = int(rng.integers(20, STRIP[1] - 20))
        cv2.line(mask, (column, 5), (column + 12, STRIP[0] - 6), 1, 3)
    grey[mask > 0] = 20
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2), mask > 0


def write_neu(root: Path, per_class: int = 12) -> Path:
    """images/<class>/<class>_<n>.png"""
    for defect in CLASSES:
        for seed in range(per_class):
            save(texture(defect, seed), root / "images" / defect / f"{defect}_{seed}.png")
    return root


def runs_of(mask: np.ndarray) -> str:
    """Run-length encoding of bool (H, W), pixel by pixel down the columns, counted from 1."""
    runs: list[list[int]] = []
    for place in range(mask.size):
        if mask[place % mask.shape[0], place // mask.shape[0]]:
            if runs and runs[-1][0] + runs[-1][1] == place + 1:
                runs[-1][1] += 1
            else:
                runs.append([place + 1, 1])
    return " ".join(f"{start} {length}" for start, length in runs)


def write_severstal(root: Path, normal: int = 24, cracked: int = 4) -> Path:
    """train_images/*.png and train.csv."""
    rows = []
    for seed in range(normal + cracked):
        photo, mask = strip(seed, seed >= normal)
        name = save(photo, root / "train_images" / f"{seed:03}.png").name
        if mask.any():
            rows.append((name, 3, runs_of(mask)))
    with (root / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("ImageId", "ClassId", "EncodedPixels"), *rows])
    return root


def write_weights(path: Path) -> Path:
    """A ResNet-18 as it is drawn before training, in a file."""
    state = {key: tensor.numpy() for key, tensor in random_state("resnet18").items()}
    np.savez(path, allow_pickle=False, **state)
    return path


def flags(neu: Path, severstal: Path, weights: Path, output: Path) -> list[str]:
    """What open_set_recognition.py takes to run on these in seconds."""
    settings = {
        "classifier.backbone": "resnet18",
        "classifier.size": 48,
        "classifier.epochs": 1,
        "steel.backbone": "filters",
        "steel.size": 48,
        "steel.coreset_ratio": 0.05,
        "run.workers": 0,
    }
    named = ["--neu-root", neu, "--severstal-root", severstal, "--weights", weights, "--output", output]
    assigned = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return ["--config", str(DEFAULT_FILE), *map(str, named), *assigned, "--device", "cpu"]


def noise_in_place_of(path: Path, seed: int) -> np.ndarray:
    """An image that shows nothing, unlike any other, uint8 RGB (SIDE, SIDE, 3)."""
    return np.random.default_rng([*path.name.encode(), seed]).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
