"""Outlines as closed curves of complex numbers: sampling, size and place taken out, and the fit of one on others.

A curve z(t) is sampled at equal steps of arc length. Its discrete Fourier transform holds its elliptic Fourier
descriptors (Kuhl and Giardina, "Elliptic Fourier features of a closed contour", 1982): the best turn and starting point
of one curve on another follow from one product of transforms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

POINTS = 256
_FINER = 3  # fine pixels per pixel, a side
_SMOOTHING = 0.004  # reach of smoothing along the border, in parts of its length
_SHORTEST = 48  # fine pixels
_NEAR = 12  # points


@dataclass(frozen=True)
class Outline:
    """Hold the outline of a part without its place and size.

    Attributes
    ----------
    curve : ndarray of complex128, (POINTS,)
        Points x + iy in units of ``size``, from the centroid of the enclosed area, clockwise as seen on screen.
    centre : complex
        Centroid in pixels.
    size : float
        Square root of the enclosed area, in pixels.
    """

    curve: np.ndarray
    centre: complex
    size: float

    @property
    def pixels(self) -> np.ndarray:
        """The points in pixels, complex128 (POINTS,)."""
        return self.curve * self.size + self.centre


def outline_of(points: np.ndarray) -> Outline:
    """Sample a closed polygon, float (n, 2) as x and y in pixels, at equal steps. Raises ValueError without an area."""
    x, y = np.asarray(points, float).T
    z = x + 1j * y
    following = np.append(z[1:], z[0])
    cross = (z.conj() * following).imag
    area = float(cross.sum()) / 2
    if abs(area) < 1:
        raise ValueError("the outline encloses nothing")
    centre = complex(((z + following) * cross).sum() / (6 * area))
    if area < 0:
        z = z[::-1]
    size = float(np.sqrt(abs(area)))
    return Outline((_resampled(z) - centre) / size, centre, size)


def contour(cover: np.ndarray) -> np.ndarray:
    """Trace the outer border of the largest piece that covers more than half of its pixels: float64 (n, 2), x and y.

    ``cover`` is float32 (h, w), 0 to 1. The border lies where it is a half, to a fraction of a pixel. Raises ValueError
    if there is nothing to trace.
    """
    x, y, width, height = cv2.boundingRect((cover > 0.5).view(np.uint8))
    if not width:
        raise ValueError("the mask is empty")
    left, top = max(0, x - 2), max(0, y - 2)
    near = cover[top : y + height + 2, left : x + width + 2]
    fine = cv2.resize(near, None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_LINEAR)
    found, _ = cv2.findContours((fine > 0.5).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = (max(found, key=cv2.contourArea)[:, 0] + _FINER * np.array([left, top])).astype(np.float32)
    if len(largest) < _SHORTEST:
        raise ValueError("the mask is too small to have an outline")
    # Stair-steps go, corners as sharp as a thread's stay.
    reach = max(3, round(len(largest) * _SMOOTHING)) | 1
    padded = np.concatenate([largest[-reach:], largest, largest[:reach]])
    smooth = cv2.GaussianBlur(padded[None], (2 * reach + 1, 1), reach / 2)[0, reach:-reach]
    return np.asarray((smooth + 0.5) / _FINER - 0.5, float)


def fits(
    curve: np.ndarray, others: np.ndarray, spectra: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find how each of ``others``, complex (m, n), is laid best on ``curve``, complex (n,), by a turn alone.

    The results are the root mean square distance of corresponding points, (m,), the numbers of points by which
    ``others`` are shifted, int64 (m,), and the turns in radians, (m,): what ``laid`` takes. ``spectra``, the discrete
    Fourier transforms of ``others``, spare computing them again.
    """
    n = curve.shape[-1]
    spectra = np.fft.fft(others, axis=1) if spectra is None else spectra
    product = np.fft.ifft(np.fft.fft(curve)[None] * spectra.conj(), axis=1)
    shift = _squares(product).argmax(axis=1)
    best = product[np.arange(len(others)), shift]
    squares = _squares(curve).mean() + _squares(others).mean(axis=1) - 2 * np.abs(best) / n
    return np.sqrt(np.maximum(squares, 0)), shift, np.angle(best)


def typical(curves: np.ndarray) -> np.ndarray:
    """Choose the curve, complex (n,), that is nearest to all of ``curves``, complex (m, n)."""
    return np.asarray(curves[int(np.argmin([fits(curve, curves)[0].sum() for curve in curves]))])


def laid(other: np.ndarray, shift: int, turn: float) -> np.ndarray:
    """Lay a curve, complex (n,), on the one that ``fits`` compared it with: points of one number correspond."""
    return np.asarray(np.roll(other, shift) * np.exp(1j * turn))


def distances(curve: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Measure the distance of each point of ``curve`` from the polygon ``other`` near its own point: float64.

    ``curve`` is complex (n,), ``other`` (..., n) as the result is; points of one number correspond to within ``_NEAR``.
    """
    step = np.diff(other, axis=-1, append=other[..., :1])
    length = _near(np.maximum(_squares(step), 1e-12))
    x, y = curve.real - _near(other.real), curve.imag - _near(other.imag)
    scalar = x * _near(step.real) + y * _near(step.imag)
    along = np.clip(scalar / length, 0, 1)
    squares = x * x + y * y - along * (2 * scalar - along * length)
    return np.asarray(np.sqrt(np.maximum(squares.min(axis=-2), 0)))


def mirrored(curve: np.ndarray) -> np.ndarray:
    """Mirror a curve, complex (n,); it still runs clockwise."""
    return np.asarray(curve[::-1].conj())


def _near(values: np.ndarray) -> np.ndarray:
    """Values, (..., n), of the points up to ``_NEAR`` before and after those of a closed curve: (..., k, n)."""
    around = np.concatenate([values[..., -_NEAR:], values, values[..., :_NEAR]], axis=-1)
    return sliding_window_view(around, values.shape[-1], axis=-1)


def _squares(z: np.ndarray) -> np.ndarray:
    return np.asarray(z.real**2 + z.imag**2)


def _resampled(z: np.ndarray) -> np.ndarray:
    closed = np.append(z, z[0])
    travelled = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(closed)))])
    at = np.arange(POINTS) * travelled[-1] / POINTS
    return np.asarray(np.interp(at, travelled, closed.real) + 1j * np.interp(at, travelled, closed.imag))


def as_real(curves: np.ndarray) -> np.ndarray:
    """Write complex numbers (...) as pairs of real ones (..., 2), as model files hold them."""
    return np.stack([curves.real, curves.imag], axis=-1)


def as_complex(pairs: Any) -> np.ndarray:
    """Undo ``as_real``; ``pairs`` may be a tensor."""
    real = np.asarray(pairs)
    return np.asarray(real[..., 0] + 1j * real[..., 1])
