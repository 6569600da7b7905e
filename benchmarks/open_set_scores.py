"""Compare scores and network stages by how well they detect a class that was left out of training.

Images of the classes that open_set_recognition.py reports as unknown are not used. In each split, each known class is
left out in turn. The scores are fitted to the training images of the other classes. AUROC then separates the left-out
class (training and validation images) from the validation images of the other classes. Features are frozen, because a
fine-tuned network would have seen the left-out class.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.commands import cli
from fastener.evaluation.metrics import auroc
from fastener.open_set.classifier import FROZEN
from fastener.open_set.pipeline import Pipeline
from fastener.open_set.scores import SCORES
from fastener.open_set.settings import SCORE_NAMES, load_open_set
from fastener.open_set.splits import TRAIN, VALIDATION, OpenSetSplit

LAYERS = (("layer2",), ("layer3",), ("layer2", "layer3"), ("layer2", "layer3", "layer4"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neu-root", type=Path, required=True, metavar="D")
    parser.add_argument("--weights", type=Path, metavar="F")
    arguments = parser.parse_args()
    flags = {"data.neu_root": arguments.neu_root, "weights": arguments.weights, "classifier.mode": FROZEN}
    settings, splits = load_open_set(flags=flags)
    print("mean AUROC of left-out classes\n" + f"{'stages':24}" + "".join(f"{name:>22}" for name in SCORE_NAMES))
    for layers in LAYERS:
        chosen = settings.classifier.model_copy(update={"layers": layers})
        pipeline = Pipeline(settings.model_copy(update={"classifier": chosen}), splits, cli.progress)
        found = [left_out(pipeline, pipeline.split(name)) for name in splits]
        means = np.concatenate(found).mean(0)
        print(f"{'+'.join(layers):24}" + "".join(f"{mean:22.3f}" for mean in means))
    return cli.EXIT_OK


def left_out(pipeline: Pipeline, split: OpenSetSplit) -> np.ndarray:
    """Return the AUROC of each class when it is left out: (known classes, scores)."""
    frozen, settings = pipeline.frozen_outputs, pipeline.settings
    train, validation = split.indices(TRAIN), split.indices(VALIDATION)
    rows = []
    for place in range(len(split.known)):
        taught, calm = train[split.truth[train] != place], validation[split.truth[validation] != place]
        strange = split.indices(TRAIN, VALIDATION)
        strange = strange[split.truth[strange] == place]
        labels = np.unique(split.truth[taught], return_inverse=True)[1]
        classifier = pipeline.new_classifier(pipeline.device).fit(frozen[taught], labels)
        known, tested = classifier.embed(frozen[taught]), classifier.embed(frozen[np.concatenate([calm, strange])])
        is_strange = np.arange(len(tested)) >= len(calm)
        rows.append([auroc(is_strange, SCORES[n](settings.rejection).fit(known, labels)(tested)) for n in SCORE_NAMES])
    return np.array(rows)


if __name__ == "__main__":
    cli.run(main)
