"""The models of a folder: listed, loaded once, reloaded when their file changes, within a memory limit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path

from fastener.common.errors import UserError
from fastener.config import RunSettings
from fastener.inspection.evidence import StructureEvidence
from fastener.inspection.inspector import Inspector
from fastener.inspection.model_folder import MODEL_FILE

Stamp = tuple[int, int, int]
MIB = 2**20


class UnknownCategory(UserError):
    """No model of this name in the folder."""


@dataclass(frozen=True)
class ServedModel:
    """A loaded model. ``inspector`` has the threshold in force, ``own_threshold`` is that of the file."""

    category: str
    path: Path
    checksum: str
    stamp: Stamp | None
    inspector: Inspector
    own_threshold: float


class Catalogue:
    """``categories`` lists, ``loaded`` looks without waiting, ``load`` may take seconds. Safe to use from threads.

    ``chosen_threshold(category, checksum)`` gives the threshold that somebody saved for this model file, or None: one
    that was chosen for an earlier file says nothing about a model that was trained anew.
    """

    def __init__(
        self,
        folder: Path,
        device: str,
        run: RunSettings,
        memory_mb: int,
        chosen_threshold: Callable[[str, str], float | None],
    ):
        self.folder = folder
        self._device, self._run = device, run
        self._memory = memory_mb * MIB
        self._chosen_threshold = chosen_threshold
        self._models: OrderedDict[str, ServedModel] = OrderedDict()
        self._changing, self._loading = threading.Lock(), threading.Lock()

    def categories(self) -> dict[str, Path]:
        """Category -> model file, sorted; the category is the path below the folder without its ending.

        The category of a model folder is the path of the folder.
        """
        return dict(sorted((self._category(path), path) for path in self._files()))

    def loaded(self, category: str) -> ServedModel | None:
        """The model if it is in memory and its file has not changed. Raises UnknownCategory."""
        with self._changing:
            model = self._models.get(category)
            if model is None:
                self._path(category)
                return None
            if _stamp(model.path) != model.stamp:
                return None
            self._models.move_to_end(category)
            return model

    def load(self, category: str, anew: bool = False) -> ServedModel:
        """The model, read from its file if need be, or in any case if ``anew``.

        Raises UnknownCategory, and UserError if the file cannot be used here.
        """
        with self._loading:
            model = None if anew else self.loaded(category)
            if model is not None:
                return model
            path = self._path(category)
            stamp = _stamp(path)
            try:
                with path.open("rb") as file:
                    checksum = file_digest(file, "sha256").hexdigest()
                inspector = Inspector.load(path, self._device, run=self._run)
            except OSError as error:
                raise UserError(f"{path} cannot be read: {error.strerror}") from None
            model = ServedModel(category, path, checksum, stamp, inspector, inspector.threshold)
            chosen = self._chosen_threshold(category, checksum)
            if chosen is not None:
                model = _with_threshold(model, chosen)
            with self._changing:
                self._models[category] = model
                self._models.move_to_end(category)
                self._make_room()
            return model

    def set_threshold(self, model: ServedModel, threshold: float) -> None:
        """Let the loaded model decide by another threshold from the next photo on."""
        with self._changing:
            current = self._models.get(model.category)
            if current is not None and current.checksum == model.checksum:
                self._models[model.category] = _with_threshold(current, threshold)

    def names_loaded(self) -> list[str]:
        """The categories in memory, the least recently used first."""
        with self._changing:
            return list(self._models)

    def _files(self) -> Iterator[Path]:
        for path in self.folder.rglob("*.pkl"):
            if not any(part.startswith(".") for part in path.relative_to(self.folder).parts) and path.is_file():
                yield path

    def _category(self, path: Path) -> str:
        below = path.relative_to(self.folder)
        in_folder = path.name == MODEL_FILE and len(below.parts) > 1
        return (below.parent if in_folder else below.with_suffix("")).as_posix()

    def _path(self, category: str) -> Path:
        """Looked up, never joined: what a client sends does not become part of a path."""
        path = self.categories().get(category)
        if path is None:
            known = ", ".join(self.categories()) or f"none; train one with train.py into {self.folder}"
            raise UnknownCategory(f"no model for category {category!r}; there are: {known}")
        return path

    def _make_room(self) -> None:
        while len(self._models) > 1 and sum(map(_memory_of, self._models.values())) > self._memory:
            self._models.popitem(last=False)


def _with_threshold(model: ServedModel, threshold: float) -> ServedModel:
    return replace(model, inspector=model.inspector.with_threshold(threshold, "the console"))


def _memory_of(model: ServedModel) -> int:
    """Bytes, about: the file's features as they are, centred and in an index, and the network."""
    networks = [
        parameter.numel() * parameter.element_size()
        for evidence in model.inspector.evidence.values()
        if isinstance(evidence, StructureEvidence)
        for parameter in evidence.extractor.network.parameters()
    ]
    return 3 * (model.stamp[1] if model.stamp else 0) + sum(networks)


def _stamp(path: Path) -> Stamp | None:
    with suppress(OSError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None
