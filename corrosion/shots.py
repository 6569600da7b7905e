"""One shot, ready to be compared: its colours, its light and its anomaly map in one and the same frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fastener.common.errors import UserError
from fastener.config import CorrosionSettings
from fastener.corrosion import quality
from fastener.corrosion.colour_growth import Surface
from fastener.corrosion.growth import HeatBaseline, disturbed_photos, heat_baseline, heat_noise
from fastener.corrosion.light import Light, find_light, neutralised, share_the_light
from fastener.datasets.components import Shot
from fastener.datasets.images import read_image
from fastener.inspection.colour import relative_lab
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Failure, Inspection
from fastener.preprocessing.pipeline import Prepared, Preprocessor
from fastener.preprocessing.registration import compose, invert, shrink

# Anomaly maps are compared on a grid of about this side; the model's own maps hold no finer detail.
_MAP_SIDE = 256
_PHOTO_SIDE = 1000


@dataclass(frozen=True)
class ShotView:
    """What is seen in one shot; all arrays but ``photo`` are in its canonical frame.

    photo: uint8 RGB, the photo with sides up to 1000 px, and ``to_photo`` (2, 3) the transform to it from the whole
    one, which is not kept: memory would grow by 50 MB a shot.
    heat: float32 (h / step, w / step), the anomaly map; None where the model could not say.
    """

    shot: Shot
    photo: np.ndarray
    to_photo: np.ndarray
    prepared: Prepared
    light: Light
    surface: Surface
    inspection: Inspection
    heat: np.ndarray
    step: int
    sharpness: float
    flags: tuple[str, ...]

    @property
    def heat_mask(self) -> np.ndarray:
        """The part on the grid of ``heat``."""
        return self.surface.mask[:: self.step, :: self.step]

    @property
    def part_pixels(self) -> float:
        """Area of the part in pixels of the photo."""
        zoom = abs(np.linalg.det(self.prepared.transform[:, :2]))
        return float(self.surface.mask.sum() / zoom)


def look_at(
    shots: list[Shot], preprocessor: Preprocessor, inspector: Inspector, settings: CorrosionSettings
) -> tuple[list[ShotView], list[Failure]]:
    """Look at the shots of one moment, which share their light; those that cannot be read come back as failures."""
    photos: list[tuple[Shot, np.ndarray]] = []
    failures = []
    for shot in shots:
        try:
            photos.append((shot, read_image(shot.path)))
        except UserError as error:
            failures.append(Failure(shot.path, str(error)))
    prepared = [preprocessor(photo) for _, photo in photos]
    seen = [find_light(photo, one) for (_, photo), one in zip(photos, prepared, strict=True)]
    lights = share_the_light(seen)
    looks = [
        _look(shot, photo, one, light, inspector, settings)
        for (shot, photo), one, light in zip(photos, prepared, lights, strict=True)
    ]
    return looks, failures


def _look(
    shot: Shot,
    photo: np.ndarray,
    prepared: Prepared,
    light: Light,
    inspector: Inspector,
    settings: CorrosionSettings,
) -> ShotView:
    surface = Surface(relative_lab(prepared.photo, light.white), prepared.mask)
    inspection = _inspected(inspector, neutralised(photo, light))
    small, to_small = shrink(photo, _PHOTO_SIDE)
    step = max(1, settings.frame // _MAP_SIDE)
    return ShotView(
        shot=shot,
        photo=small,
        to_photo=to_small,
        prepared=prepared,
        light=light,
        surface=surface,
        inspection=inspection,
        heat=_in_frame(inspection, prepared.transform, surface.mask.shape[0], step),
        step=step,
        sharpness=quality.sharpness(surface.lightness, surface.mask),
        flags=tuple(quality.flags(prepared, light, settings)),
    )


def _inspected(inspector: Inspector, photo: np.ndarray) -> Inspection:
    result = inspector.inspect([photo])[0]
    assert isinstance(result, Inspection)  # only files fail to be read
    return result


def _in_frame(inspection: Inspection, to_frame: np.ndarray, side: int, step: int) -> np.ndarray:
    """The anomaly map on every ``step``-th pixel of the frame into which ``to_frame`` (2, 3) takes the same photo."""
    move = compose(to_frame, invert(inspection.transform))
    cells = -(-side // step)
    drawn = cv2.warpAffine(inspection.map, move / step, (cells, cells), borderMode=cv2.BORDER_REPLICATE)
    return np.nan_to_num(np.asarray(drawn, np.float32))


def heat_of_baseline(look: ShotView, inspector: Inspector, dead_band: float) -> tuple[HeatBaseline, list[float]]:
    """A T0 shot as heatmaps are compared with it, and the growth in percent that small disturbances of it feign."""
    maps = [look.heat]
    for disturbed, move in disturbed_photos(neutralised(look.photo, look.light)):
        inspection = _inspected(inspector, disturbed)
        to_frame = compose(look.prepared.transform, invert(compose(move, look.to_photo)))
        maps.append(_in_frame(inspection, to_frame, look.surface.mask.shape[0], look.step))
    noise = heat_noise(maps, look.heat_mask, inspector.threshold, dead_band)
    return heat_baseline(maps, [look.heat_mask] * len(maps)), noise
