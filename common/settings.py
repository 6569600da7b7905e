"""Read settings: sections of typed values, merged from defaults, a YAML file, assignments and flags.

The settings themselves are declared in config.py, and in the ``settings.py`` of each job that has its own.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeGuard, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fastener.common.errors import UserError
from fastener.common.registry import OneOf

S = TypeVar("S", bound="Section")
# Side of a frame, in pixels.
Side = Annotated[int, Field(ge=32, le=2048)]
_LONGEST_KEY = 200


class Section(BaseModel):
    """Hold a group of settings; immutable, and closed to unknown keys.

    ``renamed`` maps old names of settings to their present names. Saved models may hold old names, which are taken
    silently; in files, assignments and flags they are taken with a warning.
    """

    renamed: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        return value.expanduser() if isinstance(value, Path) else value

    @model_validator(mode="before")
    @classmethod
    def _take_old_names(cls, tree: Any) -> Any:
        if not cls.renamed or not isinstance(tree, Mapping):
            return tree
        present = {key: value for key, value in tree.items() if key not in cls.renamed}
        old = {cls.renamed[key]: value for key, value in tree.items() if key in cls.renamed}
        return {**old, **present}


def warn_of_change(line: str) -> None:
    """Issue a FutureWarning: how settings with an old name are reported unless a script has its own way."""
    warnings.warn(line, FutureWarning, stacklevel=2)


def load_settings(
    section: type[S],
    file: str | Path | None = None,
    assignments: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    *,
    warn: Callable[[str], None] = warn_of_change,
    as_text: bool = False,
) -> S:
    """Merge defaults, a YAML file, ``key=value`` assignments and flags (later wins) into one valid ``section``.

    ``flags`` maps dotted keys ("model.coreset_ratio") to values; None means "flag not given". ``warn`` receives a line
    for each setting that is given by an old name. With ``as_text`` the file's values are read as they are written, so
    that a number such as 0123 keeps its zero. Raises UserError with one line that names the setting, the allowed
    values, and the nearest known key.
    """
    old_names = dict(_renamed(section))

    def present(key: str) -> str:
        if key not in old_names:
            return key
        warn(f"setting {key} is called {old_names[key]} now; the old name will go in a later release")
        return old_names[key]

    tree: dict[str, Any] = {}
    if file is not None:
        tree = _with_present_names(_read_yaml(Path(file), _TextLoader if as_text else _Loader), present)
        _reject_unknown_keys(tree, list(known_settings(section)), source=str(file))
    for text in assignments:
        key, value = _parse_assignment(text)
        _assign(tree, present(key), value, section)
    for key, value in (flags or {}).items():
        if value is not None:
            _assign(tree, present(key), value, section)
    try:
        return section.model_validate(tree)
    except ValidationError as error:
        raise UserError(_explain(error, section)) from None


def known_settings(section: type[Section]) -> dict[str, str]:
    """List every setting as dotted key -> description with unit and range, in the order of the file.

    Settings of a list's sections come with the key of the list before their own.
    """
    return {key: _description(field) for key, field in _fields(section)}


def _description(field: Any) -> str:
    """Describe a setting; "{names}" stands for the names of its registry as they are now."""
    text: str = field.description or ""
    names = next(_names_in(field), ())
    return text.replace("{names}", ", ".join(names))


def _names_in(annotation: Any) -> Iterator[tuple[str, ...]]:
    """Find the registry names that a field or a type allows."""
    for one in (*getattr(annotation, "metadata", ()), *getattr(annotation, "__metadata__", ())):
        if isinstance(one, OneOf):
            yield one.names
    for inner in (getattr(annotation, "annotation", None), *get_args(annotation)):
        if inner is not None and inner is not annotation:
            yield from _names_in(inner)


def _renamed(section: type[Section], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted old and present name of each setting that was renamed."""
    yield from ((f"{prefix}{old}", f"{prefix}{new}") for old, new in section.renamed.items())
    for name, field in section.model_fields.items():
        for inner in (field.annotation, *get_args(field.annotation)):
            if _is_section(inner):
                yield from _renamed(inner, f"{prefix}{name}.")


def _with_present_names(tree: Mapping[str, Any], present: Callable[[str], str], prefix: str = "") -> dict[str, Any]:
    """Copy a tree of settings under the names that they have now."""
    result: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        inner = _with_present_names(value, present, f"{key}.") if isinstance(value, dict) else value
        result[present(key).removeprefix(prefix)] = inner
    return result


