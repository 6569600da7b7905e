"""Check what a threshold promises: python benchmarks/coverage.py --rendered 260 --screw D --fasteners D --figure F.png

Of each data set the features of every photo are computed once. Then training sets of n photos are drawn many times from
its good photos. Each gets a bank of patches, scores as unseen, a decision and a threshold by the toolkit's code, and
all photos that were not drawn are judged: the share of good ones above the threshold is the false-alarm rate, which the
threshold promises to keep at alpha on average over training sets that are clean. Sets with mislabelled photos, bad ones
among the n, show what these cost in recall. The script prints a Markdown table; ``--figure`` draws it over n.

To afford hundreds of draws, patch features are averaged over 2 x 2 neighbours and projected at random to 64 numbers.
This costs recall, most of all where defects are small, but good and bad photos meet the same thinned model.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.benchmarks.coverage_draws import Draw, Photos, draw_set, try_threshold
from fastener.benchmarks.report import table
from fastener.commands import cli
from fastener.config import Config, load_config
from fastener.datasets.csv_splits import load_splits
from fastener.datasets.mvtec import load_category
from fastener.datasets.near_copies import copy_groups
from fastener.datasets.synthetic.parts import DEFECTS, render_part
from fastener.evaluation.visualize import GREY, PALETTE
from fastener.inspection.choice import choose
from fastener.inspection.reading import Source
from fastener.inspection.training import build_evidence, build_setup, collect
from fastener.models.random_projection import gaussian_projection
from fastener.preprocessing.pipeline import Preprocessor

MVTEC = Path(__file__).resolve().parents[1] / "configs" / "mvtec.yaml"
SIZES = (2, 3, 5, 10, 20, 30, 50, 100, 200)
SHARES = (0.0, 0.02, 0.05)
_NUMBERS = 64
_LEFT_TO_JUDGE = 20  # good photos that a draw has to leave over
_JUDGED = 60  # good and bad photos that are judged in a draw, at most


@dataclass(frozen=True)
class Collection:
    """Name a data set, and hold its good and its bad photos."""

    name: str
    good: Photos
    bad: Photos


@dataclass(frozen=True)
class Row:
    """Summarise the draws of one data set, size and share of mislabelled photos.

    Attributes
    ----------
    data : str
        Name of the data set.
    n : int
        Number of training photos, the mislabelled ones among them.
    mislabelled : int
        Number of bad photos among the training photos.
    draws : int
        Number of training sets that were drawn.
    false_alarms, error, stated : float, 0 to 1
        Mean false-alarm rate, its standard error over the draws, and the mean of the rates that the decisions state.
    recall : float, 0 to 1
        Mean share of bad photos above the threshold.
    """

    data: str
    n: int
    mislabelled: int
    draws: int
    false_alarms: float
    error: float
    stated: float
    recall: float


def main() -> int:
    """Measure, print and draw."""
    arguments = _parse()
    torch.set_num_threads(1)
    config = load_config(None, arguments.set, {"model.backbone": arguments.backbone})
    rows: list[Row] = []
    cases = [(one, n, bad) for one in collections(arguments, config) for n, bad in plan(one, arguments.n)]
    started, budget = time.perf_counter(), 60 * arguments.minutes
    for number, (one, n, bad) in enumerate(cases):
        # Small sets are quick: they leave their time to larger ones.
        until = time.perf_counter() + (budget - (time.perf_counter() - started)) / (len(cases) - number)
        rows.append(measure(one, n, bad, config, draws=arguments.draws, seed=arguments.seed, until=until))
        print("\n".join(table([shown(rows[-1])])[0 if number == 0 else 2 :]), flush=True)
    draws = sum(row.draws for row in rows)
    print(f"\n{draws} draws in {time.perf_counter() - started:.0f} s; alpha {config.calibration.alpha:g}")
    if arguments.figure:
        arguments.figure.parent.mkdir(parents=True, exist_ok=True)
        coverage_figure(rows, config.calibration.alpha).savefig(arguments.figure, dpi=150)
    return cli.EXIT_OK


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rendered", type=int, default=0, metavar="N", help="render N good bolts (default: none)")
    parser.add_argument("--screw", type=Path, metavar="D", help="an MVTec category's folder")
    parser.add_argument("--fasteners", type=Path, metavar="D", help="folder with train|valid|test/_classes.csv")
    parser.add_argument("--backbone", default="auto", help="network, or filters (default: auto)")
    parser.add_argument("--n", type=int, nargs="+", default=SIZES, metavar="N", help="numbers of training photos")
    parser.add_argument("--draws", type=int, default=300, metavar="N", help="draws of each case (default: 300)")
    parser.add_argument("--minutes", type=float, default=1e6, metavar="M", help="make fewer draws, to end in M minutes")
    parser.add_argument("--cache", type=Path, metavar="D", help="folder that keeps the features for the next run")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="figure over n, .png or .pdf")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    if not (arguments.rendered or arguments.screw or arguments.fasteners):
        parser.error("nothing to draw from: give --rendered N, --screw D or --fasteners D")
    return arguments


def collections(arguments: argparse.Namespace, config: Config) -> Iterator[Collection]:
    """Compute the features of each data set that was asked for, or read them from the cache."""
    if arguments.rendered:
        good: Sequence[Source] = [_bolt(seed) for seed in range(arguments.rendered)]
        each = max(4, _JUDGED // 4)
        bad: Sequence[Source] = [_bolt(1000 + seed, kind) for kind in DEFECTS[1:] for seed in range(each)]
        yield _collection("rendered bolts", good, bad, config, arguments.cache)
    if arguments.screw:
        category = load_category(arguments.screw.parent, arguments.screw.name)
        good = [*category.train, *(one.path for one in category.test if not one.is_anomalous)]
        bad = [one.path for one in category.test if one.is_anomalous]
        whole = load_config(MVTEC, arguments.set, {"model.backbone": arguments.backbone})
        yield _collection(arguments.screw.name, good, bad, whole, arguments.cache)
    if arguments.fasteners:
        images = [one for split in load_splits(arguments.fasteners) for one in split.images]
        good, bad = ([one.path for one in images if one.is_anomalous == wrong] for wrong in (False, True))
        yield _collection("fasteners", good, bad[: 2 * _JUDGED], config, arguments.cache)


def _bolt(seed: int, defect: str = "none") -> np.ndarray:
    return render_part(seed, "bolt", "silver", defect, background="white").image


def _collection(
    name: str, good: Sequence[Source], bad: Sequence[Source], config: Config, cache: Path | None
) -> Collection:
    file = cache / f"{name.replace(' ', '_')}.pt" if cache else None
    if file is not None and file.exists():
        kept = torch.load(file, weights_only=False)
        return Collection(name, kept["good"], kept["bad"])
    one = Collection(name, *collect_photos(good, bad, config))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"good": one.good, "bad": one.bad}, file)
    return one


def collect_photos(good: Sequence[Source], bad: Sequence[Source], config: Config) -> tuple[Photos, Photos]:
    """Compute what a new model's evidence sees of good and bad photos; of copies of a photo, the first one counts."""
    setup = build_setup(config, choice := choose(config))
    evidence = build_evidence(setup, choice.kinds)
    prints = collect([*good, *bad], evidence, config, preprocessor=Preprocessor(config.preprocess))
    features, scores = {}, {}
    for kind, one in evidence.items():
        if one.patchcore is not None:
            taken = one.patchcore.take_features()
            features[kind] = thinned(one.patchcore.extractor.fit(taken.flatten(0, 2)).reshape(taken.shape))
        else:
            scores[kind] = one.fit_collected(range(len(prints))).images.astype(float)
    photos = Photos(features, scores)
    groups = copy_groups(np.stack([one.signature for one in prints]))
    first = np.unique(groups, return_index=True)[1]
    return photos.take(first[first < len(good)]), photos.take(first[first >= len(good)])


