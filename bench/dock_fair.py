"""Many cameras are put in at once: does each get its share of the line to the office, and does the dock stay small?

The dock's and the office's own programs, each a process, on one network of the kernel; each camera behind a link of its
own (a veth pair, shaped), with the product's dock port. Every segment must come back with its receipt.

    scripts/bench dock_fair [--cameras N] [--megabits N] [--mib N] [--office-blocks N] [--folder DIR]

Needs root. This machine is not a Pi.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evidence import pki
from evidence.pki import Role
from hw_sim.dock_link import CAMERA_ADDRESS, CAMERA_INTERFACE, Network
from hw_sim.usage import cpu, resident
from tests.bay_site import CAMERA_PORT, DockableCamera
from tests.dock_camera import DockedCamera
from tests.office_kit import ROOT, OfficeKit

MIB = 1024 * 1024
SEGMENT_MIB = 8
LIMIT_SECONDS = 900
SAMPLE_SECONDS = 0.1


@dataclass
class Trip:
    """One camera in its bay."""

    camera: DockableCamera
    segments: int
    size: int = 0  # bytes
    began: float = 0.0
    ended: float = 0.0
    trouble: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Put it in, and wait until every segment has its receipt."""
        self.began = time.monotonic()
        self.camera.put_in()
        while len(self.camera.camera.given) < self.segments:
            if time.monotonic() > self.began + LIMIT_SECONDS:
                raise SystemExit(f"{self.camera.camera.folder.device} was not emptied")
            time.sleep(0.02)
        self.ended = time.monotonic()

    @property
    def rate(self) -> float:
        """MiB a second, from the closing of its link to its last receipt."""
        return self.size / MIB / (self.ended - self.began)


def main() -> int:
    """Measure, print a table and, as the last line, the same as JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench dock_fair", description=__doc__)
    parser.add_argument("--cameras", type=int, default=20, help="put in at once (default 20)")
    parser.add_argument("--megabits", type=int, default=100, help="a second of each link (default 100)")
    parser.add_argument(
        "--mib", type=int, default=32, help=f"in each camera, in segments of {SEGMENT_MIB} (default 32)"
    )
    parser.add_argument("--office-blocks", type=int, default=4, help="the dock's setting (default 4)")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=told.folder, prefix="bench-dock-") as name, contextlib.ExitStack() as stack:
        try:
            nets = [Network() for _ in range(told.cameras + 1)]
        except PermissionError:
            sys.stderr.write("scripts/bench: network namespaces cannot be made: run as root\n")
            return os.EX_NOPERM
        report(measure(Path(name), nets, told, stack), told)
    return 0


def measure(folder: Path, nets: list[Network], told: argparse.Namespace, stack: contextlib.ExitStack) -> dict[str, Any]:
    """Put all in within a second; figures of rates and of the dock's memory."""
    office = OfficeKit(folder / "office")
    trips = [fill(folder, office, nets, number, told) for number in range(1, told.cameras + 1)]
    with nets[0].entered():
        office.start()
        stack.callback(office.stop)
        dock = start_dock(folder, office, told)
    stack.callback(dock.wait, 30)
    stack.callback(dock.terminate)
    await_ready(folder / "dock.log")
    memory, idle = [], round(resident(dock.pid), 1)
    threads = [threading.Thread(target=trip.run) for trip in trips]
    for trip, thread in zip(trips, threads, strict=True):
        stack.callback(trip.camera.open_contact)
        thread.start()
    while any(thread.is_alive() for thread in threads):
        memory.append(round(resident(dock.pid), 1))
        time.sleep(SAMPLE_SECONDS)
    if not all(trip.ended for trip in trips):
        raise SystemExit((folder / "dock.log").read_text()[-3000:])
    rates = [trip.rate for trip in trips]
    tenths = [max(memory[len(memory) * n // 10 : len(memory) * (n + 1) // 10] or [idle]) for n in range(10)]
    return {
        "docked_within_s": round(max(trip.began for trip in trips) - min(trip.began for trip in trips), 2),
        "seconds": round(max(trip.ended for trip in trips) - min(trip.began for trip in trips), 1),
        "receipts": sum(len(trip.camera.camera.given) for trip in trips),
        "segments": sum(trip.segments for trip in trips),
        "mib_per_s": {"mean": statistics.mean(rates), "slowest": min(rates), "fastest": max(rates)},
        "slowest_to_mean": min(rates) / statistics.mean(rates),
        "resident_mib": {"idle": idle, "tenths": tenths},
        "dock_cpu_s": cpu(dock.pid),
    }


def fill(folder: Path, office: OfficeKit, nets: list[Network], number: int, told: argparse.Namespace) -> Trip:
    """A camera with one recording."""
    where = f"{CAMERA_ADDRESS}%{CAMERA_INTERFACE}", CAMERA_PORT
    device = f"BWC-{number:04}"
    camera = DockedCamera(folder / device, office.agency, office.signer.certificate, device, where)
    recording = camera.folder.begin_recording()
    segments = -(-told.mib // SEGMENT_MIB)
    for _ in range(segments):
        camera.folder.segment(recording, SEGMENT_MIB * MIB)
    size = sum(camera.folder.sizes.values())
    return Trip(DockableCamera(nets[0], nets[number], number, camera, told.megabits), segments, size)


def start_dock(folder: Path, office: OfficeKit, told: argparse.Namespace) -> subprocess.Popen[bytes]:
    """The dock's program, with a bay for each camera."""
    chain, key = office.agency.issue(Role.DOCK, "DOCK-1").write(folder, "dock")
    (folder / "signers.pem").write_bytes(pki.to_pem(office.signer.certificate, *office.signer.above))
    settings: dict[str, object] = {
        "certificate": str(chain),
        "key": str(key),
        "roots": str(office.roots),
        "signers": str(folder / "signers.pem"),
        "spool": str(folder / "spool"),
        "office": f"127.0.0.1:{office.port}",
        "broker": f"127.0.0.1:{office.broker_port}",
        "office_blocks": told.office_blocks,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    for number in range(1, told.cameras + 1):
        lines += ["[[bays]]", f'port = "bay{number}"']
    (folder / "dock.toml").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "bodycam", "dock", "run", "--config", str(folder / "dock.toml")]
    with (folder / "dock.log").open("ab") as log:
        return subprocess.Popen(command, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)})


def await_ready(log: Path) -> None:
    """Wait until the dock has said so."""
    end = time.monotonic() + 60
    while "ready" not in log.read_text():
        if time.monotonic() > end:
            raise SystemExit(log.read_text())
        time.sleep(0.05)


def report(found: dict[str, Any], told: argparse.Namespace) -> None:
    """As people and as programs read it."""
    rates, memory = found["mib_per_s"], found["resident_mib"]
    print(f"{told.cameras} cameras of {told.mib} MiB on {told.megabits} Mbit/s, in within {found['docked_within_s']} s")
    rows = {
        "receipts": f"{found['receipts']} of {found['segments']} segments, after {found['seconds']} s",
        "MiB/s of a camera": " ".join(f"{name} {rate:.2f}" for name, rate in rates.items()),
        "slowest / mean": f"{found['slowest_to_mean']:.3f}, goal >= 0.8",
        "dock, MiB resident": f"idle {memory['idle']}, then in tenths of the time {memory['tenths']}",
        "dock, CPU": f"{found['dock_cpu_s']:.1f} s",
    }
    for name, value in rows.items():
        print(f"{name:20} {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    raise SystemExit(main())
