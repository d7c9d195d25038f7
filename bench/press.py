"""How long from the press of the button to the first picture that no power cut takes away?

    scripts/bench press [--presses N] [--folder DIR]

The camera's own program in the simulated world, its encoder running: real picamera2, gpiozero, PyAudio, libx264, disk.
A contact closes (pins.jsonl tells when); `strace` tells from outside when each sync of the card returned. The first
picture is durable when the first sync of the recording's first segment is done, and attested when the journal's sync
with its `fragment` record is. What strace itself costs (two stops for each of the program's syncs, about 0.1 ms each)
is in the figures; its stamps are good to 1 µs, and the pins' are taken before the level changes.

Afterwards each recording is decrypted and decoded: the last picture that the lens took before the press must be in it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import av
import numpy as np
from numpy.typing import NDArray

from evidence import age, records
from evidence.records import Record
from hw_sim import control
from hw_sim import world as worlds
from hw_sim.deliveries import read_deliveries
from hw_sim.demo import stage as stages
from hw_sim.demo.programs import Program
from hw_sim.demo.stage import Stage
from hw_sim.scene import read_number

GOAL_MS = 10.0
BOUNCE_MS = 5.0  # the panel's own, part of the goal
HOLD_SECONDS = 0.4
PATIENCE = 30.0
ROUNDING_NS = 1_000_000  # of times in an MP4
RECORD_SECONDS = 1.3  # past the second in which another press would count as an accident
RING_SECONDS = 2.0  # until the pre-event ring has its share again
_SYNC = re.compile(r"([0-9.]+) f(?:data)?sync\([0-9]+<([^>]*)>\) += 0 <([0-9.]+)>")
_PANEL = f"\n[panel]\nhold_seconds = {HOLD_SECONDS}\n"
STEPS = ("press to the first record", "that record durable", "to the segment's sync", "picture durable", "attested")


@dataclass(frozen=True)
class Sync:
    """One sync of a file on the card, on the camera's boot clock."""

    begun_ns: int
    done_ns: int
    path: str


@dataclass(frozen=True)
class Press:
    """One start: when the contact closed and what was synced then, in ms after it: the ends of `STEPS`."""

    recording: str
    at_ns: int  # on the camera's boot clock
    ends_ms: tuple[float, ...]
    syncing_ms: float  # of the time until the picture was durable

    @property
    def durable_ms(self) -> float:
        """Until the picture's bytes were on the card."""
        return self.ends_ms[3]


def main() -> int:
    """Measure, print a table and, as the last line, the same as JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench press", description=__doc__)
    parser.add_argument("--presses", type=int, default=100, help="how many (default 100, about 4 s each)")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    told = parser.parse_args()
    if shutil.which("strace") is None:
        sys.stderr.write("scripts/bench: install strace\n")
        return os.EX_UNAVAILABLE
    with tempfile.TemporaryDirectory(dir=told.folder, prefix="bench-press-") as scratch:
        stage = build(Path(scratch) / "stage")
        before = offset_ns()
        press_again_and_again(stage, told.presses)
        offset = (before + offset_ns()) // 2
        told_all = journal(stage)
        presses = list(measured(stage, told_all, offset))
        shown = sum(shows_before(stage, press, told_all) for press in presses)
    report(presses, shown, told.presses)
    return 0


def build(root: Path) -> Stage:
    """A provisioned camera in a world whose pictures carry their numbers."""
    world = stages.make_world("drawn", "silence", muted=False, snr_db=None, ppm=0.0, card_bytes=None)
    stage = stages.build(root, world)
    with (stage.camera / "camera.toml").open("a", encoding="utf-8") as file:
        file.write(_PANEL)
    worlds.power_on(stage.world)
    return stage


def offset_ns() -> int:
    """From the host's boot clock to the one of strace's stamps."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def press_again_and_again(stage: Stage, count: int) -> None:
    """Start and end so many recordings, at times that have nothing to do with the encoder's."""
    chance = random.Random(1)  # noqa: S311 - the same times in each run
    sound = Program("room", ["sim", "room", str(stage.world)], stage.logs, {})
    try:
        wait_for(stage.world / "room.sock")
        with Traced(stage) as camera:
            camera.wait_for("self-check")
            pause(RING_SECONDS)
            for _ in range(count):
                pause(chance.uniform(0, 1))
                order(stage, seconds=0.1)
                camera.wait_for("phase", phase="recording")
                pause(RECORD_SECONDS)
                for _ in range(2):
                    order(stage, seconds=HOLD_SECONDS + 0.2)
                    pause(0.2)  # or the two would bounce into one
                camera.wait_for("phase", phase="armed")
                pause(RING_SECONDS)
    finally:
        sound.stop()


