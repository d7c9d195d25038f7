"""The one error that everything in `evidence` raises on bad input."""

from __future__ import annotations


class EvidenceError(Exception):
    """Bytes that are not what the specification says.

    `code` is stable and documented in docs/spec/evidence.md §Errors; the text says what is wrong and what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
