"""What an action takes: each field's shape, once, for the form, the check and the description for programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from starlette.datastructures import UploadFile

from office.catalogue import utc
from office.site.text import Text

Kind = Literal["text", "lines", "choice", "choices", "date", "time", "number", "flag", "password", "file", "hidden"]
Raw = Mapping[str, Sequence[str | UploadFile]]
"""What was sent, by field: texts, or files."""

TEXT_LIMIT: Final = 200
LINES_LIMIT: Final = 2_000  # of free text in a leaf of the log
_UNSEEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_TRUE = frozenset({"1", "on", "true"})
_MISSING = Text("请填写此项", "Fill this in")
_WRONG = Text("填写不符合要求", "This does not have the form asked for")
_CHOOSE = Text("请从所列各项中选择", "Choose one of those listed")


class FieldsError(Exception):
    """What is wrong, by field; `given` is what was sent, for the form that is shown again."""

    def __init__(self, errors: Mapping[str, Text], given: Mapping[str, Any]) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors
        self.given = given


class _WrongError(Exception):
    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


@dataclass(frozen=True, slots=True)
class Field:
    """One field. A field whose name stands in the action's path is taken from there.

    Values: `text`, `lines`, `password`, `hidden`, `choice`: str; `choices`: tuple of str; `date`: `2026-11-24`; `time`:
    UTC as records write it, entered in the office's zone; `number`: int; `flag`: bool; `file`: `UploadFile`. What is
    optional and missing is None (`flag`: False, `choices`: ()).
    """

    name: str
    label: Text
    kind: Kind = "text"
    required: bool = True
    pattern: str | None = None  # of the whole text
    limit: int | None = None  # characters
    between: tuple[int, int] = (0, 2**31 - 1)  # of a number
    choices: Sequence[tuple[str, Text]] = ()
    hint: Text | None = None
    autocomplete: str = "off"

    @property
    def most(self) -> int:
        """Characters that it takes."""
        return self.limit or (LINES_LIMIT if self.kind == "lines" else TEXT_LIMIT)

    def value(self, sent: Sequence[str | UploadFile], zone: ZoneInfo) -> Any:
        """Its value. Raises `_WrongError`."""
        if self.kind == "file":
            return self._file(sent)
        texts = [one.strip() for one in sent if isinstance(one, str)]
        if len(texts) != len(sent) or any(_UNSEEN.search(one.replace("\r\n", "\n")) for one in texts):
            raise _WrongError(_WRONG)
        if self.kind == "choices":
            return self._several([one for one in texts if one])
        if len(texts) > 1:
            raise _WrongError(_WRONG)
        text = texts[0].replace("\r\n", "\n") if texts else ""
        if self.kind == "flag":
            return self._flag(text)
        if not text:
            if self.required:
                raise _WrongError(_MISSING)
            return None
        return self._one(text, zone)

    def _file(self, sent: Sequence[str | UploadFile]) -> UploadFile | None:
        files = [one for one in sent if isinstance(one, UploadFile) and one.filename]
        if len(files) > 1 or any(isinstance(one, str) and one for one in sent):
            raise _WrongError(_WRONG)
        if not files and self.required:
            raise _WrongError(_MISSING)
        return files[0] if files else None

    def _several(self, texts: Sequence[str]) -> tuple[str, ...]:
        if not texts and self.required:
            raise _WrongError(_MISSING)
        if {*texts} - {name for name, _ in self.choices}:
            raise _WrongError(_CHOOSE)
        return tuple(dict.fromkeys(texts))

    def _flag(self, text: str) -> bool:
        if text not in _TRUE | {"", "0", "off", "false"}:
            raise _WrongError(_WRONG)
        if self.required and text not in _TRUE:
            raise _WrongError(_MISSING)
        return text in _TRUE

    def _one(self, text: str, zone: ZoneInfo) -> Any:
        if len(text) > self.most:
            raise _WrongError(Text(f"最多 {self.most} 字", f"At most {self.most} characters"))
        if self.kind != "lines" and "\n" in text:
            raise _WrongError(_WRONG)
        if self.choices and text not in {name for name, _ in self.choices}:
            raise _WrongError(_CHOOSE)
        if self.pattern is not None and not re.fullmatch(self.pattern, text):
            raise _WrongError(self.hint or _WRONG)
        if self.kind not in ("number", "date", "time"):
            return text
        try:
            return self._measured(text, zone)
        except (ValueError, OverflowError, OSError) as error:
            raise _WrongError(_WRONG) from error

    def _measured(self, text: str, zone: ZoneInfo) -> int | str:
        if self.kind == "date":
            return date.fromisoformat(text).isoformat()
        if self.kind == "time":
            at = datetime.fromisoformat(text)
            return utc(at if at.tzinfo else at.replace(tzinfo=zone))
        if not re.fullmatch("-?[0-9]{1,12}", text):
            raise ValueError(text)
        low, high = self.between
        if not low <= int(text) <= high:
            raise _WrongError(Text(f"应在 {low} 至 {high} 之间", f"From {low} to {high}"))
        return int(text)

    def schema(self) -> dict[str, Any]:
        """JSON Schema of what is sent."""
        match self.kind:
            case "number":
                return {"type": "integer", "minimum": self.between[0], "maximum": self.between[1]}
            case "flag":
                return {"type": "boolean"}
            case "choices":
                return {"type": "array", "items": {"enum": [name for name, _ in self.choices]}, "uniqueItems": True}
            case "file":
                return {"type": "string", "format": "binary"}
        told: dict[str, Any] = {"type": "string", "maxLength": self.most}
        if self.required:
            told["minLength"] = 1
        if self.choices:
            told["enum"] = [name for name, _ in self.choices]
        if self.pattern is not None:
            told["pattern"] = f"^(?:{self.pattern})$"
        if self.kind in ("date", "time"):
            told["format"] = {"date": "date", "time": "date-time"}[self.kind]
        return told


def values(fields: Iterable[Field], sent: Raw, zone: ZoneInfo) -> dict[str, Any]:
    """The values of all fields. Raises `FieldsError`, also for what no field has."""
    found: dict[str, Any] = {}
    errors: dict[str, Text] = {}
    known = {field.name: field for field in fields}
    for name in sent.keys() - known.keys():
        errors[name[:TEXT_LIMIT]] = Text("没有此项", "There is no such field")
    for name, field in known.items():
        try:
            found[name] = field.value(sent.get(name, ()), zone)
        except _WrongError as wrong:
            errors[name] = wrong.text
    if errors:
        given = {name: _shown(known[name], sent[name]) for name in sent.keys() & known.keys()}
        raise FieldsError(errors, given)
    return found


def _shown(field: Field, sent: Sequence[str | UploadFile]) -> Any:
    texts = [one for one in sent if isinstance(one, str)]
    if field.kind in ("password", "file"):
        return None
    return texts if field.kind == "choices" else next(iter(texts), None)


DEVICE: Final = Field("device", Text("设备", "Device"), pattern="[A-Z0-9-]{3,32}")
RECORDING: Final = Field("recording", Text("录像", "Recording"), pattern="[0-9a-f]{8}-[1-9][0-9]{0,9}")
