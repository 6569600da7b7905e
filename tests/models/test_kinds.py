"""Kinds of parts by outline, size and words: swapped and missing parts, touching parts, and visual words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fastener.models.shape.division import Item
from fastener.models.shape.kinds import Kit
from fastener.models.shape.outline import outline_of
from fastener.models.shape.words import Vocabulary


def part(corners: int, seed: int, *, size: float = 50, words: tuple[float, ...] = (), cut: bool = False) -> Item:
    """A regular polygon, a little rough."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    step = 2 * np.pi / corners
    radius = size * np.cos(step / 2) / np.cos(t % step - step / 2) + rng.normal(0, 0.005 * size, 240)
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


def test_photos_with_touching_parts_have_no_say_in_what_a_whole_kit_is() -> None:
    learned = Kit()
    photos = [photo(i) for i in range(10)]
    photos += [[part(60, 30 + i), part(3, 31 + i, cut=True), part(3, 32 + i, cut=True)] for i in range(2)]
    learned.fit(photos)
    assert learned.whole_.tolist() in ([[2, 1]], [[1, 2]])
    assert learned.tally(photo(70)[1:]).score == 1


def test_numbers_that_chance_brings_divide_no_kind() -> None:
    rng = np.random.default_rng(0)
    learned = Kit()
    learned.fit([[part(60, 100 * i + k, size=50 + 3 * rng.normal()) for k in range(2)] for i in range(12)])
    assert learned.whole_.tolist() == [[2]]


def test_a_face_that_mirrors_is_of_its_kind_but_another_hue_is_not() -> None:
    learned = Kit()
    learned.fit([photo(i) for i in range(12)])
    nut, other, washer = photo(60)
    lighter = replace(nut, colour=nut.colour + np.array([40, 0, 0]), hole=0.3)
    assert learned.tally([lighter, other, washer]).score == 0
    assert learned.tally([replace(nut, colour=nut.colour + np.array([0, 15, 40])), other, washer]).score == 2


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
