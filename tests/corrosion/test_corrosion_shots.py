"""What a shot keeps: no photo of full size, or memory would grow with the series."""

from __future__ import annotations

import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
from corrosion_factory import rendered, small_config, small_inspector, write_series

from fastener.corrosion.shots import view_shots
from fastener.datasets.components import load_components
from fastener.datasets.images import read_image
from fastener.preprocessing.pipeline import Preprocessor


def test_no_photo_of_full_size_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read: list[weakref.ref[np.ndarray]] = []

    def reading(path: Path, white_level: object = None) -> np.ndarray:
        photo = read_image(path, white_level)  # type: ignore[arg-type]
        read.append(weakref.ref(photo))
        return photo

    monkeypatch.setattr("fastener.corrosion.shots.read_image", reading)
    photos = [cv2.resize(part.image, (1600, 1200)) for part in rendered((0.0, 0.1))]
    write_series(tmp_path, "Bolt", photos, ["24", "24-1"])
    config, shots = small_config(), list(load_components(tmp_path)[0][0].shots)
    views, failures = view_shots(shots, Preprocessor(config.preprocess), small_inspector(), settings=config.corrosion)
    assert (len(views), failures) == (2, [])
    assert [one() is None for one in read] == [True, True]
    for view, photo in zip(views, photos, strict=True):
        assert view.photo.shape == (750, 1000, 3)
        np.testing.assert_allclose(view.to_photo @ [1599, 1199, 1], [999, 749], atol=0.5)
        assert np.abs(view.photo.mean(axis=(0, 1)) - photo.mean(axis=(0, 1))).max() < 1.0
