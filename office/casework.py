"""All acts of case work and inspection, as the book takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from office import activities, cases, custody, foreign, inspection_acts, notes, statements
from office.book import Enter

ENTERS: Final[tuple[Mapping[str, Enter], ...]] = (
    activities.ENTERS,
    statements.ENTERS,
    cases.ENTERS,
    custody.ENTERS,
    notes.ENTERS,
    foreign.ENTERS,
    inspection_acts.ENTERS,
)
