"""Check whether tuning without labels agrees with labels: python benchmarks/tuning_regret.py D [D ...]

Each D is a category in MVTec layout. The candidates of ``train.py --tune`` learn from the photos that tuning would
learn from, and are measured twice: on the held-out healthy photos with synthetic defects, which is all that tuning
sees, and on the labelled test photos. The script prints, for each category, both AUROCs of every candidate, Spearman's
rank correlation between them, and the regret: the best test AUROC less that of the candidate which tuning takes. Tuning
takes another candidate than the default only if the interval of its gain lies above zero.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.benchmarks.report import table
from fastener.commands import cli
from fastener.commands.tuning import SIDE, different_photos
from fastener.config import load_config
from fastener.datasets.images import read_image
from fastener.datasets.mvtec import load_category
from fastener.evaluation.metrics import auroc, bootstrap_ci
from fastener.evaluation.tuning import by_inspector
from fastener.evaluation.tuning_candidates import DEFAULT, Candidate, candidates
from fastener.evaluation.tuning_choice import decide
from fastener.evaluation.tuning_trials import HeldOut, Round, Trial, drawn_apart, for_last_round
from fastener.inspection.choice import choose
from fastener.inspection.photo_settings import with_posture
from fastener.inspection.training import with_settings
from fastener.preprocessing.registration import shrink

MVTEC = Path(__file__).resolve().parents[1] / "configs" / "mvtec.yaml"


@dataclass(frozen=True)
class Measured:
    """One candidate, by synthetic defects and by test labels."""

    candidate: Candidate
    trial: Trial
    test: float
    interval: tuple[float, float]


def main() -> int:
    """Measure and print, one category after another."""
    arguments = _parse()
    regrets = []
    for folder in arguments.categories:
        found, held = measure(folder, arguments)
        regrets.append(show(folder.name, found, held))
    print(f"\nmean regret over {len(regrets)} categories: {np.mean(regrets):.3f}")
    return cli.EXIT_OK


def measure(folder: Path, arguments: argparse.Namespace) -> tuple[list[Measured], HeldOut]:
    """Measure the candidates on one category."""
    config = load_config(MVTEC, arguments.set)
    category = load_category(folder.parent, folder.name)
    photos = different_photos(category.train, config)
    config = with_posture(config, photos)
    pool, held_out = drawn_apart(photos, config.run.seed)
    held = for_last_round(held_out, config.run.seed)
    test = [shrink(read_image(image.path), SIDE)[0] for image in category.test]
    labels = np.array([image.is_anomalous for image in category.test])
    judge, found = by_inspector(), []
    for one in candidates(config, choose(config)):
        if arguments.only and one is not DEFAULT and one.name not in arguments.only:
            continue
        scores, ms = judge(pool[: arguments.learn], with_settings(config, dict(one.changes)), (*held.images, *test))
        on_held, on_test = scores[: len(held.images)], scores[len(held.images) :]
        trial = Trial(one.name, 0, len(pool[: arguments.learn]), tuple(on_held), ms)
        found.append(Measured(one, trial, auroc(labels, on_test), bootstrap_ci(labels, on_test)))
        print(f"{folder.name}: {one.name} {held.auroc(trial):.3f} {found[-1].test:.3f}", file=sys.stderr, flush=True)
    return found, held


def show(name: str, found: Sequence[Measured], held: HeldOut) -> float:
    """Print the table of one category; return the regret."""
    chosen, reason = decide([Round(tuple(one.candidate for one in found), tuple(one.trial for one in found), held)])
    rows = [
        {
            "data": name,
            "candidate": one.candidate.name,
            "synthetic defects": f"{held.auroc(one.trial):.3f}",
            "test (95 %)": f"{one.test:.3f} ({one.interval[0]:.3f} to {one.interval[1]:.3f})",
        }
        for one in found
    ]
    print("\n".join(table(rows)))
    by_name = {one.candidate.name: one.test for one in found}
    regret = max(by_name.values()) - by_name[chosen.name]
    correlation = spearmanr([held.auroc(one.trial) for one in found], list(by_name.values())).statistic
    print(f"\n{name}: rank correlation {correlation:.2f}; tuning takes {chosen.name} ({reason}); regret {regret:.3f}\n")
    return regret


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("categories", type=Path, nargs="+", metavar="D", help="folders of MVTec categories")
    parser.add_argument("--learn", type=int, default=160, metavar="N", help="learn from N photos (default: 160)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these candidates beside the default")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
