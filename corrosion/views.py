"""Tell which T0 shot shows the side of the part that a later shot shows, if any does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastener.config import CorrosionSettings
from fastener.corrosion.registration import Registration, register
from fastener.corrosion.small_picture import Picture

# The edges agree by this much better than by chance if the marks of the surface itself are found again.
OWN_MARKS = 0.1
# Prefer equal shot numbers when two T0 shots fit equally well.
_SAME_NUMBER = 0.05


@dataclass(frozen=True)
class View:
    """Hold what tells one view of a part from another.

    Parameters
    ----------
    picture
        What is registered of the shot.
    number
        Number of the shot in its file name; None for none.
    """

    picture: Picture
    number: int | None


@dataclass(frozen=True)
class Match:
    """Hold the T0 shot that fits best over a later shot.

    Parameters
    ----------
    index
        Index of that T0 shot.
    registration
        How it lies over the later shot; believable only if both show the same view.
    unnumbered
        Whether it would fit, but neither do the edges agree clearly nor does the number say that the view is the same.
    """

    index: int
    registration: Registration
    unnumbered: bool = False


def match_view(later: View, baselines: Sequence[View], side: int, settings: CorrosionSettings) -> Match:
    """Find the T0 view that a later shot shows.

    A file name is evidence: whoever numbers the shots of a moment takes them in one order of sides, so a number that T0
    has means that the view is among T0's. Two faces of a part may have one outline and similar rings. So a shot whose
    number T0 lacks is only compared where the edges agree as clearly (``corrosion.clear_marks``) as on a face that has
    hardly changed, or clearly better than the mirrored T0 shot's, by whose edges the agreement by chance is known.

    ``side`` is the side in pixels of the frames that the registration refers to.
    """
    found = []
    for index, baseline in enumerate(baselines):
        scale = side / max(later.picture.shape)
        one = register(baseline.picture, later.picture, scale=scale, settings=settings)
        same = baseline.number == later.number
        found.append((one.believable, one.fit + _SAME_NUMBER * same, -index, one, same))
    best = max(found, key=lambda entry: entry[:3])
    if best[0] and _is_doubtful(best[3]):
        # Another face may have the same rings. Where marks do not tell, the number does.
        numbered = [entry for entry in found if entry[0] and entry[4]]
        best = max(numbered, key=lambda entry: entry[:3], default=best)
    index, registration = -best[2], best[3]
    known = any(baseline.number == later.number for baseline in baselines)
    if registration.believable and _is_doubtful(registration) and not known:
        return Match(index, replace(registration, believable=False), unnumbered=True)
    return Match(index, registration)


def _is_doubtful(registration: Registration) -> bool:
    """Tell whether the edges agree hardly better than by chance."""
    return registration.chance is not None and registration.marks < registration.chance + OWN_MARKS
