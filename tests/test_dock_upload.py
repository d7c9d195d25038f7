"""A segment in one request: the dock's client against the running office, and what ends the request early."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from evidence import age
from evidence.certificate import Role
from runtime import tls
from syncd import tus
from syncd.errors import AwayError, RefusedError
from syncd.link import BLOCK, Blocks, Link
from tests.footage import Camera
from tests.office_kit import OfficeKit, running, wait_for

pytestmark = pytest.mark.net
SIZE = 4 * BLOCK + 17
Counted = tuple[tus.Uploads, list[int]]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficeKit]:
    with running(OfficeKit(tmp_path_factory.mktemp("office"))) as kit:
        yield kit


@pytest.fixture
def counted(office: OfficeKit, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """The dock's client, and where each of its requests with a long body began."""
    chain, key = office.agency.issue(Role.DOCK, "DOCK-1").write(office.folder, "dock")
    address = "127.0.0.1", office.port
    with closing(Link("office", Role.OFFICE, address, tls.client_context(chain, key, office.roots))) as link:
        begin, began = link.begin, list[int]()

        def count(method: str, path: str, headers: dict[str, str], size: int) -> None:
            began.append(int(headers["Upload-Offset"]))
            begin(method, path, headers, size)

        monkeypatch.setattr(link, "begin", count)
        yield tus.Uploads(link), began


def _segment(office: OfficeKit, device: str) -> tuple[str, bytes]:
    camera = Camera(office.agency, [age.recipient_of(age.generate_identity())], device)
    recording = camera.start()
    data = camera.noise(recording, 0, SIZE)
    client = office.client()
    client.hand_in_journal(device, camera.journal)
    return client.segment(device, (recording, 0), data), data


def _blocks(data: bytes, sent: Callable[[int], None] = lambda _: None) -> Blocks:
    for start in range(0, len(data), BLOCK):
        yield data[start : start + BLOCK]
        sent(min(start + BLOCK, len(data)))


def _await_staged(office: OfficeKit, path: str, size: int) -> None:
    """Until the office has written so much; all but the last block of a segment are whole pieces to it."""
    if size % BLOCK == 0:
        staged = office.data / "staging" / ".".join([*Path(path).parts[-3:], "part"])
        wait_for(lambda: staged.stat().st_size == size)


def _stored(office: OfficeKit, device: str) -> bytes:
    (file,) = (office.data / "store" / device).glob("segments/*/00000.mp4.age")
    return file.read_bytes()


def test_it_comes_in_with_one_request_for_all_blocks(office: OfficeKit, counted: Counted) -> None:
    uploads, began = counted
    path, data = _segment(office, "BWC-0001")
    uploads.complete(path, 0, len(data), _blocks(data))
    assert began == [0]
    assert _stored(office, "BWC-0001") == data


def test_a_pause_for_want_of_a_turn_ends_a_request_and_another_goes_on(
    office: OfficeKit, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads, began = counted
    path, data = _segment(office, "BWC-0002")
    monkeypatch.setattr(tus, "_PAUSE_SECONDS", 0.0)  # every moment between two blocks is one
    uploads.complete(path, 0, len(data), _blocks(data, lambda size: _await_staged(office, path, size)))
    assert began == list(range(0, len(data), BLOCK))
    assert _stored(office, "BWC-0002") == data


def test_what_was_sent_before_the_source_failed_counts(office: OfficeKit, counted: Counted) -> None:
    uploads, began = counted
    path, data = _segment(office, "BWC-0003")

    def failing() -> Blocks:
        yield data[:BLOCK]
        _await_staged(office, path, BLOCK)
        raise AwayError("camera", "lost", "pulled out")

    with pytest.raises(AwayError, match="pulled out"):
        uploads.complete(path, 0, len(data), failing())
    assert uploads.offset(path) == BLOCK
    uploads.complete(path, BLOCK, len(data), _blocks(data[BLOCK:]))
    assert began == [0, BLOCK]
    assert _stored(office, "BWC-0003") == data


def test_a_refusal_ends_the_body(office: OfficeKit, counted: Counted) -> None:
    uploads, _ = counted
    path, data = _segment(office, "BWC-0004")
    taken = list[int]()

    def long() -> Blocks:
        for number in range(200):
            taken.append(number)
            yield data[:BLOCK]

    with pytest.raises(RefusedError, match="the upload stands at 0"):
        uploads.complete(path, 7, 200 * BLOCK + 7, long())
    assert len(taken) < 200
    assert uploads.offset(path) == 0  # the link can be used again
