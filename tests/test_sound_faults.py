"""Faults of microphone, loudspeaker and sound server, made below the real PyAudio, PortAudio, ALSA and PulseAudio."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware.hal.ports import DriverError
from firmware.hal.pyaudio_sound import PyAudioLoudspeaker
from firmware.voice import prompts
from hw_sim import room
from tests.test_room import MIC, SPEAKER, Ear, folder, settings

__all__ = ["folder", "settings"]

pytestmark = pytest.mark.sound

NOTICED = 5.0  # seconds within which every fault is told
TONE = 1_000  # Hz, what the other source sounds like


@contextlib.contextmanager
def hanging_server(folder: Path) -> Iterator[None]:
    pid = room.ask(folder, "state")["server_pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def longest_pause() -> Iterator[list[float]]:
    """How long other threads of this process did not come to their turn, at most; known at the end."""
    over, pauses = threading.Event(), [0.0]

    def tick() -> None:
        last = time.monotonic()
        while not over.wait(0.01):
            now = time.monotonic()
            pauses[0], last = max(pauses[0], now - last), now

    ticking = threading.Thread(target=tick)
    ticking.start()
    try:
        yield pauses
    finally:
        over.set()
        ticking.join()


def streams() -> list[int]:
    """Processes of sound streams that are children of this one, by their tasks' names."""
    listed = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "pyaudio_child.py capture"], capture_output=True, text=True, check=False
    )
    return [int(line) for line in listed.stdout.split()]


def pactl(*words: str) -> str:
    return subprocess.run(["pactl", *words], capture_output=True, text=True, check=True).stdout


