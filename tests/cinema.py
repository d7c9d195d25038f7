"""A page over an office that holds two officers' recordings of one activity, for tests of pages and of watching."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evidence import age
from office.archive import Archive
from office.person import Role
from office.watching import Plays
from tests.evidence_media import media
from tests.footage import Camera
from tests.office_kit import OfficeKit, running
from tests.site_kit import Browser, SiteKit
from tests.watch_kit import IdentityKeys, TestViewings, plays

SECONDS = 12  # of the first part


@dataclass
class Cinema:
    """A page over an office with two officers' recordings of one activity."""

    site: SiteKit
    viewings: TestViewings
    keys: IdentityKeys
    recordings: list[tuple[str, str]]  # device and id

    def viewer(self, account: str = "wang") -> Browser:
        return self.site.browser(account, Role.OFFICER)

    def begin(self, viewer: Browser, *which: int) -> str:
        """Begin to watch recordings; the path of the player."""
        fields = zip(("shown", "beside"), ("/".join(self.recordings[number]) for number in which), strict=False)
        answer = viewer.post("/watch", **dict(fields))
        assert answer.status == 303, answer
        return answer.headers["location"]

    def film(self, path: str, shown: int = 0, part: int = 1) -> str:
        return f"/play/{path.rpartition('/')[2]}/{shown}/{part}"


def _film(camera: Camera) -> str:
    """Twelve seconds with a notice, a marker and a still; a power cut; four seconds more."""
    recording = camera.start()
    begin = camera.now_ns
    camera.line("notice", recording=recording, attempt=1, heard=True, score_permille=990, from_ns=begin + 10**9,
                to_ns=begin + 5 * 10**9)  # fmt: skip
    for segment in range(3):
        numbers = range(segment * 8, segment * 8 + 8)
        camera.film(recording, 1, segment, list(numbers), of=24, still=media().still if segment == 1 else b"")
    camera.line("marker", recording=recording, at_ns=camera._part_ns + 5_000_000_000)
    camera.boot()
    camera.utc_ms += SECONDS * 1000 + 8_000
    camera.start(recording, 2)
    camera.film(recording, 2, 3, list(range(8)), of=24)
    camera.gap(recording, 1)
    camera.end(recording, 2, 4)
    return recording


@contextlib.contextmanager
def showing(folder: Path) -> Iterator[Cinema]:
    """A page over an office in this folder, for the time of a block."""
    office = OfficeKit(folder)
    identity = age.generate_identity()
    recipients = [age.recipient_of(identity), age.recipient_of(age.generate_identity())]
    cameras = [Camera(office.agency, recipients, device) for device in ("BWC-0001", "BWC-0002")]
    cameras[1].utc_ms += 3_000
    recordings = [(camera.device, _film(camera)) for camera in cameras]
    with running(office):
        client = office.client()
        for camera in cameras:
            client.hand_in_journal(camera.device, camera.journal)
            for name, data in camera.segments.items():
                assert client.patch(client.segment(camera.device, name, data), 0, data).status == 204
    kits: list[tuple[TestViewings, IdentityKeys]] = []

    def watched(archive: Archive) -> Plays:
        made, viewings, keys = plays(archive, identity)
        kits.append((viewings, keys))
        return made

    with SiteKit(office, plays=watched).serving() as site:
        yield Cinema(site, *kits[0], recordings)
