"""TOML file -> frozen dataclass. What the class does not name is refused, and so is what does not fit it.

Bounds stand with the field: `segment_seconds: Annotated[int, Between(1, 60)] = 60`, or `Annotated[str, Matches(...)]`.
Relative paths are taken from the file's folder.
"""

from __future__ import annotations

import dataclasses
import enum
import os
import re
import tomllib
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

T = TypeVar("T")
_PLAIN = {str: "text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


class ConfigError(Exception):
    """The configuration cannot be used. The text names file, key and what is expected."""

    exit_status = os.EX_CONFIG  # 78


@dataclass(frozen=True, slots=True)
class Between:
    """Bounds of a number, both included; None: unbounded."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        ends = ["at least", self.low, "at most", self.high]
        return " and ".join(f"{word} {end}" for word, end in zip(ends[::2], ends[1::2], strict=True) if end is not None)

    def holds(self, value: Any) -> bool:
        """Tell whether `value` lies within."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class Matches:
    """The whole text must match `pattern`."""

    pattern: str

    def __str__(self) -> str:
        return f"text like {self.pattern}"

    def holds(self, value: Any) -> bool:
        """Tell whether `value` matches."""
        return re.fullmatch(self.pattern, value) is not None


def load(path: Path, kind: type[T]) -> T:
    """Read the TOML file at `path` as a `kind`. Raises `ConfigError`."""
    return fill(kind, read(path), path)


def read(path: Path) -> dict[str, Any]:
    """Read the TOML file at `path`, unchecked. Raises `ConfigError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # bad UTF-8, bad TOML, lists in lists in lists
        raise ConfigError(f"{path}: is not TOML: {error}") from error


def fill(kind: type[T], table: Any, path: Path, key: str = "") -> T:
    """Take a table of the file at `path` as a `kind`; `key` is where in the file it stands. Raises `ConfigError`."""
    try:
        return typing.cast("T", _read_table(kind, table, key, path.absolute().parent))
    except _Misfit as misfit:
        raise ConfigError(f"{path}: {misfit}") from misfit


class _Misfit(Exception):  # noqa: N818 - never leaves this module
    pass


def _read_table(kind: type[Any], table: Any, key: str, folder: Path) -> Any:
    if not isinstance(table, dict):
        raise _Misfit(f"{key}: expected a table, found {_shown(table)}")
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    inside = f"{key}." if key else ""
    for name in table:
        if name not in {field.name for field in fields}:
            known = ", ".join(field.name for field in fields)
            raise _Misfit(f"{inside}{name}: unknown key; expected one of {known}")
    values = {}
    for field in fields:
        if field.name in table:
            values[field.name] = _read(hints[field.name], table[field.name], f"{inside}{field.name}", folder)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _Misfit(f"{inside}{field.name}: missing; expected {_expected(hints[field.name])}")
        elif isinstance(field.default, Path):
            values[field.name] = folder / field.default
        elif dataclasses.is_dataclass(hints[field.name]):  # its own defaults, too, are taken from this folder
            values[field.name] = _read_table(hints[field.name], {}, f"{inside}{field.name}", folder)
    try:
        return kind(**values)
    except ValueError as error:  # a class may check itself in __post_init__
        raise _Misfit(f"{key or 'file'}: {error}") from error


def _read(kind: Any, value: Any, key: str, folder: Path) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        found = _read(arguments[0], value, key, folder)
        if all(rule.holds(found) for rule in arguments[1:]):
            return found
    elif origin in {Union, types.UnionType}:  # TOML has no null, so what is there is of the one other type
        return _read(_not_none(kind), value, key, folder)
    elif dataclasses.is_dataclass(kind):
        return _read_table(typing.cast("type[Any]", kind), value, key, folder)
    elif origin in {tuple, list} and isinstance(value, list):
        return origin(_read(arguments[0], item, f"{key}[{n}]", folder) for n, item in enumerate(value))
    elif origin is dict and isinstance(value, dict):
        return {name: _read(arguments[1], item, f"{key}.{name}", folder) for name, item in value.items()}
    else:
        return _read_plain(kind, value, key, folder)
    raise _Misfit(f"{key}: expected {_expected(kind)}, found {_shown(value)}")


def _read_plain(kind: Any, value: Any, key: str, folder: Path) -> Any:
    if kind is Path and isinstance(value, str) and value:
        return _path(value, key, folder)
    if kind is float and type(value) is int and abs(value) < 2**53:
        return float(value)
    if any(type(value) is type(choice) and value == choice for choice in _choices(kind)):
        return value if get_origin(kind) is Literal else kind(value)
    if type(value) is kind:  # exactly: to Python a truth value is a whole number
        return value
    raise _Misfit(f"{key}: expected {_expected(kind)}, found {_shown(value)}")


def _path(value: str, key: str, folder: Path) -> Path:
    try:
        path = folder / Path(value).expanduser()
    except RuntimeError as error:  # the home of somebody who is not known here
        raise _Misfit(f"{key}: {error} in {value!r}") from error
    if "\0" in value:
        raise _Misfit(f"{key}: no path holds a zero byte, found {value!r}")
    return path


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number that is too long to show"


def _choices(kind: Any) -> tuple[Any, ...]:
    if isinstance(kind, enum.EnumMeta):
        return tuple(member.value for member in typing.cast("type[enum.Enum]", kind))
    return get_args(kind) if get_origin(kind) is Literal else ()


def _not_none(kind: Any) -> Any:
    return next(argument for argument in get_args(kind) if argument is not types.NoneType)


def _expected(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return " ".join([_expected(arguments[0]), *(f"({rule})" for rule in arguments[1:])])
    if origin in {Union, types.UnionType}:
        return _expected(_not_none(kind))
    if choices := _choices(kind):
        return "one of " + ", ".join(repr(choice) for choice in choices)
    if origin in {tuple, list}:
        return f"a list, each {_expected(arguments[0])}"
    return _PLAIN.get(kind, "a table")