def tone_seconds(sound: NDArray[np.int16]) -> float:
    """For how long the other source is heard in it."""
    wave = np.exp(-2j * np.pi * TONE * np.arange(480) / 48_000)
    pieces = sound[: sound.size // 480 * 480].reshape(-1, 480)
    return float(np.count_nonzero(np.abs(pieces @ wave) > 480 * 1_000)) / 100


def test_a_dead_microphone_is_told_once_and_passes_when_sound_comes_again(folder: Path) -> None:
    with Ear() as ear:
        for _ in range(2):  # the next outage is told again
            ear.listen(0.2)
            room.ask(folder, "silence_microphone", on=True)
            fault = ear.faults.get(timeout=NOTICED)
            assert fault.cause == "microphone_silent"
            ear.forget()
            with pytest.raises(queue.Empty):
                ear.listen(0.1, bound=0.5)  # nothing more comes of what says nothing
            assert ear.faults.empty()
            room.ask(folder, "silence_microphone", on=False)
    assert ear.blocks == []


def test_an_unplugged_microphone_is_not_replaced_by_another_source(folder: Path) -> None:
    with Ear() as ear:
        ear.listen(0.3)
        room.ask(folder, "move_microphone", on=True)
        fault = ear.faults.get(timeout=NOTICED)
        assert fault.cause == "microphone_moved"
        assert "from 'mic' to 'other'" in fault.detail
        assert ear.faults.get(timeout=NOTICED).cause == "microphone_lost"  # and cannot be opened any more
        assert tone_seconds(ear.heard()) <= 0.5  # kept, and told
        ear.forget()
        room.ask(folder, "move_microphone", on=False)
        assert tone_seconds(ear.listen(0.5)) == 0
        assert np.abs(ear.heard()).max() < 20  # the room, where it is quiet
        assert ear.faults.empty()


def test_a_stream_moved_away_from_a_microphone_that_is_there_is_brought_back(folder: Path) -> None:
    assert folder.exists()
    with Ear() as ear:
        ear.listen(0.3)
        pactl("load-module", "module-sine-source", "source_name=other", f"frequency={TONE}")
        pactl("move-source-output", pactl("list", "short", "source-outputs").split()[0], "other")
        assert ear.faults.get(timeout=NOTICED).cause == "microphone_moved"
        ear.forget()
        assert tone_seconds(ear.listen(0.5, bound=NOTICED)) == 0
        assert ear.faults.empty()


def test_a_hanging_sound_server_holds_nobody_up(folder: Path) -> None:
    prompt = prompts.load()["marked"]
    loudspeaker = PyAudioLoudspeaker(SPEAKER)
    with Ear() as ear:
        ear.listen(0.2)
        with longest_pause() as pauses, hanging_server(folder):
            begun = time.monotonic()
            assert ear.faults.get(timeout=NOTICED).cause == "microphone_lost"
            with pytest.raises(DriverError, match=SPEAKER):
                loudspeaker.play(prompt.pcm, prompt.rate)
            assert time.monotonic() - begun < 2 * NOTICED
        assert pauses[0] < 0.5
        ear.forget()
        ear.listen(0.2)
        loudspeaker.play(prompt.pcm, prompt.rate)
        assert np.abs(ear.listen(0.2)).max() > 1000
        assert ear.faults.empty()


def test_a_microphone_stops_at_once_while_the_sound_server_hangs(folder: Path) -> None:
    with Ear() as ear:
        ear.listen(0.2)
        with hanging_server(folder):
            ear.faults.get(timeout=NOTICED)
            begun = time.monotonic()
            ear.__exit__()
            assert time.monotonic() - begun < 1
            assert streams() == []


def test_a_stream_whose_process_dies_is_lost_and_comes_back(folder: Path) -> None:
    assert folder.exists()
    with Ear() as ear:
        ear.listen(0.2)
        (pid,) = streams()
        os.kill(pid, signal.SIGKILL)
        fault = ear.faults.get(timeout=NOTICED)
        assert fault.cause == "microphone_lost"
        assert "status -9" in fault.detail
        ear.forget()
        ear.listen(0.2)
        assert ear.faults.empty()


def test_a_clip_whose_process_was_killed_beforehand_is_played_all_the_same(folder: Path) -> None:
    prompt = prompts.load()["marked"]
    loudspeaker = PyAudioLoudspeaker(SPEAKER)
    loudspeaker._next.kill()
    with Ear() as ear:
        ear.listen(0.2)
        loudspeaker.play(prompt.pcm, prompt.rate)
        assert np.abs(ear.listen(0.2)).max() > 1000
    assert folder.exists()


def test_no_stream_outlives_a_camera_that_was_killed_while_the_sound_server_hung(folder: Path) -> None:
    script = f"""
import threading
from pathlib import Path
from firmware.hal.linux_clock import LinuxClock, LinuxClockConfig
from firmware.hal.pyaudio_sound import PyAudioMicrophone
heard = threading.Event()
microphone = PyAudioMicrophone({MIC!r}, LinuxClock(LinuxClockConfig(Path("unused"))))
microphone.start(lambda block: heard.set(), lambda fault: print(fault.cause, flush=True))
heard.wait()
print("heard", flush=True)
threading.Event().wait()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as camera:
        assert camera.stdout
        assert camera.stderr
        assert camera.stdout.readline() == b"heard\n"
        with hanging_server(folder):
            assert camera.stdout.readline() == b"microphone_lost\n"
            deadline = time.monotonic() + NOTICED
            while not (children := _children(camera.pid)):  # the next stream, which hangs while it is being opened
                assert time.monotonic() < deadline
            camera.kill()
            camera.wait()
            while any((Path("/proc") / str(pid)).exists() for pid in children):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert camera.stderr.read() == b""  # whatever PortAudio complained of


def test_a_camera_that_was_held_up_loses_no_sound_and_takes_it_so_that_its_pictures_keep_up(folder: Path) -> None:
    assert folder.exists()
    script = f"""
import sys, threading, time
from pathlib import Path
from firmware.hal.linux_clock import LinuxClock, LinuxClockConfig
from firmware.hal.pyaudio_sound import PyAudioMicrophone
def take(block):
    print(time.clock_gettime_ns(time.CLOCK_BOOTTIME), block.boot_ns, flush=True)
microphone = PyAudioMicrophone({MIC!r}, LinuxClock(LinuxClockConfig(Path("unused"))))
microphone.start(take, lambda fault: print("fault", fault.cause, flush=True))
threading.Event().wait()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as camera:
        assert camera.stdout
        lines = [camera.stdout.readline() for _ in range(10)]
        camera.send_signal(signal.SIGSTOP)
        threading.Event().wait(1.3)  # this is the delay, nothing is waited for
        camera.send_signal(signal.SIGCONT)
        lines += [camera.stdout.readline() for _ in range(40)]
        camera.kill()
    came, taken = np.array([line.split() for line in lines], np.int64).T
    assert np.abs(np.diff(taken) - 50_000_000).max() < 60_000_000  # none is missing, each has its time
    late = np.flatnonzero(came - taken > 700_000_000)
    assert late.size > 5
    assert np.median(np.diff(came[late])) > 8_000_000


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]
