"""Common flags, one-line errors and exit codes of all scripts. Nothing heavy is imported, so --help is quick."""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from fastener.common.errors import UserError, one_line
from fastener.common.files import CONFIGS
from fastener.common.installation import install_extra
from fastener.config import Config, load_config
from fastener.datasets.listing import IMAGE_SUFFIXES
from fastener.inspection.registry import EVIDENCE
from fastener.models.backbones import BACKBONES, DEFAULT_BACKBONE, GPU_BACKBONE, TIMM

if TYPE_CHECKING:
    from fastener.datasets.dataset import Split

EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 1, 2, 130, 143
# What the scripts set for themselves, unless the user has. Idle OpenMP threads would spin and starve the threads of the
# other library on small machines. Maps of a batch are let go and asked for again all the time; in huge pages (Linux)
# that takes a tenth less of all.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "THP_MEM_ALLOC_ENABLE": "1"}
DEFAULT_MODEL = Path("saved_models/patchcore_fastener.pkl")


def parser(description: str | None, example: str) -> argparse.ArgumentParser:
    """Make an ArgumentParser with the flags of every script: --config, --set and those of ``add_run_flags``."""
    result = _Parser(
        description=description, epilog=f"example: {example}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    settings = result.add_argument_group("settings")
    settings.add_argument("--config", type=Path, metavar="FILE", help="YAML file with settings, see configs/")
    settings.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one setting, e.g. preprocess.clahe_clip_limit=3",
    )
    add_run_flags(settings)
    return result


class _Parser(argparse.ArgumentParser):
    """Parses a command line; a path that begins with ~ starts in the user's home, also where no shell expands it."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, rest = super().parse_known_args(args, namespace)
        for name, value in vars(found).items():
            setattr(found, name, _expanded(value))
        return found, rest

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: ") and IMAGE_SUFFIXES & {Path(message).suffix.lower()}:
            message += "; a shell writes all files for *, of which --image takes one: name their folder with --dir"
        super().error(message)


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(one) for one in value]
    if isinstance(value, Path):
        return value.expanduser()
    return str(Path(value).expanduser()) if isinstance(value, str) and value.startswith("~") else value


def add_run_flags(group: argparse._ActionsContainer) -> None:
    """Add the flags that choose device, precision and runtime; ``run_flags`` turns them into settings."""
    group.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto)")
    group.add_argument("--precision", metavar="P", help="CNN precision: auto, fp32, bf16, fp16 or int8 (default: auto)")
    group.add_argument("--runtime", metavar="R", help="CNN runtime: auto, torch or onnx (default: auto)")


def config_from(arguments: argparse.Namespace, preset: str | None = None, **flags: Any) -> Config:
    """Build the Config of --config, --set and these flags; ``section__key=value`` stands for ``section.key``.

    Without --config the settings start from configs/``preset``, or from the defaults if ``preset`` is None.
    """
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    file = arguments.config or (None if preset is None else CONFIGS / preset)
    return load_config(file, arguments.set, {**run_flags(arguments), **dotted}, warn=warn)


def run_flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """Collect the flags of ``add_run_flags`` by the settings that they stand for."""
    return {f"run.{name}": getattr(arguments, name) for name in ("device", "precision", "runtime")}


def add_model_flags(group: argparse._ArgumentGroup) -> None:
    """Add the flags that say what a new model is built from."""
    backbones = ", ".join(name for name in BACKBONES if name != "filters")
    group.add_argument(
        "--backbone",
        metavar="B",
        help=f"pretrained network: {backbones}, {TIMM}<name> = any of timm; filters = none; auto = {GPU_BACKBONE} on "
        f"CUDA if its weights can be had, else {DEFAULT_BACKBONE} (default: auto)",
    )
    group.add_argument(
        "--weights", type=Path, metavar="F", help="file of the backbone's weights: .pth, .safetensors or .npz"
    )
    group.add_argument(
        "--evidence",
        type=names,
        metavar="A,B",
        help=f"of {', '.join(EVIDENCE)} (default: cnn with a network, filters, colour with preprocessing, shape where "
        "parts are seen)",
    )
    group.add_argument(
        "--alpha", type=float, metavar="A", help="share of healthy parts that may be flagged (default: 0.05)"
    )


def add_cluster_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add --cluster and --cores; return their group, so that a script can add flags of its own."""
    group = parser.add_argument_group(f"many machines ({install_extra('cluster')})")
    group.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="work on the Ray cluster at HOST:PORT; auto = the one RAY_ADDRESS names, else the cores of this machine",
    )
    group.add_argument("--cores", type=positive, default=2, metavar="N", help="CPU cores of a worker (default: 2)")
    return group


