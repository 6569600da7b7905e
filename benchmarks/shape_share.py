"""What shape adds to a data set: python benchmarks/shape_share.py --category-dir <mvtec>/screw --learn 60 --test 40

Learns once, with shape, and judges the test photos by two decisions: with shape and without. Prints the share flagged
of each kind of test photo at the settings' alpha, and AUROC. With --fasteners, the healthy photos of a folder in the
CSV layout are looked through instead, in five folds: shape speaks only if half of the photos of the other four show an
outline, and else leaves every ranking as it was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.common.sampling import evenly
from fastener.config import load_config
from fastener.datasets.images import read_image
from fastener.datasets.layouts import LAYOUTS
from fastener.evaluation.metrics import auroc
from fastener.inspection.decision import Decision
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.inspection.shape import seen_shape
from fastener.models.scores import HealthyScores
from fastener.preprocessing.pipeline import Preprocessor

_MVTEC = Path(__file__).resolve().parents[1] / "configs" / "mvtec.yaml"
_FOLDS = 5


def main() -> int:
    """Learn and judge one category, or look through the folds of a folder of fasteners."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--category-dir", type=Path)
    parser.add_argument("--fasteners", type=Path)
    parser.add_argument("--learn", type=int, default=60, help="good photos to learn from, evenly taken")
    parser.add_argument("--test", type=int, default=40, help="test photos of each kind, evenly taken")
    parser.add_argument("--kinds", nargs="*", help="folders of test/ to judge beside good; all of them by default")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    if arguments.fasteners:
        folds(arguments.fasteners)
    elif arguments.category_dir:
        judge(arguments)
    else:
        raise UserError("name --category-dir or --fasteners")
    return cli.EXIT_OK


def folds(folder: Path) -> None:
    """Print in how many healthy photos of each fold's training part an outline is seen."""
    dataset = LAYOUTS["csv"].load(folder)
    prepare = Preprocessor(load_config().preprocess)
    healthy = [
        image.path for split in dataset.splits for image in dataset.read(split, "").images if not image.is_anomalous
    ]
    seen = np.array([not isinstance(seen_shape(prepare(read_image(path))), str) for path in healthy])
    print(f"an outline is seen in {seen.sum()} of {len(seen)} healthy photos")
    for fold in range(_FOLDS):
        others = np.arange(len(seen)) % _FOLDS != fold
        share = seen[others].mean()
        print(
            f"fold {fold}: {share:.0%} of {others.sum()}: shape {'speaks' if share >= 0.5 else 'is silent'}", flush=True
        )


def judge(arguments: argparse.Namespace) -> None:
    """Print what is flagged with and without shape."""
    config = load_config(_MVTEC, assignments=arguments.set)
    folder: Path = arguments.category_dir
    good = sorted((folder / "train" / "good").iterdir())
    train = [good[i] for i in evenly(len(good), arguments.learn).tolist()]
    inspector = Inspector.fit(train, config, warn=lambda line: None)
    decisions = {"with": inspector.decision, "without": without_shape(inspector)}
    joined: dict[str, dict[str, np.ndarray]] = {}
    names = ["good", *(arguments.kinds or sorted(p.name for p in (folder / "test").iterdir() if p.name != "good"))]
    for name in names:
        photos = sorted((folder / "test" / name).iterdir())
        photos = [photos[i] for i in evenly(len(photos), arguments.test).tolist()]
        results = [one for one in inspector.inspect(photos) if isinstance(one, Inspection)]
        raw = {kind: np.array([one.evidence[kind].score for one in results]) for kind in inspector.evidence}
        joined[name] = {which: one.join(raw) for which, one in decisions.items()}
        flagged = {which: int((joined[name][which] > one.tail().threshold).sum()) for which, one in decisions.items()}
        said = sum(bool(one.evidence["shape"].note) for one in results)
        areas = {
            which: auroc(np.repeat([0, 1], [len(joined["good"][which]), len(results)]), np.concatenate(both))
            for which in decisions
            if (both := [joined["good"][which], joined[name][which]])
        }
        print(
            f"{name}: flagged with shape {flagged['with']}, without {flagged['without']} of {len(results)}; "
            f"AUROC {areas['with']:.3f} and {areas['without']:.3f}; shape has a remark on {said}",
            flush=True,
        )


def without_shape(inspector: Inspector) -> Decision:
    """Calibrate the other kinds of evidence by the same healthy scores."""
    known = inspector.decision
    scores = {
        kind: HealthyScores(values, known.healthy_peaks.get(kind, values))
        for kind, values in known.healthy.items()
        if kind != "shape"
    }
    traits = {kind: one.traits for kind, one in inspector.evidence.items() if kind != "shape"}
    return Decision.fit(scores, np.arange(len(known.groups)), inspector.config.calibration, traits)


if __name__ == "__main__":
    sys.exit(main())
