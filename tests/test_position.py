"""The sealed `position` record of a fix."""

from __future__ import annotations

from evidence import age, sealed
from firmware.hal.ports import Fix
from firmware.position import sealed_body


def test_a_fix_is_sealed_and_opened_again() -> None:
    identity = age.generate_identity()
    fix = Fix(5, -40.7681234, 118.1536789, 350.25, 17.1, 1.5, 1_795_501_389_000, 505)
    body = sealed.seal("position", sealed_body(fix), [age.recipient_of(identity)])
    assert sealed.open_sealed("position", body, identity) == {
        "latitude_e7": -407_681_234,
        "longitude_e7": 1_181_536_789,
        "altitude_mm": 350_250,
        "error_mm": 17_100,
        "fix_utc": "2026-11-24T06:23:09.000Z",
    }


def test_what_the_receiver_does_not_tell_is_null() -> None:
    body = sealed_body(Fix(5, 0.0, 0.0, None, None, None, None, None))
    assert (body["altitude_mm"], body["error_mm"], body["fix_utc"]) == (None, None, None)
