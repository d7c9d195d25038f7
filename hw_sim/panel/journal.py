"""The camera's journal as a stranger can read it: new lines of an evidence folder, and a row of text for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evidence import records
from evidence.errors import EvidenceError
from evidence.records import Record
from hw_sim.panel import words

_CATCH_UP_BYTES = 256 * 1024  # of an old journal, the panel shows the end


@dataclass(frozen=True, slots=True)
class Damaged:
    """A line that is no record, and why."""

    why: str


class JournalReader:
    """Gives the whole lines that have been added to `folder/journal` since the last call.

    A torn line that a power cut has left at the end of a file is passed over: the next boot begins another file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "journal"
        files = self._files()
        self._file = files[-1].name if files else ""
        size = files[-1].stat().st_size if files else 0
        self._offset = max(0, size - _CATCH_UP_BYTES)
        self._inside_line = self._offset > 0

    def new(self) -> list[Record | Damaged]:
        """Read on. Empty while the folder cannot be read: the card is being put in or taken out."""
        found: list[Record | Damaged] = []
        try:
            for file in self._files():
                if file.name > self._file:
                    self._file, self._offset, self._inside_line = file.name, 0, False
                if file.name == self._file:
                    found.extend(self._lines(file))
        except OSError:
            pass
        return found

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.jws"))

    def _lines(self, file: Path) -> Iterator[Record | Damaged]:
        with file.open("rb") as stream:
            stream.seek(self._offset)
            whole, end, _ = stream.read().rpartition(b"\n")
        self._offset += len(whole) + len(end)
        lines = whole.split(b"\n") if end else []
        for line in lines[1:] if self._inside_line else lines:
            try:
                yield records.parse(line)
            except EvidenceError as error:
                yield Damaged(str(error))
        self._inside_line = self._inside_line and not lines


def row(record: Record) -> str:
    """Sequence number, claimed time, kind and main members, in columns."""
    at = datetime.fromtimestamp(record.clock.utc_ms / 1000, UTC).astimezone()
    kind = words.column(words.KINDS.get(record.kind, ""), 9) + words.column(record.kind, 18)
    return f"{record.seq:>6} {at:%H:%M:%S} {kind} {' '.join(_members(record))}"


def _members(record: Record) -> Iterator[str]:
    if "sealed" in record.body:
        yield "已密封，只有档案库能打开 sealed to the office"
        return
    for name, value in record.body.items():
        text = _value(name, value)
        if text is not None:
            yield text


def _value(name: str, value: Any) -> str | None:
    """One member in few words; None for what says nothing to a reader: hashes, keys, ids that stand elsewhere."""
    if isinstance(value, dict):
        inner = [text for key, item in value.items() if (text := _value(key, item)) is not None]
        return " ".join(inner) or None
    if value is None or isinstance(value, list) or name.endswith(("sha256", "_offset", "_len")) or name in _SILENT:
        return None
    if isinstance(value, bool):
        return f"{name}={'是' if value else '否'}"
    if name.endswith("_ns"):
        return f"{name[:-3]}={value / 1e9:.1f}s"
    if name.endswith("_bytes"):
        return f"{name[:-6]}={value / 1e6:.0f}MB"
    if name == "cause":
        return f"{name}={words.both(words.CAUSES, value)}"
    return f"{name}={value}"


_SILENT = frozenset({
    "session_key", "kernel_boot", "configuration", "jws", "anchor", "receipt", "file", "id", "driver", "board",
    "encoder", "stanzas", "recording",
})  # fmt: skip
