"""Ask whether verdicts survive another camera: python benchmarks/corrosion_robustness.py --dir <series>

Changes the photos of the five real series in one way after another, each shot by an amount of its own, and prints a
Markdown table: of three time points of each component, at how many status and areas are still those seen by eye, within
a fifth of each limit or half a point. What is not, but holds a view that the report says it could not judge, is counted
on its own. ``--alike`` changes all shots of a series by one amount.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

from fastener.commands import cli
from fastener.config import Config
from fastener.corrosion.analysis import Analyser, TimePoint
from fastener.corrosion.severity import DEGRADING, STABLE
from fastener.datasets.components import Series, load_components
from fastener.datasets.images import read_image

HOURS = (24.0, 48.0, 72.0)
# Seen by eye at T24, T48 and T72: the status, and limits in percent. White and dark are of the view that has most; the
# bearing face of Nut Black is 0.8 of its view. ``white`` is the mean over the views. What is stable is at most a trace.
EXPECTED: Mapping[str, tuple[tuple[str, Mapping[str, tuple[float, float]]], ...]] = {
    "Bolt Allen Black": (
        (DEGRADING, {"red": (3.0, 10.0)}),
        (DEGRADING, {"red": (10.0, 40.0)}),
        (DEGRADING, {"red": (15.0, 45.0)}),
    ),
    "Bolt M5x0.8 Grey": (
        (STABLE, {"worst white": (0.0, 1.5)}),
        (DEGRADING, {"worst white": (5.0, 100.0), "worst dark": (10.0, 20.0)}),
        (DEGRADING, {"worst white": (5.0, 100.0)}),
    ),
    "Nut Black": (
        (STABLE, {}),
        (DEGRADING, {"worst white": (12.0, 28.0)}),
        (DEGRADING, {"worst white": (5.0, 28.0)}),
    ),
    "Nut Insert Black": ((STABLE, {}), (STABLE, {"white": (0.0, 1.5)}), (STABLE, {"white": (0.0, 1.5)})),
    "Washer Black": ((STABLE, {}), (STABLE, {}), (STABLE, {"white": (0.0, 1.0)})),
}
RUSTING = "Bolt Allen Black"

Photo = np.ndarray
Disturb = Callable[[Photo, np.random.Generator], Photo]


def _toned(photo: Photo, tone: Callable[[np.ndarray], np.ndarray]) -> Photo:
    table = np.clip(np.rint(255.0 * tone(np.arange(256) / 255.0)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(photo, table), np.uint8)


def _white_balance(photo: Photo, draw: np.random.Generator) -> Photo:
    planes = cv2.split(photo)
    scaled = [cv2.convertScaleAbs(one, alpha=gain) for one, gain in zip(planes, draw.uniform(0.9, 1.1, 3), strict=True)]
    return np.asarray(cv2.merge(scaled), np.uint8)


def _gain(photo: Photo, draw: np.random.Generator) -> Photo:
    gain = draw.uniform(0.75, 1.2)
    return _toned(photo, lambda values: gain * values)


def _gamma(photo: Photo, draw: np.random.Generator) -> Photo:
    gamma = draw.uniform(0.85, 1.15)
    return _toned(photo, lambda values: np.asarray(values**gamma))


def _smaller(photo: Photo, draw: np.random.Generator) -> Photo:
    factor = draw.uniform(0.5, 0.8)
    return np.asarray(cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


def _compressed(photo: Photo, draw: np.random.Generator) -> Photo:
    return np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR), np.uint8
    )


def _blurred(photo: Photo, draw: np.random.Generator) -> Photo:
    return np.asarray(cv2.GaussianBlur(photo, (0, 0), draw.uniform(0.8, 2.0) * max(photo.shape) / 1920), np.uint8)


def _noisy(photo: Photo, draw: np.random.Generator) -> Photo:
    noise = draw.uniform(2.0, 6.0) * draw.standard_normal(photo.shape, np.float32)
    return np.asarray(np.clip(np.rint(photo + noise), 0, 255), np.uint8)


def turned(photo: Photo, degrees: float) -> Photo:
    """Turn a whole photo, uint8 RGB (H, W, 3), on a larger sheet of its own background."""
    height, width = photo.shape[:2]
    move = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    cos, sin = abs(move[0, 0]), abs(move[0, 1])
    size = int(width * cos + height * sin), int(width * sin + height * cos)
    move[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    border = np.concatenate([photo[0], photo[-1], photo[:, 0], photo[:, -1]])
    ground = tuple(float(value) for value in np.median(border, axis=0))
    return np.asarray(cv2.warpAffine(photo, move, size, borderMode=cv2.BORDER_CONSTANT, borderValue=ground), np.uint8)


def _turned(photo: Photo, draw: np.random.Generator) -> Photo:
    return turned(photo, draw.uniform(-20.0, 20.0))


def _cropped(photo: Photo, draw: np.random.Generator) -> Photo:
    height, width = photo.shape[:2]
    top, left = (int(share * side) for share, side in zip(draw.uniform(0.0, 0.1, 2), (height, width), strict=True))
    return np.ascontiguousarray(photo[top : top + round(0.9 * height), left : left + round(0.9 * width)])


def _mirrored(photo: Photo, draw: np.random.Generator) -> Photo:
    return np.ascontiguousarray(photo[:, ::-1])


def _everything(photo: Photo, draw: np.random.Generator) -> Photo:
    for change in (_white_balance, _gain, _gamma, _turned, _smaller, _blurred, _noisy, _compressed):
        photo = change(photo, draw)
    return photo


DISTURBANCES: Mapping[str, Disturb] = {
    "as they are": lambda photo, draw: photo,
    "white balance by 10 %": _white_balance,
    "exposure by 0.75 to 1.2": _gain,
    "gamma of 0.85 to 1.15": _gamma,
    "0.5 to 0.8 of the pixels": _smaller,
    "JPEG of quality 60": _compressed,
    "blur of 0.8 to 2 px": _blurred,
    "noise of 2 to 6 grey values": _noisy,
    "turned by up to 20 degrees": _turned,
    "a tenth of the background cut off": _cropped,
    "the whole series mirrored": _mirrored,
    "all but the last two at once": _everything,
}


def main() -> int:
    """Change the series in one way after another, and print how many time points hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="folder of the five real series")
    parser.add_argument("--seed", type=int, default=7, help="which amounts are drawn (default: 7)")
    parser.add_argument("--alike", action="store_true", help="change all shots of a series by one amount")
    parser.add_argument("--only", default="", help="only changes whose names hold this text")
    arguments = parser.parse_args()
    analyse = Analyser(None, Config().corrosion, Config().colour)
    every = {one.component: one for one in load_components(arguments.dir)[0]}
    print(f"| change | {' | '.join(EXPECTED)} |")
    print(f"|---{'|---' * len(EXPECTED)}|")
    for name, change in DISTURBANCES.items():
        if arguments.only in name:
            cells = [
                _cell(analyse, every[component], change, arguments.seed, arguments.alike) for component in EXPECTED
            ]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return cli.EXIT_OK


