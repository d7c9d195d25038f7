"""Stills: what the verifier lists, and attacks on them. Read `pictures` first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evidence import age, boxes, mp4, records, report
from evidence import segment_check as check
from evidence.errors import EvidenceError
from tests.evidence_builder import MS, Camera
from tests.evidence_keys import identity, sha256
from tests.evidence_media import media, media_fragment, media_init
from tests.pictures import camera, findings, flipped, path, picture, verify

OFFICE = identity("office")
JPEG = media().still


def told(made: Camera, key: str | None = None) -> list[dict[str, Any]]:
    return list(report.to_json(verify(made.files, key))["recordings"][0]["stills"])


@pytest.mark.parametrize("key", [None, OFFICE])
def test_stills_are_listed_with_time_and_hash(key: str | None) -> None:
    made = camera("SMM")
    found = verify(made.files, key)
    assert (picture(found), findings(found), found.ok) == ("iii", "", True)
    first, second = told(made, key)
    assert [still["segment"] for still in (first, second)] == [1, 2]
    assert {first["sha256"], second["sha256"]} == {sha256(JPEG)}
    assert second["at_ns"] - first["at_ns"] == 500_000_000
    assert first["claimed"] < second["claimed"]


def test_a_still_handed_in_and_given_up_stays_listed() -> None:
    made = Camera()
    made.boot()
    made.start()
    made.segment(stills=1)
    made.hand_in(made.recording, 0, release=True)
    made.stop()
    assert (picture(verify(made.files)), len(told(made))) == ("r", 1)


@pytest.mark.parametrize("stills", [1, 3])
def test_a_cut_between_a_fragment_and_the_record_of_its_still(stills: int) -> None:
    """The JPEG is attested with its fragment, only the index is missing: that is told, and is nothing wrong."""
    made = Camera()
    made.boot()
    made.start()
    made.segment(cut=True, stills=stills, listed=False)
    made.resume()
    made.stop()
    found = verify(made.files, OFFICE)
    unlisted = [note.where for note in found.notes if note.verdict == "unlisted"]
    assert (found.ok, picture(found), unlisted) == (True, "t", [path(made, 0)] * stills)
    assert "unlisted" not in {note.verdict for note in verify(made.files).notes}


# --- Attacks ---------------------------------------------------------------------------------------------------------


def lying(**members: Any) -> Camera:
    """A camera whose record of a still says something else, in a chain that holds."""

    class Liar(Camera):
        def line(self, of: str, body: Any) -> records.Record:
            return super().line(of, {**body, **members} if of == "still" else body)

    made = Liar()
    made.boot()
    made.record("SMS")
    return made


@pytest.mark.parametrize(
    ("members", "without_key", "with_key"),
    [
        ({"sha256": "00" * 32}, "", "12:altered"),
        ({"at_ns": 1}, "", "12:altered"),
        ({"size": len(JPEG) - 1}, "", "12:altered"),
        ({"size": 0}, "", "12:altered"),
        ({"plain_offset": 65_536 + mp4.STILL_HEAD + 1}, "", "12:altered"),
        ({"plain_offset": 0}, "7:altered", "12:altered 7:altered"),
        ({"plain_offset": 65_536}, "7:altered", "12:altered 7:altered"),
        ({"plain_offset": 2**63 - 1, "size": 2**63 - 1}, "7:altered", "12:altered 7:altered"),
        ({"segment": 0}, "", "12:altered"),
        ({"segment": 2}, "6:altered", "6:altered"),
        ({"recording": "00000000-1"}, "6:altered", "6:altered"),
    ],
)
def test_a_record_that_points_elsewhere(members: dict[str, Any], without_key: str, with_key: str) -> None:
    made = lying(**members)
    assert findings(verify(made.files)) == without_key
    assert findings(verify(made.files, OFFICE)) == with_key


@pytest.mark.parametrize(("early", "found"), [(True, "7:altered"), (False, "")])
def test_a_still_that_is_told_before_the_fragment_that_carries_it(early: bool, found: str) -> None:
    made = Camera()
    made.boot()
    made.start()
    segment = made.segment(cut=True, tail=b"")
    box, at_ns = len(segment.plain), made.part_from_ns + 501 * MS
    if early:
        made.still(segment, box, at_ns)
    made.fragment(segment, 1, listed=False)
    if not early:
        made.still(segment, box, at_ns)
    made.files[path(made, 0)] = segment.cipher
    made.close(segment, closed=False)
    assert findings(verify(made.files, OFFICE)) == found


def test_a_still_altered_on_the_card() -> None:
    made = camera("M")
    data = made.files[path(made, 0)]
    made.files[path(made, 0)] = flipped(data, age.parse_header(data).size + age.CIPHER_CHUNK + mp4.STILL_HEAD + 9)
    found = verify(made.files)
    assert (picture(found), findings(found)) == ("a", "9:altered")
    assert found.segments[made.recording, 0].bad_fragment == 0


def spoiled(change: Callable[[bytes], bytes]) -> Camera:
    """A camera that signs whatever it encrypted: its fragments, changed before their hashes were taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.evidence_builder.media_fragment", lambda *what: change(media_fragment(*what)))
        return camera("M")


