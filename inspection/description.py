"""A fitted inspector in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastener.inspection.inspector import Inspector

# Origin of a threshold that no caller has changed.
CONFORMAL = "healthy training photos"


def describe(inspector: Inspector) -> str:
    """Describe a model in a few lines: its photos, evidence and threshold, and what the threshold rests on."""
    training = inspector.training
    backbone = "" if inspector.backbone == "filters" else f" ({inspector.backbone})"
    own = inspector.threshold_source == CONFORMAL
    rests_on = (
        f"flags at most {inspector.alpha:.1%} of healthy parts like these"
        if own
        else f"from {inspector.threshold_source}"
    )
    lines = [
        f"{training.n_photos} healthy photo{'s' * (training.n_photos > 1)}, {training.n_different} of them different",
        f"evidence: {', '.join(inspector.evidence)}{backbone}, on {inspector.device}",
        f"threshold {inspector.threshold:.3f}, {rests_on}",
    ]
    asked = inspector.config.calibration.alpha
    if inspector.alpha > asked and own:
        count = len(inspector.decision.healthy_joined)
        lines.append(f"alpha {asked:g} was asked for; {count} photos vouch for no less than {inspector.alpha:.3f}")
    if inspector.report is not None and own:
        lines += inspector.report.lines()
    return "\n".join(lines)
