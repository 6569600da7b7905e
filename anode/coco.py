"""Export labelled slices as a COCO data set of train, valid and test; each battery is in one of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastener.anode.evaluation import boxes_in_regions
from fastener.anode.regions import crop
from fastener.anode.settings import AnodeSettings
from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.datasets.ct_labels import Labels
from fastener.datasets.ct_slices import SliceReader, Volume
from fastener.datasets.ct_window import window_of
from fastener.inspection.drawing import save_picture
from fastener.models.progress import Progress, no_progress

SPLITS = ("train", "valid", "test")
_SHARES = (0.6, 0.2, 0.2)
_CATEGORY = 1


@dataclass(frozen=True)
class ExportedSplit:
    """Count what was written into one folder."""

    name: str
    batteries: tuple[str, ...]
    images: int
    boxes: int


def export_coco(
    volumes: Sequence[Volume],
    labels: Labels,
    settings: AnodeSettings,
    folder: Path,
    *,
    progress: Progress = no_progress,
    warn: Callable[[str], None] = lambda line: None,
) -> list[ExportedSplit]:
    """Write ``<folder>/{train,valid,test}``: a PNG for each region of each slice, and ``_annotations.coco.json``.

    Folders of an earlier export are replaced. A slice that cannot be read is reported to ``warn`` and left out. Only
    boxes in a region count. Raises UserError as ``split_batteries`` does, if no slice with a box can be read for
    training or validation, and if a file cannot be written.
    """
    cracked = {battery for (battery, _, _), boxes in labels.items() if boxes_in_regions(boxes, settings.roi_config)}
    parts = split_batteries([volume.battery for volume in volumes], cracked, settings.run.seed)
    splits = []
    for name, batteries in parts.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        chosen = [volume for volume in volumes if volume.battery in batteries]
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for volume in progress(chosen, len(chosen), f"exporting {name}"):
            for picture, name_of_crop, boxes in _pictures(volume, labels, settings, warn):
                # The number keeps names unique: battery "a_b" along "c" and battery "a" along "b_c" join to the same.
                file = f"{len(images) + 1:06d}_{name_of_crop}.png"
                save_picture(picture, folder / name / file, is_photo=True)
                height, width = picture.shape[:2]
                images.append({"id": len(images) + 1, "file_name": file, "width": width, "height": height})
                for box in boxes:
                    annotations.append(_annotation(len(annotations) + 1, len(images), box))
        category = {"id": _CATEGORY, "name": settings.class_label, "supercategory": "none"}
        content = {"images": images, "annotations": annotations, "categories": [category]}
        write_atomically(folder / name / "_annotations.coco.json", json.dumps(content))
        if not annotations and name != "test":
            raise UserError(f"{name}: no slice with a labelled box of {', '.join(batteries)} can be read")
        splits.append(ExportedSplit(name, batteries, len(images), len(annotations)))
    return splits


def split_batteries(batteries: Sequence[str], cracked: set[str], seed: int) -> dict[str, tuple[str, ...]]:
    """Share out batteries to train (60 %), valid and test (20 % each), by ``seed``.

    Cracked and good batteries are shared out separately. Every split gets a battery; train and valid get a cracked one.
    Raises UserError for fewer than three batteries or fewer than two cracked ones.
    """
    names = sorted(set(batteries))
    bad = [name for name in names if name in cracked]
    if len(names) < 3 or len(bad) < 2:
        raise UserError(
            f"{len(names)} labelled batteries, {len(bad)} of them with boxes in a region of roi_config: RF-DETR needs "
            "three, two with boxes, as train, valid and test never share one"
        )
    rng = np.random.default_rng(seed)
    parts: dict[str, list[str]] = {name: [] for name in SPLITS}
    good = [name for name in names if name not in cracked]
    for group in (bad, good):
        for name in rng.permutation(group).tolist():
            # The split that is furthest behind its share takes the next battery. The first two cracked batteries go to
            # train and valid.
            behind = [share * len(names) - len(parts[split]) for split, share in zip(SPLITS, _SHARES, strict=True)]
            target = int(np.argmax(behind))
            if group is bad and not parts["train"]:
                target = 0
            elif group is bad and not parts["valid"]:
                target = 1
            parts[SPLITS[target]].append(name)
    if not parts["test"]:
        parts["test"].append(parts["train"].pop())
    return {split: tuple(sorted(members)) for split, members in parts.items()}


def _pictures(
    volume: Volume, labels: Labels, settings: AnodeSettings, warn: Callable[[str], None]
) -> Iterator[tuple[np.ndarray, str, list[list[float]]]]:
    """Yield every region of every slice: its picture, its name, and its boxes as x, y, width, height in pixels."""
    with SliceReader() as read:
        window = window_of(volume, settings.window_percentiles, read)
        for one in volume.slices:
            try:
                picture = window(read(one))
                crops = [crop(picture, region, one) for region in settings.roi_config]
            except UserError as error:
                warn(str(error))
                continue
            inside = boxes_in_regions(labels.get((volume.battery, volume.axis, one.number), []), settings.roi_config)
            for region, cut in zip(settings.roi_config, crops, strict=True):
                boxes = [
                    [b[0] - region.x_min, b[1] - region.y_min, b[2] - b[0], b[3] - b[1]]
                    for name, b in inside
                    if name == region.name
                ]
                yield cut, f"{volume.battery}_{volume.axis}_{one.name}_{region.name}", boxes


def _annotation(number: int, image: int, box: list[float]) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": _CATEGORY,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": 0,
    }
