"""Who waits when the office fails: what was asked, the camera it was asked for, or all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.bay import Bay
from syncd.retries import Retries
from tests.agency import Agency, Holder
from tests.dock_camera import DockedCamera
from tests.dock_site import MIB, Site
from tests.tus_office import Fault

LONG = 60.0  # a test that waits for that fails
HOSTILE, NEXT = "BWC-0001", "BWC-0002"


@pytest.fixture
def retries() -> Retries:
    return Retries(1.0, 120.0)


def waits(retries: Retries, *cameras: str) -> list[float]:
    """For how many whole seconds the office is left alone for each."""
    return [next(s for s in range(1000) if retries.office_ready(one, float(s))) for one in cameras]


def test_all_wait_for_an_office_that_cannot_be_reached(retries: Retries) -> None:
    assert [retries.office_away(0.0) for _ in range(3)] == [1.0, 2.0, 4.0]
    assert waits(retries, HOSTILE, NEXT) == [4, 4]
    retries.office_worked()
    assert waits(retries, HOSTILE, NEXT) == [0, 0]


def test_one_camera_cannot_make_the_others_wait(retries: Retries) -> None:
    for _ in range(100):
        retries.office_failed(HOSTILE, 0.0, asked=90.0, itself=True)
        retries.office_failed(HOSTILE, 0.0)
    assert waits(retries, HOSTILE, NEXT) == [90, 0]


def test_two_cameras_can_for_a_time_that_neither_stretches(retries: Retries) -> None:
    retries.office_failed(NEXT, 0.0)
    for at in range(100):
        retries.office_failed(HOSTILE, at / 100, asked=5.0)
    assert waits(retries, NEXT, "BWC-0003") == [5, 5], "one alone has stretched it"
    retries.office_failed(NEXT, 5.0)
    retries.office_worked()
    retries.office_failed(HOSTILE, 5.0)
    assert waits(retries, NEXT) == [0], "it has worked in between"


@pytest.fixture
def site(tmp_path: Path, agency: Agency, signer: Holder) -> Iterator[Site]:
    site = Site(tmp_path, agency, signer)
    site.retries._first = LONG
    site.retries._limit = 2 * LONG
    yield site
    site.close()


@contextlib.contextmanager
def others(site: Site, count: int) -> Iterator[list[tuple[DockedCamera, Bay]]]:
    """So many more cameras with three segments each, and their bays."""
    with contextlib.ExitStack() as stack:
        made = []
        for number in range(2, 2 + count):
            name = f"BWC-{number:04}"
            camera = DockedCamera(site.tmp / name, site.agency, site.signer.certificate, name)
            recording = camera.folder.begin_recording()
            for _ in range(3):
                camera.folder.segment(recording, MIB // 4)
            camera.port.start()
            stack.callback(camera.port.stop)
            bay = Bay(site.handins, site.dial(camera), site.dial_office(), str(number))
            stack.callback(bay.close)
            made.append((camera, bay))
        yield made


@pytest.mark.net
@pytest.mark.parametrize(
    "fault",
    [
        Fault(500),
        Fault(503, headers=(("Retry-After", "119"),)),
        Fault(507, code="storage-full"),
        Fault(200),
        Fault(act="cut"),
    ],
    ids=["500", "503", "507", "200", "cut"],
)
def test_a_hostile_camera_holds_up_nobody_else(site: Site, fault: Fault) -> None:
    """Whatever it hands in, the office chokes on it, again and again."""
    site.record(*[100] * 6)
    footage = f"/{HOSTILE}/journal/"
    site.office.faults.append(
        lambda method, path: fault if method == "PATCH" and HOSTILE in path and footage not in path else None
    )
    with others(site, 3) as there:
        for camera, bay in there:
            site.bay.work()
            bay.work()
            assert len(camera.given) == 3, site.told.handin()
        site.bay.work()
    assert len(site.camera.folder.sizes) == 6
    assert site.camera.given == []


@pytest.mark.net
def test_one_segment_that_the_office_chokes_on_holds_up_no_other(site: Site) -> None:
    bad, *good = site.record(100, 100, 100)
    site.office.faults.append(
        lambda method, path: Fault(500) if method == "PATCH" and path.endswith(f"{bad[0]}/{bad[1]}") else None
    )
    site.bay.work()
    assert [(one.recording, one.segment) for one in site.camera.given] == good
    assert site.told.faults() == ["office-error"]
    assert not site.done()


@pytest.mark.net
def test_who_finds_no_office_spares_the_others_the_way(site: Site) -> None:
    site.record(100)
    site.office.stop()
    with others(site, 2) as there:
        for _, bay in [(None, site.bay), *there]:
            bay.work()
        assert site.told.faults() == ["office-lost"], "once is enough"
        assert all(len(site.spool.device(camera.folder.device).segments()) == 3 for camera, _ in there)
