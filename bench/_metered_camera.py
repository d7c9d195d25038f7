"""The simulated camera as `bodycam sim camera` runs it, with a meter beside it: METER.jsonl WORLD CONFIG.

A line every two seconds: memory of this process and of its sound streams, CPU of both, and how much of this process's
CPU is the software encoder's and the simulated lens's. The encoder has no thread of its own: picamera2 calls it from
its event thread. So the CPU time of that thread is read before and after each picture goes in, and what our own code
spends inside, on the frame that came out, is taken off.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from hw_sim.usage import cpu_of

SECONDS = 2.0
LENS_THREAD = "sim-lens"


class Share:
    """CPU time that the threads calling some method spend in it."""

    def __init__(self, owner: Any, name: str) -> None:
        self.seconds = 0.0
        method = getattr(owner, name)

        def measured(*arguments: Any, **named: Any) -> Any:
            before = time.thread_time()
            try:
                return method(*arguments, **named)
            finally:
                self.seconds += time.thread_time() - before

        setattr(owner, name, measured)


def resident_kib(process: str) -> int:
    """What /proc/PROCESS/status calls VmRSS."""
    lines = (Path("/proc") / process / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def children() -> list[str]:
    """Process ids of the sound streams."""
    tasks = Path("/proc/self/task")
    return [pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()]


def meter(path: Path, encoder_seconds: Callable[[], float]) -> None:
    """Write lines for ever."""
    gone = 0.0
    known: dict[str, float] = {}
    with path.open("a", buffering=1, encoding="ascii") as file:
        while True:
            now: dict[str, float] = {}
            streams_kib = 0
            for pid in children():
                try:
                    now[pid] = cpu_of(Path("/proc") / pid / "stat")
                    streams_kib += resident_kib(pid)
                except (OSError, StopIteration):
                    continue  # it has just ended
            gone += sum(seconds for pid, seconds in known.items() if pid not in now)
            known = now
            lens = [thread.native_id for thread in threading.enumerate() if thread.name == LENS_THREAD]
            line = {
                "boottime_ns": time.clock_gettime_ns(time.CLOCK_BOOTTIME),
                "camera_kib": resident_kib("self"),
                "streams_kib": streams_kib,
                "camera_s": time.process_time(),
                "streams_s": gone + sum(now.values()),
                "encoder_s": encoder_seconds(),
                "lens_s": sum(cpu_of(Path(f"/proc/self/task/{thread}/stat")) for thread in lens),
            }
            file.write(json.dumps(line) + "\n")
            time.sleep(SECONDS)


def main() -> int:
    """Run the camera; its exit status."""
    lines, world, config = sys.argv[1:]
    import_module("hw_sim.camera").install(Path(world))
    encoder = import_module("picamera2.encoders.libav_h264_encoder").LibavH264Encoder
    handed_on = Share(encoder, "outputframe")
    encoding = Share(encoder, "_encode")
    watch = threading.Thread(
        target=meter, args=(Path(lines), lambda: encoding.seconds - handed_on.seconds), name="meter", daemon=True
    )
    watch.start()
    status: int = import_module("firmware.main").main(["--config", config])
    return status


if __name__ == "__main__":
    raise SystemExit(main())
