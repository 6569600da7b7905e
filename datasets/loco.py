"""MVTec LOCO AD: logical and structural anomalies, several masks a photo, and how much of each has to be found."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.layout import Found, Images
from fastener.datasets.pattern_layout import PatternLayout
from fastener.datasets.saturation import SaturatedImage, Threshold, read_thresholds


@dataclass(frozen=True)
class LocoLayout(PatternLayout):
    """A ``PatternLayout`` whose categories say in defects_config.json when a defect counts as found."""

    def find(self, folder: Path) -> Found:
        """List the images, and give those of the test the thresholds of their category."""
        found = super().find(folder)

        def images(category: str) -> Images:
            thresholds = read_thresholds(found.root / category)
            by_split = found.images(category)
            return {split: [_saturated(one, thresholds) for one in images] for split, images in by_split.items()}

        return replace(found, images=images)


def _saturated(image: LabelledImage, thresholds: tuple[Threshold, ...]) -> SaturatedImage:
    own = {one.name: getattr(image, one.name) for one in fields(LabelledImage)}
    return SaturatedImage(**own, thresholds=thresholds)
