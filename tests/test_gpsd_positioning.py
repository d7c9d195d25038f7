"""The client on the real gpsd, which listens to the simulated receiver; and on what only looks like gpsd."""

from __future__ import annotations

import contextlib
import functools
import math
import operator
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware.clock_discipline import Believable, GnssTime, TimeSet
from firmware.hal.gpsd_positioning import GnssConfig, GpsdPositioning
from firmware.hal.ports import Fix, SourceFault, Utc
from hw_sim.control import ControlError
from hw_sim.gnss import Gpsd, Receiver, Sky, sentences
from tests.lens_kit import PowerOnClock, until

pytestmark = pytest.mark.net

PATIENCE = 10.0
PLACE = (40.76812, 118.15367)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Listener:
    """A started client and all that it told."""

    def __init__(self, port: int) -> None:
        self.clock = PowerOnClock()
        self.told: list[Fix | None] = []
        self.faults: list[SourceFault] = []
        self.driver = GpsdPositioning(GnssConfig(port=port), self.clock)
        self._changed = threading.Condition()
        self.driver.start(self._on_fix, self._on_fault)

    def _on_fix(self, fix: Fix | None) -> None:
        with self._changed:
            self.told.append(fix)
            self._changed.notify_all()

    def _on_fault(self, fault: SourceFault) -> None:
        with self._changed:
            self.faults.append(fault)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, seconds), (self.told[-3:], self.faults)

    def fix(self, after_ms: int = 0) -> Fix:
        """The next fix that is whole and later: gpsd tells of its first cycle piece by piece, and of one fix twice."""
        count = len(self.told)

        def found() -> list[Fix]:
            whole = [fix for fix in self.told[count:] if fix is not None and fix.error_m is not None]
            return [fix for fix in whole if (fix.utc_ms or 0) >= after_ms]

        self.wait(lambda: bool(found()))
        return found()[-1]


class Sat:
    """A receiver, its gpsd, and a client."""

    def __init__(self, sky: Sky) -> None:
        self.port = free_port()
        self.receiver = Receiver(sky)
        self.gpsd = Gpsd(self.receiver, self.port)
        self.gpsd.start()
        self.listener = Listener(self.port)

    def close(self) -> None:
        self.listener.driver.stop()
        self.gpsd.stop()
        self.receiver.close()


@contextlib.contextmanager
def sat(sky: Sky) -> Iterator[Sat]:
    made = Sat(sky)
    try:
        yield made
    finally:
        made.close()


def distance_m(one: tuple[float, float], other: tuple[float, float]) -> float:
    east = (other[1] - one[1]) * math.cos(math.radians(one[0]))
    return math.hypot(other[0] - one[0], east) * 111_320


def test_place_speed_and_time_of_a_moving_receiver() -> None:
    with sat(Sky(*PLACE, speed_mps=10, course_deg=90)) as made:
        fix = made.listener.fix()
        assert fix.altitude_m == 350
        assert fix.error_m == pytest.approx(17.1, abs=1)
        assert fix.speed_mps == pytest.approx(10, abs=0.1)
        assert fix.utc_ms is not None
        assert fix.utc_error_ms is not None
        true_ms = time.time_ns() / 1e6 - (made.listener.clock.boot_ns() - fix.boot_ns) / 1e6
        assert abs(fix.utc_ms - true_ms) <= fix.utc_error_ms <= 600
        later = made.listener.fix(fix.utc_ms + 1)
        moved = distance_m((fix.latitude_deg, fix.longitude_deg), (later.latitude_deg, later.longitude_deg))
        assert moved == pytest.approx(10 * (later.utc_ms or 0) / 1000 - 10 * fix.utc_ms / 1000, abs=1)
        described = made.listener.driver.describe()
        assert described["driver"] == "gpsd"
        assert described["model"].startswith("gpsd 3.")
        assert "NMEA0183" in described["receiver"]


@pytest.mark.long
def test_south_and_west_are_negative() -> None:
    with sat(Sky(-33.5, -70.25)) as made:
        fix = made.listener.fix()
        assert fix.latitude_deg == pytest.approx(-33.5)
        assert fix.longitude_deg == pytest.approx(-70.25)


@pytest.mark.long
def test_a_lost_fix_is_told_once_within_five_seconds_and_comes_back() -> None:
    with sat(Sky(*PLACE)) as made:
        made.listener.fix()
        made.receiver.change(fix=False)
        begun = time.monotonic()
        made.listener.wait(lambda: made.listener.told[-1] is None)
        assert time.monotonic() - begun < 5
        made.receiver.change(fix=True)
        made.listener.fix()
        assert made.listener.told.count(None) == 1
        assert made.listener.faults == []


@pytest.mark.long
def test_a_receiver_that_falls_silent_is_lost_within_five_seconds() -> None:
    with sat(Sky(*PLACE)) as made:
        made.listener.fix()
        made.receiver.close()
        begun = time.monotonic()
        made.listener.wait(lambda: made.listener.told[-1] is None)
        assert time.monotonic() - begun < 5


@pytest.mark.long
def test_a_killed_gpsd_is_a_fault_told_once_and_comes_back() -> None:
    with sat(Sky(*PLACE)) as made:
        made.listener.fix()
        made.gpsd.stop()
        made.listener.wait(lambda: bool(made.listener.faults))
        assert made.listener.told[-1] is None
        made.gpsd.start()
        made.listener.fix()
        assert [fault.cause for fault in made.listener.faults] == ["position_lost"]
        assert "is gpsd running?" in made.listener.faults[0].detail


