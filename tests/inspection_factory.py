"""A drawn-up Inspection that several tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastener.inspection.result import EvidenceResult, Inspection, Region


def inspection(path: Path | None = Path("in/bolt 7.png"), score: float = 5.0) -> Inspection:
    """A 40 x 60 photo seen at half its size; one hot square."""
    heat = np.full((20, 30), 0.1, np.float32)
    heat[5:10, 10:20] = 4.5
    one = Inspection(
        path=path,
        score=score,
        threshold=3.0,
        p_value=0.012345678,
        confidence=0.9,
        evidence={"filters": EvidenceResult(1.5, 0.5), "colour": EvidenceResult(0.25, 0.01)},
        map=heat,
        mask=np.ones((20, 30), bool),
        transform=np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]]),
        photo_size=(40, 60),
        part_found=True,
    )
    return with_regions(one, Region(20, 10, 20, 10, 4.5, 150.0), Region(1, 2, 3, 4, 3.25, 12.0))


def with_regions(one: Inspection, *regions: Region) -> Inspection:
    """The inspection, as if these had been found in its map."""
    vars(one)["regions"] = regions
    return one
