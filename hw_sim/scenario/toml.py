"""Writes TOML: what a JSON value and a table can hold, no more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def dump(table: Mapping[str, Any]) -> str:
    """The text of a table: keys, then tables, then lists of tables. A value of None is left out: TOML has none."""
    return "\n".join(_lines(table, "")).strip("\n") + "\n"


def _lines(table: Mapping[str, Any], path: str) -> Iterator[str]:
    later = {}
    for key, value in table.items():
        if isinstance(value, Mapping) or _is_tables(value):
            later[key] = value
        elif value is not None:
            # A JSON text, number, truth value or list of them is a TOML one.
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in later.items():
        inner = f"{path}.{key}" if path else key
        heads = [(f"[{inner}]", value)] if isinstance(value, Mapping) else [(f"[[{inner}]]", item) for item in value]
        for head, item in heads:
            yield from ("", head, *_lines(item, inner))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)
