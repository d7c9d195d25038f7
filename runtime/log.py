"""Logs on standard error: `BODYCAM_LOG=json` gives one JSON object a line, anything else text for people.

Facts go in `extra`: `log.info("segment closed", extra={"segment": 3})`.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from typing import Any

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def setup(program: str, level: int = logging.INFO) -> None:
    """Send every log of this process to standard error, under the name `program`."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json(program) if os.environ.get("BODYCAM_LOG") == "json" else _Text(program))
    logging.basicConfig(level=level, handlers=[handler], force=True)


class _Formatter(logging.Formatter):
    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    @staticmethod
    def _facts(record: logging.LogRecord) -> dict[str, Any]:
        return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}

    @staticmethod
    def _time(record: logging.LogRecord) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Json(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self._time(record),
            "level": record.levelname.lower(),
            "program": self._program,
            "source": record.name,
            "message": record.getMessage(),
            **self._facts(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Text(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = "".join(f" {name}={value}" for name, value in self._facts(record).items())
        line = f"{self._time(record)} {self._program} {record.levelname.lower()}: {record.getMessage()}{facts}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
