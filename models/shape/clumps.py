"""Which known parts a clump of touching parts consists of: their outlines are laid into it until they cover it.

Analysis by synthesis. The parts of a set of kinds are laid into the clump one after the other, each at all angles and
places at once (by Fourier transforms); the best few arrangements are followed, and the best one of all parts is moved
until it fits no better. What is left uncovered then, covered twice, or covered beside the clump says how badly that set
of kinds explains it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import cv2
import numpy as np

_SMALL = 24.0  # pixels; the smallest kind is drawn with the area of a square of this side
_TURNS = 48  # angles at which a part is tried
_MOST_PARTS = 4
_AREA = 0.15  # greatest difference of a clump's area from that of its parts, in parts of it
_BEAM = 5  # arrangements that are followed
_ALIKE, _TRIES = 0.85, 4  # places that cover this share of each other are one; places tried for each one of a beam
_NEAR = 2  # pixels and steps of the angle round a place in which no other is sought
_MAYBE = 0.5  # how welcome a part is where it may lie or not, beside 1 within the clump
_BESIDE = 0.6  # smallest parts; arrangements that cover more than this beside the clump are dropped
_STEPS = (1.5, 0.7, 0.35)  # pixels by which parts, or their ends in a turn, are moved in the end
_ROUNDS = 3
_FINE, _BITS = 3, 4  # fine pixels a pixel, and bits of the fraction of a fine pixel, in drawing
_MARGIN = 8

Place = tuple[float, complex]  # angle in radians, and centre in pixels


@dataclass(frozen=True)
class Clump:
    """Hold a connected piece of a photo's mask.

    Attributes
    ----------
    number : int
        The same for all parts that were cut out of this piece, and for no other of the photo.
    mask : ndarray of uint8, (h, w)
        2 for a pixel of the piece; 1 for one within it that looks like ground, in which a part may lie or not.
    zoom : float
        Pixels of the mask per photo pixel.
    """

    number: int
    mask: np.ndarray
    zoom: float


@dataclass(frozen=True)
class Explanation:
    """Hold the kinds that may make up a clump, in order, and the area that does not fit, in smallest parts."""

    kinds: tuple[int, ...]
    misfit: float


class Moulds:
    """Lay outlines into clumps.

    Parameters
    ----------
    outlines : sequence of (ndarray of complex, (n,), and float)
        For each kind a typical outline of area 1, see ``Outline``, and the square root of its area in photo pixels.
    """

    def __init__(self, outlines: Sequence[tuple[np.ndarray, float]]):
        self.scale = _SMALL / min(size for _, size in outlines)
        self.curves = [curve * size * self.scale for curve, size in outlines]
        self.areas = np.square([size * self.scale for _, size in outlines])
        self._spectra: dict[tuple[int, int], np.ndarray] = {}

    def explain(self, clump: Clump) -> list[Explanation]:
        """Try each set of up to four parts whose area fits; the best first."""
        want = self._wanted(clump)
        least = float(np.maximum(want, 0).sum())
        most = least + np.count_nonzero(want == 0)
        empty = _Arrangement((), np.where(want == 0, _MAYBE, want).astype(np.float32), 0.0, 0.0)
        known: dict[tuple[int, ...], list[_Arrangement]] = {(): [empty]}
        found = []
        largest_first = np.argsort(-self.areas, kind="stable").tolist()
        for count in range(1, _MOST_PARTS + 1):
            for kinds in combinations_with_replacement(largest_first, count):
                fits = (1 - _AREA) * least <= self.areas[list(kinds)].sum() <= (1 + _AREA) * most
                if fits and (arranged := self._arranged(kinds, known)):
                    misfit = self._moved(kinds, arranged[0].places, want) / _SMALL**2
                    found.append(Explanation(tuple(sorted(kinds)), misfit))
        return sorted(found, key=lambda one: one.misfit)

    def _wanted(self, clump: Clump) -> np.ndarray:
        """Draw the clump: float32 (n, n), 1 within, 0 where a part may lie or not, -1 outside."""
        scale = self.scale / clump.zoom
        width, height = (max(1, round(side * scale)) for side in clump.mask.shape[::-1])
        solid, whole = (
            cv2.resize((clump.mask >= least).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
            for least in (2, 1)
        )
        n = cv2.getOptimalDFTSize(max(width, height) + _MARGIN)
        want = np.full((n, n), -1, np.float32)
        top, left = (n - height) // 2, (n - width) // 2
        want[top : top + height, left : left + width] = np.where(whole - solid > 0.5, 0, 2 * whole - 1)
        return want

    def _arranged(self, kinds: tuple[int, ...], known: dict[tuple[int, ...], list[_Arrangement]]) -> list[_Arrangement]:
        """Lay parts of these kinds one after the other; the best arrangements, the very best first."""
        if kinds not in known:
            found = [new for one in self._arranged(kinds[:-1], known) for new in self._added(one, kinds[-1])]
            kept = [one for one in found if one.beside <= _BESIDE * _SMALL**2]
            known[kinds] = sorted(kept, key=lambda one: -one.score)[:_BEAM]
        return known[kinds]

    def _added(self, arrangement: _Arrangement, kind: int) -> Iterator[_Arrangement]:
        """Lay one more part at each of its best places."""
        want = arrangement.want
        n = len(want)
        fit = np.fft.irfft2(np.fft.rfft2(want) * self._spectrum(kind, n), s=(n, n))
        chosen: list[np.ndarray] = []
        for _ in range(_TRIES * _BEAM):
            turn, row, column = (int(i) for i in np.unravel_index(int(fit.argmax()), fit.shape))
            place = (2 * np.pi * turn / _TURNS, complex((column + n // 2) % n, (row + n // 2) % n))
            cover = self._drawn(kind, place, n)
            # A round part fits one place at all angles.
            if not any(float((cover * other).sum()) > _ALIKE * self.areas[kind] for other in chosen):
                chosen.append(cover)
                yield _Arrangement(
                    (*arrangement.places, place),
                    np.where(want > 0, want * (1 - 2 * cover), want).astype(np.float32),
                    arrangement.score + float(fit[turn, row, column]),
                    arrangement.beside - float((cover * np.minimum(want, 0)).sum()),
                )
            if len(chosen) == _BEAM:
                break
            near = (np.arange(at - _NEAR, at + _NEAR + 1) for at in (turn, row, column))
            fit[np.ix_(*(at % size for at, size in zip(near, fit.shape, strict=True)))] = -np.inf

    def _spectrum(self, kind: int, n: int) -> np.ndarray:
        """Conjugate transforms of a part in the middle at each angle: complex64 (turns, n, n // 2 + 1)."""
        if (kind, n) not in self._spectra:
            middle = complex(n // 2, n // 2)
            drawn = [self._drawn(kind, (2 * np.pi * turn / _TURNS, middle), n) for turn in range(_TURNS)]
            self._spectra[kind, n] = np.fft.rfft2(np.stack(drawn)).conj().astype(np.complex64)
        return self._spectra[kind, n]

    def _drawn(self, kind: int, place: Place, n: int) -> np.ndarray:
        """Draw a part: float32 (n, n), the share of each pixel that it covers."""
        points = self.curves[kind] * np.exp(1j * place[0]) + place[1]
        at = (np.stack([points.real, points.imag], axis=-1) + 0.5) * _FINE - 0.5
        fine = np.zeros((_FINE * n, _FINE * n), np.uint8)
        cv2.fillPoly(fine, [np.rint(at * 2**_BITS).astype(np.int32)], 255, shift=_BITS)
        return np.asarray(cv2.resize(fine, (n, n), interpolation=cv2.INTER_AREA), np.float32) / 255

    def _moved(self, kinds: Sequence[int], start: Sequence[Place], want: np.ndarray) -> float:
        """Move parts until they fit no better; return the area that does not fit, in pixels."""
        places = list(start)
        covers = [self._drawn(kind, place, len(want)) for kind, place in zip(kinds, places, strict=True)]
        best = _misfit(want, covers)
        for step in (step for step in _STEPS for _ in range(_ROUNDS)):
            for i, kind in enumerate(kinds):
                turn = step / float(np.abs(self.curves[kind]).max())
                for angle, shift in ((turn, 0), (-turn, 0), (0, step), (0, -step), (0, 1j * step), (0, -1j * step)):
                    place = (places[i][0] + angle, places[i][1] + shift)
                    cover = self._drawn(kind, place, len(want))
                    now = _misfit(want, [*covers[:i], cover, *covers[i + 1 :]])
                    if now < best:
                        best, places[i], covers[i] = now, place, cover
        return best


@dataclass(frozen=True)
class _Arrangement:
    """Hold places of parts in a clump, what they leave to cover (n, n), their score, and the area beside the clump."""

    places: tuple[Place, ...]
    want: np.ndarray
    score: float
    beside: float


def _misfit(want: np.ndarray, covers: Sequence[np.ndarray]) -> float:
    """Area that is uncovered, covered twice, or covered beside the clump, in pixels."""
    cover = np.sum(covers, axis=0)
    return float(np.abs(cover - np.where(want == 0, np.minimum(cover, 1), (want + 1) / 2)).sum())


def shared(kinds: Sequence[int], sizes: Sequence[float], areas: np.ndarray) -> list[tuple[int, ...]]:
    """Share the ``kinds`` of a clump's parts among the pieces of these ``sizes`` that it was cut into, by their order.

    ``areas`` (kinds,) are those of each kind. If the numbers differ the first piece is given all kinds.
    """
    if len(kinds) != len(sizes):
        return [tuple(kinds), *[()] * (len(sizes) - 1)]
    ordered = sorted(kinds, key=lambda kind: float(areas[kind]))
    return [(ordered[rank],) for rank in np.argsort(np.argsort(sizes)).tolist()]
