"""Put the trained parts of a split into one saved model."""

from __future__ import annotations

from pathlib import Path

from fastener.open_set.artifacts import State, stored
from fastener.open_set.model import OpenSetModel, weights_in
from fastener.open_set.one_stage import fit_rejectors
from fastener.open_set.pipeline import Pipeline
from fastener.open_set.splits import TRAIN
from fastener.open_set.two_stage import rejection_rule


def model_of(pipeline: Pipeline, name: str, *, with_gate: bool = True) -> OpenSetModel:
    """Make the model of a split, with the score that decides there, and PatchCore as its first stage."""
    settings, split, embedded = pipeline.settings.rejection, pipeline.split(name), pipeline.extract_embeddings(name)
    rule = rejection_rule(pipeline.score(name), settings.use_confidence)
    (rejector,) = fit_rejectors(split, embedded, [rule], settings)
    train = split.indices(TRAIN)
    files = {pipeline.backbone: pipeline.weights}
    if with_gate:
        files[pipeline.gate_backbone] = pipeline.gate_weights
    return OpenSetModel(
        classifier=pipeline.train_classifier(name),
        rejector=rejector,
        known=split.known,
        taught=embedded[train],
        labels=split.truth[train],
        rejection=settings,
        elongation=pipeline.images.elongation,
        gate=pipeline.train_patchcore() if with_gate else None,
        weights=weights_in(files),
    )


def save_model(pipeline: Pipeline, name: str, *, with_gate: bool = True) -> Path:
    """Write the model of a split to ``split_<name>/model.pt`` unless it is there; return its path."""
    folder = pipeline.output / f"split_{name}"
    path, stamp = folder / "model.pt", folder / "model_stamp.pt"
    if not path.is_file():
        stamp.unlink(missing_ok=True)

    def save() -> State:
        model_of(pipeline, name, with_gate=with_gate).save(path)
        return {"saved": path.name}

    inputs = pipeline.cascade_inputs(name) if with_gate else pipeline.osr_inputs(name)
    stored(stamp, {**inputs, "with_gate": with_gate}, save)
    return path
