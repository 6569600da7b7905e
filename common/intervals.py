"""Bound a share that was counted on few observations."""

from __future__ import annotations

import math

_Z95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution


def wilson_interval(found: float, total: float) -> tuple[float, float]:
    """Bound a share of ``found`` in ``total`` by its 95 % score interval, 0 to 1; (0, 1) if ``total`` is 0.

    Both may be fractions, such as effective sample sizes. E. B. Wilson, "Probable inference, the law of succession, and
    statistical inference", Journal of the American Statistical Association 22, 1927.

    >>> [round(limit, 3) for limit in wilson_interval(9, 10)]
    [0.596, 0.982]
    """
    if not total:
        return 0.0, 1.0
    share, square = found / total, _Z95**2
    centre = share + square / (2 * total)
    reach = _Z95 * math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    low, high = (centre - reach) / (1 + square / total), (centre + reach) / (1 + square / total)
    # At 0 and at all, rounding would leave the limit a hair beside its value.
    return (0.0 if found <= 0 else max(0.0, low)), (1.0 if found >= total else min(1.0, high))
