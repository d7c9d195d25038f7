"""Hostile bytes for every parser: taken, or refused by its one error, in memory and time that go with their size."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import available
from tests.fuzz.mutate import mutated
from tests.fuzz.table import SEEDS, TARGETS, corpus, inputs
from tests.fuzz.target import CORPUS, ROOT, taken

RUNS, SEED = 1_000, 4
EXAMPLES = 20
BASE, TIMES = 8 << 20, 64  # bytes that any input may cost, and for each byte of it: `{}` in JSON is 64 in Python
SOME = sorted(TARGETS)


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """A program tells of each hostile request."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_the_corpus_belongs_to_the_table_and_stays_small() -> None:
    kept = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in kept} <= TARGETS.keys()
    assert sum(path.stat().st_size for path in kept) < 400_000


@pytest.mark.parametrize("name", SOME)
def test_what_is_in_the_corpus_is_taken_or_refused(name: str) -> None:
    for data in corpus(name):
        TARGETS[name](data)


@pytest.mark.parametrize("name", SOME)
def test_a_good_input_is_taken(name: str) -> None:
    """A target that refused whatever it got would test the first line of a parser only."""
    taken.clear()
    for data in SEEDS[name]():
        TARGETS[name](data)
    assert taken


@pytest.mark.parametrize("name", SOME)
def test_changed_inputs_are_taken_or_refused(name: str) -> None:
    good = [data for data in inputs(name) if len(data) < 20_000]
    changed = st.builds(mutated, st.sampled_from(good), st.integers(0, 2**32 - 1))

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(changed | st.binary(max_size=120))
    def hold(data: bytes) -> None:
        TARGETS[name](data)

    hold()


def peak(name: str, data: bytes) -> int:
    """Bytes that a target took at most, by its second time: what is made once for all is not counted."""
    TARGETS[name](data)
    tracemalloc.start()
    try:
        TARGETS[name](data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", SOME)
def test_memory_goes_with_the_size_of_an_input(name: str) -> None:
    for data in [*inputs(name)[:6], *(grow(4_000) for of, grow in GROWING.values() if of == name)]:
        assert peak(name, data) < BASE + TIMES * len(data), data[:80]


def _lines(kind: str, body: dict[str, object], count: int) -> bytes:
    first = inputs("journal")[1].splitlines()[0]
    clock = json.loads(first)["clock"]
    line = json.dumps({"kind": kind, "clock": clock, "body": body}).encode()
    return b"\n".join([first, *[line] * count])


BOX = b"\0\0\0\x08"
TRAK = b"\0\0\0\x10trak" + BOX + b"free"
GROWING: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "lists in lists": ("strict-json", lambda n: b'{"a":' + b"[" * n),
    "empty objects": ("strict-json", lambda n: b'{"a":[' + b"{}," * n + b"{}]}"),
    "members": ("strict-json", lambda n: b"{" + b",".join(b'"%d":0' % i for i in range(n)) + b"}"),
    "a long number": ("strict-json", lambda n: b'{"a":' + b"9" * n + b"}"),
    "dots": ("line", lambda n: b"." * n),
    "begins of requests": ("request", lambda n: b"-----BEGIN CERTIFICATE REQUEST-----\n" * n),
    "begins of revocation lists": ("revocation-list", lambda n: b"-----BEGIN X509 CRL-----\n" * n),
    "begins of certificates": ("certificate", lambda n: b"-----BEGIN CERTIFICATE-----\n" * n),
    "TOML lists in lists": ("toml", lambda n: b"a = " + b"[" * n),
    "a TOML number": ("toml", lambda n: b"a = 0x" + b"f" * n),
    "empty boxes": ("mp4-boxes", lambda n: (BOX + b"free") * n),
    "boxes without end": ("mp4-boxes", lambda n: (BOX + b"moof") * n),
    "empty tracks": ("mp4-boxes", lambda n: (8 + 16 * n).to_bytes(4, "big") + b"moov" + TRAK * n),
    "start codes": ("h264-unit", lambda n: b"\0\0\1e" * n),
    "zeros": ("h264-unit", lambda n: b"\0" * n),
    "stanzas": ("age-file", lambda n: b"age-encryption.org/v1\n" + b"-> a\n\n" * n),
    "a key's letters": ("age-key", lambda n: b"age1" + b"q" * n),
    "pairs of metadata": ("tus-headers", lambda n: b"a YQ==," * n),
    "signatures": ("log-proof", lambda n: b"a\n\n" + b"\xe2\x80\x94 a YQ==\n" * n),
    "ends of texts": ("log-proof", lambda n: b"\n\n" * n),
    "ids": ("acknowledgement", lambda n: b'{"ids":[' + b'"a",' * n + b'"a"]}'),
    "chunks": ("http-answer", lambda n: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * n),
    "header lines": ("dock-port-request", lambda n: b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * n + b"\r\n"),
    "what gpsd says": ("gpsd", lambda n: b'{"class":' + b"[" * n),
    "faults": ("journal", lambda n: _lines("fault", {"where": "a", "what": "b"}, n // 400)),
    "lines to a starting camera": ("own-journal", lambda n: _lines("fault", {"where": "a", "what": "b"}, n // 400)),
}
"""What grows, in which target, and how its bytes are made."""


@pytest.mark.parametrize("what", GROWING)
def test_work_goes_with_the_size_of_an_input(what: str) -> None:
    """Eight times the bytes are at most twenty times the work: it is not the square, which would be sixty-four."""
    name, grow = GROWING[what]

    def work(data: bytes) -> float:
        spent = []
        for _ in range(3):
            before = time.process_time()
            TARGETS[name](data)
            spent.append(time.process_time() - before)
        return min(spent)

    small, large = grow(2_000), grow(16_000)
    floor = work(grow(1))  # what each input costs, however small
    assert work(large) < 20 * max(work(small), floor)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_a_fuzzer_that_sees_what_it_reaches_finds_nothing(name: str) -> None:
    if not available():
        pytest.skip("atheris has no wheel for this Python or machine; the other tests of this file ran without it")
    command = [sys.executable, "-m", "tests.fuzz", name, "--runs", str(RUNS), "--seed", str(SEED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert not done.returncode, done.stderr[-4000:].decode("utf-8", "replace")
