"""The whole table: importing this fills it."""

from __future__ import annotations

from tests.fuzz import (
    folder_targets,
    format_targets,
    keyd_targets,
    office_targets,
    program_targets,
    signature_targets,
    trust_targets,
)
from tests.fuzz.target import SEEDS, TARGETS, corpus, inputs

__all__ = [
    "SEEDS",
    "TARGETS",
    "corpus",
    "folder_targets",
    "format_targets",
    "inputs",
    "keyd_targets",
    "office_targets",
    "program_targets",
    "signature_targets",
    "trust_targets",
]
