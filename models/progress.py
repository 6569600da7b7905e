"""How long work is shown: by wrapping what it iterates over, as tqdm does. Libraries show nothing by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]


def no_progress(items: Iterable[Any], total: int, label: str) -> Iterable[Any]:
    """The default: nothing is shown."""
    return items
