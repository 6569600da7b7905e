"""Choose settings before training, for train.py --tune: what was tried, the choice as YAML, and how to go on."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from fastener.commands import cli
from fastener.common.files import check_writable, file_state, write_atomically
from fastener.common.sampling import evenly
from fastener.common.spreadsheet import csv_text
from fastener.config import Config

if TYPE_CHECKING:
    from fastener.evaluation.tuning import Tuning
    from fastener.evaluation.tuning_trials import Trial

FOLDER = Path("outputs/tuning")
_MOST_PHOTOS = 208  # as many as tuning learns from and holds out
SIDE = 640  # pixels of the longer side; no candidate looks closer
_SHOWN = 8
# Trials of an earlier run are taken only if they were made as this version makes them: raise it with a change.
_TRIALS = "trials 3"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add --tune and what limits it."""
    group = parser.add_argument_group("choose settings without labels")
    group.add_argument(
        "--tune",
        action="store_true",
        help="try settings on held-out healthy photos with synthetic defects, then train with the best; test data are "
        f"not looked at; table, figure and YAML go to {FOLDER}; started again, it goes on",
    )
    group.add_argument("--budget", type=float, metavar="MINUTES", help="time for --tune (default: 10)")
    group.add_argument(
        "--target-ms",
        type=float,
        metavar="MS",
        help="choose no setting that is slower for a photo; if none is as fast, the fastest that loses no accuracy",
    )


def check_flags(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error where flags of this module do not go together."""
    for flag, value in (("--budget", arguments.budget), ("--target-ms", arguments.target_ms)):
        if value is not None and not arguments.tune:
            parser.error(f"{flag} is for --tune; add that flag")
        if value is not None and value <= 0:
            parser.error(f"{flag} must be above 0")
    if arguments.tune and (arguments.update is not None or arguments.cluster is not None or arguments.preprocess_only):
        parser.error("--tune trains new models on this machine; leave out --update, --cluster and --preprocess-only")


def tuned(name: str, photos: Sequence[Path], config: Config, arguments: argparse.Namespace) -> Config:
    """Choose settings for the healthy ``photos`` of a category, ``name`` or "", and write what was tried."""
    from fastener.evaluation.tuning import by_inspector, tune
    from fastener.evaluation.tuning_candidates import candidates
    from fastener.inspection.choice import choose
    from fastener.inspection.photo_settings import with_posture
    from fastener.inspection.training import with_settings

    started = time.perf_counter()
    folder = FOLDER / name if name else FOLDER
    check_writable(folder / "chosen.yaml")
    images = different_photos(photos, config)
    config = with_posture(config, images)
    wanted = candidates(config, choose(config, arguments.weights), fast=arguments.target_ms is not None)
    memory = _Memory(folder / "trials.json", _key(photos, config))
    done = tune(
        images,
        config,
        wanted,
        judge=by_inspector(arguments.weights),
        seconds=60 * (arguments.budget or 10.0) - (time.perf_counter() - started),
        target_ms=arguments.target_ms,
        known=memory.trials,
        keep=memory.add,
        progress=cli.progress,
    )
    _write(done, folder)
    of_category = f"{name}: " if name else ""
    cli.say(f"{of_category}tuning chose {done.chosen.name}: {done.reason}")
    return with_settings(config, dict(done.chosen.changes))


def different_photos(photos: Sequence[Path], config: Config) -> list[np.ndarray]:
    """Read up to 208 photos, no two of them copies of one, at a size that no candidate looks closer than."""
    from fastener.datasets.near_copies import copy_groups, signature
    from fastener.inspection.photo_settings import with_white_level
    from fastener.inspection.reading import decode
    from fastener.preprocessing.registration import shrink

    chosen = [photos[i] for i in evenly(len(photos), _MOST_PHOTOS).tolist()]
    level = with_white_level(config, chosen).preprocess.white_level
    decoded = (decode(path, SIDE, level).pixels for path in cli.progress(chosen, len(chosen), "reading"))
    read = [shrink(pixels, SIDE)[0] for pixels in decoded]
    groups = copy_groups(np.stack([signature(photo) for photo in read]))
    return [read[i] for i in np.unique(groups, return_index=True)[1].tolist()]


def _key(photos: Sequence[Path], config: Config) -> str:
    """Digest what trials depend on: the photos as files, and the settings from which candidates start."""
    files = b"".join(map(file_state, photos))
    return hashlib.sha256(files + json.dumps([_TRIALS, config.model_dump(mode="json")]).encode()).hexdigest()


class _Memory:
    """Keep trials in a file, so that an interrupted run goes on; trials of other photos or settings are dropped."""

    def __init__(self, path: Path, key: str):
        from fastener.evaluation.tuning_trials import Trial

        self.path, self.key = path, key
        self.trials: dict[tuple[int, str], Trial] = {}
        try:
            stored = json.loads(path.read_text())
            if stored["key"] == key:
                for one in stored["trials"]:
                    self._put(Trial(**{**one, "scores": tuple(one["scores"])}))
        except (OSError, ValueError, KeyError, TypeError):  # no file, or one of another version
            self.trials = {}

    def add(self, trial: Trial) -> None:
        self._put(trial)
        content = {"key": self.key, "trials": [asdict(one) for one in self.trials.values()]}
        write_atomically(self.path, json.dumps(content))

    def _put(self, trial: Trial) -> None:
        self.trials[trial.round, trial.name] = trial


def _write(done: Tuning, folder: Path) -> None:
    """Write the table, the figure and the choice, and print the first rows."""
    from fastener.evaluation import tuning_report
    from fastener.evaluation.visualize import save_figure

    table = tuning_report.rows(done)
    write_atomically(folder / "trials.csv", csv_text(tuning_report.COLUMNS, table))
    save_figure(tuning_report.figure(table, done.chosen.name), folder / "tuning.png")
    comment = f"# Chosen without labels: {done.chosen.name}. {done.reason[0].upper()}{done.reason[1:]}.\n"
    write_atomically(folder / "chosen.yaml", comment + yaml.safe_dump(done.chosen.tree, sort_keys=False))
    for row in table[:_SHOWN]:
        if row["auroc"] is not None:
            interval = f"({row['ci95_low']:.3f} to {row['ci95_high']:.3f})"
            cli.say(f"  round {row['round']}  {row['auroc']:.3f} {interval}  {row['ms']:.0f} ms  {row['candidate']}")
    untried = [row for row in table if row["auroc"] is None]
    if untried:
        cli.say(f"  {len(untried)} not tried, see {folder / 'trials.csv'}; a longer --budget goes on with them")
    cli.say(f"wrote {folder}/trials.csv, tuning.png, chosen.yaml")
