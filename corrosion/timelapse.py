"""Lay the shots of each view over its T0 shot: a strip for the report, and an animation, with classes as contours."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from fastener.corrosion.analysis import ComponentResult
from fastener.corrosion.comparison import MeasuredShot
from fastener.corrosion.pictures import CLASS_COLOURS, DAMAGE
from fastener.datasets.images import shrunk
from fastener.inspection.drawing import Picture

_IN_A_ROW = 6
_MILLISECONDS = 900
_LAST_MILLISECONDS = 2400
# Specks smaller than this share of the frame would hide the surface under their contours.
_SMALLEST = 2e-5


@dataclass(frozen=True)
class Frame:
    """Hold one moment of a view.

    Parameters
    ----------
    hours
        Hours since T0.
    picture
        The photo, in the canonical frame of the view's T0 shot if ``registered``, with classes as contours.
    registered
        Whether the shot could be laid over T0; otherwise it is shown in its own frame.
    """

    hours: float
    picture: Picture
    registered: bool

    @property
    def caption(self) -> str:
        """The hours, and that the shot is not registered if so."""
        return f"T{self.hours:g} h" + ("" if self.registered else ", not registered")


def views(result: ComponentResult, side: int = 480) -> dict[int, list[Frame]]:
    """Return the frames of each view by the index of its T0 shot, ascending by hours, at most ``side`` px wide.

    Views of which only T0 was photographed, and shots whose view T0 does not show, are left out. Of several shots of
    one moment, the one that fits T0 best is shown.
    """
    baselines = [shot for point in result.points if point.hours == 0.0 for shot in point.shots]
    found = {}
    for index, baseline in enumerate(baselines):
        frames = [Frame(0.0, shrunk(_outlined(_photo(baseline), baseline), side), True)]
        for point in result.points:
            again = [shot for shot in point.shots if point.hours > 0.0 and shot.baseline_index == index]
            if again:
                best = max(again, key=_fit)
                picture, registered = _on_baseline(best, baseline)
                frames.append(Frame(point.hours, shrunk(picture, side), registered))
        if len(frames) > 1:
            found[index] = frames
    return found


def strip(frames: Sequence[Frame]) -> Picture:
    """Put the frames of a view side by side, each under its hours, and in several rows if there are many."""
    pictures = [_captioned(frame) for frame in frames]
    columns = -(-len(pictures) // -(-len(pictures) // _IN_A_ROW))
    pictures += [np.full_like(pictures[0], 255)] * (-len(pictures) % columns)
    rows = [np.hstack(pictures[at : at + columns]) for at in range(0, len(pictures), columns)]
    return np.vstack(rows)


def animation(frames: Sequence[Frame]) -> bytes:
    """Encode the frames of a view as an endless GIF, which rests on the last moment."""
    pictures = [Image.fromarray(_captioned(frame)) for frame in frames]
    times = [_MILLISECONDS] * (len(pictures) - 1) + [_LAST_MILLISECONDS]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0)
    return buffer.getvalue()


def _fit(shot: MeasuredShot) -> float:
    return shot.registration.fit if shot.registration else -1.0


def _on_baseline(shot: MeasuredShot, baseline: MeasuredShot) -> tuple[Picture, bool]:
    """Draw a shot in the frame of its T0 shot, or in its own frame if the registration cannot be trusted."""
    drawn = _outlined(_photo(shot), shot)
    registration = shot.registration
    if registration is None or not registration.believable:
        return drawn, False
    height, width = baseline.view.surface.mask.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(drawn, registration.transform, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8), True


def _photo(shot: MeasuredShot) -> Picture:
    return np.ascontiguousarray(shot.view.prepared.photo)


def _outlined(photo: Picture, shot: MeasuredShot) -> Picture:
    """Draw the contours of each class over a photo of the same frame."""
    drawn = photo.copy()
    thickness = max(1, round(max(photo.shape) / 400))
    for kind in DAMAGE:
        colour = CLASS_COLOURS[kind]
        contours, _ = cv2.findContours(
            (shot.classes == kind).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        large = [one for one in contours if cv2.contourArea(one) >= _SMALLEST * photo.shape[0] * photo.shape[1]]
        cv2.drawContours(drawn, large, -1, colour, thickness)
    return drawn


def _captioned(frame: Frame) -> Picture:
    height, width = frame.picture.shape[:2]
    line = max(16, width // 16)
    sheet = Image.new("RGB", (width, height + line), "white")
    sheet.paste(Image.fromarray(frame.picture), (0, line))
    ImageDraw.Draw(sheet).text((width / 2, line / 2), frame.caption, fill="black", anchor="mm", font_size=line * 0.7)
    return np.asarray(sheet, np.uint8)
