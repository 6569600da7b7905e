"""Settings that follow from the training photos themselves: the frame, and which level counts as white.

Photos that cannot be read are passed over here; training reports them when it reads them whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from fastener.common.errors import UserError
from fastener.common.sampling import evenly
from fastener.config import Config
from fastener.datasets.images import reach_of
from fastener.datasets.levels import learned_scale
from fastener.inspection.reading import Source, path_of, size_of
from fastener.preprocessing.frame import frame_of

_MEASURED = 100  # photos whose headers and levels are looked at


def settled(config: Config, sources: Sequence[Source]) -> Config:
    """Settle what ``config`` leaves to the training photos."""
    return with_white_level(_with_frame(config, sources), sources)


def _with_frame(config: Config, sources: Sequence[Source]) -> Config:
    """Settle the frame of photos that are taken whole: in their own proportions, where they agree on them."""
    preprocess = config.preprocess
    if preprocess.enabled or not preprocess.keep_aspect or not isinstance(preprocess.size, int):
        return config
    sizes = []
    for i in evenly(len(sources), _MEASURED).tolist():
        with suppress(UserError):
            sizes.append(size_of(sources[i]))
    size = frame_of(sizes, preprocess.size)
    return config.model_copy(update={"preprocess": preprocess.model_copy(update={"size": size})})


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
