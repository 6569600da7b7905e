"""List RF-DETR's published checkpoints in the sizes under Apache-2.0, as the package rfdetr 1.11 names them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Checkpoint:
    """Describe a published file. ``md5`` is the checksum that its publisher states."""

    file_name: str
    url: str
    md5: str


_STORE = "https://storage.googleapis.com/rfdetr"

CHECKPOINTS = {
    "nano": Checkpoint(
        "rf-detr-nano.pth", f"{_STORE}/nano_coco/checkpoint_best_regular.pth", "fb6504cce7fbdc783f7a46991f07639f"
    ),
    "small": Checkpoint(
        "rf-detr-small.pth", f"{_STORE}/small_coco/checkpoint_best_regular.pth", "fb37061c1af7bace359c91b723a8d5c1"
    ),
    "medium": Checkpoint(
        "rf-detr-medium.pth", f"{_STORE}/medium_coco/checkpoint_best_regular.pth", "7223f764a87b863f02eb8d52bf0ce2ee"
    ),
    "large": Checkpoint(
        "rf-detr-large-2026.pth", f"{_STORE}/rf-detr-large-2026.pth", "5cb72153541cbcb9aa6efa26222acc75"
    ),
}
