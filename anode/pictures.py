"""Draw the boxes that count on the inspected slices, and write them as PNG files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fastener.anode.volumes import InspectedSlice
from fastener.common.files import write_atomically
from fastener.datasets.ct_slices import Volume
from fastener.inspection.drawing import draw_boxes, save_picture
from fastener.inspection.fonts import font_file

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
        self._legend: list[str] = []
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
            captions = [f"{self._shown(b.label)} {b.score:.2f}" for b in boxes]
            drawn = draw_boxes(one.picture, corners, captions)
            kind = "anomaly" if boxes else "normal"
            save_picture(drawn, self._folder(root, kind) / f"{one.slice.name}.png")

    def _shown(self, label: str) -> str:
        """Return the label, or its number in legend.txt where no font of this machine has its characters."""
        if font_file(label) is not None:
            return label
        if label not in self._legend:
            self._legend.append(label)
            lines = [f"{place}: {text}" for place, text in enumerate(self._legend, start=1)]
            for root in self._roots.values():
                write_atomically(root / "legend.txt", "\n".join(lines) + "\n")
        return f"#{self._legend.index(label) + 1}"

    def _folder(self, root: Path, kind: str) -> Path:
        return root / kind / self.volume.battery / self.volume.axis
