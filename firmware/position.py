"""The camera's place as the journal keeps it: a sealed `position` record now and then (rule 13)."""

from __future__ import annotations

from typing import Any

from evidence import shape
from firmware.hal.ports import Fix


def sealed_body(fix: Fix) -> dict[str, Any]:
    """The body that `evidence.sealed.seal("position", ...)` takes (docs/spec/evidence.md §3.5): whole numbers only."""
    return {
        "latitude_e7": round(fix.latitude_deg * 1e7),
        "longitude_e7": round(fix.longitude_deg * 1e7),
        "altitude_mm": None if fix.altitude_m is None else round(fix.altitude_m * 1000),
        "error_mm": None if fix.error_m is None else round(fix.error_m * 1000),
        "fix_utc": None if fix.utc_ms is None else shape.utc_text(fix.utc_ms),
    }
