"""A fleet at the end of a shift: footage is made, all are put in, and it is watched until the last receipt."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from hw_sim import control
from hw_sim.demo.programs import DemoError, Program, command
from hw_sim.fleet.site import DockSite, Site
from hw_sim.usage import cpu, resident

_PIECE_SECONDS = 300  # of one recording, so that each order is carried out in good time
_SAMPLE_SECONDS = 0.5
_PATIENCE_SECONDS = 600.0  # in which nothing at all comes in
_START_SECONDS = 60.0

Say = Callable[[str], None]


@dataclass(slots=True)
class Trip:
    """One camera in its bay."""

    device: str
    dock: DockSite
    size: int = 0  # bytes of ciphertext
    segments: int = 0
    put_in: float = 0.0  # time.monotonic
    emptied: float = 0.0


@dataclass(slots=True)
class Load:
    """What a program needed: MiB resident at its start and at most, seconds of CPU while cameras were emptied."""

    idle_mib: float
    peak_mib: float
    cpu_before: float
    cpu_s: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What happened."""

    trips: list[Trip]
    loads: dict[str, Load] = field(default_factory=dict)
    seconds: float = 0.0  # from the first camera put in until the last one emptied
    settled_seconds: float = 0.0  # and until no event waits any more
    curve: list[tuple[float, int]] = field(default_factory=list)  # seconds, segments still in cameras


class Fleet:
    """The programs of a site, between `start` and `stop`."""

    def __init__(self, site: Site, clip: Path, say: Say) -> None:
        self._site, self._clip, self._say = site, clip, say
        self._programs: dict[str, Program] = {}
        self._logs = site.root / "logs"
        self._logs.mkdir()

    @contextlib.contextmanager
    def running(self, on_seconds: int) -> Iterator[None]:
        """Cameras, office and docks; the cameras were switched on so many seconds ago."""
        try:
            for dock in self._site.docks:
                if dock.cameras:
                    self._start(f"cameras of {dock.id}", self._cameras(dock, on_seconds))
            self._start("office", ["office", "run", "--config", str(self._site.office_config)])
            for dock in self._site.docks:
                self._start(dock.id, ["dock", "run", "--config", str(dock.config)])
            for program in self._programs.values():
                program.message("ready", _START_SECONDS)
            yield
        finally:
            for program in reversed(self._programs.values()):
                program.stop()

    def _start(self, name: str, arguments: list[str]) -> None:
        self._programs[name] = Program(name, arguments, self._logs, {})

    def _cameras(self, dock: DockSite, on_seconds: int) -> list[str]:
        folders = [str(self._site.camera(device)) for device in dock.cameras]
        ports = ",".join(map(str, dock.cameras.values()))
        told = ["--ports", ports, "--clip", str(self._clip), "--control", str(self._socket(dock))]
        return ["sim", "docked", *folders, *told, "--on-seconds", str(on_seconds)]

    def _socket(self, dock: DockSite) -> Path:
        return self._site.root / f"{dock.id}.sock"

    def record(self, seconds: int) -> list[Trip]:
        """Let each camera record for so long, in no time."""
        with ThreadPoolExecutor(len(self._site.docks)) as pool:
            return [
                trip for trips in pool.map(lambda dock: self._record(dock, seconds), self._site.docks) for trip in trips
            ]

    def _record(self, dock: DockSite, seconds: int) -> list[Trip]:
        trips = []
        for device in dock.cameras:
            for done in range(0, seconds, _PIECE_SECONDS):
                piece = min(_PIECE_SECONDS, seconds - done)
                control.ask(self._socket(dock), {"do": "record", "camera": device, "seconds": piece})
            sizes = [path.stat().st_size for path in self._held(device)]
            trips.append(Trip(device, dock, sum(sizes), len(sizes)))
            self._say(f"{device}: {len(sizes)} segments, {sum(sizes) / 1e6:.0f} MB")
        return trips

    def empty(self, trips: list[Trip], within_seconds: float) -> Outcome:
        """Put all in within so many seconds, and watch until all are empty and all events are told."""
        outcome = Outcome(trips)
        pids = {name: program.pid for name, program in self._programs.items()}
        outcome.loads = {name: Load(resident(pid), resident(pid), cpu(pid)) for name, pid in pids.items()}
        began = time.monotonic()
        waiting, last, left_before = list(trips), began, -1
        coming = {trip.device: began + within_seconds * number / len(trips) for number, trip in enumerate(trips)}
        while waiting:
            for trip in waiting:
                if not trip.put_in and time.monotonic() >= coming[trip.device]:
                    control.ask(self._socket(trip.dock), {"do": "dock", "camera": trip.device})
                    trip.put_in = time.monotonic()
            left = 0
            for trip in list(waiting):
                held = len(self._held(trip.device))
                left += held
                if trip.put_in and not held:
                    trip.emptied = time.monotonic()
                    waiting.remove(trip)
            outcome.curve.append((round(time.monotonic() - began, 1), left))
            for name, pid in pids.items():
                outcome.loads[name].peak_mib = max(outcome.loads[name].peak_mib, resident(pid))
            if left != left_before:
                last, left_before = time.monotonic(), left
            if time.monotonic() > last + _PATIENCE_SECONDS:
                raise DemoError(f"{left} segments do not come in; see {self._logs}")
            time.sleep(_SAMPLE_SECONDS)
        outcome.seconds = max(trip.emptied for trip in trips) - began
        self._settle()
        outcome.settled_seconds = time.monotonic() - began
        for name, pid in pids.items():
            outcome.loads[name].cpu_s = cpu(pid) - outcome.loads[name].cpu_before
        return outcome

    def _settle(self) -> None:
        """Wait until the journals are in to their last lines and the docks' outboxes are empty."""
        end = time.monotonic() + _PATIENCE_SECONDS
        for dock in self._site.docks:
            while "消息 messages: 0 " not in command(["dock", "status", "--config", str(dock.config)]).stdout:
                if time.monotonic() > end:
                    raise DemoError(f"{dock.id}: events still wait for the office; see {self._logs}")
                time.sleep(_SAMPLE_SECONDS)

    def _held(self, device: str) -> list[Path]:
        return list((self._site.camera(device) / "data" / "segments").glob("*/*.age"))
