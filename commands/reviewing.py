"""Odd training photos: which are left out by name, and which a person leaves out after a look at them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.commands import cli
from fastener.common.errors import UserError

if TYPE_CHECKING:
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.training_review import OddPhoto

SHEET = Path("outputs/training_review.png")


def named(photos: Sequence[Path], names: Iterable[Path]) -> set[Path]:
    """Find photos by file name, or by the end of a path such as good/012.png.

    Raises UserError for a name that fits no photo or several; it lists near matches.
    """
    found = set()
    for name in names:
        fitting = [photo for photo in photos if photo == name or photo.parts[-len(name.parts) :] == name.parts]
        fitting = fitting or [photo for photo in photos if photo.absolute() == name.absolute()]
        if len(fitting) > 1:
            shown = ", ".join(str(photo) for photo in fitting[:3])
            raise UserError(f"--drop {name} fits {len(fitting)} training photos, such as {shown}; name its folder too")
        if not fitting:
            near = get_close_matches(name.name, {photo.name for photo in photos}, n=3, cutoff=0.5)
            hint = f"; near: {', '.join(near)}" if near else f", of {len(photos)}"
            raise UserError(f"--drop {name}: no training photo has this name{hint}")
        found.add(fitting[0])
    return found


def write_sheet(inspector: Inspector, photos: Sequence[Path], path: Path) -> list[OddPhoto]:
    """Write the sheet of the oddest training photos, and list them. A sheet that cannot be written is a warning."""
    from fastener.inspection.drawing import save_picture
    from fastener.inspection.training_review import oddest_photos, review_sheet

    if len(inspector.training.groups) != len(photos):
        return []  # the threshold rests on disturbed copies of a single photo, so none can be odd
    odd = oddest_photos(inspector)
    try:
        save_picture(review_sheet(inspector, odd, photos), path)
    except UserError as error:
        cli.warn(f"no sheet of the oddest training photos: {error}")
    else:
        cli.say(f"oddest training photos: {path}")
    return odd


def chosen_by_hand(
    odd: Sequence[OddPhoto], photos: Sequence[Path], ask: Callable[[str], str] | None = None
) -> set[Path]:
    """List the oddest photos with numbers, ask which to leave out, and return these with their copies.

    Without a terminal nobody can answer: a line says what would have been asked, and all photos stay.
    """
    if not odd:
        return set()
    for number, photo in enumerate(odd, 1):
        cli.say(f"{number:3d}  {photo.score:8.2f}  {photo.name}{f'  ({photo.remark})' if photo.remark else ''}")
    question = "numbers of the photos to leave out, e.g. 1 3 (Enter = none): "
    if ask is None and not sys.stdin.isatty():
        cli.say(f"--review would ask here for the {question.rstrip(': ')}; without a terminal, name them with --drop")
        return set()
    while True:
        try:
            words = (ask or input)(question).replace(",", " ").split()
        except EOFError:
            words = []
        if all(word.isdecimal() and 1 <= int(word) <= len(odd) for word in words):
            return {photos[place] for word in words for place in odd[int(word) - 1].places}
        cli.say(f"type numbers from 1 to {len(odd)}")
