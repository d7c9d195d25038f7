"""Signatures inside the video: where they stand, what our reader makes of films that somebody cut, and of its bytes.

A film is told as a string: `I` an IDR picture, `P` another one, `s` a signature. Two segments of two GOPs, each GOP of
20 pictures; spoiled copies are told by what was done to them.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import gc
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import boxes, jose, media_signing, mp4, signature_sei
from evidence.errors import EvidenceError
from evidence.join import Joiner, PartSource
from evidence.media_signing import MediaSigning
from firmware.capture.media_signer import UNITS_LIMIT, MediaSigner, PartSigning, signer
from firmware.capture.part import Format, Part
from firmware.capture.writer import Job, WriteFragment
from firmware.hal.ports import Frame
from tests import evidence_keys as keys_of
from tests.evidence_keys import AGENCY
from tests.evidence_media import media

MS = 1_000_000
FRAME = 50 * MS
DEVICE = "BWC-0001"
START_MS = 1_795_500_000_000
KEY = "session of the film"


def chain_of(name: str = KEY) -> list[x509.Certificate]:
    return AGENCY.session(DEVICE, keys_of.sha256(name.encode())[:32], name)


def signing(name: str = KEY) -> MediaSigner:
    made = signer(
        keys_of.key(name),
        [jose.b64(each.public_bytes(serialization.Encoding.DER)) for each in chain_of(name)],
        "0.1.0",
        DEVICE,
    )
    assert made is not None
    return made


@functools.cache
def frames() -> Sequence[bytes]:
    """Real pictures in Annex B: an IDR and 19 others, twice."""
    stored = json.loads((Path(__file__).parent / "vectors" / "media.json").read_text(encoding="utf-8"))
    return [base64.b64decode(text) for text in stored["pictures"]]


def part(by: MediaSigner | None) -> Part:
    form = Format(64, 48, FRAME, 500 * MS, 2_000 * MS, None)
    return Part("9f9f9f9f-1", 1, 0, form, lambda ns: START_MS + ns // MS, signer=by)


def frame(number: int) -> Frame:
    data = frames()[number % len(frames())]
    return Frame(data, number * FRAME, number % 20 == 0)


def written(jobs: Iterable[Job]) -> list[bytes]:
    """The segments of a part's jobs, without padding."""
    segments: dict[int, bytes] = {}
    for job in jobs:
        if isinstance(job, WriteFragment):
            pieces = mp4.fragment(job.place.sequence, job.fragment.signed_video(), job.fragment.sound, job.utc_ms, 0)
            segments[job.place.segment] = segments.get(job.place.segment, job.init or b"") + b"".join(pieces)
    return [data for _, data in sorted(segments.items())]


@functools.cache
def segments(count: int = 80, *, signed: bool = True) -> Sequence[bytes]:
    made = part(signing() if signed else None)
    jobs = [job for number in range(count) for job in made.picture(frame(number))]
    return written(jobs + made.finish())


def joined(parts: Sequence[bytes]) -> bytes:
    joiner = Joiner([parts[0]])
    return joiner.header + b"".join(joiner.part(PartSource(1, parts)))


Film = list[list[bytes]]  # units, by picture


def film(count: int = 80) -> Film:
    data = joined(segments(count))
    found = (run for fragment in boxes.fragments(data) for run in fragment.runs)
    return [[bytes(unit) for unit in boxes.units(data, at, size)] for run in found for at, size, _ in run.samples]


def told(pictures: Film) -> str:
    return "".join({1: "P", 5: "I", 6: "s"}[unit[0] & 31] for units in pictures for unit in units)


def judged(pictures: Film) -> MediaSigning:
    return media_signing.check((u for units in pictures for u in units), media_signing.chain_to([AGENCY.root]))


# --- where they stand


def test_each_gop_is_signed_after_the_next_key_frame_and_each_segment_at_its_end() -> None:
    gop = "I" + "P" * 19
    assert told(film()) == (gop + "IsP" + "P" * 18 + "s") * 2
    assert judged(film()) == MediaSigning("valid", 4, 80, 0, "every picture is as signed")