def _cell(analyse: Analyser, series: Series, change: Disturb, seed: int, alike: bool) -> str:
    """Sum up one component: how many time points hold, and what is wrong at the rest."""
    with tempfile.TemporaryDirectory() as folder:
        shots = []
        for index, shot in enumerate(series.shots):
            draw = np.random.default_rng([seed, zlib.crc32(series.component.encode()), 0 if alike else index])
            path = Path(folder) / f"{shot.path.stem}.png"
            photo = change(read_image(shot.path), draw)[..., ::-1]
            cv2.imwrite(str(path), photo, [cv2.IMWRITE_PNG_COMPRESSION, 1])
            shots.append(replace(shot, path=path))
        points = {point.hours: point for point in analyse(Series(series.component, tuple(shots))).points}
    held, unjudged, wrong = 0, 0, []
    for index, hours in enumerate(HOURS):
        found = failings(points[hours], series.component, index, tolerance=0.2)
        held += not found
        if (
            found
            and points[hours].status != DEGRADING
            and any(one.baseline_index is None for one in points[hours].shots)
        ):
            unjudged += 1
        elif found:
            wrong.append(f"T{hours:g}: {', '.join(found)}")
    rest = [*([f"{unjudged} not judged"] if unjudged else []), *wrong]
    return f"{held} ({';'.join(rest)})" if rest else str(held)


def failings(point: TimePoint, component: str, index: int, *, tolerance: float = 0.0) -> list[str]:
    """List what differs from ``EXPECTED`` of time point number ``index``: status, red where none is, and areas.

    ``tolerance`` widens each limit by that share of itself, and by half a point at least unless it is 0.
    """
    status, limits = EXPECTED[component][index]
    found = [] if point.status == status else [str(point.status)]
    if status == STABLE and point.verdict.severity not in ("None", "Trace"):
        found.append(point.verdict.severity)
    if component != RUSTING and point.verdict.is_rusting:
        found.append(f"red {point.rust:.1f}")
    surfaces = [shot.surface for shot in point.shots if shot.surface is not None]
    figures = {
        "red": point.rust,
        "white": point.white or 0.0,
        "worst white": max((one.white for one in surfaces), default=0.0),
        "worst dark": max((one.dark for one in surfaces), default=0.0),
    }
    for name, (low, high) in limits.items():
        wider = [max(tolerance * limit, 0.5 if tolerance else 0.0) for limit in (low, high)]
        if not low - wider[0] <= figures[name] <= high + wider[1]:
            found.append(f"{name} {figures[name]:.1f}")
    return found


if __name__ == "__main__":
    cli.run(main)
