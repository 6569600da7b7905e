"""Read a folder by patterns of paths: which files are photos, of which split and category, and which are masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastener.common.errors import UserError
from fastener.datasets.dataset import GOOD, TEST, TRAIN, VALID
from fastener.datasets.images import list_images, read_image
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.layout import Images, hold_back
from fastener.datasets.listing import files_in, is_image, without_results
from fastener.datasets.names import is_good
from fastener.datasets.path_patterns import PathPattern

_SPLITS = {"good": TRAIN, "valid": VALID, "test": TEST}


@dataclass(frozen=True)
class _Photo:
    """A photo's path, the pattern of good photos that it fits or "", and whether that of defective ones fits."""

    path: str
    healthy: str
    maybe_bad: bool
    fields: Mapping[str, str]


class PatternReader:
    """The images below a folder, by the patterns that their paths fit.

    Parameters
    ----------
    folder : Path
        Folder that is searched.
    patterns : mapping of str to PathPattern
        By role: good, valid, test, defect, mask, aside.
    above : str
        Name of the folder, if the patterns begin one folder above it; else "".
    """

    def __init__(self, folder: Path, patterns: Mapping[str, PathPattern], above: str = "") -> None:
        self._root = folder.parent if above else folder
        self._patterns = patterns
        files = without_results([path for path in files_in(folder) if is_image(path)])
        paths = sorted(f"{above}/" * bool(above) + path.relative_to(folder).as_posix() for path in files)
        self._aside = {path for path in paths if "aside" in patterns and patterns["aside"].match(path) is not None}
        self._masks = self._by_key(paths)
        found = [photo for path in paths if path not in self._aside and (photo := self._photo(path)) is not None]
        of_photos = {mask: photo.path for photo in found for mask in self._masks_of(photo)}
        self._photos = [photo for photo in found if of_photos.get(photo.path, photo.path) == photo.path]
        self._per_folder = Counter(_folder(path) for path in of_photos)
        self.belongs = frozenset(self._root / path for path in self._aside | set(of_photos))

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the categories that have good photos to learn from, sorted."""
        names = {one.fields["category"] for one in self._photos if one.healthy == "good" and "category" in one.fields}
        return tuple(sorted(names))

    def images(self, category: str = "") -> Images:
        """List the photos by split; those of one category, or all.

        Good photos are held back for the test where none is there. Raises UserError for a mask that cannot be read.
        """
        found: dict[str, list[LabelledImage]] = {split: [] for split in (TRAIN, VALID, TEST)}
        for photo in self._photos:
            if category in ("", photo.fields.get("category")):
                found[_SPLITS.get(photo.healthy, TEST)].append(self._labelled(photo))
        if "defect" in self._patterns and all(image.is_anomalous for image in found[TEST]):
            bad = [image for image in found[TRAIN] if image.is_anomalous]
            good, held_back = hold_back([image for image in found[TRAIN] if not image.is_anomalous])
            found[TRAIN], found[TEST] = list(good), [*found[TEST], *bad, *held_back]
        return {split: images for split, images in found.items() if images or split == TRAIN}

    def _photo(self, path: str) -> _Photo | None:
        """Tell whether a path is that of a photo; a folder of defects whose name says "good" holds good ones."""
        fits = {
            role: fields
            for role in ("good", "valid", "test", "defect")
            if role in self._patterns and (fields := self._patterns[role].match(path)) is not None
        }
        if not fits:
            return None
        healthy = next((role for role in _SPLITS if role in fits), "")
        if not healthy and is_good(fits["defect"].get("defect", "")):
            healthy = "test"
        fields = {name: text for one in fits.values() for name, text in one.items()}
        return _Photo(path, healthy, "defect" in fits, fields)

    def _by_key(self, paths: list[str]) -> dict[tuple[str, ...], list[str]]:
        """List the masks by the fields that their pattern reads."""
        found: dict[tuple[str, ...], list[str]] = {}
        pattern = self._patterns.get("mask")
        for path in [] if pattern is None else paths:
            if pattern is not None and (fields := pattern.match(path)) is not None:
                found.setdefault(tuple(fields[one].casefold() for one in sorted(pattern.fields)), []).append(path)
        return found

    def _masks_of(self, photo: _Photo) -> list[str]:
        if "mask" not in self._patterns:
            return []
        name = photo.path.rpartition("/")[2].rpartition(".")[0]
        known = {**photo.fields, "folder": _folder(photo.path), "name": name}
        key = tuple(known.get(one, "").casefold() for one in sorted(self._patterns["mask"].fields))
        return [path for path in self._masks.get(key, []) if path != photo.path]

    def _mask(self, photo: _Photo) -> Path | None:
        """Return the mask of a photo: a file, or the folder of several, which holds those of no other photo."""
        masks = self._masks_of(photo)
        if len(masks) < 2:
            return self._root / masks[0] if masks else None
        folders = {_folder(path) for path in masks}
        if len(folders) > 1 or self._per_folder[min(folders)] != len(masks):
            raise UserError(
                f"{self._root / photo.path}: has several masks, such as {masks[0]} and {masks[1]}; put masks of one "
                "photo into a folder of their own, or name one of them by mask=..."
            )
        return self._root / folders.pop()

    def _labelled(self, photo: _Photo) -> LabelledImage:
        """Label a photo: its mask decides where both patterns fit."""
        path, mask = self._root / photo.path, self._mask(photo)
        if photo.healthy and not (photo.maybe_bad and mask is not None and _marks(mask)):
            return LabelledImage(path, False, (GOOD,))
        return LabelledImage(path, True, (photo.fields.get("defect") or "defect",), mask)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _marks(mask: Path) -> bool:
    """Tell whether a mask, or one in a folder of masks, marks any pixel."""
    return any(bool(read_image(one).any()) for one in ([mask] if mask.is_file() else list_images(mask)))
