"""A satellite receiver on a pseudo-terminal, and the real gpsd that listens to it.

The receiver tells of each second in NMEA 0183: RMC, GGA, GSA. In the field systemd starts gpsd; here the world does.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
import socket
import subprocess
import threading
import time
import tty
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hw_sim.control import ControlError

_METRES_PER_DEGREE = 111_320.0
_KNOTS_PER_MPS = 1.943844
_HDOP = 0.9
_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Sky:
    """What the receiver has to tell: where it is, how it moves, and what time it believes."""

    latitude_deg: float = 40.76812
    longitude_deg: float = 118.15367
    altitude_m: float = 350.0
    speed_mps: float = 0.0
    course_deg: float = 90.0
    wander_m: float = 0.0  # standard deviation of each coordinate, anew each second
    fix: bool = True
    time_offset_ms: int = 0  # how far its time is ahead of the host's


class Receiver:
    """Tells of each second from a thread of its own until `close`."""

    def __init__(self, sky: Sky) -> None:
        self._sky = sky
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._chance = random.Random(0)  # noqa: S311 - a wandering position is no secret
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)  # gpsd may be gone: what it does not read is lost, as on a wire
        self.path = os.ttyname(self._slave)
        os.chmod(self.path, 0o666)  # noqa: S103, PTH101 - gpsd runs without root's rights
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        self._thread.start()

    @property
    def sky(self) -> Sky:
        """What it tells now."""
        return self._sky

    def change(self, **changes: float | bool) -> None:
        """Change fields of the sky from the next second on."""
        with self._lock:
            self._sky = replace(self._sky, **changes)  # type: ignore[arg-type] # names and kinds are the caller's

    def step_time(self, ms: int) -> None:
        """Move the time that it believes."""
        with self._lock:
            self._sky = replace(self._sky, time_offset_ms=self._sky.time_offset_ms + ms)

    def close(self) -> None:
        """End the thread, and hang up. Idempotent."""
        if not self._closing.is_set():
            self._closing.set()
            self._thread.join()
            os.close(self._master)
            os.close(self._slave)

    def _run(self) -> None:
        while not self._closing.wait(self._to_next_second()):
            with self._lock:
                self._sky = sky = _moved(self._sky)
                seen = _wandered(sky, self._chance)
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, sentences(seen, time.time_ns() // 10**6 + sky.time_offset_ms))

    def _to_next_second(self) -> float:
        with self._lock:
            offset_ms = self._sky.time_offset_ms
        return 1 - (time.time_ns() // 10**6 + offset_ms) % 1000 / 1000


def _moved(sky: Sky) -> Sky:
    """Where a second of movement leads."""
    north = sky.speed_mps * math.cos(math.radians(sky.course_deg))
    east = sky.speed_mps * math.sin(math.radians(sky.course_deg))
    return _shifted(sky, north, east)


def _wandered(sky: Sky, chance: random.Random) -> Sky:
    return _shifted(sky, chance.gauss(0, sky.wander_m), chance.gauss(0, sky.wander_m)) if sky.wander_m else sky


def _shifted(sky: Sky, north_m: float, east_m: float) -> Sky:
    latitude = sky.latitude_deg + north_m / _METRES_PER_DEGREE
    longitude = sky.longitude_deg + east_m / (_METRES_PER_DEGREE * math.cos(math.radians(sky.latitude_deg)))
    return replace(sky, latitude_deg=latitude, longitude_deg=longitude)


def sentences(sky: Sky, utc_ms: int) -> bytes:
    """What a receiver tells of the second that `utc_ms` is nearest to."""
    moment = datetime.fromtimestamp(round(utc_ms / 1000), UTC)
    clock, date = moment.strftime("%H%M%S.00"), moment.strftime("%d%m%y")
    if not sky.fix:
        told = (f"GPRMC,{clock},V,,,,,,,{date},,,N", f"GPGGA,{clock},,,,,0,00,99.9,,M,,M,,", "GPGSA,A,1" + "," * 15)
    else:
        place = f"{_angle(sky.latitude_deg, 2, 'NS')},{_angle(sky.longitude_deg, 3, 'EW')}"
        told = (
            f"GPRMC,{clock},A,{place},{sky.speed_mps * _KNOTS_PER_MPS:.2f},{sky.course_deg:.1f},{date},,,A",
            f"GPGGA,{clock},{place},1,09,{_HDOP},{sky.altitude_m:.1f},M,0.0,M,,",
            f"GPGSA,A,3,01,02,03,04,05,06,07,08,09,,,,1.6,{_HDOP},1.3",
        )
    return b"".join(_sentence(text) for text in told)


def _angle(degrees: float, digits: int, signs: str) -> str:
    """Degrees and minutes as NMEA writes them."""
    whole, part = divmod(abs(degrees), 1)
    return f"{int(whole):0{digits}d}{part * 60:08.5f},{signs[degrees < 0]}"


def _sentence(text: str) -> bytes:
    checksum = 0
    for byte in text.encode("ascii"):
        checksum ^= byte
    return f"${text}*{checksum:02X}\r\n".encode("ascii")


class Gpsd:
    """The real gpsd on one receiver, listening on loopback. The kernel ends it with us, even if we are killed."""

    def __init__(self, receiver: Receiver, port: int) -> None:
        self._path = receiver.path
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        # The kernel ends gpsd with the thread that started it, and an order's thread ends with its conversation.
        self._keeper = ThreadPoolExecutor(1, "gpsd-keeper")

    def start(self) -> None:
        """Start it and return when it listens. Raises ControlError."""
        program = shutil.which(
            "gpsd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
        )  # not on every user's PATH
        if program is None:
            raise ControlError("gpsd is missing: install the Debian package gpsd")
        if _listens(self._port):
            raise ControlError(f"port {self._port} is taken: name another in [gnss] port of world.toml and camera.toml")
        # Without root's rights from the start: giving them up later would undo the kernel's promise to end it with us.
        rights = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        command = [program, "-N", "-n", "-b", "-S", str(self._port), self._path]
        self._process = self._keeper.submit(
            subprocess.Popen, ["setpriv", *rights, "--pdeathsig", "TERM", *command],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ).result()  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not _listens(self._port):
            status = self._process.poll()
            if status is not None or time.monotonic() > deadline:
                self.stop()
                raise ControlError(f"gpsd does not listen on port {self._port} (status {status})")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it. Idempotent."""
        process, self._process = self._process, None
        if process:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2)
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
