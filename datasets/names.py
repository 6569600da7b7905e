"""Folder names as people write them: good / OK / 0_normal, Test, Ground Truth."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from fastener.datasets.listing import folders_in

# What masks of a photo are called; datasets/masks.py finds them.
LOOKED_FOR = "<photo>_mask, _gt, _label or <photo>, as an image or a folder of images"
_NUMBERED = re.compile(r"^[0-9]+[-_. ]+|[-_. ]+[0-9]+$")
_SEPARATORS = re.compile(r"[-_. ]+")
_GOOD = frozenset({
    "good", "goods", "ok", "okay", "io", "normal", "normals", "healthy", "fine", "sound", "pass", "passed",
    "nondefective", "nodefect", "nodefects", "defectfree", "withoutdefect", "withoutdefects"
})  # fmt: skip
_BAD = re.compile(
    r"(ng|nok|nio|bad|bent|mask|masks|broken.*|burr.*|contaminat.*|corro.*|crack.*|cut|damag.*|defect.*|deform.*|dent.*|"
    r"fail.*|fault.*|groundtruth|gt|hole|missing.*|not(ok|good|normal)|abnormal.*|anomal.*|reject.*|rust.*|scrap.*|"
    r"scratch.*|stain.*|test|worn.*)"
)
_RID_OF = re.compile(r"free$|^(no|non|without)(?=anomal|burr|corro|crack|damag|defect|dent|fault|rust|scratch|stain)")


def plain(name: str) -> str:
    """Reduce a name to what two spellings of it have in common: no case, separators or leading number; NFC."""
    unnumbered = _NUMBERED.sub("", unicodedata.normalize("NFC", name).casefold().strip())
    return _SEPARATORS.sub("", unnumbered)


def is_good(name: str) -> bool:
    """Tell whether a folder's name says that its photos are of healthy parts."""
    return plain(name) in _GOOD


def is_bad(name: str) -> bool:
    """Tell whether a folder's name says that its images are not of healthy parts: defects, masks, test photos."""
    word = plain(name)
    return not is_good(name) and _BAD.fullmatch(word) is not None and _RID_OF.search(word) is None


def subfolder(folder: Path, *names: str) -> Path | None:
    """Find a subfolder by one of its ``names``, however it is spelt; one that is spelt exactly so comes first."""
    if not folder.is_dir():
        return None
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    wanted = {plain(name) for name in names}
    return next((path for path in folders_in(folder) if plain(path.name) in wanted), None)


def masks_in(folder: Path) -> Path | None:
    """Find the subfolder that holds the masks of a data set or category."""
    return subfolder(folder, "ground_truth", "masks", "gt")
