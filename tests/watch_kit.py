"""Watching for tests: passes and file keys as the office's people and keyd give them, by a real office identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from evidence import age
from office.archive import Archive
from office.catalogue import utc
from office.errors import OfficeError
from office.reel import Closing
from office.watching import Pass, Plays


@dataclass
class TestViewings:
    """Passes that the test gives and takes; what is logged of them."""

    __test__ = False
    given: list[Pass] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)

    def let(self, viewer: str, device: str, recording: str, minutes: float = 30) -> Pass:
        until = utc(datetime.now(UTC) + timedelta(minutes=minutes))
        self.given.append(Pass(viewer, len(self.given), device, recording, until))
        return self.given[-1]

    def passes(self, viewer: str) -> Sequence[Pass]:
        return [one for one in self.given if one.viewer == viewer]

    def check(self, given: Pass) -> None:
        if given not in self.given:
            raise OfficeError("not-approved", "this pass was taken back", 403)

    def begin(self, given: Pass) -> int:
        self.told.append(("begin", given.viewer))
        return len(self.told)

    def finish(self, given: Pass, viewing: int) -> None:
        assert viewing > 0
        self.told.append(("finish", given.viewer))


@dataclass
class IdentityKeys:
    """Opens headers with the office's identity, as keyd does, after the camera's word for them is seen to fit."""

    identity: str
    asked: list[int] = field(default_factory=list)

    def file_key(self, given: Pass, segment: int, header: bytes, closing: Closing) -> bytes:
        parsed = age.parse_header(header)
        assert parsed.size == len(header)
        assert closing.line
        assert given.viewer
        self.asked.append(segment)
        return age.unwrap(parsed, self.identity)


def plays(archive: Archive, identity: str) -> tuple[Plays, TestViewings, IdentityKeys]:
    viewings, keys = TestViewings(), IdentityKeys(identity)
    return Plays(archive, viewings, keys), viewings, keys
