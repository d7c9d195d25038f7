"""Attacks on the files of a folder, each named by the verifier. Read `attacked` first."""

from __future__ import annotations

import pytest

from evidence import age, boxes, mp4, records
from tests import evidence_keys as keys
from tests.attacked import Attack, Do, check, decrypted, encrypted, judge, record
from tests.evidence_builder import Camera
from tests.evidence_media import media
from tests.pictures import flipped, path


def edit(segment: int, offset: int) -> Do:
    def do(made: Camera) -> None:
        data = made.files[path(made, segment)]
        made.files[path(made, segment)] = flipped(data, offset % len(data))

    return do


def truncate(segment: int) -> Do:
    """At the end of a chunk: what is left decrypts, as after a loss of power."""

    def do(made: Camera) -> None:
        data = made.files[path(made, segment)]
        left = age.parse_header(data).size + age.CIPHER_CHUNK
        made.files[path(made, segment)] = data[:left]

    return do


def lengthen(made: Camera) -> None:
    made.files[path(made, 1)] += b"more"


def put(there: int, here: int) -> Do:
    """A copy of one segment in the place of another."""
    return lambda made: made.files.update({path(made, there): made.files[path(made, here)]})


def swap(one: int, other: int) -> Do:
    def do(made: Camera) -> None:
        a, b = path(made, one), path(made, other)
        made.files[a], made.files[b] = made.files[b], made.files[a]

    return do


def swap_between_recordings(made: Camera) -> None:
    first = next(name for name in sorted(made.files) if name.startswith("segments/"))
    made.files[first], made.files[path(made, 0)] = made.files[path(made, 0)], made.files[first]


def from_another_camera(made: Camera) -> None:
    """Both were encrypted for one office, and age tells nobody for whom, or by whom."""
    other = record("S SSS", device="BWC-0002")
    made.files[path(made, 1)] = other.files[path(other, 1)]


def other_sound(plain: bytes, fragment: int) -> bytes:
    """The same pictures with the sound of another time, in a fragment that any player plays."""
    found = list(boxes.fragments(plain))[fragment]
    video, sound = found.runs
    old = [plain[at : at + size] for at, size, _ in sound.samples]
    blocks = [block for block in media().blocks if block not in old] or list(reversed(old))
    pictures = [(plain[at : at + size], length) for at, size, length in video.samples]
    first = [mp4.Sample((data,), length, number == 0) for number, (data, length) in enumerate(pictures)]
    other = [mp4.Sample((blocks[n % len(blocks)],), length) for n, (_, _, length) in enumerate(sound.samples)]
    runs = mp4.Run(video.start, first), mp4.Run(sound.start, other)
    made = b"".join(mp4.fragment(fragment + 1, *runs, 0, age.CHUNK))
    begin = found.start // age.CHUNK * age.CHUNK
    prft = found.start - begin  # it tells when the pictures were taken, and stays
    return plain[: begin + prft] + made[prft:] + plain[begin + age.CHUNK :]


def swap_sound(made: Camera) -> None:
    """An insider with the office's identity encrypts again for the same readers, who notice nothing."""
    made.files[path(made, 1)] = encrypted(other_sound(decrypted(made, 1), 0))


def change_picture(made: Camera) -> None:
    """The same insider, one byte of one picture; the sound is as it was."""
    plain = decrypted(made, 1)
    at, size, _ = next(iter(boxes.fragments(plain))).runs[0].samples[4]
    made.files[path(made, 1)] = encrypted(flipped(plain, at + size - 3))


def add_recipient(made: Camera) -> None:
    """Who holds the file key adds a stanza and makes the header's MAC right again; not a byte of footage changes."""
    data = made.files[path(made, 1)]
    header = age.parse_header(data)
    file_key = age.unwrap(header, keys.identity("office"))
    stanza = age._wrap(file_key, age.recipient_of(keys.identity("stranger")), keys.Stream("wrap"))
    _put_header(made, header, file_key, header.mac_input[:-3] + stanza + b"---")


def exchange_recipient(made: Camera) -> None:
    """As many stanzas as before: the recovery key's has become the stranger's."""
    header = age.parse_header(made.files[path(made, 1)])
    file_key = age.unwrap(header, keys.identity("office"))
    stanza = age._wrap(file_key, age.recipient_of(keys.identity("stranger")), keys.Stream("wrap"))
    kept = header.mac_input[:-3].split(b"-> ")[:-1]
    _put_header(made, header, file_key, b"-> ".join([*kept, stanza.removeprefix(b"-> ") + b"---"]))


def _put_header(made: Camera, header: age.Header, file_key: bytes, mac_input: bytes) -> None:
    raw = mac_input + b" " + age._b64(age._mac(file_key, mac_input)) + b"\n" + header.nonce
    made.files[path(made, 1)] = raw + made.files[path(made, 1)][header.size :]
    assert age.open_file(made.files[path(made, 1)], keys.identity("stranger")).complete


