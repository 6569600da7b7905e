"""The kinds of evidence. Adding one is writing a class (see evidence_base.py) and adding its line here.

This module imports no torch: each class is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastener.common.registry import Registry

if TYPE_CHECKING:
    from fastener.inspection.evidence_base import Evidence

EVIDENCE: Registry[type[Evidence]] = Registry(
    {
        "cnn": "fastener.inspection.evidence:CnnEvidence",
        "filters": "fastener.inspection.evidence:FilterEvidence",
        "colour": "fastener.inspection.colour_evidence:ColourEvidence",
        "shape": "fastener.inspection.shape:ShapeEvidence",
        "count": "fastener.inspection.count:CountEvidence",
        "global": "fastener.inspection.baselines:GlobalEvidence",
        "autoencoder": "fastener.inspection.baselines:AutoencoderEvidence",
        "padim": "fastener.inspection.density_baselines:PadimEvidence",
        "gaussian": "fastener.inspection.density_baselines:GaussianEvidence",
        "subspace": "fastener.inspection.density_baselines:SubspaceEvidence",
    }
)
ANOMALIB = "anomalib:"
# Methods of a comparison, and the kinds of evidence that each of them stands for; None: those of the settings. Models
# of anomalib are no evidence: experiments alone train them, see evaluation/experiments/anomalib_bridge.py.
METHODS: Registry[tuple[str, ...] | None] = Registry(
    {
        "patchcore": None,
        "patchcore-cnn": ("cnn",),
        **{kind: (kind,) for kind in ("padim", "subspace", "gaussian", "global", "autoencoder")},
    },
    families={ANOMALIB: lambda name: None},
)
