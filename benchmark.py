"""Measure speed and memory on this machine."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastener.benchmarks.flags import add_questions
from fastener.commands import cli
from fastener.common.errors import UserError

if TYPE_CHECKING:
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.result import Inspection
    from fastener.inspection.tables import JsonList

EXAMPLE = "python benchmark.py latency --model saved_models/mvtec/screw.pkl --dir data/mvtec/screw/test --target-ms 100"
RENDERED = 24  # photos, where none are given
RENDERED_SIZE = (512, 512)


def main() -> int:
    """Run the command and return its exit code."""
    arguments = _arguments()
    return int(arguments.run(arguments) if "run" in arguments else _answer(arguments))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"example: {EXAMPLE}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    latency = commands.add_parser(
        "latency",
        help="time per image of a saved model, stage by stage",
        description="Time per image, one image at a time, after a warm-up: percentiles, the share of each stage, and "
        "PASS or FAIL by p95. Writing the result and the overlay is included. Exit code 0 = PASS, 1 = FAIL.",
    )
    latency.add_argument(
        "--model", type=Path, default=cli.DEFAULT_MODEL, metavar="M", help=f"default: {cli.DEFAULT_MODEL}"
    )
    latency.add_argument("--dir", type=Path, metavar="D", help="photos to inspect (default: rendered parts, 512 px)")
    latency.add_argument(
        "--target-ms", type=float, default=100.0, metavar="T", help="limit for p95 in ms (default: 100)"
    )
    latency.add_argument("--repeat", type=int, default=1, metavar="N", help="rounds over the photos (default: 1)")
    latency.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file, too")
    cli.add_run_flags(latency)
    latency.add_argument(
        "--weights", type=Path, metavar="F", help="weights of the backbone, if they are not in a standard place"
    )
    latency.set_defaults(run=_latency)
    add_questions(commands)
    return parser.parse_args()


def _answer(arguments: argparse.Namespace) -> int:
    """Run the module of this question, print its table, and write its JSON."""
    from fastener.common.files import check_writable

    for path in (arguments.json, getattr(arguments, "plot", None)):
        if path is not None:
            check_writable(path)
    report = importlib.import_module(f"fastener.benchmarks.{arguments.question}").run(arguments)
    print(report.text())
    if arguments.json:
        report.write(arguments.json)
    return cli.EXIT_OK


def _latency(arguments: argparse.Namespace) -> int:
    if arguments.repeat < 1 or not arguments.target_ms > 0:
        raise UserError("--repeat must be at least 1, and --target-ms above 0")
    from fastener.benchmarks.machine import measure_machine
    from fastener.benchmarks.work import inspection_flop
    from fastener.common.files import GrowingFile, check_writable, write_atomically
    from fastener.config import load_config
    from fastener.datasets.images import list_images
    from fastener.evaluation.latency import measure_latency
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.tables import JsonList

    if arguments.json:
        check_writable(arguments.json)
    run = load_config(None, [], cli.run_flags(arguments)).run
    inspector = Inspector.load(arguments.model, run.device, weights=arguments.weights, run=run)
    with tempfile.TemporaryDirectory() as folder:
        paths = list_images(arguments.dir) if arguments.dir else _render(Path(folder))
        output = Path(folder) / "output"
        table = JsonList(GrowingFile(output / "results.json"))
        latency = measure_latency(
            inspector,
            paths,
            lambda result: _write(result, table, output),
            repeat=arguments.repeat,
            progress=cli.progress,
        )
        table.close()
    report = {**_conditions(arguments, inspector, len(paths)), **latency.summary(arguments.target_ms)}
    machine = measure_machine(str(inspector.device))
    flop = inspection_flop(inspector)
    limit = machine.beside(report["p50_ms"] / 1000, flop)
    report |= {
        "machine": machine.as_dict(),
        "limit_ms": 1000 * machine.least_seconds(flop),
        "times_limit": limit["times_limit"],
    }
    print(_text(report))
    if arguments.json:
        write_atomically(arguments.json, json.dumps(report, indent=2) + "\n")
    return cli.EXIT_OK if report["passed"] else cli.EXIT_SOME_FAILED


def _render(folder: Path) -> list[Path]:
    """Render bolts, nuts and washers as PNG files."""
    from fastener.datasets.synthetic.parts import KINDS, render_part
    from fastener.inspection.drawing import save_picture

    paths = [folder / f"{seed:02d}.png" for seed in range(RENDERED)]
    for seed, path in enumerate(paths):
        save_picture(render_part(seed, KINDS[seed % len(KINDS)], size=RENDERED_SIZE).image, path, is_photo=True)
    return paths


def _write(result: Inspection, table: JsonList, output: Path) -> None:
    """Write the entry of results.json and the overlay picture as inference.py does."""
    from fastener.inspection.drawing import save_picture
    from fastener.inspection.pictures import overlay_picture, preview
    from fastener.inspection.tables import record

    assert result.path is not None
    table.write(record(result))
    save_picture(overlay_picture(preview(result.path), result), output / "overlay.png")


def _conditions(arguments: argparse.Namespace, inspector: Inspector, n_photos: int) -> dict[str, Any]:
    """Describe the conditions of the measurement, and warn if other work kept the machine busy."""
    import torch

    load, cores = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.cpu_count() or 1
    if load > 1.5 * cores:
        cli.warn(f"load average {load:.1f} on {cores} cores: other programs were running; an idle machine is faster")
    return {
        "model": str(arguments.model),
        "photos": str(arguments.dir)
        if arguments.dir
        else f"rendered parts, {RENDERED_SIZE[1]} x {RENDERED_SIZE[0]} px",
        "n_photos": n_photos,
        "backbone": inspector.backbone,
        "evidence": list(inspector.evidence),
        "device": str(inspector.device),
        "threads": torch.get_num_threads(),
        "load_average": load,
    }


def _text(report: dict[str, Any]) -> str:
    """Format the report for a person."""
    backbone = "" if report["backbone"] == "filters" else f" ({report['backbone']})"
    lines = [
        f"{report['model']}: {', '.join(report['evidence'])}{backbone} on {report['device']}, "
        f"{report['threads']} threads",
        f"{report['n']} inspections, one at a time, after a warm-up: "
        f"{report['n_photos']} photos from {report['photos']}",
        f"{'stage':20}{'p50 ms':>9}{'share':>8}",
    ]
    lines += [f"{name:20}{one['p50_ms']:9.1f}{one['share']:8.1%}" for name, one in report["stages"].items()]
    lines.append(f"total: p50 {report['p50_ms']:.1f} ms, p95 {report['p95_ms']:.1f} ms, p99 {report['p99_ms']:.1f} ms")
    if report["times_limit"] is not None:
        lines.append(
            f"physical limit {report['limit_ms']:.1f} ms: networks and all distances to the bank, in float32, at the "
            f"measured {report['machine']['flops'] / 1e9:.0f} GFLOP/s; p50 is {report['times_limit']:.1f} times that"
        )
    verdict, relation = ("PASS", "within") if report["passed"] else ("FAIL", "over")
    lines.append(f"{verdict}: p95 is {relation} {report['target_ms']:g} ms")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main)