@pytest.mark.parametrize("index", [0, 1])
def test_a_segment_holds_alone(index: int) -> None:
    units = media_signing.units(segments()[index])
    alone = media_signing.check(units, media_signing.chain_to([AGENCY.root]))
    assert (alone.verdict, alone.pictures, alone.unsigned) == ("valid", 40, 0)


@pytest.mark.parametrize("count", [1, 2, 20, 21, 22, 41])
def test_however_a_part_ends_its_last_picture_is_signed(count: int) -> None:
    assert judged(film(count)).verdict == "valid"
    assert judged(film(count)).pictures == count
    assert told(film(21)).endswith("Iss")  # nothing follows the key frame: both stand behind it


def test_a_cut_leaves_what_follows_the_last_signature() -> None:
    made = part(signing())
    cut = written([job for number in range(35) for job in made.picture(frame(number))])
    verdict = media_signing.check(media_signing.units(cut[0]), media_signing.chain_to([AGENCY.root]))
    assert (verdict.verdict, verdict.pictures, verdict.unsigned) == ("incomplete", 20, 10)


def test_the_ring_is_signed_before_live_though_it_is_written_after_it() -> None:
    made = part(signing())
    ring = made.pre_event([frame(n) for n in range(60)], 60 * FRAME)
    live = [job for number in range(60, 100) for job in made.picture(frame(number))] + made.finish()
    first, *later = written(live)  # hashed and signed first
    whole = joined([*written(ring), first, *later])
    verdict = media_signing.check(media_signing.units(whole), media_signing.chain_to([AGENCY.root]))
    assert (verdict.verdict, verdict.pictures) == ("valid", 100)