def encrypt_anew(made: Camera) -> None:
    made.files[path(made, 1)] = encrypted(decrypted(made, 1))


def delete(segment: int) -> Do:
    def do(made: Camera) -> None:
        del made.files[path(made, segment)]

    return do


def insert(made: Camera) -> None:
    """A whole recording of another camera beside the camera's own."""
    other = record("SS", device="BWC-0002")
    made.files |= {name: data for name, data in other.files.items() if name.startswith("segments/")}


ONE = "@0.5-1.0"  # the seconds of segment 1, half a second each
FILES = {
    "edited": Attack("SSS", "iai", f"9 edited 1 {ONE}", edit(1, 100_000)),
    "edited, a truncated one": Attack("STSS", "ia_ii", f"9 edited 1 {ONE}", edit(1, 70_000)),
    "edited, what the camera attested only afterwards": Attack("STSS", "ia_ii", "9 edited 1", edit(1, -1)),
    "truncated": Attack("SSS", "iai", f"9 cut-short 1 {ONE}", truncate(1)),
    "truncated, a truncated one": Attack("STSS", "ia_ii", f"9 cut-short 1 {ONE}", truncate(1)),
    "lengthened": Attack("SSS", "iai", "9 appended 1", lengthen),
    "reordered": Attack("SSSS", "iaai", "9 reordered 1 @0.5-1.0\n9 reordered 2 @1.0-1.5", swap(1, 2)),
    "reordered over a gap": Attack("STSS", "ia_ai", "9 reordered 1 @0.5-1.0\n9 reordered 2 @1.0-1.5", swap(1, 2)),
    "replayed": Attack("SSS", "iai", f"9 replayed 1 {ONE}", put(1, 0)),
    "swapped between recordings": Attack(
        "SS SS", "ai ai", "9 swapped 0 @0.0-0.5\n9 swapped 0 @0.0-0.5", swap_between_recordings
    ),
    "swapped between cameras": Attack("SSS", "iai", f"9 exchanged 1 {ONE}", from_another_camera),
    "swapped sound": Attack("SSS", "iai", f"9 exchanged 1 {ONE}", swap_sound, f"9 swapped-sound 1 {ONE}"),
    "changed picture": Attack("SSS", "iai", f"9 exchanged 1 {ONE}", change_picture),
    "another segment's pictures, encrypted in its place": Attack(
        "SSS",
        "iai",
        f"9 exchanged 1 {ONE}",
        lambda made: made.files.update({path(made, 1): encrypted(decrypted(made, 0))}),
    ),
    "recipient added": Attack("SSS", "iai", f"9 recipients 1 {ONE}", add_recipient),
    "recipient exchanged": Attack("SSS", "iai", f"9 exchanged 1 {ONE}", exchange_recipient, f"9 recipients 1 {ONE}"),
    "encrypted anew": Attack("SSS", "iai", f"9 exchanged 1 {ONE}", encrypt_anew, f"9 recipients 1 {ONE}"),
    "deleted in the middle": Attack("SSS", "imi", f"9 deleted 1 {ONE}", delete(1)),
    "deleted at the end": Attack("SSS", "iim", "9 deleted 2 @1.0-1.5", delete(2)),
    "inserted": Attack("SS", "ii", "13 inserted\n13 inserted", insert),
}


@pytest.mark.parametrize("opened", [False, True], ids=["without a key", "with the office's"])
@pytest.mark.parametrize("name", FILES)
def test_attack(name: str, opened: bool) -> None:
    found = check(FILES[name], opened=opened)
    assert all(finding.recording for finding in found.findings if finding.step != 13)


def test_the_second_is_named_from_which_on_nothing_holds() -> None:
    """A segment of two seconds: with another sound from its third half second on, or with a bit that fell over."""
    made = record("S")
    made.boot()
    made.start()
    made.segment(fragments=1)
    whole = made.segment(fragments=4)
    made.stop()
    place = age.parse_header(whole.cipher).size + 3 * age.CIPHER_CHUNK + 5
    files = {**made.files, path(made, 1): flipped(whole.cipher, place)}
    finding = judge(files).findings[0]
    assert (finding.attack, finding.segment, finding.recording) == ("edited", 1, made.recording)
    assert finding.footage is not None
    assert (finding.footage.from_ms, finding.footage.to_ms) == (1500, 2500)  # half a second, then its third fragment
    first = next(r for r in made.records if r.kind == "fragment" and (r.body["segment"], r.body["index"]) == (1, 2))
    told_ms = first.clock.utc_ms - (first.clock.boot_ns - first.body["from_ns"]) // 1_000_000
    assert finding.footage.claimed_from == records.Stamp(0, told_ms, "dock", 1).to_json()["utc"]

    files[path(made, 1)] = encrypted(other_sound(whole.plain, 2))
    blind, seeing = (judge(files, opened=opened).findings[0].footage for opened in (False, True))
    assert blind is not None
    assert seeing is not None
    assert (blind.from_ms, seeing.from_ms) == (500, 1500)  # only the key shows that a second of it is as it was
