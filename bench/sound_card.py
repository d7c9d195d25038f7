"""Does PyAudio really see a sound card that runs fast or slow?   scripts/bench sound_card [SECONDS]

For each setting of the room's card: the rate that the microphone's blocks arrive at (least squares over the times of
their callbacks), how much those times jitter, and how far the time given to a sample lies from when the room made it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from firmware.hal.linux_clock import LinuxClock, LinuxClockConfig
from firmware.hal.ports import SoundBlock
from firmware.hal.pyaudio_sound import PyAudioMicrophone
from hw_sim import acoustics, room, world
from hw_sim.world import RoomWorld, World

CLIP = Path(acoustics.__file__).parent / "media" / "answer_weather.flac"
LOUD = 600
WARM_UP_BLOCKS = 20


def main() -> None:
    """Measure three cards and print a line for each."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    print("set ppm  seen ppm  jitter ms  sample's time off by ms")
    for ppm in (-100.0, 0.0, 100.0):
        with tempfile.TemporaryDirectory() as folder:
            blocks, begun_ns = listen(Path(folder), ppm, seconds)
        rate, jitter = fit(blocks)
        print(f"{ppm:7.0f}  {rate:8.1f}  {jitter:9.2f}  {(clip_ns(blocks) - begun_ns) / 1e6:23.1f}")


def listen(folder: Path, ppm: float, seconds: float) -> tuple[list[SoundBlock], int]:
    """Return what the microphone gave, and when the room began to play the clip."""
    world.create(folder, World(room=RoomWorld(sound_card_ppm=ppm)))
    command = [sys.executable, "-m", "bodycam", "sim", "room", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout  # noqa: S101 - it was asked for
        process.stdout.readline()
        os.environ.update(room.environment(folder))
        blocks: list[SoundBlock] = []
        microphone = PyAudioMicrophone("sim-microphone", LinuxClock(LinuxClockConfig(folder / "utc.json")))
        microphone.start(blocks.append, print)
        time.sleep(2)
        room.ask(folder, "play", file=str(CLIP))
        time.sleep(seconds)
        microphone.stop()
        process.terminate()
    events = [json.loads(line) for line in (folder / "room.jsonl").read_text().splitlines()]
    return blocks, next(event["boottime_ns"] for event in events if event["event"] == "clip_started")


def fit(blocks: list[SoundBlock]) -> tuple[float, float]:
    """Return the card's error in ppm and the jitter of its blocks in ms."""
    times = np.array([block.boot_ns for block in blocks[WARM_UP_BLOCKS:]], np.float64) - blocks[0].boot_ns
    samples = 2400.0 * np.arange(times.size)
    slope, start = np.polyfit(samples, times, 1)
    return (1e9 / 48_000 / slope - 1) * 1e6, float(np.std(times - slope * samples - start)) / 1e6


def clip_ns(blocks: list[SoundBlock]) -> int:
    """Return when the clip began, by the times of the blocks."""
    sound = np.frombuffer(b"".join(block.pcm for block in blocks), "<i2")
    at = int(np.argmax(np.abs(sound) > LOUD)) - int(np.argmax(np.abs(acoustics.load(CLIP)) > LOUD))
    return blocks[at // 2400].boot_ns + at % 2400 * 1_000_000_000 // 48_000


if __name__ == "__main__":
    main()
