"""What a model of very few photos is worth, and when its threshold is a guess."""

from __future__ import annotations

# Number of healthy photos -> share of defects found and of healthy parts flagged, on average over bolts, cookies,
# brushes, commutators, screws and fasteners with 20 training sets of each (one photo: without fasteners, and 4).
WORTH = {1: (0.53, 0.36), 2: (0.40, 0.12), 3: (0.41, 0.08), 4: (0.45, 0.11), 5: (0.46, 0.08)}


GUESS = (
    "the model knows a single photo, and its threshold is a guess from disturbed copies of it: train on more healthy "
    "photos, 50 if you can"
)


def lines(n_photos: int, disturbed: int = 0) -> list[str]:
    """Say what a model of one to five photos is worth, and whether its threshold is a guess; nothing for more photos.

    ``n_photos`` counts the photos that calibrate, ``disturbed`` of them made from a single one.
    """
    said = []
    if disturbed:
        said.append(f"the threshold is a guess: {disturbed} of {n_photos} photos behind it are disturbed copies of one")
    given = n_photos - disturbed
    if given in WORTH:
        recall, false_alarms = WORTH[given]
        many = f"{given} photos are" if given > 1 else "1 photo is"
        said.append(
            f"{many} few: elsewhere, models of as many found {recall:.0%} of defects on average and flagged "
            f"{false_alarms:.0%} of healthy parts"
        )
    return said