def another_picture(data: bytes) -> bytes:
    return data.replace(JPEG, bytes(reversed(JPEG)))


def cut_out(data: bytes) -> bytes:
    bare = data[mp4.STILL_HEAD + len(JPEG) :]
    return bare + mp4.padding(len(bare), age.CHUNK)


def another_kind_of_box(data: bytes) -> bytes:
    return data.replace(mp4.STILL_UUID, bytes(16))


def too_short_a_box(data: bytes) -> bytes:
    rest = mp4.box(b"uuid", mp4.STILL_UUID, bytes(7)) + data[mp4.STILL_HEAD + len(JPEG) :]
    return rest + mp4.padding(len(rest), age.CHUNK)


@pytest.mark.parametrize("change", [another_picture, cut_out, another_kind_of_box, too_short_a_box])
def test_a_still_that_is_not_what_its_record_says(change: Callable[[bytes], bytes]) -> None:
    assert verify(spoiled(lambda data: data).files, OFFICE).ok
    made = spoiled(change)
    assert findings(verify(made.files)) == ""
    assert findings(verify(made.files, OFFICE)) == "12:altered"


def test_a_flood_of_stills_is_refused() -> None:
    one = b"".join(mp4.still(1, b""))
    assert len(list(boxes.stills(one * 1_000))) == 1_000
    with pytest.raises(EvidenceError, match="mp4-box"):
        list(boxes.stills(one * 1_001))


def test_a_still_in_a_tail_that_nobody_attested_is_not_looked_at() -> None:
    made = Camera()
    made.boot()
    made.start()
    segment = made.segment(cut=True, tail=b"")
    more = media_fragment(1, 1, 0, mp4.still(9, JPEG))
    made.files[path(made, 0)] += bytes(segment.encryptor.seal(more))
    opened = age.open_file(made.files[path(made, 0)], OFFICE)
    assert len(list(boxes.stills(opened.plain))) == 1
    found = verify(made.files, OFFICE)
    assert (picture(found), found.ok, [n for n in found.notes if n.verdict == "unlisted"]) == ("t", True, [])


def test_unlisted_are_those_without_a_record() -> None:
    made = Camera()
    made.boot()
    made.start()
    segment = made.segment(stills=2)
    made.stop()
    account = verify(made.files).account.recordings[made.recording].segments[0]
    assert check.unlisted_stills(account, segment.plain) == []
    taken_out = account.stills.pop()
    assert [still.at_ns for still in check.unlisted_stills(account, segment.plain)] == [taken_out.body["at_ns"]]
    assert segment.plain.startswith(media_init())
