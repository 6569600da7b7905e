"""CIELab and the weight-free filters: known colours, known gratings, known symmetries."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastener.models.cielab import rgb_to_lab
from fastener.models.feature_extractor import FeatureExtractor, filter_extractor
from fastener.models.gabor_filters import STRIDE, GaborFilters, gabor_kernels

FLOOR = 0.003
N_CHANNELS = 5 * 8 + 5 * 2 + 6 * 32 + 2 * 3


def noise(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3)).astype(np.uint8)


def as_tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255


def filters(images: np.ndarray) -> torch.Tensor:
    with torch.inference_mode():
        return GaborFilters(FLOOR)(as_tensor(images))


def grating(angle: float, period: float = 4.0, size: int = 96) -> np.ndarray:
    """A grey wave that varies along ``angle`` (radians, x right, y down)."""
    y, x = np.mgrid[:size, :size]
    wave = np.cos(2 * np.pi / period * (x * np.cos(angle) + y * np.sin(angle)))
    return np.repeat(np.rint(128 + 60 * wave)[None, ..., None], 3, 3).astype(np.uint8)


# CIELab


def lab_by_the_book(rgb: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1 and CIE 15 in float64, for colours (n, 3) in [0, 1]."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    ratio = linear @ matrix.T / [0.95047, 1.0, 1.08883]
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def lab(colours: np.ndarray) -> np.ndarray:
    image = torch.from_numpy(colours.astype(np.float32)).T[None, :, None]
    return rgb_to_lab(image)[0, :, 0].T.numpy()


def test_lab_by_the_book_and_by_opencv() -> None:
    levels = np.linspace(0, 1, 9)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
    np.testing.assert_allclose(lab(colours), lab_by_the_book(colours), atol=0.02)
    opencv = cv2.cvtColor(colours[None].astype(np.float32), cv2.COLOR_RGB2Lab)[0]
    np.testing.assert_allclose(lab(colours), opencv, atol=0.5)  # OpenCV interpolates in a table


def test_lab_of_known_colours() -> None:
    colours = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]])
    expected = [[100.0, 0.0, 0.0], [0.0, 0.0, 0.0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]]
    np.testing.assert_allclose(lab(colours), expected, atol=0.05)


def test_greys_have_no_chroma() -> None:
    greys = np.repeat(np.arange(256)[:, None] / 255, 3, 1)
    assert np.abs(lab(greys)[:, 1:]).max() < 0.01
    assert (np.diff(lab(greys)[:, 0]) > 0).all()


# Kernels


@pytest.mark.parametrize("orientations", [4, 8])
def test_kernels_have_zero_mean_and_one_strength(orientations: int) -> None:
    kernels = gabor_kernels(orientations)
    assert kernels.shape == (2 * orientations, 1, 9, 9)
    assert kernels.sum((1, 2, 3)).abs().max() < 1e-6
    peaks = []
    for index in range(orientations):
        angle = math.pi * index / orientations
        y, x = np.mgrid[-4:5, -4:5]
        wave = np.exp(0.5j * math.pi * (x * math.cos(angle) + y * math.sin(angle)))
        complex_kernel = kernels[2 * index, 0].numpy() + 1j * kernels[2 * index + 1, 0].numpy()
        peaks.append(abs((complex_kernel.conj() * wave).sum()))
    np.testing.assert_allclose(peaks, 1.0, atol=0.05)  # of unit L1 norm: a wave of their own passes whole


@pytest.mark.parametrize("index", range(8))
def test_a_grating_lights_its_own_orientation(index: int) -> None:
    response = filters(grating(math.pi * index / 8))[0, :, 4:-4, 4:-4]
    first_octave = response[:8].mean((1, 2))
    assert first_octave.argmax() == index
    octaves = [response[at : at + 8].mean((1, 2))[index] for at in octave_starts()]
    assert np.argmax(octaves) == 0
    opposite = first_octave[(index + 4) % 8]
    assert first_octave[index] - opposite > math.log(20)


@pytest.mark.parametrize("shift", range(3))
def test_the_response_is_half_the_amplitude_whatever_the_phase(shift: int) -> None:
    """A real wave of amplitude A is two complex ones of A / 2, and the kernel passes one of them."""
    image = np.roll(grating(0.0), shift, axis=2)
    lightness = lab_by_the_book(image[0, 0, :4] / 255)[:, 0] / 50
    amplitude = 2 * abs(np.fft.fft(lightness)[1]) / 4
    response = filters(image)[0, 0, 4:-4, 4:-4]
    np.testing.assert_allclose(response.numpy(), math.log(amplitude / 2 + FLOOR), atol=0.02)


@pytest.mark.parametrize("octave", range(4))
def test_a_longer_wave_lights_a_later_octave(octave: int) -> None:
    response = filters(grating(0.0, period=4.0 * 2**octave, size=256))[0, :, 8:-8, 8:-8]
    energies = [response[at : at + 8].mean((1, 2))[0] for at in octave_starts()]
    assert np.argmax(energies) == octave


def octave_starts() -> list[int]:
    """First channel of L* in each octave: 8 orientations, a*, b*, then 2 x 32 of second order in the first three."""
    return [0, 74, 148, 222, 232]


# The whole network


@pytest.mark.parametrize("size", [(224, 224), (97, 131), (32, 32), (33, 260)])
def test_grid_covers_any_size(size: tuple[int, int]) -> None:
    features = filters(noise(1, *size))
    assert features.shape == (1, N_CHANNELS, -(-size[0] // STRIDE), -(-size[1] // STRIDE))
    assert torch.isfinite(features).all()


@pytest.mark.parametrize("colour", [(128, 128, 128), (200, 90, 30), (0, 0, 0)])
@pytest.mark.parametrize("size", [(64, 64), (97, 131)])
def test_a_flat_image_is_the_same_everywhere(colour: tuple[int, int, int], size: tuple[int, int]) -> None:
    features = filters(np.full((1, *size, 3), colour, np.uint8))[0]
    assert (features - features[:, :1, :1]).abs().max() < 2e-2
    moduli, colours = features[:-6], features[-6:]
    assert (moduli - math.log(FLOOR)).abs().max() < 2e-2
    expected = lab_by_the_book(np.array([colour]) / 255)[0] / 50
    np.testing.assert_allclose(colours[:, 0, 0].numpy(), np.tile(expected, 2), atol=1e-3)
    assert (colours - colours[:, :1, :1]).abs().max() < 1e-5


def test_a_batch_equals_its_images() -> None:
    images = noise(3, 72, 88)
    together = filters(images)
    for index in range(3):
        torch.testing.assert_close(together[index : index + 1], filters(images[index : index + 1]), atol=2e-5, rtol=0)


def test_mirroring_the_photo_mirrors_the_features() -> None:
    """Left and right change places; orientation k becomes 8 - k. The tiles fit, so this is exact but for rounding."""
    image = cv2.GaussianBlur(noise(1, 64, 64)[0], (0, 0), 1.0)[None]
    plain, mirrored = filters(image)[0], filters(image[:, :, ::-1].copy())[0].flip(2)
    swap = [(-index) % 8 for index in range(8)]
    torch.testing.assert_close(mirrored[:8], plain[:8][swap], atol=1e-4, rtol=0)
    torch.testing.assert_close(mirrored[-6:], plain[-6:], atol=1e-4, rtol=0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.integers(32, 70), st.integers(32, 70))
def test_flat_images_of_any_colour_are_finite(red: int, green: int, blue: int, height: int, width: int) -> None:
    features = filters(np.full((1, height, width, 3), (red, green, blue), np.uint8))
    assert torch.isfinite(features).all()
    assert features[:, :-6].min() >= math.log(FLOOR)


# Standardised by the extractor


def fitted(training: np.ndarray, colour_weight: float = 0.0) -> tuple[FeatureExtractor, torch.Tensor]:
    extractor = filter_extractor(FLOOR, 3, colour_weight=colour_weight)
    features = extractor(training)
    return extractor, extractor.fit(features.reshape(-1, features.shape[-1]))


def test_each_channel_is_standardised_on_the_training_photos() -> None:
    training = np.concatenate([noise(2, 64, 64), grating(0.3, 7.0, 64), grating(1.2, 19.0, 64)])
    extractor, rows = fitted(training)
    raw = filter_extractor(FLOOR, 3)(training).reshape(-1, N_CHANNELS).double()
    expected = (raw - raw.mean(0)) / raw.std(0).clamp_min(0.05)
    torch.testing.assert_close(rows.double(), expected, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(extractor(training).reshape(rows.shape), rows, atol=1e-5, rtol=0)


@pytest.mark.parametrize("colour_weight", [0.0, 4.0])
def test_grey_photos_do_not_magnify_rounding(colour_weight: float) -> None:
    """All channels of colour are constant but for rounding; a new grey photo must not look strange in them."""
    grey = np.repeat(noise(5, 64, 64)[..., :1], 3, 3)
    grey = np.stack([cv2.GaussianBlur(image, (0, 0), 2.0) for image in grey])
    extractor, rows = fitted(grey[:4], colour_weight)
    assert rows.abs().max() < 12
    assert extractor(grey[4:]).abs().max() < 12
    a_and_b = slice(N_CHANNELS - 5, N_CHANNELS - 3)
    assert extractor(grey[4:])[..., a_and_b].abs().max() < 0.1
    rusty = grey[4:].copy()
    rusty[:, 20:40, 20:40] = (150, 80, 40)
    assert extractor(rusty)[..., a_and_b].abs().max() > 5
