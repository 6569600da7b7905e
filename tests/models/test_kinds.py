"""Kinds of parts by outline, size and words: swapped and missing parts, touching parts, and visual words."""

from __future__ import annotations

import numpy as np
import pytest

from fastener.models.shape.kinds import Item, Kit
from fastener.models.shape.outline import outline_of
from fastener.models.shape.words import Vocabulary


def part(corners: int, seed: int, *, size: float = 50, words: tuple[float, ...] = (), cut: bool = False) -> Item:
    """A regular polygon, a little rough."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    step = 2 * np.pi / corners
    radius = size * np.cos(step / 2) / np.cos(t % step - step / 2) + rng.normal(0, 0.01 * size, 240)
    turned = t + rng.uniform(0, 6)
    curve = outline_of(np.stack([radius * np.cos(turned), radius * np.sin(turned)], axis=1)).curve[::2]
    colour = np.array([50.0, 0, 0]) + rng.normal(0, 2, 3)
    return Item(curve, float(np.log(size) + rng.normal(0, 0.01)), 0.0, False, colour, np.array(words), cut)


def photo(seed: int) -> list[Item]:
    return [part(corners, 10 * seed + i) for i, corners in enumerate((6, 6, 60))]


@pytest.fixture(scope="module")
def kit() -> Kit:
    learned = Kit()
    assert (learned.fit([photo(i) for i in range(12)]) == 0).all()
    return learned


def test_a_nut_is_no_washer_of_the_same_size(kit: Kit) -> None:
    assert len(kit.names_) == 2
    assert kit.tally(photo(50)).score == 0
    assert kit.tally([part(6, 900), part(60, 901), part(60, 902)]).score == 2
    assert kit.tally(photo(51)[1:]).score == 1
    assert kit.tally([*photo(52), part(3, 903)]).score == 1


def test_pieces_as_large_as_the_parts_that_are_missing_are_these(kit: Kit) -> None:
    pieces = [part(3, 910 + i, size=50 * np.sqrt(2 / 3), cut=True) for i in range(3)]
    assert kit.tally([part(60, 920), *pieces]).score == 0
    assert kit.tally([part(60, 920), *pieces[:2]]).score > 0


def test_words_tell_parts_of_one_outline_apart() -> None:
    smooth, rough = (0.9, 0.1), (0.1, 0.9)
    learned = Kit()
    learned.fit([[part(60, 2 * i, words=smooth), part(60, 2 * i + 1, words=rough)] for i in range(12)])
    assert len(learned.names_) == 2
    assert learned.tally([part(60, 800, words=smooth), part(60, 801, words=smooth)]).score == 2
    again = Kit().restore(learned.state())
    assert again.tally([part(60, 800, words=smooth), part(60, 801, words=smooth)]).score == 2


def test_vocabulary_counts_words() -> None:
    rng = np.random.default_rng(0)
    kinds = [rng.normal(mean, 0.1, (40, 3)) for mean in (0.0, 3.0)]
    learned = Vocabulary().fit(kinds, seed=0)
    shares = [learned.shares(one) for one in kinds]
    assert all(one.sum() == pytest.approx(1) for one in shares)
    assert np.minimum(*shares).sum() < 0.4
    assert Vocabulary().restore(learned.state()).shares(kinds[0]) == pytest.approx(shares[0])
    assert learned.shares(np.empty((0, 3))).sum() == pytest.approx(1)
    assert Vocabulary().fit(kinds[:1], seed=0).shares(kinds[0]).size
    assert not Vocabulary().fit([kinds[0][:5]], seed=0).shares(kinds[0]).size
