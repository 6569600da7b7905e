"""The long axis of a part: its two edges along it, how far it is bent, and the thread that they show."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fastener.models.shape.outline import Outline

ROWS = 256
_COLUMNS = 160  # of the straightened picture
SECTIONS = 16
# A part is long from this ratio of the standard deviations of its border along and across its axis.
_LONG = 1.6
# Rows belong to the shank if their width differs from the median width by no more than this share. Its ends, by this
# share of its length, are left out: fillets and chamfers are no part of a straight shank.
_SHANK, _ENDS = 0.25, 1 / 14
_SHORTEST = ROWS // 5
# A bend is sought where at least a fifth of the shank lies on either side of it.
_HINGES = np.linspace(0.2, 0.8, 13)
# A head is at least this many times as wide as the shank, and this many rows long; its end and its base lie between
# these shares of its length, chamfers and fillets left out.
_HEAD, _SHORTEST_HEAD, _HEAD_PARTS = 1.2, 16, ((0.08, 0.35), (0.6, 0.9))
# Edges are measured from their mean over this many rows, two turns or more of a usual thread.
_WINDOW = 24
# Turns of a thread are sought between these lengths, in rows.
_PITCHES = (3.5, 26.0)


@dataclass(frozen=True)
class Profile:
    """Hold the two edges of a long part, row by row along its axis, in units of the outline's size.

    Attributes
    ----------
    at : ndarray of float64, (ROWS,)
        Position of each row along the axis, from the centroid; the heavier end comes first.
    left, right : ndarray of float64, (ROWS,)
        Position of the edges across the axis.
    shank : slice
        The longest run of rows of about the median width, without its ends; empty if it is too short to be judged.
    turn : complex
        Factor that turns the outline's curve so that its axis is real.
    """

    at: np.ndarray
    left: np.ndarray
    right: np.ndarray
    shank: slice
    turn: complex

    @property
    def has_shank(self) -> bool:
        """Whether the shank is long enough to be judged."""
        return bool(self.shank.stop > self.shank.start)

    @property
    def shank_width(self) -> float:
        """Median width of the shank."""
        return float(np.median((self.right - self.left)[self.shank]))


@dataclass(frozen=True)
class Bend:
    """Hold the angle between the two straight halves of a shank, and how far its rows lie off the first half.

    Attributes
    ----------
    degrees : float
        0 or more.
    away : ndarray of float64, (ROWS,)
        Distance of each row from the line of the first half, in units of the outline's size; 0 before the bend.
    """

    degrees: float
    away: np.ndarray


@dataclass(frozen=True)
class Thread:
    """Hold the thread that the edges of a shank show.

    Attributes
    ----------
    pitch : float
        Length of a turn, in shank widths; 0 where there is none.
    depth : ndarray of float64, (SECTIONS,)
        Height of the crests above the roots in each section of the shank, in shank widths.
    """

    pitch: float
    depth: np.ndarray


def profile_of(outline: Outline, cover: np.ndarray) -> Profile | None:
    """Measure the edges along the long axis where ``cover``, float32 (h, w), is a half; None without a long axis."""
    ratio, angle = _long_axis(outline.curve)
    if ratio < _LONG:
        return None
    turn = complex(np.exp(-1j * angle))
    if _third_moment(outline.curve * turn) < 0:
        turn = -turn
    z = outline.curve * turn
    low, high = float(z.real.min()), float(z.real.max())
    side = 1.1 * float(np.abs(z.imag).max())
    along, across = (high - low) / ROWS, 2 * side / _COLUMNS
    at = low + (np.arange(ROWS) + 0.5) * along
    # Row i and column j of the straightened picture show the point at[i] + i * ((j + 0.5) * across - side).
    back = np.conj(turn) * outline.size
    origin = outline.centre + back * complex(at[0], 0.5 * across - side)
    step_x, step_y = back * 1j * across, back * along
    matrix = np.array([[step_x.real, step_y.real, origin.real], [step_x.imag, step_y.imag, origin.imag]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    straight = cv2.warpAffine(cover, matrix, (_COLUMNS, ROWS), flags=flags, borderMode=cv2.BORDER_CONSTANT)
    left = (_first_half(straight) + 0.5) * across - side
    right = side - (_first_half(straight[:, ::-1]) + 0.5) * across
    width = right - left
    usual = float(np.median(width))
    near = np.abs(_mean_of(width, ROWS // 16) - usual) <= _SHANK * usual
    return Profile(at, left, right, _longest_run(near), turn)


def bend_of(profile: Profile) -> Bend:
    """Fit two straight lines that meet to the middle of the shank."""
    rows = profile.shank
    at, centre = profile.at[rows], ((profile.left + profile.right) / 2)[rows]
    hinges = at[0] + _HINGES * (at[-1] - at[0])
    past = at - hinges[:, None]
    design = np.stack([np.ones_like(past), past, np.maximum(past, 0)], axis=2)
    turned = design.transpose(0, 2, 1)
    lines = np.linalg.solve(turned @ design, turned @ centre[None, :, None])
    best = int(np.square(centre - (design @ lines)[..., 0]).sum(axis=1).argmin())
    found, hinge = lines[best, :, 0], hinges[best]
    degrees = float(np.rad2deg(np.arctan(found[1] + found[2]) - np.arctan(found[1])))
    return Bend(abs(degrees), np.abs(found[2]) * np.maximum(profile.at - hinge, 0))


def thread_of(profile: Profile) -> Thread:
    """Measure the thread by the regular waves of both edges along the shank (the spectrum of the profile)."""
    rows, width = profile.shank, profile.shank_width
    waves = np.stack([edge[rows] - _mean_of(edge, _WINDOW)[rows] for edge in (profile.left, profile.right)])
    power = _mean_of((waves**2).mean(axis=0), _WINDOW)
    sections = np.array([part.mean() for part in np.array_split(power, SECTIONS)])
    # A sine of height h from root to crest has the variance h^2 / 8.
    depth = np.sqrt(8 * sections) / width
    padded = 4 * ROWS
    spectrum = (np.abs(np.fft.rfft(waves * np.hanning(waves.shape[1]), padded)) ** 2).sum(axis=0)
    lengths = padded / np.maximum(np.arange(len(spectrum)), 1)
    spectrum[(lengths < _PITCHES[0]) | (lengths > _PITCHES[1])] = 0
    step = float(profile.at[1] - profile.at[0])
    return Thread(float(lengths[spectrum.argmax()]) * step / width, depth)


def flare_of(profile: Profile) -> float:
    """Measure how much wider the head is at its end than beside the shank, in shank widths; NaN without a head.

    The sides of a head are parallel, or widen as those of its fellows do; blows on its end spread that.
    """
    width = (profile.right - profile.left)[: profile.shank.start]
    head = width[width > _HEAD * profile.shank_width]
    if len(head) < _SHORTEST_HEAD:
        return float("nan")
    end, base = (head[round(low * len(head)) : round(high * len(head))] for low, high in _HEAD_PARTS)
    return float(np.median(end) - np.median(base)) / profile.shank_width


def _long_axis(curve: np.ndarray) -> tuple[float, float]:
    """Ratio of the standard deviations of a border along and across its long axis, and the axis's angle in radians."""
    squares = (curve**2).mean() - curve.mean() ** 2
    spread = float((np.abs(curve) ** 2).mean() - np.abs(curve.mean()) ** 2)
    lean = min(float(np.abs(squares)), spread * (1 - 1e-9))
    return float(np.sqrt((spread + lean) / (spread - lean))), float(np.angle(squares) / 2)


