"""Rate a defective area in the words of the standards. Areas are percentages of the significant surface, 0 to 100.

Each function reads one published table. The areas themselves are measured on photos, not by eye against pictures as the
standards have it, so a report names the measured area beside each rating.
"""

from __future__ import annotations

import math
from bisect import bisect_left

# Greatest defective area of the ratings 9, 8, ... 1; none at all is 10, and more than the last is 0.
RATING_LIMITS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0)
# Rusted area of the pictures of Ri 1 to Ri 4. The picture of Ri 5 shows 40 to 50 %.
RI_AREAS = (0.05, 0.5, 1.0, 8.0)
# Greatest rusted area of the rust grades 10, 9, ... 1; more than the last is 0.
D610_LIMITS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 16.0, 33.0, 50.0)


def rating(area: float) -> int:
    """Return the rating number, 10 (no defect) to 0 (over half the surface), of a defective area in percent.

    The protection rating Rp counts the area where the base metal corrodes; the appearance rating RA counts all defects
    that the exposure has caused, those of the coating included. Both use this table.

    References
    ----------
    ISO 10289:1999, table 1; ASTM B537-70 (2013), table 1. The limits are those of R = 3 (2 - log10 A), rounded.
    """
    _check(area)
    return 10 if area == 0.0 else 9 - bisect_left(RATING_LIMITS, area)


def rust_degree(area: float) -> int:
    """Return the degree of rusting Ri, 0 (no rust) to 5, of a rusted area in percent.

    The standard compares with pictures. Between two pictures, the one with more rust counts.

    References
    ----------
    ISO 4628-3:2016, table 1: Ri 0: 0 %, Ri 1: 0.05 %, Ri 2: 0.5 %, Ri 3: 1 %, Ri 4: 8 %, Ri 5: 40 to 50 %.
    """
    _check(area)
    return 0 if area == 0.0 else 1 + bisect_left(RI_AREAS, area)


def rust_grade(area: float) -> int:
    """Return the rust grade, 10 (up to 0.01 %) to 0 (over 50 %), of a rusted area in percent.

    The type of distribution (spot, general, pinpoint) that the standard puts behind the grade is not judged.

    References
    ----------
    ASTM D610-08 (2019), table 1.
    """
    _check(area)
    return 10 - bisect_left(D610_LIMITS, area)


def _check(area: float) -> None:
    if not (math.isfinite(area) and 0.0 <= area <= 100.0):
        raise ValueError(f"area {area} is no percentage")
