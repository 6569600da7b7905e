"""Define the flags of benchmark.py's sub-commands. This module imports neither torch nor numpy, so --help is fast."""

from __future__ import annotations

import argparse
from pathlib import Path

QUESTIONS = {
    "coreset": "time, cover radius and growth of selecting patches: exact, projected, and by the textbook loop",
    "fit": "time of each stage and memory of fitting from image files, and how both grow",
    "search": "speed, memory and recall of each kind of index",
    "memory": "peak memory of fitting and inspecting",
    "peers": "comparison with anomalib and amazon-science/patchcore-inspection in one run",
}


def add_questions(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add one sub-command for each question; its module is benchmarks/<question>.py."""
    parsers = {}
    for question, text in QUESTIONS.items():
        parsers[question] = commands.add_parser(question, help=text, description=text[0].upper() + text[1:] + ".")
        parsers[question].set_defaults(question=question)
        _add_common(parsers[question], needs_category=question in ("memory", "peers"), or_drawn=question == "fit")
    _add_coreset(parsers["coreset"])
    _add_search(parsers["search"])
    for question in ("fit", "memory", "peers"):
        parsers[question].add_argument("--photos", type=_count, metavar="N", help="use at most N photos (default: all)")
    parsers["fit"].add_argument("--plot", type=Path, metavar="FILE", help="plot of the growth, .png or .pdf")
    _add_peers(parsers["peers"])


def _add_common(parser: argparse.ArgumentParser, needs_category: bool, or_drawn: bool) -> None:
    photos = parser.add_mutually_exclusive_group(required=needs_category or or_drawn)
    photos.add_argument("--category-dir", type=Path, metavar="D", help="an MVTec category's folder")
    if or_drawn:
        photos.add_argument("--textures", type=_count, metavar="N", help="draw N textures instead")
    parser.add_argument("--weights", type=Path, metavar="F", help="weights of ResNet-18, if not in a standard place")
    rule = "; auto = the settings' rule" if or_drawn else ""
    parser.add_argument(
        "--keep",
        type=_share_or_rule if or_drawn else _share,
        default=0.1,
        metavar="R",
        help=f"share of patches kept{rule} (default: 0.1)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file, too")


def _add_coreset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--features", type=Path, metavar="F", help="array (n, d) in a .npy file (default: random features)"
    )
    parser.add_argument(
        "--n", type=_count, default=60000, metavar="N", help="largest number of patches (default: 60000)"
    )
    parser.add_argument(
        "--dim", type=_count, default=384, metavar="N", help="length of a random feature (default: 384)"
    )
    parser.add_argument(
        "--projection", type=_count, default=128, metavar="N", help="length of a projected feature (default: 128)"
    )
    parser.add_argument(
        "--textbook",
        type=int,
        default=20000,
        metavar="N",
        help="run the textbook loop on up to N patches (default: 20000)",
    )
    parser.add_argument("--repeat", type=_count, default=3, metavar="N", help="rounds; the median counts (default: 3)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--seed", type=int, default=0, help="seed of random features (default: 0)")


def _add_search(parser: argparse.ArgumentParser) -> None:
    kinds = ("flat", "ivf", "hnsw", "pq")
    parser.add_argument("--n", type=_count, default=200000, metavar="N", help="rows of the bank (default: 200000)")
    parser.add_argument("--dim", type=_count, default=256, metavar="N", help="length of a row (default: 256)")
    parser.add_argument("--images", type=_count, default=16, metavar="N", help="number of query images (default: 16)")
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds, help="kinds of index (default: all)")
    parser.add_argument("--repeat", type=_count, default=3, metavar="N", help="rounds; the median counts (default: 3)")


def _add_peers(parser: argparse.ArgumentParser) -> None:
    only = ("coreset", "fit", "inspect", "wait")
    parser.add_argument("--anomalib-python", type=Path, metavar="P", help="python of an environment with anomalib")
    parser.add_argument("--amazon-dir", type=Path, metavar="D", help="a clone of amazon-science/patchcore-inspection")
    parser.add_argument("--only", nargs="+", choices=only, default=only, help="tasks to compare (default: all)")
    parser.add_argument(
        "--n",
        type=_count,
        nargs="+",
        default=[20000, 60000],
        metavar="N",
        help="numbers of patches to select from (default: 20000 60000)",
    )
    parser.add_argument(
        "--picks",
        type=_count,
        metavar="N",
        help="let the peers' samplers make N picks only, and extrapolate their time",
    )
    parser.add_argument(
        "--memory-gb", type=float, default=8.0, metavar="G", help="memory limit of amazon's exact sampler (default: 8)"
    )
    parser.add_argument("--repeat", type=_count, default=3, metavar="N", help="rounds of inspecting (default: 3)")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _share_or_rule(text: str) -> float | None:
    return None if text == "auto" else _share(text)


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError("must be above 0, and at most 1")
    return value
