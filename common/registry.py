"""Registries: the names that a setting may take, and the object behind each name.

An entry may be given as "package.module:attribute". It is then imported when somebody asks for it, so that settings and
``--help`` know all names without importing torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")


class Registry(MutableMapping[str, T], Generic[T]):
    """Map names to objects, in the order in which they were registered.

    Parameters
    ----------
    entries : mapping of str to object or str
        The entries; a str "package.module:attribute" is imported when it is first asked for.

    Examples
    --------
    >>> shapes = Registry({"fraction": "fractions:Fraction"})
    >>> shapes["fraction"](1, 2)
    Fraction(1, 2)
    >>> shapes["whole"] = int
    >>> list(shapes)
    ['fraction', 'whole']
    """

    def __init__(self, entries: Mapping[str, T | str]):
        self._entries: dict[str, Any] = dict(entries)

    def __getitem__(self, name: str) -> T:
        entry = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = self._entries[name] = getattr(import_module(module), attribute)
        found: T = entry
        return found

    def __setitem__(self, name: str, entry: T | str) -> None:
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries  # the inherited test would import the entry


@dataclass(frozen=True)
class OneOf:
    """Annotate a str setting that takes one name of a registry, looked up at the time of validation.

    Parameters
    ----------
    registry : Registry
        The registry whose names are allowed.
    also : tuple of str
        Further names that are allowed, such as "auto".
    without : tuple of str
        Names of the registry that are not allowed here.
    """

    registry: Registry[Any]
    also: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All allowed names, in the order of the registry."""
        return (*self.also, *(name for name in self.registry if name not in self.without))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, name: str) -> str:
        if name not in self.names:
            raise ValueError(f"is none of {', '.join(self.names)}")
        return name
