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
    lines = [
        f"{training.n_photos} healthy photo{'s' * (training.n_photos > 1)}, {training.n_different} of them different",
        f"seen: {_seen(inspector)}",
        f"evidence: {', '.join(inspector.evidence)}{backbone}, on {inspector.device}",
        f"threshold {inspector.threshold:.3f}, {_rests_on(inspector)}",
    ]
    report, own = inspector.report, inspector.threshold_source == CONFORMAL
    asked = inspector.config.calibration.alpha
    if inspector.alpha > asked and own and not (report is not None and report.disturbed):
        count = len(inspector.decision.healthy_joined)
        lines.append(f"alpha {asked:g} was asked for; {count} photos vouch for no less than {inspector.alpha:.3f}")
    if report is not None:
        if not own:
            lines.append(f"the {CONFORMAL} alone give a threshold of {report.threshold:.3f}, of which holds:")
        lines += report.lines()
    return "\n".join(lines)


def _seen(inspector: Inspector) -> str:
    height, width = inspector.preprocessor.size
    settings = inspector.preprocessor.settings
    if settings.enabled:
        what = "the part, cut out of the photo" + " and turned upright" * settings.align
    else:
        what = "the whole photo" if settings.center_crop == 1.0 else "the centre of the photo"
    return f"{what}, {height} x {width} px"


def _rests_on(inspector: Inspector) -> str:
    if inspector.threshold_source != CONFORMAL:
        return f"from {inspector.threshold_source}"
    if inspector.report is not None and inspector.report.disturbed:
        return "a guess from disturbed copies of one photo"
    return f"flags at most {inspector.alpha:.1%} of healthy parts like these"