def _fields(section: type[Section], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, field in section.model_fields.items():
        if _is_section(field.annotation):
            yield from _fields(field.annotation, f"{prefix}{name}.")
            continue
        yield f"{prefix}{name}", field
        for argument in get_args(field.annotation):
            if _is_section(argument):
                yield from _fields(argument, f"{prefix}{name}.")


def _is_section(annotation: Any) -> TypeGuard[type[Section]]:
    return isinstance(annotation, type) and issubclass(annotation, Section)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Read plain values only. Without aliases a small file cannot become a large or endless tree."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not supported; write the value again")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


class _TextLoader(_Loader):
    """Read every value as the text that it is written as."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


def _read_yaml(path: Path, loader: type[_Loader] = _Loader) -> dict[str, Any]:
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), loader)
    except OSError as error:
        raise UserError(f"cannot read configuration {path}: {error.strerror}") from None
    except Exception as error:  # on a value like "2001-99-99" or "!!int ''" PyYAML fails as Python happens to
        where = " ".join(str(error).split())
        raise UserError(f"configuration {path} is not valid YAML: {where}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"configuration {path} must hold 'section:' blocks of 'key: value' lines")
    return tree


def _parse_assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {text}: write it as section.key=value, for example preprocess.clahe_clip_limit=3")
    try:
        return key.strip(), yaml.load(value, _Loader)
    except Exception:  # as in _read_yaml
        raise UserError(f"--set {text}: the value {value!r} cannot be read") from None


def _assign(tree: dict[str, Any], key: str, value: Any, section: type[Section]) -> None:
    _check_key(key, list(known_settings(section)), source="--set")
    *sections, name = key.split(".")
    for one in sections:
        if tree.get(one) is None:  # null stands for a section that is off
            tree[one] = {}
        tree = tree[one]
        if not isinstance(tree, dict):
            raise UserError(f"--set {key}: '{one}' is a list; write it whole, as in the file of settings")
    tree[name] = value


def _reject_unknown_keys(tree: Mapping[str, Any], known: list[str], source: str, prefix: str = "") -> None:
    for name, value in tree.items():
        key = f"{prefix}{name}"
        inner = any(other.startswith(f"{key}.") for other in known)
        if not inner or (value is None and key in known):
            _check_key(key, known, source)
        elif isinstance(value, Mapping):
            _reject_unknown_keys(value, known, source, f"{key}.")
        elif key not in known:
            raise UserError(f"{source}: '{name}' is a section; write its settings indented below it")
        elif isinstance(value, list):
            for entry in value:
                if isinstance(entry, Mapping):
                    _reject_unknown_keys(entry, known, source, f"{key}.")


def _check_key(key: str, known: list[str], source: str) -> None:
    if key in known:
        return
    key = key[:_LONGEST_KEY]  # comparing takes as long as the key is
    leaf = key.rsplit(".", 1)[-1]
    by_leaf = {name.rsplit(".", 1)[-1]: name for name in known}
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    close_leaf = difflib.get_close_matches(leaf, list(by_leaf), n=1, cutoff=0.6)
    nearest = by_leaf[close_leaf[0]] if close_leaf else close[0]
    raise UserError(f"{source}: unknown setting '{key}'; the nearest known one is '{nearest}'")


def _explain(error: ValidationError, section: type[Section]) -> str:
    """Describe the first problem in one line: the key, the value, the meaning of the setting and its range."""
    problem = error.errors()[0]
    known = known_settings(section)
    parts = [str(part) for part in problem["loc"]]
    place = ".".join(parts)
    if problem["type"] == "value_error" and isinstance(problem["input"], Mapping):  # of several values of a section
        return f"{place or 'settings'}: {problem['msg'].removeprefix('Value error, ')}"
    shown, key = place, place
    for n in range(len(parts), 0, -1):
        without_index = ".".join(part for part in parts[:n] if not part.isdecimal())
        if not parts[n - 1].isdecimal() and without_index in known:
            shown, key = ".".join(parts[:n]), without_index
            break
    if problem["type"] == "missing" and parts[-1] == key.rsplit(".", 1)[-1]:
        return f"{shown} is missing: {known.get(key, 'it must be given')}"
    return f"{shown} = {_repr(problem['input'])} is not allowed: {known.get(key, problem['msg'])}"


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # Python writes no decimal number of more than 4300 digits
        return "a number with thousands of digits"
