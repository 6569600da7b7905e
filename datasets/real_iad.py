"""Real-IAD: thirty objects from five sides, split by one JSON file an object.

Wang et al. 2024, "Real-IAD: A Real-World Multi-View Dataset for Benchmarking Versatile Industrial Anomaly Detection".
``realiad_jsons/realiad_jsons/<object>.json`` holds ``meta`` (``prefix``, ``normal_class``), ``train`` and ``test``;
each entry has ``image_path``, ``mask_path`` (or null) and ``anomaly_class``. The photos lie in
``realiad_1024/<object>``, or in ``realiad_512`` or ``realiad_256``; of several the finest is read, unless one of them
is named.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastener.common.errors import UserError
from fastener.datasets.dataset import GOOD, TEST, TRAIN
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.layout import Found, Images, ResearchLayout, file_inside, named

_JSONS = "realiad_jsons"
_PHOTOS = ("realiad_raw", "realiad_1024", "realiad_512", "realiad_256")


class RealIad(ResearchLayout):
    """Real-IAD with its files of JSON."""

    title = "Real-IAD"
    looks_for = "realiad_jsons/<object>.json and realiad_1024/<object>"

    def matches(self, folder: Path) -> bool:
        """Tell whether files of JSON and photos are in the folder, or the files beside a folder of photos."""
        return _places(folder) is not None

    def find(self, folder: Path) -> Found:
        """List the objects whose photos are there."""
        places = _places(folder)
        if places is None:
            raise UserError(f"{folder}: looked for {self.looks_for} there; name the folder that holds both")
        jsons, photos = places
        files = {path.stem: path for path in sorted(jsons.glob("*.json")) if (photos / path.stem).is_dir()}
        if not files:
            raise UserError(f"{photos}: holds the photos of no object that {jsons} knows; unpack one there")
        return Found(photos, tuple(files), lambda name: _images(photos, name, files[name]))


def _places(folder: Path) -> tuple[Path, Path] | None:
    """Find the folders of the files of JSON, and of the photos."""
    whole = (folder / _JSONS).is_dir()
    top = folder if whole else named(folder).parent
    jsons = [path for path in (top / _JSONS / _JSONS, top / _JSONS) if next(path.glob("*.json"), None) is not None]
    photos = [top / name for name in _PHOTOS if (top / name).is_dir()] if whole else [folder]
    if not jsons or not photos or (not whole and named(folder).name not in _PHOTOS):
        return None
    return jsons[0], photos[0]


def _images(photos: Path, category: str, file: Path) -> Images:
    content = _read(file)
    try:
        meta = content["meta"]
        prefix, normal = str(meta.get("prefix", category)).strip("/"), str(meta.get("normal_class", "OK"))
        return {
            split: [_image(photos, prefix, entry, normal, file) for entry in content[name]]
            for split, name in ((TRAIN, "train"), (TEST, "test"))
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file}: an entry is not as expected ({error!r}); it needs meta, train and test, and image_path, "
            "mask_path and anomaly_class for each image"
        ) from None


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: cannot be read as JSON ({error}); take the file of the data set") from None


def _image(photos: Path, prefix: str, entry: dict[str, Any], normal: str, file: Path) -> LabelledImage:
    def found(name: str) -> Path:
        path = file_inside(photos, f"{prefix}/{name}")
        if path is None:
            raise UserError(f"{file}: {prefix}/{name} is not in {photos}; unpack all photos of the object")
        return path

    path, label = found(entry["image_path"]), str(entry["anomaly_class"])
    if label == normal:
        return LabelledImage(path, False, (GOOD,))
    return LabelledImage(path, True, (label,), found(entry["mask_path"]) if entry.get("mask_path") else None)