@pytest.mark.long
def test_the_clock_is_believed_from_the_real_gpsd() -> None:
    now_ms = time.time_ns() // 10**6
    gnss = GnssTime(Believable.since(now_ms - 86_400_000))
    with sat(Sky(*PLACE)) as made:
        decision, taken = None, 0
        end = time.monotonic() + 2 * PATIENCE
        while decision is None and time.monotonic() < end:
            count = taken
            made.listener.wait(lambda: len(made.listener.told) > count)  # noqa: B023 - called before it changes
            for fix in made.listener.told[taken:]:
                decision = decision or gnss.take(fix, Utc(0, "none", None), made.listener.clock.boot_ns())
                taken += 1
    assert isinstance(decision, TimeSet)
    assert abs(decision.ms - time.time_ns() // 10**6) < decision.error_ms + 1000


@pytest.mark.long
def test_a_time_of_the_past_is_what_gpsd_tells() -> None:
    """The real gpsd undoes a week rollover where it sees one; a receiver that is merely wrong passes."""
    with sat(Sky(*PLACE, time_offset_ms=-3_600_000)) as made:
        fix = made.listener.fix()
        assert fix.utc_ms is not None
        assert abs(fix.utc_ms - time.time_ns() // 10**6 + 3_600_000) < 3000
        made.receiver.step_time(-1024 * 7 * 86_400_000)
        fix = [made.listener.fix() for _ in range(3)][-1]
        assert abs((fix.utc_ms or 0) - time.time_ns() // 10**6 + 3_600_000) < 3000


def test_gpsds_release_is_known_before_the_start() -> None:
    receiver, port = Receiver(Sky()), free_port()
    gpsd, driver = Gpsd(receiver, port), GpsdPositioning(GnssConfig(port=port), PowerOnClock())
    assert driver.describe()["model"].startswith("not connected")
    gpsd.start()
    until(lambda: driver.describe()["model"].startswith("gpsd 3."))  # it opens its receiver before it greets anybody
    gpsd.stop()
    receiver.close()


@pytest.mark.parametrize("said", [b"", b"SSH-2.0\r\n", b"[1]\n"])
def test_a_stranger_on_the_port_is_not_described(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        driver = GpsdPositioning(GnssConfig(port=server.getsockname()[1]), PowerOnClock())

        def answer() -> None:
            link, _ = server.accept()
            with link:
                link.sendall(said)

        stranger = threading.Thread(target=answer)
        stranger.start()
        assert driver.describe()["model"].startswith("not connected")
        stranger.join(PATIENCE)


def test_without_gpsd_the_fault_is_told_once() -> None:
    listener = Listener(free_port())
    try:
        listener.wait(lambda: bool(listener.faults))
        assert "Connection refused" in listener.faults[0].detail
        assert listener.driver.describe()["model"].startswith("not connected")
    finally:
        listener.driver.stop()
    assert listener.told == []


@pytest.mark.parametrize("said", [b"not json\n", b"[1]\n", b"x" * (1 << 17)])
def test_what_is_not_gpsd_is_a_fault_and_the_thread_lives_on(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        listener = Listener(server.getsockname()[1])
        try:
            for _ in range(2):  # it comes again
                link, _ = server.accept()
                with link, contextlib.suppress(ConnectionError):
                    link.sendall(said)
                    link.recv(1 << 10)
                    until(lambda: bool(listener.faults), PATIENCE)
        finally:
            listener.driver.stop()
    assert listener.faults[0].cause == "position_lost"
    assert listener.told == []


def test_lines_may_come_in_pieces() -> None:
    line = b'{"class":"TPV","mode":2,"lat":1.5,"lon":2.5,"epx":3.0,"epy":4.0}\n'
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        listener = Listener(server.getsockname()[1])
        try:
            link, _ = server.accept()
            with link:
                for piece in (line[:20], line[20:] + line[:30], line[30:]):
                    link.sendall(piece)
                listener.wait(lambda: len(listener.told) >= 2)
        finally:
            listener.driver.stop()
    first = listener.told[0]
    assert first is not None
    assert (first.latitude_deg, first.longitude_deg, first.error_m) == (1.5, 2.5, 5.0)
    assert (first.utc_ms, first.utc_error_ms, first.altitude_m, first.speed_mps) == (None, None, None, None)


def test_sentences_carry_their_checksum() -> None:
    for line in (*sentences(Sky(), 1_795_501_389_000).splitlines(), *sentences(Sky(fix=False), 0).splitlines()):
        body, _, checksum = line[1:].partition(b"*")
        assert int(checksum, 16) == functools.reduce(operator.xor, body)


@pytest.mark.long
def test_a_wandering_receiver_wanders() -> None:
    with sat(Sky(*PLACE, wander_m=5)) as made:
        places = [made.listener.fix() for _ in range(3)]
        told = [distance_m(PLACE, (fix.latitude_deg, fix.longitude_deg)) for fix in places]
        assert len(set(told)) == 3
        assert max(told) < 30


def test_a_taken_port_is_told() -> None:
    receiver = Receiver(Sky())
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(ControlError, match="is taken"):
        Gpsd(receiver, server.getsockname()[1]).start()
    receiver.close()


GPSD_CHILD = """
import sys, time
from hw_sim.gnss import Gpsd, Receiver, Sky
gpsd = Gpsd(Receiver(Sky()), int(sys.argv[1]))
gpsd.start()
print("ready", flush=True)
time.sleep(60)
"""


def test_gpsd_does_not_outlive_a_killed_world() -> None:
    port = free_port()
    command = [sys.executable, "-c", GPSD_CHILD, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[1]) as world:
        assert world.stdout
        assert world.stdout.readline() == b"ready\n"
        os.kill(world.pid, signal.SIGKILL)
    until(lambda: not listens(port), PATIENCE)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
