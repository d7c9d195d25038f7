"""The journal's reader as a dock uses it: piece by piece, and on with the next piece."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import jose, records
from evidence.errors import EvidenceError
from evidence.journal import JournalReader
from evidence.session import open_session
from tests.evidence_builder import Camera
from tests.evidence_keys import AGENCY


def camera() -> Camera:
    made = Camera()
    made.boot()
    made.record("S", stop=False)
    made.segment(cut=True)
    made.resume(torn=b"eyJ")
    made.summary()
    made.stop()
    return made


MADE = camera()
FILES = [MADE.files[records.journal_path(file)] for file in range(3)]
LINES = [line for data in FILES for line in data.removesuffix(b"eyJ").splitlines(keepends=True)]


def reader() -> JournalReader:
    return JournalReader([AGENCY.root])


def test_reads_a_journal_in_pieces_of_any_size() -> None:
    for size in (1, 7, 4096, 10**6):
        found, rest = reader(), b""
        count = 0
        for file, data in enumerate(FILES):
            rest = b""
            for start in range(0, len(data), size):
                rest += data[start : start + size]
                before = found.good_len(file)
                count += len(found.feed(file, rest))
                rest = rest[found.good_len(file) - before :]
        assert (count, found.head) == (len(LINES), (MADE.records[-1].seq, MADE.records[-1].sha256))


def test_knows_what_it_read() -> None:
    found = reader()
    for file, data in enumerate(FILES):
        found.feed(file, data)
    assert (found.device, found.signed, len(found.sessions)) == ("BWC-0001", True, 2)
    assert sorted(found.segments) == [(MADE.recording, 0), (MADE.recording, 1)]
    assert [found.sha256_of(record.seq) for record in MADE.records] == [record.sha256 for record in MADE.records]
    assert found.sha256_of(-1) is None
    assert found.sha256_of(len(MADE.records)) is None
    assert found.torn[0].length == 3


def test_goes_on_after_a_bad_line_when_the_right_one_comes() -> None:
    """A dock that got noise on the link asks again from where the verified lines end."""
    found = reader()
    first, second = LINES[:2]
    found.feed(0, first)
    with pytest.raises(EvidenceError):
        found.feed(0, second[:-3] + b"AA\n")
    assert (found.good_len(0), found.head) == (len(first), (0, MADE.records[0].sha256))
    assert len(found.feed(0, FILES[0][found.good_len(0) :])) == FILES[0].count(b"\n") - 1


def test_a_device_that_was_asked_for_and_is_not_it() -> None:
    with pytest.raises(EvidenceError, match="foreign"):
        JournalReader([AGENCY.root], device="BWC-0002").feed(0, FILES[0])


def test_a_torn_tail_is_declared_only_of_files_before() -> None:
    """An opening that declares a tail of its own file, or of one yet to come, would let lines vanish later."""

    class Liar(Camera):
        def line(self, kind: str, body: object) -> records.Record:
            assert isinstance(body, dict)
            if kind == "summary":
                body = {**body, "torn": [{"file": 1, "offset": 0, "length": 0, "sha256": "00" * 32}]}
            return super().line(kind, body)

    made = Liar()
    made.boot()
    made.summary()
    found = reader()
    found.feed(0, made.files[records.journal_path(0)])
    with pytest.raises(EvidenceError, match="journal-torn"):
        found.feed(1, made.files[records.journal_path(1)])
    assert found.step == 5


def test_a_file_left_out_must_be_declared() -> None:
    found = reader()
    found.feed(0, FILES[0])
    with pytest.raises(EvidenceError, match="chain-broken"):
        found.feed(2, FILES[2])


def test_a_camera_reads_its_own_journal_without_a_root() -> None:
    """Recovery looks for torn lines, not for forgers."""
    body = MADE.records[0].body
    assert not open_session(body, "BWC-0001", MADE.records[0].boot, None).signed


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=64) | st.from_regex(rb"MFkw[A-Za-z0-9_-]{0,120}", fullmatch=True))
def test_any_session_key_is_read_or_refused(data: bytes) -> None:
    body = {**MADE.records[0].body, "session_key": data.decode("latin-1"), "chain": []}
    for text in (data.decode("latin-1"), jose.b64(data)):
        with pytest.raises(EvidenceError):
            open_session({**body, "session_key": text}, "BWC-0001", MADE.records[0].boot, [AGENCY.root])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=3), st.integers(0, 2))
def test_any_chain_is_read_or_refused(chain: list[bytes], keep: int) -> None:
    real = MADE.records[0].body["chain"]
    body = {**MADE.records[0].body, "chain": [*real[:keep], *map(jose.b64, chain)]}
    try:
        session = open_session(body, "BWC-0001", MADE.records[0].boot, [AGENCY.root])
    except EvidenceError:
        return
    assert not session.signed


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(LINES) - 1), st.integers(0, 10**6), st.binary(min_size=1, max_size=6))
def test_any_bytes_put_into_a_line(number: int, at: int, noise: bytes) -> None:
    line = LINES[number]
    at %= len(line)
    spoiled = line[:at] + noise + line[at + len(noise) :]
    found = reader()
    try:
        for file, data in enumerate(FILES):
            found.feed(file, data.replace(line, spoiled))
    except EvidenceError:
        return
    assert spoiled == line or found.head != (MADE.records[-1].seq, MADE.records[-1].sha256)