def test_where_pictures_stop_the_last_one_is_signed() -> None:
    form = Format(64, 48, FRAME, 500 * MS, 2_000 * MS, media().streaminfo)
    made = Part("9f9f9f9f-1", 1, 0, form, lambda ns: START_MS + ns // MS, signer=signing())
    jobs = [job for number in range(25) for job in made.picture(frame(number))]
    for number in range(60):
        jobs += made.sound(media().blocks[0], number * FRAME)
    data = written(jobs)[0]
    verdict = media_signing.check(media_signing.units(data), media_signing.chain_to([AGENCY.root]))
    assert (verdict.verdict, verdict.pictures, verdict.unsigned) == ("valid", 25, 0)


def slices(number: int, count: int, *, key: bool) -> mp4.Pieces:
    kind = b"\x65" if key else b"\x41"
    units = [kind + (b"\x88" if n == 0 else b"\x48") + bytes([number % 256, n, 1]) for n in range(count)]
    return tuple(piece for unit in units for piece in (len(unit).to_bytes(4, "big"), unit))


@pytest.mark.parametrize("count", [1, 4])
def test_a_long_gop_is_cut_and_slices_are_covered_each(count: int) -> None:
    plan, units = PartSigning(signing(), lambda ns: START_MS + ns // MS), []
    for number in range(250):
        data = slices(number, count, key=number == 0)
        seal = plan.picture(data, number * FRAME, key=number == 0)
        units += [seal.unit()] if seal else []
        units += [bytes(piece) for piece in data[1::2]]
    units += [seal.unit() for seal in plan.close(250 * FRAME)]
    verdict = media_signing.check(units, media_signing.chain_to([AGENCY.root]))
    assert (verdict.verdict, verdict.pictures, verdict.signatures) == ("valid", 250, -(-250 * count // UNITS_LIMIT))


def test_times_are_the_claims_of_the_boots_clock() -> None:
    seis = [signature_sei.parse(unit) for units in film() for unit in units if unit[0] == 6]
    spans = [(sei.signed.begins, sei.signed.ends) for sei in seis if sei]
    start = (START_MS + 11_644_473_600_000) * 10_000  # 100 ns since 1601
    assert spans == [(start + n * 10_000_000, start + (n + 1) * 10_000_000) for n in range(4)]


def test_an_unsigned_boot_signs_nothing() -> None:
    assert signer(keys_of.key(KEY), [], "0.1.0", DEVICE) is None
    absent = media_signing.check(media_signing.units(segments(signed=False)[0]), media_signing.chain_is(None))
    assert (absent.verdict, absent.signatures, absent.unsigned) == ("absent", 0, 40)
    claimed = media_signing.check(media_signing.units(segments()[0]), media_signing.chain_is(None))
    assert claimed.verdict == "invalid"


# --- attacks


def flip(pictures: Film, picture: int, unit: int, at: int) -> Film:
    data = bytearray(pictures[picture][unit])
    data[at] ^= 1
    return [*pictures[:picture], [*pictures[picture][:unit], bytes(data), *pictures[picture][unit + 1 :]],
            *pictures[picture + 1 :]]  # fmt: skip


def without(pictures: Film, kind: int, picture: int | None = None) -> Film:
    return [
        [unit for unit in units if unit[0] & 31 != kind or picture not in (None, index)]
        for index, units in enumerate(pictures)
    ]


def other_film() -> Film:
    """Another boot's, over the same pictures."""
    made = part(signing("session of another boot"))
    data = joined(written([job for n in range(80) for job in made.picture(frame(n))] + made.finish()))
    found = (run for fragment in boxes.fragments(data) for run in fragment.runs)
    return [[bytes(unit) for unit in boxes.units(data, at, size)] for run in found for at, size, _ in run.samples]


ATTACKS: dict[str, tuple[str, Callable[[Film], Film]]] = {
    "a bit of a P picture": ("invalid", lambda f: flip(f, 30, 0, 20)),
    "a bit of an IDR picture": ("invalid", lambda f: flip(f, 20, 0, 20)),
    "a bit of the last picture of a segment": ("invalid", lambda f: flip(f, 39, 0, 20)),
    "a bit of a signed figure": ("invalid", lambda f: flip(f, 21, 0, 2_300)),
    "a bit of a certificate": ("invalid", lambda f: flip(f, 21, 0, 600)),
    "a bit of a signature": ("invalid", lambda f: flip(f, 21, 0, len(f[21][0]) - 20)),
    "a picture left out": ("missing", lambda f: f[:30] + f[31:]),
    "a key frame left out": ("invalid", lambda f: f[:20] + f[21:]),
    "the last picture of a segment, with its signature": ("invalid", lambda f: f[:39] + f[40:]),
    "two pictures exchanged": ("invalid", lambda f: [*f[:30], f[31], f[30], *f[32:]]),
    "a picture twice": ("invalid", lambda f: f[:31] + f[30:]),
    "a GOP left out": ("invalid", lambda f: f[:20] + f[40:]),
    "two GOPs exchanged": ("invalid", lambda f: f[:20] + f[40:60] + f[20:40] + f[60:]),
    "two segments exchanged": ("invalid", lambda f: f[40:] + f[:40]),
    "a segment repeated": ("invalid", lambda f: f[:40] + f),
    "another boot's segment": ("invalid", lambda f: f[:40] + other_film()[40:]),
    "a signature left out": ("invalid", lambda f: without(f, 6, 21)),
    "the signature at a segment's end left out": ("invalid", lambda f: without(f, 6, 39)),
    "all signatures left out": ("absent", lambda f: without(f, 6)),
    "begun inside a GOP": ("incomplete", lambda f: f[10:]),
    "begun with a GOP": ("valid", lambda f: f[20:]),
    "ended inside a GOP": ("incomplete", lambda f: f[:50]),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_was_done_to_a_film_is_seen(attack: str) -> None:
    verdict, spoil = ATTACKS[attack]
    assert judged(spoil(film())).verdict == verdict


def test_a_signature_of_an_unknown_agency_counts_for_nothing() -> None:
    stranger = keys_of.Agency("another agency")
    units = [unit for units in film() for unit in units]
    verdict = media_signing.check(units, media_signing.chain_to([stranger.root]))
    assert (verdict.verdict, verdict.signatures, verdict.unsigned) == ("invalid", 0, 80)


# --- bytes


@given(st.lists(st.sampled_from([0, 0, 0, 1, 3, 4, 255]), min_size=32, max_size=32), st.integers(0, 2**63 - 1))
@settings(max_examples=80, deadline=None)
def test_whatever_is_in_it_a_unit_holds_no_start_code_and_reads_back(values: list[int], begins: int) -> None:
    signed = signature_sei.Signed(3, begins % 2 == 0, begins, 2**63 - 1, [bytes(values)] * 3, bytes(32))
    unit = signature_sei.make(signature_sei.head(bytes(values), "0", DEVICE), signed, lambda _: bytes(72))
    assert not re.search(rb"\x00\x00[\x00-\x02]", unit)
    found = signature_sei.parse(unit)
    assert found is not None
    assert (found.signed, found.certificates, found.signature) == (signed, bytes(values), bytes(72))
    assert unit.startswith(found.document)


@functools.cache
def good_unit() -> bytes:
    return next(unit for units in film() for unit in units if unit[0] == 6)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_spoiled_unit_is_read_or_refused(data: st.DataObject) -> None:
    unit = bytearray(good_unit())
    for _ in range(data.draw(st.integers(1, 4))):
        unit[data.draw(st.integers(0, len(unit) - 1))] = data.draw(st.integers(0, 255))
    unit = unit[: data.draw(st.integers(0, len(unit)))] if data.draw(st.booleans()) else unit
    with contextlib.suppress(EvidenceError):  # and nothing else
        signature_sei.parse(bytes(unit))


def test_there_is_one_way_to_write_a_unit() -> None:
    """Nothing may be added that the signature does not cover and a reader passes over."""
    unit = good_unit()
    for spoiled in (unit + b"\0", unit + b"\x80", unit[:-1] + b"\1\x80", unit[:-1]):
        with pytest.raises(EvidenceError):
            signature_sei.parse(spoiled)


# --- programs we did not write


def output(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout + done.stderr


def test_ffmpeg_plays_it_as_if_nothing_had_been_added(tmp_path: Path) -> None:
    pictures = {}
    for name, signed in (("signed", True), ("plain", False)):
        for number, data in enumerate([joined(segments(signed=signed)), *segments(signed=signed)]):
            (tmp_path / f"{name}{number}.mp4").write_bytes(data)
            said = output(
                "ffmpeg", "-v", "error", "-xerror", "-i", f"{name}{number}.mp4", "-f", "framemd5", "-", cwd=tmp_path
            )
            pictures[name, number] = [line for line in said.splitlines() if not line.startswith("#")]
    for number in range(3):
        assert pictures["signed", number] == pictures["plain", number]
        assert len(pictures["signed", number]) == (80, 40, 40)[number]


def test_ffmpeg_finds_every_signature(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(joined(segments()))
    trace = ("-v", "trace", "-i", "film.mp4", "-c", "copy", "-bsf:v", "trace_headers", "-f", "null", "-")
    said = re.findall(r"uuid_iso_iec_11578\[0?1\] +([01]+) = 91", output("ffmpeg", *trace, cwd=tmp_path))
    assert len(said) == 4


def test_openssl_verifies_a_signature(tmp_path: Path) -> None:
    found = signature_sei.parse(good_unit())
    assert found is not None
    for name, data in (
        ("certificates.pem", found.certificates),
        ("document", found.document),
        ("sig", found.signature),
    ):
        (tmp_path / name).write_bytes(data)
    key = output("openssl", "x509", "-in", "certificates.pem", "-pubkey", "-noout", cwd=tmp_path)
    (tmp_path / "key.pem").write_text(key)
    said = output("openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "sig", "document", cwd=tmp_path)
    assert said == "Verified OK\n"


def test_signatures_that_cover_nothing_do_not_look_at_all_that_waits() -> None:
    """Somebody repeats a true signature over a film of slices that it says nothing of: the time grows with its length.

    Slices and signatures are doubled together: what looks at all that waits at each of them takes four times as long.
    """
    sei = next(unit for units in film() for unit in units if unit[0] & 31 == signature_sei.SEI)

    def seconds(count: int) -> float:
        units = [b"\x01\x9a"] * (count * 200) + [sei] * count
        began = time.process_time()
        media_signing.check(units, media_signing.chain_to([AGENCY.root]))
        return time.process_time() - began

    gc.disable()
    try:
        assert seconds(1_200) < 3 * seconds(600)
    finally:
        gc.enable()