class Traced:
    """The camera's program under strace; only syncs stop it (seccomp)."""

    def __init__(self, stage: Stage) -> None:
        self._log = stage.logs / "camera.log"
        program = [sys.executable, "-m", "bodycam", *stage.camera_program]
        strace = ["strace", "-ff", "--seccomp-bpf", "-qq", "-ttt", "-T", "-y", "-e", "trace=fsync,fdatasync",
                  "-e", "signal=none", "-o", str(stage.logs / "syncs")]  # fmt: skip
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([*strace, *program], stderr=log, env={**os.environ, "BODYCAM_LOG": "json"})
        self._read = self._log.open("rb")
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the camera; strace ends with it."""
        for child in Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGTERM)
        self._process.wait(PATIENCE)
        self._read.close()

    def wait_for(self, message: str, **facts: Any) -> None:
        """Wait for a line of the camera's log."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self._rest += self._read.read()
            while b"\n" in self._rest:
                line, _, self._rest = self._rest.partition(b"\n")
                told = json.loads(line) if line.startswith(b"{") else {}
                if told.get("message") == message and facts.items() <= told.items():
                    return
            if self._process.poll() is not None:
                raise SystemExit(f"scripts/bench: the camera ended: {self._log.read_text()[-500:]}")
            pause(0.01)
        raise SystemExit(f"scripts/bench: the camera never told {message} {facts}: {self._log.read_text()[-500:]}")


def order(stage: Stage, seconds: float) -> None:
    """Close the record button's contact for so long."""
    control.ask(stage.world / "control.sock", {"do": "press", "pin": stages.RECORD_PIN, "seconds": seconds})


def pause(seconds: float) -> None:
    """Let time pass."""
    threading.Event().wait(seconds)


def wait_for(path: Path) -> None:
    """Wait for a socket."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > deadline:
            raise SystemExit(f"scripts/bench: {path} never came")
        pause(0.05)


# --- what came of it


def journal(stage: Stage) -> list[Record]:
    """All that the camera recorded."""
    files = sorted((stage.mounted_card / "journal").iterdir())
    return [records.parse(line) for file in files for line in file.read_bytes().split()]


def measured(stage: Stage, told: list[Record], offset: int) -> Iterator[Press]:
    """Each press that began a recording."""
    power_on = worlds.power(stage.world).power_on_boottime_ns
    syncs = sorted(all_syncs(stage, offset + power_on), key=lambda sync: sync.done_ns)
    pins = [json.loads(line) for line in (stage.world / "pins.jsonl").read_text().splitlines()]
    downs = [pin["boot_ns"] - power_on for pin in pins if pin["pin"] == stages.RECORD_PIN and pin["level"] == 0]
    for started in [record for record in told if record.kind == "recording_started"]:
        pressed_ns = started.body["pressed_ns"]  # as the camera takes it: when the contact settled, less the bounce
        at_ns = min(downs, key=lambda down_ns: abs(down_ns - pressed_ns))
        after = iter([sync for sync in syncs if sync.begun_ns > at_ns])
        record = next(sync for sync in after if "/journal/" in sync.path)
        picture = next(sync for sync in after if sync.path.endswith(".age"))
        attested = next(sync for sync in after if "/journal/" in sync.path)
        ends = (record.begun_ns, record.done_ns, picture.begun_ns, picture.done_ns, attested.done_ns)
        within = [sync for sync in syncs if at_ns < sync.begun_ns and sync.done_ns <= picture.done_ns]
        syncing_ms = sum(sync.done_ns - sync.begun_ns for sync in within) / 1e6
        yield Press(started.body["recording"], at_ns, tuple((end - at_ns) / 1e6 for end in ends), syncing_ms)


def all_syncs(stage: Stage, offset: int) -> Iterator[Sync]:
    """Those of all threads; `offset` is from the camera's boot clock to that of the stamps."""
    for file in stage.logs.glob("syncs.*"):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if match := _SYNC.match(line):
                begun = int(match[1].replace(".", "")) * 1000 - offset
                yield Sync(begun, begun + int(float(match[3]) * 1e9), match[2])


