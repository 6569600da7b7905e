"""The flags of corrosion_analysis.py that describe the photos and the laboratory's test."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def add_photo_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that tell how file names are read, and how large a pixel is."""
    photos = parser.add_argument_group("photos")
    photos.add_argument(
        "--pattern",
        action="append",
        default=[],
        metavar="P",
        help="how files are named, such as '{component}_{hours}h[-{view}]'; fields: component, hours or days, view, "
        "sample, *; in [] what may be missing; may be given several times",
    )
    photos.add_argument(
        "--replicates",
        metavar="REGEX",
        help="which components are specimens of one lot: their names share what the first group matches, or all but "
        "what REGEX matches, such as '#[0-9]+'; shots = each shot number is a specimen",
    )
    photos.add_argument(
        "--zone",
        metavar="Z",
        help="significant surface on the T0 photos: 'left,top,right,bottom' or corners 'x,y x,y x,y' as shares of the "
        "photo, a mask image, or a folder of masks named as the T0 photos (default: the whole part)",
    )
    scale = photos.add_mutually_exclusive_group()
    scale.add_argument(
        "--mm-per-pixel", type=_positive, metavar="S", help="scale of the photos; the report then has areas in mm²"
    )
    scale.add_argument(
        "--scale-bar",
        type=_positive,
        metavar="MM",
        help="length in mm of the bar that the microscope draws near a border; the report then has areas in mm²",
    )


def add_lab_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the laboratory's test: its sheet, what it must show, and animations."""
    lab = parser.add_argument_group("laboratory")
    lab.add_argument(
        "--sheet", type=Path, metavar="FILE", help="YAML file: test, standard, operator, ... for the report"
    )
    lab.add_argument(
        "--require",
        metavar="TEXT",
        help="hours without corrosion, such as 'white 72, red 120'; a lot that does not show them gives exit code 1",
    )
    lab.add_argument("--gif", action="store_true", help="write an animation of each view, laid over its T0 photo")


def scale_of(arguments: argparse.Namespace) -> Callable[[Path], float | None] | None:
    """Return what tells mm per pixel of a photo; None if no scale is given."""
    if arguments.scale_bar is not None:
        from fastener.corrosion.areas import ScaleBars

        return ScaleBars(arguments.scale_bar)
    known: float | None = arguments.mm_per_pixel
    return None if known is None else lambda path: known


def without_scale(records: Sequence[Mapping[str, Any]]) -> str | None:
    """Say how many photos showed no scale bar; None if all did."""
    shots = [shot for record in records for point in record["timepoints"].values() for shot in point["shots"]]
    missing = [shot["path"] for shot in shots if shot.get("part_area_mm2") is None]
    if not missing:
        return None
    return (
        f"--scale-bar: no scale bar found in {len(missing)} of {len(shots)} photos, such as {missing[0]}; their areas "
        "are not in mm² (the bar is a plain horizontal line near the upper or lower border; else give --mm-per-pixel)"
    )


def requirement_lines(report: Mapping[str, Any]) -> list[str]:
    """Say which lot, or component that belongs to none, meets what is required."""
    in_lots = {name for lot in report["lots"] for name in lot["specimens"]}
    judged = [(f"lot {lot['lot']}", lot["requirements"]) for lot in report["lots"]]
    judged += [
        (one["component"], one["requirements"]) for one in report["components"] if one["component"] not in in_lots
    ]
    return [
        f"{name}: {found['all'].upper()} ("
        + ", ".join(f"{kind} {found[kind]['hours']:g} h {found[kind]['outcome']}" for kind in report["required"])
        + ")"
        for name, found in judged
    ]


def all_pass(report: Mapping[str, Any]) -> bool:
    """Tell whether every component meets what is required, or nothing is."""
    return all(one["requirements"] is None or one["requirements"]["all"] == "pass" for one in report["components"])


def _positive(text: str) -> float:
    value = float(text)
    if not 0.0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a length above 0")
    return value
