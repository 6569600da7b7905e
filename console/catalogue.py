"""List the models of a folder; load each once, reload it when its file changes, and keep to a memory limit."""

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
from fastener.console.servable import Read, Servable, read_inspector
from fastener.datasets.listing import files_in
from fastener.inspection.model_folder import MODEL_FILE
from fastener.models.runtime.storage import is_model

Stamp = tuple[int, int, int]
MIB = 2**20
MODEL_SUFFIX = ".pkl"
MOST_TIMES = 10
_READS = 3  # attempts to read a model file that is replaced meanwhile


class UnknownCategory(UserError):
    """Raised when the folder has no model of this name."""


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model in memory.

    Attributes
    ----------
    category : str
        Name by which clients ask for the model.
    path : Path
        The model file.
    checksum : str
        SHA-256 of the model file, in hexadecimal.
    stamp : tuple of int, or None
        Modification time in ns, size in bytes and inode of the file when it was loaded; None if it was gone.
    inspector : Servable
        The model itself, with the threshold that is in force.
    own_threshold : float
        The threshold that is stored in the model file.
    """

    category: str
    path: Path
    checksum: str
    stamp: Stamp | None
    inspector: Servable
    own_threshold: float

    def threshold_range(self) -> tuple[float, float]:
        """Return the lowest and the highest threshold that make sense for the model, which has healthy scores.

        At the lowest, 0 or the lowest healthy score, every part fails. The highest lies ``MOST_TIMES`` as far above it
        as the highest healthy score, or the model's own threshold if that is higher: hardly any defect would fail.
        """
        healthy = self.inspector.healthy_scores
        low = min(0.0, float(healthy.min()))
        return low, low + MOST_TIMES * (max(self.own_threshold, float(healthy.max())) - low)


class Catalogue:
    """The models of a folder, loaded on demand. All methods may be called from any thread.

    ``loaded`` never waits for a model to be read; ``load`` may take seconds.

    Parameters
    ----------
    folder : Path
        Folder that is searched for model files, with its subfolders.
    device : str
        Device that the models compute on, such as "cpu" or "cuda".
    run : RunSettings
        Batch size, number of threads and precision.
    memory_mb : int
        Limit for all models in memory, in MiB. Beyond it the least recently used models are dropped.
    saved_threshold : callable
        ``saved_threshold(category, checksum)`` returns the threshold that a person saved for this very model file, or
        None. A threshold for an earlier file is not used: after training, scores are on another scale.
    read : callable
        ``read(file, device, run)`` reads a model's file, and raises UserError if it cannot be used here.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str,
        run: RunSettings,
        memory_mb: int,
        saved_threshold: Callable[[str, str], float | None],
        read: Read = read_inspector,
    ):
        self.folder = folder
        self._device, self._run = device, run
        self._memory = memory_mb * MIB
        self._saved_threshold, self._read_model = saved_threshold, read
        self._models: OrderedDict[str, ServedModel] = OrderedDict()
        self._models_lock, self._load_lock = threading.Lock(), threading.Lock()

    def categories(self) -> dict[str, Path]:
        """List the model file of each category, sorted by category.

        A category is the path below ``folder`` without the file's suffix, or the path of the model's own folder. Of
        several files that would have one name, the first is served; ``clashes`` tells.
        """
        return {name: paths[0] for name, paths in self._by_category().items()}

    def clashes(self) -> list[str]:
        """Say in a line each which model files would have one name, so that only one of them is served."""
        return [
            f"{', '.join(map(str, paths))} would all be called {name}; only the first is served, rename the others"
            for name, paths in self._by_category().items()
            if len(paths) > 1
        ]

    def _by_category(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in sorted(self._files(), key=lambda path: (path.suffix != MODEL_SUFFIX, path)):
            found.setdefault(self._category(path), []).append(path)
        return dict(sorted(found.items()))

    def listed(self) -> list[tuple[str, ServedModel | None]]:
        """List all categories with their models, None for one that is not in memory."""
        found = ((name, self.loaded(name)) for name in self.categories())
        return [(name, None if model is None else self.with_saved_threshold(model)) for name, model in found]

    def loaded(self, category: str) -> ServedModel | None:
        """Return the model if it is in memory and its file is unchanged, else None. Raises UnknownCategory."""
        with self._models_lock:
            model = self._models.get(category)
            if model is None:
                self._path(category)
                return None
            if _stamp(model.path) != model.stamp:
                return None
            self._models.move_to_end(category)
            return model

    def load(self, category: str, reload: bool = False) -> ServedModel:
        """Return the model, reading its file if it is not in memory or if ``reload`` is set.

        Raises UnknownCategory, and UserError if the file cannot be used here.
        """
        with self._load_lock:
            model = None if reload else self.loaded(category)
            if model is not None:
                return model
            path = self._path(category)
            model = self.with_saved_threshold(self._read(category, path))
            with self._models_lock:
                self._models[category] = model
                self._models.move_to_end(category)
                self._evict()
            return model

    def with_saved_threshold(self, model: ServedModel) -> ServedModel:
        """Return the model with the threshold that is in force for its file, as stored by any server."""
        saved = self._saved_threshold(model.category, model.checksum)
        wanted = model.own_threshold if saved is None else saved
        if wanted == model.inspector.threshold:
            return model
        with self._models_lock:
            known = self._models.get(model.category)
            if known is not None and known.checksum == model.checksum and known.inspector.threshold == wanted:
                return known
            changed = replace(model, inspector=model.inspector.with_threshold(wanted, "the console"))
            if known is model:
                self._models[model.category] = changed
        return changed

    def loaded_categories(self) -> list[str]:
        """List the categories in memory, the least recently used first."""
        with self._models_lock:
            return list(self._models)

    def _read(self, category: str, path: Path) -> ServedModel:
        """Read a model file and its checksum. Raises UserError if it cannot be used here."""
        for _ in range(_READS):
            stamp = _stamp(path)
            try:
                with path.open("rb") as file:
                    checksum = file_digest(file, "sha256").hexdigest()
                inspector = self._read_model(path, self._device, self._run)
            except OSError as error:
                raise UserError(f"{path} cannot be read: {error.strerror}") from None
            if _stamp(path) == stamp:  # else it was replaced, and the checksum may be that of another model
                return ServedModel(
                    category=category,
                    path=path,
                    checksum=checksum,
                    stamp=stamp,
                    inspector=inspector,
                    own_threshold=inspector.threshold,
                )
        raise UserError(f"{path} is being written; try again when that has ended")

    def _files(self) -> Iterator[Path]:
        if not self.folder.is_dir():
            return
        for path in files_in(self.folder):
            if (path.suffix == MODEL_SUFFIX and path.is_file()) or is_model(path):
                yield path

    def _category(self, path: Path) -> str:
        below = path.relative_to(self.folder)
        in_folder = path.name == MODEL_FILE and len(below.parts) > 1
        if in_folder:
            return below.parent.as_posix()
        return (below.with_suffix("") if below.suffix == MODEL_SUFFIX else below).as_posix()

    def _path(self, category: str) -> Path:
        """Look the category up in the list: text from a client never becomes part of a path."""
        path = self.categories().get(category)
        if path is None:
            known = ", ".join(self.categories()) or f"none; train one with train.py into {self.folder}"
            raise UnknownCategory(f"no model for category {category!r}; available: {known}")
        return path

    def _evict(self) -> None:
        while len(self._models) > 1 and sum(map(_memory_of, self._models.values())) > self._memory:
            self._models.popitem(last=False)


def _memory_of(model: ServedModel) -> int:
    """Estimate the bytes of a model: its network, and three copies of its features (raw, centred, in an index)."""
    networks = [
        parameter.numel() * parameter.element_size()
        for evidence in model.inspector.evidence.values()
        for network in evidence.networks
        for parameter in network.parameters()
    ]
    return 3 * (model.stamp[1] if model.stamp else 0) + sum(networks)


def _stamp(path: Path) -> Stamp | None:
    with suppress(OSError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None
