"""Say which threshold the figures of a measurement are at, where it comes from, and which photos do not count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def threshold_note(metrics: Mapping[str, Any]) -> list[str]:
    """Give one line for the threshold, one for a search that took another, one for photos kept back for a choice.

    ``metrics`` is the content of metrics.json.
    """
    value, source = metrics.get("threshold"), metrics.get("threshold_source")
    lines = []
    if value is not None or source:
        number = "thresholds" if value is None else f"threshold {value:.4g}"
        lines.append(f"{number}, from {source}" if source else number)
    search = other_search(metrics)
    if search is not None:
        lines.append(
            f"not {search['chosen_threshold']:.4g}, which a search for {search['objective']} took on {search['data']}"
        )
    kept = metrics.get("validation")
    if kept and not metrics.get("threshold_search"):  # else the line of the threshold names them
        lines.append(
            f"without {metrics['n_validation']} photos kept back from the test photos (--validate-share "
            f"{kept['share']:g}, seed {kept['seed']})"
        )
    return lines


def other_search(metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the search whose threshold was stored while the figures are at the shipped one; None if there is none."""
    search: Mapping[str, Any] | None = metrics.get("threshold_search")
    on_others = search is None or search["taken"] != "chosen" or metrics.get("at_shipped_threshold")
    return None if on_others else search


def searched_figures(search: Mapping[str, Any]) -> dict[str, Any]:
    """Name the figures of a search's own threshold, on the photos that chose it, as metrics.json names figures."""
    chosen = search["chosen"]
    counts = chosen["confusion"]
    return {
        "threshold": search["chosen_threshold"],
        "recall": chosen["recall"],
        "recall_ci95": chosen["recall_ci95"],
        "n_defects_found": counts["tp"],
        "n_anomalous": counts["tp"] + counts["fn"],
        "false_positive_rate": chosen["false_positive_rate"],
        "false_positive_rate_ci95": chosen["false_positive_rate_ci95"],
        "n_false_alarms": counts["fp"],
        "n_good": counts["fp"] + counts["tn"],
    }