def _third_moment(z: np.ndarray) -> float:
    """Third moment of the enclosed area along the real axis: positive if its thin end points that way."""
    following = np.roll(z, -1)
    # Green's theorem: the integral of x^3 over the area is that of x^4 / 4 dy along its border.
    return float(((z.real + following.real) ** 4 / 64 * (following.imag - z.imag)).sum())


def _first_half(rows: np.ndarray) -> np.ndarray:
    """Find the column, to a fraction, where each row of (n, m) first reaches a half; the middle where none does."""
    over = rows > 0.5
    first = np.maximum(over.argmax(axis=1), 1)
    index = np.arange(len(rows))
    low, high = rows[index, first - 1], rows[index, first]
    place = first - 1 + np.clip((0.5 - low) / np.maximum(high - low, 1e-6), 0, 1)
    return np.asarray(np.where(over.any(axis=1), place, rows.shape[1] / 2 - 0.5))


def _mean_of(values: np.ndarray, window: int) -> np.ndarray:
    padded = np.pad(values, (window // 2, window - 1 - window // 2), mode="reflect")
    return np.asarray(np.convolve(padded, np.full(window, 1 / window), mode="valid"))


def _longest_run(near: np.ndarray) -> slice:
    borders = np.flatnonzero(np.diff(np.concatenate([[0], near.astype(np.int8), [0]])))
    starts, ends = borders[::2], borders[1::2]
    if not len(starts) or (ends - starts).max() < _SHORTEST:
        return slice(0, 0)
    longest = int((ends - starts).argmax())
    trim = round((ends[longest] - starts[longest]) * _ENDS)
    return slice(int(starts[longest] + trim), int(ends[longest] - trim))