def report_split(split: Split) -> None:
    """Print how the label columns of a split were read, and warn of images that were left out."""
    if split.columns is None:
        return
    print(f"{split.name}: {split.columns.describe()}")
    if split.unmarked:
        count = len(split.unmarked)
        warn(
            f"{split.name}: {count} image(s) with no label at all count as healthy, e.g. {split.unmarked[0].path.name}"
        )
    if split.unlabelled:
        warn(f"{split.name}: {len(split.unlabelled)} image(s) are marked as unlabelled, and were left out")
    if split.unlisted:
        warn(
            f"{split.name}: {len(split.unlisted)} image(s) are in the folder but not in _classes.csv, and were left out"
        )


def report_passed_over(folder: Path, recursive: bool) -> None:
    """Warn of photos and folders in a folder of photos that are not used."""
    from fastener.datasets.listing import told, unused_in

    for line in told(unused_in(folder, recursive=recursive)):
        warn(line)


def report_notes(notes: Iterable[tuple[str, str]]) -> None:
    """Warn of how photos were read, one line for each kind of note: the first photo by name, and how many are like it.

    ``notes`` are pairs of a photo's name and a note. Notes that differ in numbers only are of one kind.
    """
    from fastener.inspection.reading import told_once

    for line in told_once(notes):
        warn(line)


def keep_model_settings(arguments: argparse.Namespace, *flags: str) -> None:
    """Raise UserError if one of these flags, or a --set, would change a setting that a saved model was trained with."""
    given = [f"--{flag.replace('_', '-')}" for flag in flags if getattr(arguments, flag) is not None]
    given += [f"--set {text}" for text in arguments.set if not text.strip().startswith(("run.", "baseline_tag"))]
    if given:
        raise UserError(f"{given[0]}: a saved model keeps the settings it was trained with; train a new one instead")


def names(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list for argparse; each name counts once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def positive(text: str) -> int:
    """Parse a whole number from 1 for argparse."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def say(line: str) -> None:
    """Print one line on stdout, above a progress bar if there is one."""
    _write_line(line, sys.stdout)


def warn(line: str) -> None:
    """Print one line on stderr, so that stdout holds results only."""
    _write_line(f"warning: {one_line(line)}", sys.stderr)


def _write_line(line: str, file: TextIO) -> None:
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(line, file=file)
    else:
        print(line, file=file)


def progress(iterable: Iterable[Any], total: int, label: str) -> Iterable[Any]:
    """Show a progress bar on a terminal, and nothing in a pipe."""
    from tqdm import tqdm

    bar: Iterable[Any] = tqdm(iterable, total=total, desc=label, unit="", leave=False, disable=not sys.stderr.isatty())
    return bar


def run(main: Callable[[], int]) -> None:
    """Call ``main`` and exit with its code; a UserError becomes one line on stderr and exit code 2."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # The stop signal of a service manager is an interruption, too: open files are closed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main()
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted; finished files are kept", file=sys.stderr)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_SOME_FAILED
    except OSError as error:
        print(f"error: {error.filename or 'input or output'}: {error.strerror or error}", file=sys.stderr)
        code = EXIT_USAGE
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not re.search("out of memory|allocate memory", str(error)):
            raise
        print("error: out of memory; lower --set run.batch_size, preprocess.size or --coreset-ratio", file=sys.stderr)
        code = EXIT_USAGE
    sys.exit(code)
