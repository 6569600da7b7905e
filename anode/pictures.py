"""Draw the boxes that count on the inspected slices, and write them as PNG files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fastener.anode.volumes import InspectedSlice
from fastener.datasets.ct_slices import Volume
from fastener.inspection.drawing import draw_boxes, save_picture

KINDS = ("anomaly", "normal")


class PictureWriter:
    """Write each slice as ``<folder>/inference_<detector>/{anomaly,normal}/<battery>/<axis>/<slice>.png``.

    A slice is an anomaly if a hit in it counts. Pictures of the same volume from an earlier run are removed first.

    Parameters
    ----------
    volume
        The volume whose slices are written.
    detectors
        Names of the detectors.
    folder
        Where the folders of the detectors go.
    """

    def __init__(self, volume: Volume, detectors: Iterable[str], folder: Path):
        self.volume = volume
        self._roots = {name: folder / f"inference_{name}" for name in detectors}
        for root in self._roots.values():
            for kind in KINDS:
                for old in self._folder(root, kind).glob("*.png"):
                    old.unlink()

    def __call__(self, one: InspectedSlice) -> None:
        """Write one slice, once for each detector. Raises UserError if a file cannot be written."""
        for name, root in self._roots.items():
            boxes = [hit.box for hit in one.counted[name]]
            corners = [(int(b.x_min), int(b.y_min), int(b.x_max), int(b.y_max)) for b in boxes]
            drawn = draw_boxes(one.picture, corners, [f"{b.label} {b.score:.2f}" for b in boxes])
            kind = "anomaly" if boxes else "normal"
            save_picture(drawn, self._folder(root, kind) / f"{one.slice.name}.png")

    def _folder(self, root: Path, kind: str) -> Path:
        return root / kind / self.volume.battery / self.volume.axis
