"""Write a saved model as a folder that runs on ONNX Runtime: networks as graphs, bank, calibration, settings.

The folder can be used wherever a model file can, and needs no file of weights. inference.py inspects with it on
machines without PyTorch, too (requirements/runtime.txt). With fp32 it gives the scores of the
saved model. With int8 it is several times as fast, but bank and threshold are fitted anew to the training photos,
because distances between 8-bit features are different. --images names the folder in which the photos are looked for, by
their checksums. --precision auto, the default, takes int8 if it costs at most 0.5 points of AUROC on held-out training
photos, plain and with synthetic defects, and its network takes at most 0.9 of the time on this machine; without
--images it takes fp32. What was measured is printed, and kept in the model; so is the network's time beside PyTorch's.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.common.files import check_writable
from fastener.config import Config

if TYPE_CHECKING:
    from fastener.inspection.inspector import Inspector

EXAMPLE = "python export.py --model saved_models/mine.pkl --format onnx --precision int8 --images photos/good"
TOLERANCE = 0.005  # loss of AUROC up to which auto takes int8
LEAST_GAIN = 0.9  # of the time of fp32: an int8 network that takes longer is not worth its rounding
LEAST_AUROC = 0.7  # least AUROC of fp32 for a comparison: below it, fp32 hardly finds the defects itself


def main() -> int:
    arguments = _arguments()
    from fastener.inspection.inspector import CONFORMAL, Inspector
    from fastener.inspection.model_folder import MODEL_FILE, size_of
    from fastener.inspection.pretrained import learned_in

    run = cli.config_from(arguments).run.model_copy(update={"precision": "auto", "runtime": "auto"})
    saved = Inspector.load(arguments.model, "cpu", weights=arguments.weights, run=run)
    photos = _photos(arguments, saved) if arguments.images else []
    precision = arguments.precision
    reason = ""
    if precision == "auto":
        precision, reason = _chosen(arguments, saved, photos) if photos else ("fp32", "")
    output = arguments.output or arguments.model.with_name(f"{arguments.model.stem}-{precision}")
    check_writable(output / MODEL_FILE)
    same = precision == "fp32" and learned_in(saved.config.run) == "fp32"
    if not same and not photos:
        raise UserError(
            f"{arguments.model} is in {learned_in(saved.config.run)}; --precision {precision} is learned from the "
            "training photos: name their folder with --images"
        )
    if same:
        here = run.model_copy(update={"precision": "fp32", "runtime": "onnx"})
        exported = Inspector.load(arguments.model, "cpu", weights=arguments.weights, run=here)
    else:
        if saved.threshold_source != CONFORMAL:
            cli.warn(f"the threshold from {saved.threshold_source} is not that of another precision; calibrated anew")
        exported = Inspector.fit(
            photos, _config(saved, precision), weights=arguments.weights, progress=cli.progress, warn=cli.warn
        )
    _add_features(exported)
    exported.notes["export"] = "; ".join(filter(None, (reason, _times(saved, exported, precision))))
    exported.save(output / MODEL_FILE)
    print(exported.describe())
    print(f"saved {output}, in {precision}: {size_of(output)}")
    return cli.EXIT_OK


def _add_features(inspector: Inspector) -> None:
    """Add the graphs by which machines without torch compute features."""
    from fastener.inspection.evidence import StructureEvidence
    from fastener.models.runtime.feature_graph import feature_graph

    for one in inspector.evidence.values():
        if isinstance(one, StructureEvidence):
            one.feature_graph = feature_graph(one.extractor, inspector.preprocessor.size)


def _arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__, EXAMPLE)
    parser.add_argument(
        "--model", type=Path, default=cli.DEFAULT_MODEL, metavar="M", help=f"default: {cli.DEFAULT_MODEL}"
    )
    parser.add_argument("--format", choices=("onnx",), default="onnx", help="default: onnx")
    parser.add_argument("--images", type=Path, metavar="D", help="where the training photos are, searched recursively")
    parser.add_argument("--output", type=Path, metavar="D", help="default: beside the model, <model>-<precision>")
    parser.add_argument(
        "--weights", type=Path, metavar="F", help="the backbone's weights, if they are not found by themselves"
    )
    arguments = parser.parse_args()
    arguments.precision = arguments.precision or "auto"
    if arguments.precision not in ("auto", "fp32", "int8"):
        parser.error(f"--precision {arguments.precision}: an ONNX model computes in fp32 or int8; auto measures which")
    if arguments.runtime not in (None, "auto", "onnx"):
        parser.error("--runtime: what is exported runs on ONNX Runtime")
    return arguments


def _photos(arguments: argparse.Namespace, saved: Inspector) -> list[Path]:
    """Find the photos that the model was trained on in --images, in the order of training."""
    from fastener.datasets.folder import good_images

    wanted = saved.training.checksums
    found = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in good_images(arguments.images)}
    photos = [found[checksum] for checksum in wanted if checksum in found]
    if not photos:
        raise UserError(f"--images {arguments.images}: none of the {len(wanted)} training photos is there")
    if len(photos) < len(wanted):
        cli.warn(
            f"{len(wanted) - len(photos)} of {len(wanted)} training photos are not in {arguments.images}; left out"
        )
    return photos


def _chosen(arguments: argparse.Namespace, saved: Inspector, photos: list[Path]) -> tuple[str, str]:
    """Choose int8 unless it costs too much AUROC on held-out training photos, brings no time, or neither is clear.

    Returns the precision, and what was measured in words.
    """
    from fastener.evaluation.precision_cost import auroc_by_setting

    configs = {precision: _config(saved, precision) for precision in ("fp32", "int8")}
    measured = auroc_by_setting(photos, configs, weights=arguments.weights, progress=cli.progress)
    exact, small, ms = measured.auroc["fp32"], measured.auroc["int8"], measured.network_ms
    faster = not ms or ms["int8"] <= LEAST_GAIN * ms["fp32"]
    chosen = "int8" if faster and exact >= LEAST_AUROC and small >= exact - TOLERANCE else "fp32"
    figures = ", ".join(f"{precision} {auroc:.3f}" for precision, auroc in measured.auroc.items())
    unclear = "" if exact >= LEAST_AUROC else f" (below {LEAST_AUROC} the two cannot be compared)"
    times = ", ".join(f"{precision} {milliseconds:.1f}" for precision, milliseconds in ms.items())
    reason = (
        f"AUROC of {measured.n} held-out training photos, plain and with synthetic defects: {figures}{unclear}; "
        + (f"network, ms a photo on this machine: {times}; " if times else "")
        + f"{chosen} it is"
    )
    print(reason)
    return chosen, reason


def _times(saved: Inspector, exported: Inspector, precision: str) -> str:
    """Measure what the export brings on this machine, in words; "" where no network is used."""
    from fastener.evaluation.precision_cost import network_ms

    networks = {
        name: [one.pretrained for one in inspector.evidence.values() if one.pretrained is not None]
        for name, inspector in (("PyTorch, as saved", saved), (f"ONNX Runtime, {precision}", exported))
    }
    if not all(networks.values()):
        return ""
    measured = network_ms(networks, exported.preprocessor.size)
    times = f"network, ms a photo on this machine: {', '.join(f'{name} {ms:.1f}' for name, ms in measured.items())}"
    print(times)
    return times


def _config(saved: Inspector, precision: str) -> Config:
    """Copy the settings of the saved model in another precision, with every automatic choice already made."""
    config = saved.config
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"backbone": saved.backbone}),
            "run": config.run.model_copy(update={"device": "cpu", "precision": precision, "runtime": "onnx"}),
            "evidence": tuple(saved.evidence),
        }
    )


if __name__ == "__main__":
    cli.run(main)
