"""The real PyAudio, PortAudio, ALSA and PulseAudio in a room of our own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware.hal import pyaudio_child
from firmware.hal.linux_clock import LinuxClock, LinuxClockConfig
from firmware.hal.ports import DriverError, SoundBlock, SourceFault
from firmware.hal.pyaudio_sound import PyAudioLoudspeaker, PyAudioMicrophone
from firmware.voice import notice, prompts
from hw_sim import acoustics, room, world
from hw_sim.room import CardClock
from hw_sim.world import RoomWorld, World

MIC, SPEAKER = "sim-microphone", "sim-loudspeaker"
MEDIA = Path(acoustics.__file__).parent / "media"
START = [sys.executable, "-m", "bodycam", "sim", "room"]

CLOCK = LinuxClock(LinuxClockConfig(Path("unused")))

sound = pytest.mark.sound


@contextlib.contextmanager
def running(folder: Path, config: RoomWorld) -> Iterator[subprocess.Popen[bytes]]:
    world.create(folder, World(room=config))
    with subprocess.Popen([*START, str(folder)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.terminate()


@pytest.fixture
def settings() -> RoomWorld:
    return RoomWorld()


@pytest.fixture
def folder(tmp_path: Path, settings: RoomWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A world with a room in it, and this process as the camera that stands there."""
    where = tmp_path / "a world"  # PulseAudio and sockets must not mind the space
    with running(where, settings):
        for name, value in room.environment(where).items():
            monkeypatch.setenv(name, value)
        yield where


class Ear:
    """Listens at the microphone."""

    def __init__(self) -> None:
        self.faults: queue.Queue[SourceFault] = queue.Queue()
        self._arrived: queue.Queue[SoundBlock] = queue.Queue()
        self.blocks: list[SoundBlock] = []
        self._microphone = PyAudioMicrophone(MIC, CLOCK)

    def __enter__(self) -> Self:
        self._microphone.start(self._arrived.put, self.faults.put)
        return self

    def __exit__(self, *_: object) -> None:
        self._microphone.stop()

    def listen(self, seconds: float, bound: float = 10.0) -> NDArray[np.int16]:
        """Return the next `seconds` of sound, which must arrive within `bound` seconds more than that."""
        deadline = time.monotonic() + seconds + bound
        while (block := self._arrived.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
            self.blocks.append(block)
            seconds -= 0.05
            if seconds <= 0:
                break
        return self.heard()

    def heard(self) -> NDArray[np.int16]:
        """Return everything so far; part blocks are never delivered."""
        while not self._arrived.empty():
            self.blocks.append(self._arrived.get())
        assert {len(block.pcm) for block in self.blocks} <= {4800}
        return np.frombuffer(b"".join(block.pcm for block in self.blocks), "<i2")

    def forget(self) -> None:
        self.heard()
        self.blocks.clear()


def _events(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / "room.jsonl").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == name]


def _until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _find(sound: NDArray[np.int16]) -> notice.NoticeFinding:
    prompt = prompts.load()["notice"]
    return notice.find(sound, np.frombuffer(prompt.pcm, "<i2"), prompt.rate)


@sound
def test_the_notice_is_heard_in_noise_as_loud_and_not_when_muted(folder: Path) -> None:
    prompt = prompts.load()["notice"]
    loudspeaker = PyAudioLoudspeaker(SPEAKER)
    room.ask(folder, "noise", snr_db=0)
    with Ear() as ear:
        ear.listen(0.5)
        loudspeaker.play(prompt.pcm, prompt.rate)
        found = _find(ear.listen(0.2))  # `play` returns when it was heard; 0.2 s for the way to the microphone
        assert found.heard, found
        assert found.slices_heard == 8
        room.ask(folder, "mute_loudspeaker", on=True)
        ear.forget()
        loudspeaker.play(prompt.pcm, prompt.rate)
        assert not _find(ear.listen(0.2)).heard
        assert ear.faults.empty()
    _until(lambda: len(_events(folder, "loudspeaker_ended")) > 0)


@sound
def test_a_room_held_up_by_other_work_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = prompts.load()["notice"]
    with running(tmp_path, RoomWorld()) as process:
        for name, value in room.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        with Ear() as ear:
            ear.listen(0.2)
            playing = threading.Thread(target=PyAudioLoudspeaker(SPEAKER).play, args=(prompt.pcm, prompt.rate))
            playing.start()
            for _ in range(3):
                ear.listen(1)
                process.send_signal(signal.SIGSTOP)
                threading.Event().wait(0.3)  # this is the delay, nothing is waited for
                process.send_signal(signal.SIGCONT)
            playing.join()
            sound = ear.listen(0.5)
            # The search works at 8 kHz: it sees all of the sound only if that begins with the right one of six samples.
            assert max(_find(sound[skip:]).score for skip in range(6)) > 0.95
            assert ear.faults.empty()


