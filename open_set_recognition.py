"""Name known steel defects and notice unknown ones. Runs everything, or a single step."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastener.commands import cli, predicting
from fastener.open_set.settings import DEFAULT_FILE, load_open_set

if TYPE_CHECKING:
    from fastener.open_set.pipeline import Pipeline

EXAMPLE = "python open_set_recognition.py --config configs/open_set/default.yaml --splits a b c"
COMMANDS = {
    "train-classifier": "train the classifier of each split",
    "extract-embeddings": "compute embeddings of all images",
    "run-osr": "decide by the one-stage approach",
    "train-patchcore": "train PatchCore on defect-free steel, once for all splits",
    "run-cascade": "decide by the two-stage approach",
    "benchmark-runtime": "measure the milliseconds per image of each stage",
    "save-model": "write split_X/model.pt, for predict; --no-gate leaves out PatchCore",
    "predict": "judge new photos with a saved model: a known class, unknown or no_defect",
    "report": "write metrics, pictures and tables (default; runs all steps that have not been run)",
}


def main() -> int:
    arguments = _arguments()
    if arguments.command == "predict":
        return predicting.predict(arguments)
    flags = {
        "data.neu_root": arguments.neu_root,
        "data.severstal_root": arguments.severstal_root,
        "weights": arguments.weights,
        "output": arguments.output,
        "splits": arguments.splits,
        "known": arguments.known,
        "unknown": arguments.unknown,
        "run.seed": arguments.seed,
        **cli.run_flags(arguments),
        "classifier.mode": "frozen" if arguments.frozen_features else None,
    }
    settings, splits = load_open_set(arguments.config, arguments.set, flags, warn=cli.warn)
    from fastener.common.files import check_writable
    from fastener.open_set.pipeline import Pipeline

    check_writable(settings.output / "summary.md")
    pipeline = Pipeline(settings, splits, cli.progress, say=cli.say, warn=cli.warn)
    images = pipeline.images
    cli.say(f"{len(images.images)} images by class; classifier {pipeline.backbone}, {pipeline.mode}")
    _run(arguments.command, pipeline, not arguments.no_gate)
    return cli.EXIT_SOME_FAILED if images.errors else cli.EXIT_OK


def _show(pipeline: Pipeline, name: str, measured: dict[str, Any]) -> None:
    """Print what an approach does in a split, and for one stage the estimate from left-out classes."""
    from fastener.open_set.summary import describe, left_out_lines

    print("\n".join(describe(name, measured)))
    if measured["approach"] == "one_stage":
        for line in left_out_lines(pipeline.left_out(name), measured):
            print(line)


def _run(command: str, pipeline: Pipeline, with_gate: bool) -> None:
    if command == "report":
        from fastener.open_set.report import default_results, warnings_of, write_report, write_split
        from fastener.open_set.saving import save_model

        write_report(pipeline)
        for name in pipeline.splits:
            print(f"saved {save_model(pipeline, name)}")
            for measured in default_results(write_split(pipeline, name)).values():
                _show(pipeline, name, measured)
            for line in warnings_of(pipeline, name):
                cli.warn(line)
        print(f"wrote {pipeline.output / 'summary.md'}")
    elif command == "train-patchcore":
        from fastener.open_set.report import gate_metrics, gate_text

        gate = pipeline.train_patchcore()
        cli.say(f"PatchCore: threshold {gate.threshold:.3f}, from {gate.inspector.threshold_source}")
        print(gate_text(gate_metrics(pipeline.gate_scores(), pipeline.settings.run.seed)))
    elif command in ("run-osr", "run-cascade"):
        from fastener.open_set.report import measure_default, warnings_about

        for name in pipeline.splits:
            for measured in measure_default(pipeline, name, cascade=command == "run-cascade"):
                _show(pipeline, name, measured)
                if measured["approach"] == "one_stage":
                    for line in warnings_about(pipeline, name, measured):
                        cli.warn(line)
    elif command == "save-model":
        from fastener.open_set.saving import save_model

        for name in pipeline.splits:
            print(f"saved {save_model(pipeline, name, with_gate=with_gate)}")
    else:
        steps = {
            "train-classifier": pipeline.train_classifier,
            "extract-embeddings": pipeline.extract_embeddings,
            "benchmark-runtime": pipeline.benchmark_runtime,
        }
        for name in pipeline.splits:
            steps[command](name)
            cli.say(f"split {name}: {command} done")


def _arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__, EXAMPLE)
    parser.set_defaults(config=DEFAULT_FILE)
    steps = "\n".join(f"  {name:20}{text}" for name, text in COMMANDS.items())
    parser.epilog = f"steps:\n{steps}\n\n{parser.epilog}"
    parser.add_argument("command", nargs="?", choices=COMMANDS, default="report", metavar="STEP", help="see below")
    parser.add_argument(
        "--splits",
        nargs="+",
        metavar="X",
        help="splits to run: X names neu_split_X.yaml beside --config; --config may also be such a file itself",
    )
    parser.add_argument("--known", nargs="+", metavar="CLASS", help="known classes of one split, instead of --splits")
    parser.add_argument("--unknown", nargs="+", metavar="CLASS", help="unknown classes of that split; may be left out")
    parser.add_argument(
        "--neu-root", "--data-dir", type=Path, metavar="D", help="folder of images: NEU, or a folder for each class"
    )
    parser.add_argument(
        "--severstal-root",
        type=Path,
        metavar="D",
        help="folder with train.csv and train_images/ of steel strips",
    )
    parser.add_argument("--weights", type=Path, metavar="F", help="ImageNet weights: .pth, .safetensors or .npz")
    parser.add_argument("--output", type=Path, metavar="D", help="default: outputs/open_set")
    parser.add_argument(
        "--frozen-features",
        action="store_true",
        help="train only a linear head, in minutes without a GPU",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="source of every random draw (42)")
    predicting.add_flags(parser.add_argument_group("predict"))
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
