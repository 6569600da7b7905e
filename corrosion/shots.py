"""Prepare the shots of one moment for comparison: colours, light and anomaly map, all in the shot's canonical frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import cv2
import numpy as np

from fastener.common.errors import UserError
from fastener.config import CorrosionSettings
from fastener.corrosion import quality
from fastener.corrosion.colour_sectors import Surface
from fastener.corrosion.growth import HeatBaseline, disturbed_photos, heat_baseline, heat_noise
from fastener.corrosion.light import Light, find_light, neutralised, share_the_light
from fastener.corrosion.small_picture import Picture, picture_of
from fastener.corrosion.surface_change import Scene
from fastener.datasets.components import Shot
from fastener.datasets.images import read_image
from fastener.datasets.levels import WhiteLevel
from fastener.inspection.colour import relative_lab
from fastener.inspection.inspector import Inspector
from fastener.inspection.reading import Loaded, batches
from fastener.inspection.result import Failure, Inspection
from fastener.preprocessing.pipeline import Prepared, Preprocessor
from fastener.preprocessing.registration import compose, inside_photo, invert, shrink
from fastener.preprocessing.segmentation import Part

# Anomaly maps are compared on a grid of about this side; the model's own maps hold no finer detail.
_MAP_SIDE = 256
_PHOTO_SIDE = 1000
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class ShotView:
    """Everything that is measured on one shot; all arrays but ``photo`` are in the shot's canonical frame.

    Parameters
    ----------
    shot
        The file, and the component, hour and number that its name states.
    photo
        The photo shrunk to at most 1000 px a side, uint8 RGB. The full-size photo is not kept, because memory would
        grow by 50 MB a shot.
    to_photo
        Transform from the full-size photo to ``photo``, float64 (2, 3).
    prepared
        The photo in the frame in which colours are measured.
    light
        Colour of the light in the shot.
    surface
        Colours of the part, corrected for the light.
    inspection
        The model's verdict on the photo; None without a model.
    heat
        Anomaly map on every ``step``-th pixel of the frame, float32 (h / step, w / step); 0 where the model has none.
        None without a model.
    step
        Distance in frame pixels between neighbouring values of ``heat``.
    sharpness
        Share of fine detail in the part's contrast, see ``quality.sharpness``.
    flags
        Faults of the photo, see ``quality``.
    """

    shot: Shot
    photo: np.ndarray
    to_photo: np.ndarray
    prepared: Prepared
    light: Light
    surface: Surface
    inspection: Inspection | None
    heat: np.ndarray | None
    step: int
    sharpness: float
    flags: tuple[str, ...]

    @property
    def heat_mask(self) -> np.ndarray:
        """The part on the grid of ``heat``, bool."""
        return self.surface.mask[:: self.step, :: self.step]

    @property
    def seen(self) -> np.ndarray:
        """What the photo shows of the frame, bool (h, w)."""
        return inside_photo(self.prepared.transform, self.prepared.photo_size, (_side(self.surface),) * 2)

    @property
    def scene(self) -> Scene:
        """What is compared with T0 place by place."""
        return Scene(self.prepared.photo, self.surface.mask, self.seen, self.light.white)

    @cached_property
    def picture(self) -> Picture:
        """What is registered."""
        return picture_of(self.surface.lightness, self.surface.mask, self.seen)

    def within(self, zone: np.ndarray) -> ShotView:
        """Return this view with only what lies in the significant ``zone``, bool (h, w), as its surface."""
        return replace(self, surface=replace(self.surface, mask=self.surface.mask & zone))

    def with_part(self, part: np.ndarray) -> ShotView:
        """Return this view with the seen places of ``part``, bool (h, w), as its part."""
        return replace(self, surface=replace(self.surface, mask=part & self.seen))

    @property
    def part_pixels(self) -> float:
        """Area of the part in pixels of the full-size photo."""
        zoom = abs(np.linalg.det(self.prepared.transform[:, :2]))
        return float(self.surface.mask.sum() / zoom)


def view_shots(
    shots: Sequence[Shot], preprocessor: Preprocessor, inspector: Inspector | None, *, settings: CorrosionSettings
) -> tuple[list[ShotView], list[Failure]]:
    """View the shots of one moment, which share their light; a shot that cannot be read becomes a failure.

    The part is searched for once in each shot, for the frame of ``preprocessor`` and for the model's own frame. All
    shots go through the model together; without a model, they are not inspected.
    """
    photos, failures = _read(shots, preprocessor.settings.white_level)

    def laid(photo: np.ndarray) -> tuple[Part, Prepared, Light]:
        part = preprocessor.find(photo)
        prepared = preprocessor(photo, part)
        return part, prepared, find_light(photo, prepared)

    each = in_threads(laid, [photo for _, photo in photos])
    parts, prepared = [part for part, _, _ in each], [one for _, one, _ in each]
    lights = share_the_light([light for _, _, light in each])
    inspections: list[Inspection | None] = [None] * len(photos)
    if inspector is not None:
        model_inputs = (
            inspector.preprocessor(neutralised(photo, light), part)
            for (_, photo), light, part in zip(photos, lights, parts, strict=True)
        )
        inspections = list(_inspect(inspector, model_inputs))
    views = [
        _view(shot, photo, one, light=light, inspection=inspection, settings=settings)
        for (shot, photo), one, light, inspection in zip(photos, prepared, lights, inspections, strict=True)
    ]
    return views, failures


def in_threads(function: Callable[[_In], _Out], items: Sequence[_In]) -> list[_Out]:
    """Call ``function`` for each item, as many at a time as there are cores; the results keep the order.

    OpenCV and NumPy let threads run side by side.
    """
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(len(items), os.cpu_count() or 1)) as pool:
        return list(pool.map(function, items))


def heat_baselines(
    views: Sequence[ShotView], inspector: Inspector, *, dead_band: float
) -> list[tuple[HeatBaseline, list[float]]]:
    """Measure how the heatmap of each T0 shot reacts to small disturbances of its photo.

    Returns the baseline that later heatmaps are compared with, and the apparent growth in percent that each
    disturbance causes. The part is searched for anew in each disturbed photo, because an uncertain outline is part of
    the noise. All disturbed photos go through the model together.
    """
    disturbed = [disturbed_photos(neutralised(view.photo, view.light)) for view in views]
    inspections = iter(inspector.inspect(photo for photos in disturbed for photo, _ in photos))
    result = []
    for view, photos in zip(views, disturbed, strict=True):
        assert view.heat is not None  # these views went through the model
        maps = [view.heat]
        for _, move in photos:
            to_frame = compose(view.prepared.transform, invert(compose(move, view.to_photo)))
            maps.append(_in_frame(_expect_inspection(next(inspections)), to_frame, _side(view.surface), view.step))
        noise = heat_noise(maps, view.heat_mask, threshold=inspector.threshold, dead_band=dead_band)
        result.append((heat_baseline(maps, [view.heat_mask] * len(maps)), noise))
    return result


def _read(shots: Sequence[Shot], white_level: WhiteLevel) -> tuple[list[tuple[Shot, np.ndarray]], list[Failure]]:
    photos: list[tuple[Shot, np.ndarray]] = []
    failures = []
    for shot in shots:
        try:
            photos.append((shot, read_image(shot.path, white_level)))
        except UserError as error:
            failures.append(Failure(shot.path, str(error)))
    return photos, failures


def _inspect(inspector: Inspector, prepared: Iterable[Prepared]) -> list[Inspection]:
    """Inspect photos that were prepared in the model's frame, in batches of the model's ``run.batch_size``."""
    loaded = (Loaded(None, (one,)) for one in prepared)
    grouped = batches(loaded, inspector.config.run.batch_size)
    return [_expect_inspection(one) for batch in grouped for one in inspector.inspect_loaded(batch)]


def _expect_inspection(result: Inspection | Failure) -> Inspection:
    assert isinstance(result, Inspection)  # only files fail to be read, and these photos are arrays
    return result


def _view(
    shot: Shot,
    photo: np.ndarray,
    prepared: Prepared,
    *,
    light: Light,
    inspection: Inspection | None,
    settings: CorrosionSettings,
) -> ShotView:
    surface = Surface(relative_lab(prepared.photo, light.white), prepared.mask)
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
        heat=None if inspection is None else _in_frame(inspection, prepared.transform, _side(surface), step),
        step=step,
        sharpness=quality.sharpness(surface.lightness, surface.mask),
        flags=tuple(quality.flags(prepared, light, settings)),
    )


def _side(surface: Surface) -> int:
    return int(surface.mask.shape[0])


def _in_frame(inspection: Inspection, to_frame: np.ndarray, side: int, step: int) -> np.ndarray:
    """Draw the anomaly map on every ``step``-th pixel of a square frame.

    ``to_frame`` (2, 3) takes the inspected photo into that frame, which is ``side`` pixels wide.
    """
    move = compose(to_frame, invert(inspection.transform))
    cells = -(-side // step)
    drawn = cv2.warpAffine(inspection.map, move / step, (cells, cells), borderMode=cv2.BORDER_REPLICATE)
    return np.nan_to_num(np.asarray(drawn, np.float32))
