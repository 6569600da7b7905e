"""Draw a strip along the axis of a volume: the map's highest score in each row of each slice, and the runs below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from fastener.anode.hits import Run
from fastener.inspection.drawing import BOX_COLOUR, SHEET, raw_heatmap, with_colour_bar
from fastener.inspection.fonts import drawable, font

_WIDTH, _HEIGHT = 900, 160  # of the strip, in pixels; more where there are more slices
_LINE, _TEXT = 20, 13
_OUTLINE = (90, 220, 255)  # no colour of the heatmap


def strip_picture(
    strip: np.ndarray, threshold: float, *, title: str, numbers: Sequence[int], runs: Mapping[Run, str]
) -> np.ndarray:
    """Draw a strip, float32 (h, slices), NaN where there is no map: uint8 RGB.

    The scale ends at the highest score, or at twice the threshold where none is higher, so that a good volume is dark.
    A line goes round all that lies above the threshold. ``numbers`` are those of the slices; ``runs`` come with what
    is said of each.
    """
    width = max(_WIDTH, strip.shape[1])
    large = cv2.resize(strip, (width, _HEIGHT), interpolation=cv2.INTER_NEAREST)
    seen = np.nan_to_num(large, nan=0.0).astype(np.float32)
    top = max(2 * threshold, float(seen.max()), 1e-6)
    picture = raw_heatmap(seen, 0.0, top)
    above = np.pad((seen > threshold).astype(np.uint8), 1)
    outlines, _ = cv2.findContours(above, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE, offset=(-1, -1))
    cv2.drawContours(picture, outlines, -1, _OUTLINE, 1)
    picture[np.isnan(large)] = 255
    whole = with_colour_bar(picture, 0.0, top, {"threshold": threshold, f"{top:.3g}": top, "0": 0.0})
    lines = _lines_of(runs, numbers, width)
    around = _LINE * (3 + max(lines.values(), default=-1))
    sheet = Image.new("RGB", (whole.shape[1], whole.shape[0] + around), SHEET)
    sheet.paste(Image.fromarray(whole), (0, _LINE))
    draw = ImageDraw.Draw(sheet)
    shown = drawable(title)
    draw.text((3, _LINE // 2), shown, fill="black", font=font(_TEXT, shown), anchor="lm")
    under = _LINE + _HEIGHT
    small = font(_TEXT)
    draw.text((3, under + _LINE // 2), f"slice {numbers[0]}", fill="black", font=small, anchor="lm")
    draw.text((width - 3, under + _LINE // 2), f"slice {numbers[-1]}", fill="black", font=small, anchor="rm")
    for run, line in lines.items():
        left, right = _ends(run, numbers, width)
        y = under + _LINE * (1 + line)
        draw.rectangle((left, y, right, y + 4), fill=BOX_COLOUR)
        x = min(left, width - round(small.getlength(runs[run])))
        draw.text((max(0, x), y + 5), runs[run], fill="black", font=small)
    return np.asarray(sheet, dtype=np.uint8)


def _ends(run: Run, numbers: Sequence[int], width: int) -> tuple[int, int]:
    """Find the pixels between which the slices of a run lie."""
    pitch = width / len(numbers)
    return round(numbers.index(run.first) * pitch), round((numbers.index(run.last) + 1) * pitch) - 1


def _lines_of(runs: Mapping[Run, str], numbers: Sequence[int], width: int) -> dict[Run, int]:
    """Give each run a line of text, the first line in which there is room for it."""
    free: list[int] = []
    found: dict[Run, int] = {}
    for run, text in runs.items():
        left, right = _ends(run, numbers, width)
        needed = round(font(_TEXT).getlength(text))
        left, right = min(left, max(0, width - needed)), max(right, left + needed)
        line = next((place for place, end in enumerate(free) if end < left), len(free))
        free[line : line + 1] = [right + _TEXT]
        found[run] = line
    return found
