"""Attacks on an evidence folder: its files, and what is inside them. Read `pictures` first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from evidence import age, mp4, records, report
from evidence import boxes as mp4_boxes
from tests import evidence_keys as keys
from tests import evidence_media
from tests.evidence_builder import Camera
from tests.pictures import JOURNAL, camera, findings, flipped, path, picture, verify

# --- Untouched -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("identity", [None, "office"])
@pytest.mark.parametrize(
    ("recorded", "said"),
    [("S", "i"), ("SSS", "iii"), ("STS", "iti"), ("TTS", "tti"), ("T", "t"), ("SHRTS", "iirti")],
)
def test_untouched(recorded: str, said: str, identity: str | None) -> None:
    found = verify(camera(recorded).files, identity and keys.identity(identity))
    assert (picture(found), findings(found), found.ok) == (said, "", True)


def test_what_a_cut_leaves_is_said_to_be_unaccounted() -> None:
    notes = [note.where for note in verify(camera("TS").files).notes if note.verdict == "unaccounted"]
    assert notes == ["records 2 and 3", "record 10"]


def test_a_torn_tail_may_hold_a_whole_line_that_is_no_record() -> None:
    made = Camera()
    made.boot()
    made.start()
    made.segment(cut=True)
    again = made.files[JOURNAL].split(b"\n")
    made.line("marker", {"recording": made.recording, "at_ns": 1})  # the disk refuses to make it durable ...
    line = made.files[JOURNAL].split(b"\n")[len(again) - 1] + b"\n"
    made.files[JOURNAL] = b"\n".join(again)
    made.records.pop()
    made.resume(torn=line)  # ... and its number goes to another record
    made.stop()
    assert verify(made.files).ok


def test_a_copy_need_not_hold_a_torn_tail() -> None:
    made = Camera()
    made.boot()
    made.start()
    made.segment(cut=True)
    made.resume(torn=b"eyJhb")
    made.files[JOURNAL] = made.files[JOURNAL].removesuffix(b"eyJhb")
    assert verify(made.files).ok


def test_a_segment_that_a_cut_kept_from_its_first_record() -> None:
    made = Camera()
    made.boot()
    made.record("S", stop=False)
    made.files[path(made, 1)] = b"age-encryption.org/v1"
    assert findings(verify(made.files)) == "13:unaccounted"


def test_only_one_recording_is_asked_about() -> None:
    made = Camera()
    made.boot()
    first = made.record("SS")
    other = made.record("S")
    del made.files[records.segment_path(other, 0)]
    assert findings(verify(made.files)) == "9:missing"
    found = verify(made.files, only=[first])
    assert (picture(found), found.ok) == ("ii", True)
    assert [told["recording"] for told in report.to_json(found)["recordings"]] == [first]


# --- Attacks on files ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attack:
    recorded: str
    said: str
    found: str
    do: Callable[[Camera], None]


def flip(segment: int, offset: int) -> Callable[[Camera], None]:
    def do(made: Camera) -> None:
        made.files[path(made, segment)] = flipped(made.files[path(made, segment)], offset)

    return do


def cut(segment: int, length: int) -> Callable[[Camera], None]:
    def do(made: Camera) -> None:
        made.files[path(made, segment)] = made.files[path(made, segment)][:length]

    return do


def delete(segment: int) -> Callable[[Camera], None]:
    def do(made: Camera) -> None:
        del made.files[path(made, segment)]

    return do


def swap(one: int, other: int) -> Callable[[Camera], None]:
    def do(made: Camera) -> None:
        a, b = path(made, one), path(made, other)
        made.files[a], made.files[b] = made.files[b], made.files[a]

    return do


def append(segment: int) -> Callable[[Camera], None]:
    return lambda made: made.files.update({path(made, segment): made.files[path(made, segment)] + b"\0"})


def add_recipient(made: Camera) -> None:
    """What the office could do and nobody else: one more stanza, and the MAC made right again."""
    data = made.files[path(made, 0)]
    header = age.parse_header(data)
    file_key = age.unwrap(header, keys.identity("office"))
    stranger = age._wrap(file_key, age.recipient_of(keys.identity("stranger")), keys.Stream("wrap"))
    mac_input = header.mac_input[:-3] + stranger + b"---"
    raw = mac_input + b" " + age._b64(age._mac(file_key, mac_input)) + b"\n" + header.nonce
    made.files[path(made, 0)] = raw + data[header.size :]
    assert age.open_file(made.files[path(made, 0)], keys.identity("stranger")).complete


def encrypt_anew(made: Camera) -> None:
    """The same picture and sound under another file key: a copy, not what the camera wrote."""
    plain = age.open_file(made.files[path(made, 0)], keys.identity("office")).plain
    writer = age.Encryptor(keys.recipients(), keys.Stream("anew"))
    whole = len(plain) // age.CHUNK * age.CHUNK
    made.files[path(made, 0)] = writer.header + bytes(writer.seal(plain[:whole])) + writer.finish(plain[whole:])


def foreign(name: str) -> Callable[[Camera], None]:
    return lambda made: made.files.update({name: b"stranger"})


def from_another_camera(made: Camera) -> None:
    other = camera("SS", device="BWC-0002")
    made.files[path(made, 0)] = other.files[path(other, 0)]


FILES = {
    "first byte": Attack("SSS", "iai", "9:altered", flip(1, 0)),
    "a recipient changed": Attack("SSS", "aii", "9:altered", flip(0, 40)),
    "the nonce": Attack("SSS", "aii", "9:altered", flip(0, 270)),
    "the trailer": Attack("SSS", "iia", "9:altered", flip(2, -1 + 282 + 2 * 65552 + 24)),
    "attested bytes of a truncated one": Attack("STS", "iai", "9:altered", flip(1, 70_000)),
    "the tail of a truncated one": Attack("STS", "iai", "9:altered", flip(1, 282 + 2 * 65552 + 3)),
    "cut in a fragment": Attack("SSS", "iai", "9:altered", cut(1, 100_000)),
    "cut before the trailer": Attack("SSS", "iai", "9:altered", cut(1, 282 + 2 * 65552)),
    "a truncated one cut further": Attack("STS", "iai", "9:altered", cut(1, 282 + 65552)),
    "emptied": Attack("SSS", "iai", "9:altered", cut(1, 0)),
    "a byte added": Attack("SSS", "iai", "9:altered", append(1)),
    "swapped": Attack("SSS", "aai", "9:altered", swap(0, 1)),
    "swapped with a truncated one": Attack("STS", "aai", "9:altered", swap(0, 1)),
    "the first deleted": Attack("SSS", "mii", "9:missing", delete(0)),
    "one in the middle deleted": Attack("SSS", "imi", "9:missing", delete(1)),
    "the last deleted": Attack("SSS", "iim", "9:missing", delete(2)),
    "a handed-in one deleted": Attack("SHS", "iri", "", delete(1)),
    "a recipient added": Attack("SS", "ai", "9:altered", add_recipient),
    "encrypted anew": Attack("SS", "ai", "9:altered", encrypt_anew),
    "one of another camera": Attack("SS", "ai", "9:altered", from_another_camera),
    "a segment too many": Attack("SS", "ii", "13:foreign", lambda m: foreign(path(m, 2))(m)),
    "a recording too many": Attack("SS", "ii", "13:foreign", foreign("segments/00000000-1/00000.mp4.age")),
    "a file of no kind": Attack("SS", "ii", "13:foreign", foreign("segments/note.txt")),
    "a journal file of no kind": Attack("SS", "ii", "13:foreign", foreign("journal/00000000.jws.bak")),
}


@pytest.mark.parametrize("attack", FILES.values(), ids=FILES)
def test_attack_on_a_file(attack: Attack) -> None:
    made = camera(attack.recorded)
    attack.do(made)
    found = verify(made.files)
    assert (picture(found), findings(found), found.ok) == (attack.said, attack.found, not attack.found)


def boxes(plain: bytes) -> Iterator[tuple[str, int]]:
    """The top-level boxes and those of the `moof`, with the offset of a byte inside each."""
    position, end = 0, len(plain)
    while position < end:
        size, kind = int.from_bytes(plain[position : position + 4], "big"), plain[position + 4 : position + 8].decode()
        yield kind, position + size - 1
        position += 8 if kind in ("moof", "traf", "moov", "trak", "mdia", "minf", "stbl") else size


@pytest.mark.parametrize("identity", [None, "office"])
def test_a_byte_in_each_box_and_each_chunk(identity: str | None) -> None:
    made = Camera()
    made.boot()
    made.start()
    segment = made.segment(fragments=2)
    made.stop()
    header = age.parse_header(segment.cipher).size
    inside = list(boxes(segment.plain))
    assert {kind for kind, _ in inside} >= {"ftyp", "moov", "prft", "moof", "tfdt", "trun", "mdat", "free"}
    places = [header + at // age.CHUNK * age.CIPHER_CHUNK + at % age.CHUNK for _, at in inside]
    places += [header + n * age.CIPHER_CHUNK + age.CIPHER_CHUNK - 1 for n in range(3)]
    for place in places:
        files = {**made.files, path(made, 0): flipped(segment.cipher, place)}
        found = verify(files, identity and keys.identity(identity))
        verdict = found.segments[made.recording, 0]
        # The first fragment answers for header and init too; nothing after the last fragment is inside one.
        ends = [f["cipher_len"] for f in segment.fragments]
        assert verdict.bad_fragment == next((n for n, end in enumerate(ends) if place < end), None)
        assert (picture(found), findings(found)) == ("a", "9:altered")


# --- With the key ----------------------------------------------------------------------------------------------------


def test_a_key_that_is_not_among_the_recipients() -> None:
    assert findings(verify(camera("S").files, keys.identity("stranger"))) == "12:altered"


def test_a_camera_that_signed_other_pictures_than_it_wrote() -> None:
    """Ciphertext as signed, yet not what the records say is in it: only the key shows it."""

    class Liar(Camera):
        def line(self, kind: str, body: Any) -> records.Record:
            return super().line(kind, {**body, "plain_sha256": "00" * 32} if kind == "fragment" else body)

    made = Liar()
    made.boot()
    made.start()
    made.segment(cut=True)
    made.stop()
    assert verify(made.files).ok
    assert findings(verify(made.files, keys.identity("office"))) == "12:altered"


def test_a_trailer_that_is_another_box() -> None:
    made = Camera()
    made.boot()
    made.start()
    real, mp4.TRAILER = mp4.TRAILER, b"\0\0\0\x08skip"
    try:
        made.segment()
    finally:
        mp4.TRAILER = real
    assert findings(verify(made.files, keys.identity("office"))) == "12:altered"


def liar(change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    """A camera that signs whatever it encrypted: one fragment, changed before its hash was taken."""
    real = evidence_media.media_fragment
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.evidence_builder.media_fragment", lambda *what: change(real(*what)))
        return camera("S").files


def refill(data: bytes) -> bytes:
    return data + mp4.padding(len(data), age.CHUNK)


def without_free(data: bytes) -> bytes:
    last = list(mp4_boxes.boxes(data))[-1]
    return data[: last.start] if last.kind == b"free" else data


def index_without_media(data: bytes) -> bytes:
    moof = next(box for box in mp4_boxes.boxes(data) if box.kind == b"moof")
    return refill(data[: moof.end] + without_free(data)[moof.start :])


def half_a_box(data: bytes) -> bytes:
    return data + b"\x7f\xff\xff\xffmdat" + bytes(age.CHUNK - 8)


@pytest.mark.parametrize("change", [index_without_media, half_a_box])
def test_pictures_hidden_where_a_player_may_find_them(change: Callable[[bytes], bytes]) -> None:
    assert verify(liar(lambda data: data), keys.identity("office")).ok
    files = liar(change)
    assert findings(verify(files)) == ""
    assert findings(verify(files, keys.identity("office"))) == "12:altered"


# --- Other -----------------------------------------------------------------------------------------------------------


def test_nothing_there() -> None:
    assert findings(verify({})) == "1:missing"


def test_dates_do_not_decide_about_trust() -> None:
    """A folder is read years later: the certificates have ended, and the signatures hold."""
    assert datetime.now(UTC) > keys.FIRST
    told = report.to_json(verify(camera("S").files))["recordings"][0]["key"]
    assert (told["valid_from"], told["valid_to"]) == ("2026-01-01T00:00:00.000Z", "2036-01-01T00:00:00.000Z")


def test_the_cipher_is_the_one_the_specification_names() -> None:
    made = camera("S")
    data = made.files[path(made, 0)]
    header = age.parse_header(data)
    key = age._hkdf(age.unwrap(header, keys.identity("recovery")), header.nonce, b"payload")
    chunk = ChaCha20Poly1305(key).decrypt(bytes(12), data[header.size : header.size + age.CIPHER_CHUNK], None)
    assert chunk == evidence_media.media_init()
