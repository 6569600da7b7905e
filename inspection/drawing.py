"""Draw pictures for people: heatmaps over photos, boxes, captioned sheets. All pictures are uint8 RGB (H, W, 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fastener.common.files import write_atomically
from fastener.datasets.listing import marked
from fastener.inspection.fonts import drawable
from fastener.inspection.fonts import font as load_font

Picture = npt.NDArray[np.uint8]

SHEET = (235, 235, 235)  # not white, so that photos on white show where they end
BOX_COLOUR = (255, 64, 64)
_DIMMED = 0.6  # share of the brightness taken from places that were not inspected
_NOT_SEEN = (120, 120, 120)  # no colour of the heatmap
# Blue to white: lightness rises evenly, as in inferno, and no step has the hue of rust or bare steel.
_ICE_LEVELS, _ICE = (0.0, 0.33, 0.66, 1.0), ((20, 43, 180), (30, 120, 240), (30, 200, 255), (230, 255, 255))
_CAPTION, _TITLE = "black", "#6E6E6E"
# Run lengths only, and one filter for all rows instead of trying five: half the time for a few percent more size.
_FAST_PNG = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB),
]


def heatmap_overlay(
    image: Picture, score_map: npt.NDArray[np.floating], vmin: float, vmax: float, *, alpha: float = 0.75
) -> Picture:
    """Lay an anomaly map over its photo: image uint8 RGB (H, W, 3), map float (H, W) -> uint8 RGB (H, W, 3).

    ``vmin`` and ``vmax`` are the model's one colour scale, so that healthy parts look alike and healthy. The colour
    map is inferno, unless ``heatmap_layer`` is told to draw from blue to white: in both, lightness rises evenly with
    the score, in print and for colour-blind readers too, where rainbows make edges that are not in the data. Opacity
    rises with the score, from 0 at ``vmin`` to ``alpha`` at the middle of the scale and above, so that a healthy part
    looks as in its photo. NaN pixels, which were not inspected, are dimmed.

    Raises:
        ValueError: sizes differ, vmin is not below vmax, or alpha is outside 0 to 1.
    """
    _check_picture(image)
    if score_map.shape != image.shape[:2]:
        raise ValueError(f"map {score_map.shape} and image {image.shape[:2]} must be of the same size (H, W)")
    level, not_seen = _levels(score_map, vmin, vmax, alpha)
    table = _layer_table(alpha)
    opacity = table[:, 3:]
    # The half rounds to the nearest whole number where the sum is cut.
    added = (table[:, :3] * opacity + 0.5).astype(np.float32)
    drawn = image.copy()
    pixels, covered = drawn.reshape(-1, 3), np.flatnonzero(level)  # level 0 is clear
    level = level.ravel()[covered]
    pixels[covered] = pixels[covered] * (1 - opacity).astype(np.float32)[level] + added[level]
    if not_seen.any():
        cv2.copyTo(cv2.convertScaleAbs(image, alpha=1 - _DIMMED), not_seen.view(np.uint8), drawn)
    return drawn


def heatmap_layer(
    score_map: npt.NDArray[np.floating], vmin: float, vmax: float, *, alpha: float = 0.75, colours: str = "inferno"
) -> npt.NDArray[np.uint8]:
    """Draw the heatmap of ``heatmap_overlay`` as a transparent layer: map float (H, W) -> uint8 RGBA (H, W, 4).

    ``colours`` is a colour map of Matplotlib, or "ice", from blue to white, which has no colour of rust.
    """
    table = np.rint(_layer_table(alpha, colours) * (1, 1, 1, 255)).astype(np.uint8)
    # A pixel is looked up as one number of 32 bits, which is several times as fast as four of 8.
    level, not_seen = _levels(score_map, vmin, vmax, alpha)
    layer = table.view(np.uint32)[:, 0][level].view(np.uint8).reshape(*score_map.shape, 4)
    layer[not_seen] = (0, 0, 0, round(255 * _DIMMED))
    return layer


def raw_heatmap(score_map: npt.NDArray[np.floating], vmin: float, vmax: float) -> Picture:
    """Draw an anomaly map as it is, float (H, W) -> uint8 RGB (H, W, 3), grey where nothing was inspected.

    ``vmin`` is drawn black and ``vmax`` brightest, in the colours of ``heatmap_overlay``.
    """
    level, not_seen = _levels(score_map, vmin, vmax, 1.0)
    drawn = np.rint(_layer_table(1.0)[:, :3]).astype(np.uint8)[level]
    drawn[not_seen] = _NOT_SEEN
    return drawn


def with_colour_bar(picture: Picture, vmin: float, vmax: float, marks: Mapping[str, float]) -> Picture:
    """Put a colour bar of ``raw_heatmap`` to the right of a picture.

    ``marks`` are the texts beside the bar, and the values at which they stand.
    """
    height = picture.shape[0]
    font = _font(max(8, height // 22))
    bar, gap = max(4, height // 28), max(3, height // 60)
    width = round(max(font.getlength(text) for text in marks)) + bar + 4 * gap
    side = Image.new("RGB", (width, height), SHEET)
    draw = ImageDraw.Draw(side)
    ramp = np.linspace(vmax, vmin, height)[:, None].repeat(bar, 1)
    side.paste(Image.fromarray(raw_heatmap(ramp, vmin, vmax)), (gap, 0))
    half = round(font.size * 0.6)
    for text, value in marks.items():
        y = round((height - 1) * (1 - np.clip((value - vmin) / (vmax - vmin), 0, 1)))
        draw.line((gap + bar, y, 2 * gap + bar, y), fill=_CAPTION, width=max(1, height // 200))
        draw.text((3 * gap + bar, min(max(y, half), height - half)), text, fill=_CAPTION, font=font, anchor="lm")
    return np.hstack([picture, np.asarray(side, dtype=np.uint8)])


def contact_sheet(
    rows: Sequence[Sequence[Picture]],
    captions: Sequence[str],
    column_titles: Sequence[str] | None = None,
    *,
    cell: int = 224,
) -> Picture:
    """Arrange rows of pictures on one sheet, each row under its own caption.

    Every picture is fitted into a square of ``cell`` pixels with its proportions kept; rows may differ in length.
    Captions and titles too wide for their place lose their middle: a file name keeps its number and its ending.

    Raises:
        ValueError: no pictures, captions or titles that do not match them, or a picture that is not uint8 RGB.
    """
    captions = [drawable(text) for text in captions]
    columns = max((len(row) for row in rows), default=0)
    if not columns or len(captions) != len(rows):
        raise ValueError(f"a sheet needs pictures and a caption a row; got {len(rows)} rows, {len(captions)} captions")
    if column_titles is not None and len(column_titles) != columns:
        raise ValueError(f"{len(column_titles)} column titles for {columns} columns")
    font_size = max(13, cell // 15)
    gap, line = max(4, cell // 28), int(font_size * 1.6)
    header = line if column_titles is not None else 0
    pitch_x, pitch_y = cell + gap, line + cell + gap
    sheet = Image.new("RGB", (gap + columns * pitch_x, gap + header + len(rows) * pitch_y), SHEET)
    draw = ImageDraw.Draw(sheet)
    font = _font(font_size, "".join([*captions, *(column_titles or ())]))

    def write(text: str, x: int, y: int, width: int, colour: str) -> None:
        one_line = text.translate(str.maketrans("\r\n\t", "   "))
        shown = shorten(one_line, lambda candidate: draw.textlength(candidate, font) <= width)
        draw.text((x, y + line // 2), shown, fill=colour, font=font, anchor="lm")

    for column, title in enumerate(column_titles or ()):
        write(title, gap + column * pitch_x, gap, cell, _TITLE)
    for number, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        top = gap + header + number * pitch_y
        write(caption, gap, top, columns * pitch_x - gap, _CAPTION)
        for column, picture in enumerate(row):
            fitted = _fit(picture, cell)
            x = gap + column * pitch_x + (cell - fitted.width) // 2
            sheet.paste(fitted, (x, top + line + (cell - fitted.height) // 2))
    return np.asarray(sheet, dtype=np.uint8).copy()


def draw_boxes(picture: Picture, boxes: Sequence[tuple[int, int, int, int]], captions: Sequence[str] = ()) -> Picture:
    """Draw a frame round each box (left, top, right, bottom; the last two just outside) on a copy of the picture.

    A caption stands above its box, or below where there is no room above.
    """
    _check_picture(picture)
    height, width = picture.shape[:2]
    line = max(2, round(max(height, width) / 250))
    drawn = picture.copy()
    for left, top, right, bottom in boxes:
        cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), BOX_COLOUR, line)
    if not captions:
        return drawn
    image = Image.fromarray(drawn)
    draw, font = ImageDraw.Draw(image), _font(max(11, round(max(height, width) / 45)), "".join(captions))
    for (left, top, _, bottom), caption in zip(boxes, captions, strict=True):
        _, _, text_width, text_height = (int(side) for side in draw.textbbox((0, 0), caption, font=font))
        x = max(0, min(left, width - text_width - 4))
        y = top - text_height - 3 if top >= text_height + 3 else max(0, min(bottom, height - text_height - 3))
        draw.rectangle((x, y, x + text_width + 3, y + text_height + 2), fill=BOX_COLOUR)
        draw.text((x + 2, y), caption, fill="black", font=font)
    return np.asarray(image, dtype=np.uint8).copy()


def mask_picture(mask: npt.NDArray[np.bool_]) -> Picture:
    """Draw a mask, bool (H, W), white on black."""
    return np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)


def save_picture(picture: Picture, path: Path, *, is_photo: bool = False) -> None:
    """Write a picture as .png or .jpg, by its ending; the file appears whole or not at all.

    The file is marked as the picture of a result, which no reader takes for a photo, unless it ``is_photo``.

    Raises UserError if it cannot be written.
    """
    if path.suffix.lower() in (".jpg", ".jpeg"):
        encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        content = encoded.tobytes()
    else:
        content = png(picture)
    write_atomically(path, content if is_photo else marked(content), durable=False)


def png(picture: Picture) -> bytes:
    """Encode a picture as the content of a .png file."""
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _FAST_PNG)[1].tobytes()


def shorten(text: str, fits: Callable[[str], bool]) -> str:
    """Shorten a text until ``fits(text)``: an ellipsis replaces its middle, and both ends keep as much as fits."""
    if fits(text):
        return text
    for kept in range(len(text) - 1, 0, -1):
        candidate = f"{text[: (kept + 1) // 2]}\u2026{text[len(text) - kept // 2 :]}"
        if fits(candidate):
            return candidate
    return "\u2026"


def _levels(
    score_map: npt.NDArray[np.floating], vmin: float, vmax: float, alpha: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Compute each pixel's row of ``_layer_table``, (H, W), and the pixels that were not inspected, at level 0."""
    if not vmin < vmax or not 0 <= alpha <= 1:
        raise ValueError(f"vmin {vmin} must be below vmax {vmax}, and alpha {alpha} lie in 0 to 1")
    # Clipped first: convertScaleAbs overflows to 0 beyond 32 bits. fmax takes NaN to 0.
    above = np.fmin(np.fmax(score_map - vmin, 0), vmax - vmin)
    return np.asarray(cv2.convertScaleAbs(above, alpha=255 / (vmax - vmin)), np.uint8), np.isnan(score_map)


def _font(size: int, text: str = "") -> ImageFont.FreeTypeFont:
    return load_font(size, text)


@cache
def _layer_table(alpha: float, colours: str = "inferno") -> npt.NDArray[np.float64]:
    """Tabulate colour, 0 to 255, and opacity, 0 to 1, of each level: (256, 4)."""
    import matplotlib  # loads slowly, and only those who draw need it

    level = np.linspace(0, 1, 256)
    if colours == "ice":
        colour = np.column_stack([np.interp(level, _ICE_LEVELS, channel) for channel in zip(*_ICE, strict=True)])
    else:
        colour = 255 * matplotlib.colormaps[colours](level)[:, :3]
    return np.column_stack([colour, alpha * np.minimum(2 * level, 1.0)])


def _check_picture(picture: Picture) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"a picture must be uint8 RGB (H, W, 3), got {picture.dtype} {picture.shape}")


def _fit(picture: Picture, side: int) -> Image.Image:
    _check_picture(picture)
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return Image.fromarray(np.asarray(cv2.resize(picture, size, interpolation=how), dtype=np.uint8))
