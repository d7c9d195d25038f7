"""The one error of the office's program."""

from __future__ import annotations

import os


class OfficeError(Exception):
    """Something the office refuses or cannot do.

    `code` is stable (docs/configuration.md, §Office), `status` the HTTP status a dock gets; the text says what to do.
    """

    exit_status = os.EX_UNAVAILABLE  # 69

    def __init__(self, code: str, message: str, status: int = 500) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