@sound
def test_a_block_knows_when_its_first_sample_was_taken(folder: Path) -> None:
    with Ear() as ear:
        ear.listen(0.5)
        assert room.ask(folder, "play", file=str(MEDIA / "answer_weather.flac"))["seconds"] > 2
        sound = ear.listen(1.0)
        assert ear.faults.empty()
    _until(lambda: len(_events(folder, "clip_ended")) == 1)
    clip = acoustics.load(MEDIA / "answer_weather.flac")
    loud = 600
    at = int(np.argmax(np.abs(sound) > loud))
    first_ns = ear.blocks[at // 2400].boot_ns + at % 2400 * 1_000_000_000 // 48_000
    begun_ns = first_ns - int(np.argmax(np.abs(clip) > loud)) * 1_000_000_000 // 48_000
    assert abs(begun_ns - _events(folder, "clip_started")[0]["boottime_ns"]) < 60_000_000


@sound
def test_play_is_ended_from_another_thread(folder: Path) -> None:
    prompt = prompts.load()["notice"]
    loudspeaker = PyAudioLoudspeaker(SPEAKER)
    playing = threading.Thread(target=loudspeaker.play, args=(prompt.pcm, prompt.rate))
    playing.start()
    _until(lambda: bool(room.ask(folder, "state")["speaking"]))
    loudspeaker.stop()
    begun = time.monotonic()
    playing.join(prompt.seconds)
    assert time.monotonic() - begun < prompt.seconds / 2
    loudspeaker.play(bytes(4800), 24_000)  # and it can play again


@sound
def test_a_sound_card_pulled_out_is_noticed_and_comes_back(folder: Path) -> None:
    prompt = prompts.load()["marked"]
    loudspeaker = PyAudioLoudspeaker(SPEAKER)
    with Ear() as ear:
        ear.listen(0.2)
        os.kill(room.ask(folder, "state")["server_pid"], signal.SIGKILL)
        fault = ear.faults.get(timeout=2.5)
        assert fault.cause == "microphone_lost"
        assert MIC in fault.detail
        with pytest.raises(DriverError, match=SPEAKER):
            loudspeaker.play(prompt.pcm, prompt.rate)
        _until(lambda: len(_events(folder, "server_lost")) == 1)
        room.ask(folder, "start_server")
        ear.forget()
        ear.listen(0.2)
        loudspeaker.play(prompt.pcm, prompt.rate)
        assert np.abs(ear.listen(0.2)).max() > 1000
        assert ear.faults.empty()  # one outage, told once


@sound
def test_a_microphone_that_falls_silent_is_noticed_and_comes_back(folder: Path) -> None:
    with Ear() as ear:
        ear.listen(0.2)
        room.ask(folder, "suspend_microphone", on=True)
        assert ear.faults.get(timeout=2.5).cause == "microphone_lost"
        room.ask(folder, "suspend_microphone", on=False)
        ear.forget()
        ear.listen(0.5)
        assert ear.faults.empty()


@sound
def test_a_missing_device_names_those_that_exist(folder: Path) -> None:
    assert folder.exists()
    with pytest.raises(DriverError, match=f"'usb-mic'; the configuration can name: '{MIC}'"):
        PyAudioMicrophone("usb-mic", CLOCK)
    with pytest.raises(DriverError, match=f"'usb-speaker'.*'{SPEAKER}'"):
        PyAudioLoudspeaker("usb-speaker")


@sound
@pytest.mark.parametrize("settings", [RoomWorld(sound_card_ppm=-200.0), RoomWorld(sound_card_ppm=200.0)])
def test_the_sound_card_keeps_its_own_time(folder: Path, settings: RoomWorld) -> None:
    """Undisturbed blocks come on time within a millisecond; on a busy machine they do not, so there are three tries."""
    assert folder.exists()
    for _ in range(3):
        with Ear() as ear:
            ear.listen(7.5)
        late = np.array([block.boot_ns - 50_000_000 * number for number, block in enumerate(ear.blocks)])[10:]
        seconds = 0.05 * (late.size - 20)
        ppm = -(late[-20:].min() - late[:20].min()) / seconds / 1000
        if 0.5 < ppm / settings.sound_card_ppm < 1.5:
            return
    pytest.fail(f"the card was set to {settings.sound_card_ppm} ppm and seen at {ppm:.0f}")


@sound
def test_a_room_ends_with_its_sound_server_and_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path, RoomWorld()) as process:
        server = room.ask(tmp_path, "state")["server_pid"]
        folder = (tmp_path / "sound").readlink()
        second = subprocess.run([*START, str(tmp_path)], capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert second.stderr == f"bodycam sim room: a room already runs in {tmp_path}: end it first\n"
        process.terminate()
        assert process.wait(5) == 0
    assert not _alive(server)
    assert not folder.exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["room.jsonl", "world.toml"]


@sound
def test_a_room_ends_with_its_parent(tmp_path: Path) -> None:
    world.create(tmp_path)
    script = f"import subprocess; subprocess.run({[*START, str(tmp_path)]!r})"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"ready\n"
        server = room.ask(tmp_path, "state")["server_pid"]
        parent.kill()
    _until(lambda: not (tmp_path / "sound").is_symlink())
    _until(lambda: not _alive(server))


@sound
def test_an_order_it_does_not_know_is_refused(folder: Path) -> None:
    with pytest.raises(room.ControlError, match="play"):
        room.ask(folder, "dance")
    with pytest.raises(room.ControlError, match=r"/gone\.wav: no sound can be read"):
        room.ask(folder, "play", file="/gone.wav")
    with pytest.raises(room.ControlError, match="unexpected keyword"):
        room.ask(folder, "mute_loudspeaker", loud=True)


def test_no_room_no_environment(tmp_path: Path) -> None:
    with pytest.raises(room.ControlError, match="no room runs in"):
        room.environment(tmp_path)


@pytest.mark.parametrize("ppm", [-100.0, 0.0, 100.0])
def test_the_clock_of_a_card_makes_no_block_twice_and_none_too_few(ppm: float) -> None:
    hour_ns = 3_600 * 10**9
    clock = CardClock(ppm, 0)
    rng = np.random.default_rng(5)
    looked = np.cumsum(rng.integers(0, 300_000_000, 25_000))
    made = sum(clock.due(int(at)) for at in looked[looked < hour_ns])
    assert made + clock.due(hour_ns) == pytest.approx(360_000 * (1 + ppm * 1e-6), abs=1)
    assert clock.seconds_to_next(hour_ns) <= 0.011


@pytest.mark.parametrize(("age_seconds", "waited_ms"), [(0.05, 0), (0.065, 0), (0.09, 40), (3600.0, 0), (-0.5, 0)])
def test_a_block_that_waited_long_is_put_back_and_nonsense_is_not_believed(age_seconds: float, waited_ms: int) -> None:
    assert pyaudio_child._waited_ns(age_seconds) == pytest.approx(waited_ms * 1_000_000)


def test_what_left_the_loudspeaker_arrives_once_and_later() -> None:
    air = acoustics.Air(acoustics.Track("silence", np.zeros(10, np.float32), loop=True), muted=False)
    click = np.zeros(480, np.float32)
    click[100] = 10_000
    heard = np.concatenate([air.take(click), *(air.take(np.zeros(480, np.float32)) for _ in range(4))])
    assert np.flatnonzero(heard).tolist() == [100 + 960]
    assert heard[1060] == round(10_000 * 10 ** (acoustics.LOUDSPEAKER_DB / 20))


def test_a_pause_in_a_sentence_does_not_end_it() -> None:
    watch = acoustics.SpeechWatch()
    speech, silence = np.full(480, 3000, np.float32), np.zeros(480, np.float32)
    story = [speech] * 5 + [silence] * 50 + [speech] * 5 + [silence] * 80
    told = [(number, word) for number, block in enumerate(story) if (word := watch.hear(block))]
    assert told == [(0, "started"), (60 + 59, "ended")]
    assert watch.quiet_seconds == pytest.approx(0.8)


@pytest.mark.parametrize("kind", acoustics.NOISE_KINDS)
def test_noise_has_the_level_that_was_asked_for(kind: str) -> None:
    samples = acoustics.noise(kind, -30.0) / acoustics.FULL_SCALE
    assert 20 * np.log10(np.sqrt(np.mean(samples**2))) == pytest.approx(-30.0, abs=0.01)


def test_a_file_that_is_no_sound_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not a sound")
    with pytest.raises(acoustics.SoundFileError, match=r"text\.wav: no sound can be read"):
        acoustics.load(tmp_path / "text.wav")
    with pytest.raises(acoustics.SoundFileError, match=r"street\.mp4"):
        acoustics.load(MEDIA / "street.mp4")