def thinned(features: torch.Tensor) -> torch.Tensor:
    """Average features (n, h, w, d) over 2 x 2 patches and project them to fewer numbers: float16 (n, h/2, w/2, 64)."""
    projection = gaussian_projection(features.shape[-1], _NUMBERS, 0)
    parts = []
    for some in features.split(16):
        pooled = F.avg_pool2d(some.float().permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        parts.append((pooled @ projection).half())
    return torch.cat(parts)


def plan(one: Collection, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """List the (number of photos, number of mislabelled ones) that a collection is large enough for."""
    possible = [n for n in sizes if n + _LEFT_TO_JUDGE <= len(one.good)]
    return [(n, bad) for n in possible for bad in sorted({round(share * n) for share in SHARES})]


def measure(one: Collection, n: int, mislabelled: int, config: Config, *, draws: int, seed: int, until: float) -> Row:
    """Draw training sets and summarise what their thresholds do; stop early at the time ``until``, but not at once."""
    done: list[Draw] = []
    for number in range(draws):
        if len(done) > 1 and time.perf_counter() > until:
            break
        # The same draw with and without mislabelled photos shares the good ones.
        rng = np.random.default_rng([seed, n, number])
        training, good, bad = draw_set(one.good, one.bad, n, mislabelled, rng)
        good, bad = (photos.take(np.arange(min(len(photos), _JUDGED))) for photos in (good, bad))
        model = config.model
        share = model.top_share or 1e-9  # without it, the highest patch
        done.append(try_threshold(training, good, bad, config.calibration, ratio=model.coreset_ratio, share=share))
    rates = np.array([[each.false_alarms, each.bound, each.recall] for each in done])
    means = rates.mean(0).tolist()
    error = float(rates[:, 0].std(ddof=1) / np.sqrt(len(done))) if len(done) > 1 else float("nan")
    return Row(one.name, n, mislabelled, len(done), means[0], error, means[1], means[2])


def shown(row: Row) -> dict[str, object]:
    """Format one row of the table."""
    return {
        "data": row.data,
        "n": row.n,
        "mislabelled": row.mislabelled,
        "draws": row.draws,
        "false alarms": f"{row.false_alarms:.3f} ± {row.error:.3f}",
        "stated": f"{row.stated:.3f}",
        "recall": f"{row.recall:.2f}",
    }


def coverage_figure(rows: Sequence[Row], alpha: float) -> Figure:
    """Draw two panels over the number of training photos: recall and false alarms; dashed with mislabelled photos."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for colour, name in zip(PALETTE, dict.fromkeys(row.data for row in rows), strict=False):
        own = [row for row in rows if row.data == name]
        clean = [row for row in own if not row.mislabelled]
        worst = [max((row for row in own if row.n == n), key=lambda row: row.mislabelled) for n in {r.n for r in own}]
        spoilt = sorted((row for row in worst if row.mislabelled), key=lambda row: row.n)
        left.plot([r.n for r in clean], [r.recall for r in clean], "o-", color=colour, markersize=4, label=name)
        left.plot([r.n for r in spoilt], [r.recall for r in spoilt], "--", color=colour, linewidth=1)
        right.errorbar(
            [r.n for r in clean],
            [r.false_alarms for r in clean],
            yerr=[2 * r.error for r in clean],
            fmt="o-",
            color=colour,
            markersize=4,
        )
        right.plot([r.n for r in clean], [r.stated for r in clean], ":", color=colour, linewidth=1)
    _finish(left, "Defects found (dashed: 5 % of the photos mislabelled)", "recall", rows)
    left.set_ylim(0, 1)
    left.legend(frameon=False, fontsize=8)
    _finish(right, "Healthy parts flagged (dotted: stated)", "false-alarm rate", rows)
    right.axhline(alpha, color=GREY, linewidth=1)
    right.set_ylim(0, None)
    return figure


def _finish(axes: Axes, title: str, label: str, rows: Sequence[Row]) -> None:
    sizes = sorted({row.n for row in rows})
    axes.set_title(title, fontsize=10)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.minorticks_off()
    axes.set_xlabel("healthy training photos")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3, linewidth=0.5)


if __name__ == "__main__":
    cli.run(main)