def shows_before(stage: Stage, press: Press, told: list[Record]) -> bool:
    """Whether the recording shows the last picture that the lens gave before the press: its number, at its time."""
    deliveries = read_deliveries(stage.world / "deliveries.jsonl")
    wanted = max(
        (one for one in deliveries if one.status == "delivered" and one.sensor_ns <= press.at_ns),
        key=lambda one: one.sensor_ns,
    )
    of = [r.body for r in told if r.kind == "fragment" and r.body["recording"] == press.recording]
    start_ns = min(body["from_ns"] for body in of)
    identity = next(
        line for line in (stage.office / "keys" / "office.age").read_text().splitlines() if line.startswith("AGE-")
    )
    return any(
        read_number(luma) == wanted.source
        for us, luma in decoded(stage.mounted_card / "segments" / press.recording, identity)
        if abs(start_ns + us * 1000 - wanted.sensor_ns) < ROUNDING_NS
    )


def decoded(folder: Path, identity: str) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Every picture of a recording: its time in the part, microseconds, and its luma."""
    for path in sorted(folder.iterdir()):
        with av.open(io.BytesIO(age.open_file(path.read_bytes(), identity).plain), "r") as container:
            for frame in container.decode(video=0):
                if frame.pts is not None and frame.time_base is not None:
                    luma = frame.to_ndarray()[: frame.height, : frame.width].astype(np.uint8, copy=False)
                    yield round(frame.pts * frame.time_base * 1_000_000), luma


def report(presses: list[Press], shown: int, asked: int) -> None:
    """A table for people, a line of JSON for programs."""
    load = os.getloadavg()[0]
    print(f"{len(presses)} of {asked} presses; {os.cpu_count()} cores, load {load:.1f}; not on a Pi")
    print(f"{'ms after the press':<32}{'p50':>8}{'p99':>8}{'least':>8}{'most':>8}")
    columns = list(zip(*(press.ends_ms for press in presses), strict=True))
    syncing = [press.syncing_ms for press in presses]
    for step, values in [*zip(STEPS, columns, strict=True), ("of it in syncs, until durable", syncing)]:
        print(f"{step:<32}{middle(values):>8.1f}{late(values):>8.1f}{min(values):>8.1f}{max(values):>8.1f}")
    durable = [press.durable_ms for press in presses]
    verdict = "reached" if late(durable) <= GOAL_MS else "NOT reached"
    print(f"goal: picture durable within {GOAL_MS:.0f} ms, {BOUNCE_MS:.0f} of them debouncing: p99 {verdict}")
    print(f"the picture before the press is in {shown} of {len(presses)} recordings")
    figures = {
        "bench": "press",
        "on_a_pi": False,
        "presses": len(presses),
        "load": round(load, 1),
        "p50_ms": {step: round(middle(values), 2) for step, values in zip(STEPS, columns, strict=True)},
        "p99_ms": {step: round(late(values), 2) for step, values in zip(STEPS, columns, strict=True)},
        "syncing_p50_ms": round(middle(syncing), 2),
        "goal_ms": GOAL_MS,
        "reached": late(durable) <= GOAL_MS,
        "picture_before_the_press": shown,
    }
    print(json.dumps(figures))


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def late(values: Sequence[float]) -> float:
    """The 99th of 100."""
    return float(np.percentile(values, 99, method="higher"))


if __name__ == "__main__":
    raise SystemExit(main())
