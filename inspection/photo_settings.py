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
from fastener.preprocessing.poses import Pose, lie_at_various_angles, lie_in_various_places, need_no_search

_MEASURED = 100  # photos whose headers and levels are looked at
_LOOKED_AT = 24  # photos in which the part is sought
_FEW_OTHER = 1  # of these


def settled(config: Config, sources: Sequence[Source]) -> Config:
    """Settle what ``config`` leaves to the training photos."""
    config = with_white_level(config, sources)
    settings, poses = _posture(config.preprocess, sources)
    if settings.keep_aspect and isinstance(settings.size, int):
        frame = frame_of(_sizes(settings, sources, poses), settings.size)
        settings = settings.model_copy(update={"size": frame})
    return config.model_copy(update={"preprocess": settings})


def with_posture(config: Config, sources: Sequence[Source]) -> Config:
    """Settle only whether parts are found, and whether they are turned upright."""
    posture, _ = _posture(with_white_level(config, sources).preprocess, sources)
    posture = posture.model_copy(update={"white_level": config.preprocess.white_level})
    return config.model_copy(update={"preprocess": posture})


def _posture(settings: PreprocessSettings, sources: Sequence[Source]) -> tuple[PreprocessSettings, list[Pose]]:
    """Settle whether parts are found, and turned upright in photos that are else taken whole.

    Also returns how they lie, if they were sought.
    """
    poses: list[Pose] = []
    if settings.enabled is None and settings.upright:  # asked for by hand
        settings = settings.model_copy(update={"enabled": False})
    if settings.enabled is None:
        poses = _poses(sources, settings)
        settings = settings.model_copy(update={"enabled": not need_no_search(poses)})
    if settings.enabled:
        return settings.model_copy(update={"upright": False}), poses
    if settings.upright is None and settings.center_crop == 1.0:
        poses = poses or _poses(sources, settings, at_most_other=_FEW_OTHER)
        anywhere = lie_at_various_angles(poses) or lie_in_various_places(poses)
        return settings.model_copy(update={"upright": anywhere}), poses
    return settings.model_copy(update={"upright": bool(settings.upright)}), poses


def _sizes(settings: PreprocessSettings, sources: Sequence[Source], poses: Sequence[Pose]) -> list[tuple[float, float]]:
    """List (height, width) of upright parts, or of photos that are taken whole.

    None of parts that are found and not turned: these fit into a square at any angle.
    """
    if settings.enabled and not settings.align:
        return []
    if settings.seeks_part:
        extents = [pose.extent for pose in poses or _poses(sources, settings)]
        return [(float(height), float(width)) for width, height in extents]
    return _photo_sizes(sources)


def _poses(sources: Sequence[Source], settings: PreprocessSettings, at_most_other: int | None = None) -> list[Pose]:
    """Find how the parts lie in some of the photos; stop after ``at_most_other`` that show no part by itself."""
    upright = settings.model_copy(update={"upright": True}) if settings.enabled is False else settings
    preprocessor = Preprocessor(upright)
    poses: list[Pose] = []
    for i in evenly(len(sources), _LOOKED_AT).tolist():
        with suppress(UserError):
            photo = decode(sources[i], preprocessor.useful_side, settings.white_level)
            poses.append(Pose.of(photo.pixels, preprocessor.find(photo.pixels), settings.padding))
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
