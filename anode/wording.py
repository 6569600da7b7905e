"""Say in the words of this job what an inspector says of photos: slices, their names, and the commands for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from fastener.inspection.inspector import Inspector

COMMAND = "anode_inspection.py train-patchcore"
# Patterns of an inspector's texts, and what they are here, in this order.
_WORDS = (
    (r" \(train\.py --review\)", ""),
    (r"and leave them out with --drop if", "and take their files away if"),
    (r"train\.py --preprocess-only", COMMAND),
    (r"train\.py", COMMAND),
    (r"a larger --alpha", "a larger patchcore.alpha"),
    (r"--model\b", "output_dir_model_patchcore"),
    (r"\b(training|healthy) photo(?!\w* \d)", "good slice"),
    (r"\bhealthy parts", "good slices"),
    (r"\bphotos\b", "slices"),
)


def of_slices(text: str) -> str:
    """Rewrite a text of an inspector, its description or a warning, for someone who has slices and settings."""
    for pattern, words in _WORDS:
        text = re.sub(pattern, words, text)
    return text


def name_slices(inspector: Inspector, names: Sequence[str]) -> None:
    """Give the slices that an inspector has just learned, and that came as arrays, their names."""
    record = inspector.training
    before = record.n_photos - len(names)
    inspector.training = replace(record, names=(*record.names[:before], *names))
    if inspector.report is not None:
        named = {f"photo {before + place}": name for place, name in enumerate(names, start=1)}
        highest = (replace(one, name=named.get(one.name, one.name)) for one in inspector.report.highest)
        inspector.report = replace(inspector.report, highest=tuple(highest))
