"""The examples in the docstrings of the metrics give the values that they print."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["metrics", "pixel_metrics", "detection"])
def test_examples_give_the_values_that_they_print(name: str) -> None:
    result = doctest.testmod(import_module(f"fastener.evaluation.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
