"""Settings that follow from the training photos themselves: posture and frame, and which level counts as white.

Photos that cannot be read are passed over here; training reports them when it reads them whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from fastener.common.errors import UserError
from fastener.common.sampling import evenly
from fastener.config import Config, PreprocessSettings
from fastener.datasets.images import reach_of
from fastener.datasets.levels import learned_scale
from fastener.inspection.reading import Source, decode, path_of, size_of
from fastener.preprocessing.frame import frame_of
from fastener.preprocessing.pipeline import Preprocessor
from fastener.preprocessing.poses import Pose, lie_at_various_angles

_MEASURED = 100  # photos whose headers and levels are looked at
_LOOKED_AT = 24  # photos in which the part is sought
_FEW_OTHER = 1  # of these


def settled(config: Config, sources: Sequence[Source]) -> Config:
    """Settle what ``config`` leaves to the training photos."""
    config = with_white_level(config, sources)
    return config.model_copy(update={"preprocess": _with_frame(config.preprocess, sources)})


def with_posture(config: Config, sources: Sequence[Source]) -> Config:
    """Settle only whether parts are turned upright."""
    upright = settled(config, sources).preprocess.upright
    return config.model_copy(update={"preprocess": config.preprocess.model_copy(update={"upright": upright})})


def _with_frame(settings: PreprocessSettings, sources: Sequence[Source]) -> PreprocessSettings:
    """Settle whether parts are turned upright, and the frame: in the proportions of these parts, or of the photos."""
    turned = settings.align if settings.enabled else bool(settings.upright)
    asked = not settings.enabled and settings.upright is None and settings.center_crop == 1.0
    poses = _poses(sources, settings, at_most_other=_FEW_OTHER if asked else None) if turned or asked else []
    if asked:
        turned = lie_at_various_angles(poses)
    settings = settings.model_copy(update={"upright": turned and not settings.enabled})
    if not settings.keep_aspect or not isinstance(settings.size, int):
        return settings
    if turned:
        sizes = [(float(height), float(width)) for width, height in (pose.extent for pose in poses)]
    else:  # a part that is found and not turned fits into a square at any angle
        sizes = [] if settings.enabled else _photo_sizes(sources)
    return settings.model_copy(update={"size": frame_of(sizes, settings.size)})


def _poses(sources: Sequence[Source], settings: PreprocessSettings, at_most_other: int | None) -> list[Pose]:
    """Find how the parts lie in some of the photos; stop after ``at_most_other`` that show no part by itself."""
    preprocessor = Preprocessor(settings if settings.enabled else settings.model_copy(update={"upright": True}))
    poses: list[Pose] = []
    for i in evenly(len(sources), _LOOKED_AT).tolist():
        with suppress(UserError):
            photo = decode(sources[i], preprocessor.useful_side, settings.white_level)
            poses.append(Pose.of(preprocessor.find(photo.pixels), settings.padding))
        if at_most_other is not None and sum(not pose.alone for pose in poses) > at_most_other:
            break
    return poses


def _photo_sizes(sources: Sequence[Source]) -> list[tuple[float, float]]:
    sizes: list[tuple[float, float]] = []
    for i in evenly(len(sources), _MEASURED).tolist():
        with suppress(UserError):
            sizes.append(size_of(sources[i]))
    return sizes


def with_white_level(config: Config, sources: Sequence[Source]) -> Config:
    """Settle the white level of photos of more than 8 bits, from the training photos that are such files."""
    if config.preprocess.white_level is not None:
        return config
    reaches = []
    for i in evenly(len(sources), _MEASURED).tolist():
        path = path_of(sources[i])
        with suppress(UserError):
            reaches.append(None if path is None else reach_of(path))
    scale = learned_scale([one for one in reaches if one is not None])
    return config.model_copy(update={"preprocess": config.preprocess.model_copy(update={"white_level": scale})})
