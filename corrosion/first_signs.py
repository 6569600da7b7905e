"""Say when corrosion first appeared, as far as inspections at intervals tell, and whether a requirement is met."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fastener.common.errors import UserError

PASS, FAIL, NOT_SHOWN = "pass", "fail", "not shown"
KINDS = ("white", "red")
_PART = re.compile(r"\s*([a-z]+)\s+([0-9]+(?:\.[0-9]+)?)\s*h?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class FirstSign:
    """Hold when one kind of corrosion first appeared on a specimen: after ``clear_until`` and not after ``seen_at``.

    A part is inspected at intervals, so the moment itself is not observed: it is censored to an interval, or to "not
    within the test" (ISO 4042:2022 and ISO 9227:2022 ask for the hours until the first corrosion).

    Parameters
    ----------
    clear_until
        Hours of the last inspection without any, up to the first with it; None if no inspection was without.
    seen_at
        Hours of the first inspection with it; None if none was.
    """

    clear_until: float | None
    seen_at: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval (low, high] in hours; None if it was not seen."""
        return None if self.seen_at is None else (self.clear_until or 0.0, self.seen_at)

    def meets(self, hours: float) -> str:
        """Tell whether the part was free of it through ``hours`` of exposure: ``PASS``, ``FAIL`` or ``NOT_SHOWN``.

        It passes if an inspection at or after ``hours`` found none, and fails if one at or before found some. Between
        these, or if no inspection was that late, nothing is shown either way.
        """
        if self.seen_at is not None and self.seen_at <= hours:
            return FAIL
        return PASS if self.clear_until is not None and self.clear_until >= hours else NOT_SHOWN


def first_sign(inspections: Iterable[tuple[float, bool | None]]) -> FirstSign:
    """Find the first sign in ``inspections``, ascending pairs of hours and whether corrosion was seen.

    None instead of a bool: the inspection could not tell.
    """
    clear = None
    for hours, seen in inspections:
        if seen:
            return FirstSign(clear, hours)
        if seen is not None:
            clear = hours
    return FirstSign(clear, None)


def earliest(signs: Iterable[FirstSign]) -> FirstSign:
    """Return the first sign on any specimen of a lot.

    The lot is clear until the least hours that its specimens are, because a specimen that was not inspected for as long
    may be the first.
    """
    every = list(signs)
    seen = [one.seen_at for one in every if one.seen_at is not None]
    clear = [one.clear_until for one in every]
    known = [hours for hours in clear if hours is not None]
    least = min(known) if len(known) == len(clear) and known else None
    return FirstSign(least, min(seen) if seen else None)


def parse_requirements(text: str) -> dict[str, float]:
    """Parse ``white 72, red 120`` into hours that each kind of corrosion must stay away.

    Raises UserError, in one line, for another kind, a kind given twice, or no number of hours.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        match = _PART.fullmatch(part)
        kind = match[1].lower() if match else ""
        if match is None or kind not in KINDS or kind in found:
            raise UserError(
                f"--require {text}: name {' and '.join(KINDS)} at most once each, with hours: 'white 72, red 120'"
            )
        found[kind] = float(match[2])
    return found


def judge_all(outcomes: Mapping[str, str] | Iterable[str]) -> str:
    """Join outcomes: one failure fails all, and one that is not shown leaves all not shown."""
    every = set(outcomes.values() if isinstance(outcomes, Mapping) else outcomes)
    return next((outcome for outcome in (FAIL, NOT_SHOWN) if outcome in every), PASS)
