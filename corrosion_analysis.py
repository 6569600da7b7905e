"""Follow components photographed after 0, 24, ... hours: white and red corrosion, since when, how fast."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from fastener.commands import cli, corrosion
from fastener.common.errors import UserError
from fastener.common.files import check_writable
from fastener.corrosion.severity import LEVELS
from fastener.corrosion.text import headline, severity_words

EXAMPLE = "python corrosion_analysis.py --dir data/components --until Moderate"


def main() -> int:
    arguments = _arguments()
    config = cli.config_from(arguments)
    _check_settings(arguments)
    from fastener.datasets.components import load_components

    series, skipped = load_components(arguments.dir, arguments.pattern, arguments.replicates)
    if arguments.component is not None:
        series = [one for one in series if arguments.component in (one.component, one.lot)] or _unknown(
            arguments.component, [one.component for one in series]
        )
    from fastener.corrosion.analysis import Analyser
    from fastener.corrosion.first_signs import parse_requirements
    from fastener.corrosion.lab_sheet import load_sheet
    from fastener.corrosion.report import Report
    from fastener.corrosion.text import forecast_sentence, latest
    from fastener.corrosion.zones import parse_zone
    from fastener.inspection.inspector import Inspector

    sheet = load_sheet(arguments.sheet) if arguments.sheet else None
    required = parse_requirements(arguments.require) if arguments.require is not None else None
    zone = parse_zone(arguments.zone) if arguments.zone is not None else None
    scale = corrosion.scale_of(arguments)
    check_writable(arguments.output / "report.json")
    model = _model(arguments.model)
    inspector = (
        None if model is None else Inspector.load(model, config.run.device, weights=arguments.weights, run=config.run)
    )
    analyse = Analyser(inspector, config.corrosion, config.colour, config.preprocess, zone=zone)
    report = Report(
        arguments.output,
        model=None if model is None else str(model),
        threshold=None if inspector is None else inspector.threshold,
        config=config,
        plots=not arguments.no_plots,
        sheet=sheet,
        required=required,
        gif=arguments.gif,
        zone=arguments.zone,
    )
    failed = 0
    shots = sum(len(one.shots) for one in series)
    bar = iter(cli.progress(range(shots), shots, "photos"))
    for one in series:
        record = report.add(
            analyse(one, lambda: next(bar, None)), until=arguments.until or "", scale=scale, lot=one.lot
        )
        failed += len(record["failed"])
        for failure in record["failed"]:
            cli.warn(failure["error"])
        cli.say(f"{one.component}: {_verdict(latest(record))} {forecast_sentence(record['forecast'])}".rstrip())
    passed_over = {path.relative_to(arguments.dir).as_posix(): reason for path, reason in skipped.items()}
    written = report.finish(passed_over)
    for name, reason in passed_over.items():
        cli.warn(f"skipped {name}: {reason}")
    if arguments.scale_bar is not None and (missing := corrosion.without_scale(report.records)):
        cli.warn(missing)
    for line in corrosion.requirement_lines(written) if required else ():
        print(line)
    print(f"wrote {arguments.output / 'report.html'} and report.pdf")
    return cli.EXIT_SOME_FAILED if failed or not corrosion.all_pass(written) else cli.EXIT_OK


def _verdict(point: Mapping[str, Any]) -> str:
    if not point:
        return "no shot could be read."
    status = point["status"] or "no T0 to compare with"
    return f"{status}, {severity_words(point)}; {headline(point)}."


def _arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__, EXAMPLE)
    parser.add_argument(
        "--model",
        type=Path,
        metavar="M",
        help=f"model for heatmaps and scores, which no verdict depends on (default: {cli.DEFAULT_MODEL} if it exists)",
    )
    parser.add_argument(
        "--weights", type=Path, metavar="F", help="file of the backbone's weights; default: searched for"
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path("data/components"),
        metavar="D",
        help="photos named <component>-T<hours>[-<shot>].jpg, searched recursively (default: data/components)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("outputs/corrosion_report"),
        metavar="D",
        help="default: outputs/corrosion_report",
    )
    parser.add_argument("--component", metavar="NAME", help="analyse only this component or lot (default: all)")
    parser.add_argument("--no-plots", action="store_true", help="write no PNG files; the HTML report keeps its photos")
    parser.add_argument(
        "--until",
        choices=LEVELS[1:],
        metavar="SEVERITY",
        help=f"forecast when this severity is reached: {', '.join(LEVELS[1:])}",
    )
    corrosion.add_photo_flags(parser)
    corrosion.add_lab_flags(parser)
    return parser.parse_args()


def _model(path: Path | None) -> Path | None:
    """Return the model to load; None if none is named and there is none at the usual place."""
    if path is None and not cli.DEFAULT_MODEL.is_file():
        return None
    return path or cli.DEFAULT_MODEL


def _check_settings(arguments: argparse.Namespace) -> None:
    for text in arguments.set:
        if not text.strip().startswith(("corrosion.", "colour.", "run.")):
            raise UserError(
                f"--set {text}: the model keeps what it was trained with; set corrosion.*, colour.* or run.*"
            )


def _unknown(name: str, known: list[str]) -> NoReturn:
    raise UserError(f"--component {name}: not in the folder; it holds {', '.join(known)}")


if __name__ == "__main__":
    cli.run(main)
