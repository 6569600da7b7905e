"""Registries: the names that a setting may take, and the object behind each name.

An entry may be given as "package.module:attribute". It is then imported when somebody asks for it, so that settings and
``--help`` know all names without importing torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
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
    families : mapping of str to callable
        Names that are too many to list: what begins with such a prefix is made by the callable from the rest of the
        name, each time that it is asked for.

    Examples
    --------
    >>> shapes = Registry({"fraction": "fractions:Fraction"})
    >>> shapes["fraction"](1, 2)
    Fraction(1, 2)
    >>> shapes["whole"] = int
    >>> list(shapes)
    ['fraction', 'whole']
    """

    def __init__(self, entries: Mapping[str, T | str], families: Mapping[str, Callable[[str], T]] | None = None):
        self._entries: dict[str, Any] = dict(entries)
        self.families = dict(families or {})

    def __getitem__(self, name: str) -> T:
        prefix = self._family(name)
        if prefix:
            return self.families[prefix](name.removeprefix(prefix))
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
        # The inherited test would import the entry.
        return name in self._entries or (isinstance(name, str) and self._family(name) != "")

    def _family(self, name: str) -> str:
        """Return the prefix with which a name begins that is no entry; "" if there is none."""
        if name in self._entries:
            return ""
        return next((prefix for prefix in self.families if name.startswith(prefix) and name != prefix), "")


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
        """All allowed names, in the order of the registry, and the families as "prefix<name>"."""
        listed = (name for name in self.registry if name not in self.without)
        return (*self.also, *listed, *(f"{prefix}<name>" for prefix in self.registry.families))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, name: str) -> str:
        if name not in self.also and (name not in self.registry or name in self.without):
            raise ValueError(f"is none of {', '.join(self.names)}")
        return name
