"""Microphone and loudspeaker by PyAudio (PortAudio).

PortAudio says little when a device goes away: callbacks just stop, and the stream may still call itself active. So
both drivers watch whether callbacks come. It looks for devices only while nobody in the process has it open, and two
threads must not enter it at once: `_PORTAUDIO` guards opening and closing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyaudio

from firmware.hal.ports import Clock, DriverError, SoundBlock, SourceFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    _Callback = Callable[[bytes | None, int, Mapping[str, float], int], tuple[bytes | None, int]]

_RATE = 48_000
_BLOCK_SAMPLES = 2_400
_SPOKEN_SAMPLES = 7_200  # 150 ms at a time: a sound server that is held up a moment has enough to play
_BLOCK_NS = 50_000_000
_STALL_SECONDS = 1.0  # a device without a callback for so long is lost
_RETRY_SECONDS = 0.5
_STOP_SECONDS = 3.0  # a sound server that hangs holds whoever calls it; nothing at the camera's end may wait for it
_PORTAUDIO = threading.Lock()


class PyAudioMicrophone:
    """`Microphone` of `firmware.hal.ports` on the input device that PortAudio calls exactly `device`.

    `boot_ns` of a block is the time of its callback less the block's length; what PortAudio itself tells is wall clock.
    The one fault is "microphone_lost": once for each outage, which the next block ends, and once for each block before
    which the library below lost samples (an outage that is over when it is told).
    """

    def __init__(self, device: str, clock: Clock) -> None:
        """Raises DriverError, naming the devices that exist, if `device` is missing."""
        self._device = device
        self._clock = clock
        self._stopping = threading.Event()
        self._heard = threading.Event()
        self._lost = False
        self._thread: threading.Thread | None = None
        self._facts = _describe(device, capture=True)

    def start(self, on_block: Callable[[SoundBlock], None], on_fault: Callable[[SourceFault], None]) -> None:
        """Open the device and deliver blocks until `stop`. Raises DriverError if it cannot be opened now."""
        self._on_block = on_block
        self._on_fault = on_fault
        self._stopping.clear()
        stream = self._open()
        self._thread = threading.Thread(target=self._watch, args=(stream,), name="microphone", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop and release the device; a library that hangs is left behind after a while. Idempotent."""
        self._stopping.set()
        self._heard.set()
        thread, self._thread = self._thread, None
        if thread:
            thread.join(_STOP_SECONDS)

    def describe(self) -> Mapping[str, str]:
        """`driver`, `model` (the device's name) and `library`."""
        return self._facts

    def _open(self) -> _Stream:
        stream = _Stream(self._device, _RATE, self._take, capture=True)
        self._heard.clear()
        stream.start()
        return stream

    def _take(
        self, data: bytes | None, count: int, _times: Mapping[str, float], status: int
    ) -> tuple[bytes | None, int]:
        now = self._clock.boot_ns()
        self._heard.set()
        self._lost = False
        if status & pyaudio.paInputOverflow:
            self._on_fault(SourceFault("microphone_lost", "overflow: the sound library lost samples before this block"))
        if data is not None and count == _BLOCK_SAMPLES:  # PortAudio adapts to our block; a part is no block
            self._on_block(SoundBlock(data, now - _BLOCK_NS))
        return None, pyaudio.paContinue

    def _watch(self, opened: _Stream) -> None:
        """Keep a stream open until `stop`, a new one after each loss."""
        stream: _Stream | None = opened
        while not self._stopping.is_set():
            if stream is None:
                stream = self._reopen()
            elif self._heard.wait(_STALL_SECONDS):
                self._heard.clear()
            else:
                self._tell_lost(f"{self._device!r} has given no sound for {_STALL_SECONDS:g} s")
                stream.close()
                stream = None
        if stream:
            stream.close()

    def _reopen(self) -> _Stream | None:
        try:
            return self._open()
        except DriverError as error:
            self._tell_lost(str(error))
            self._stopping.wait(_RETRY_SECONDS)
            return None

    def _tell_lost(self, detail: str) -> None:
        if not self._lost:
            self._lost = True
            self._on_fault(SourceFault("microphone_lost", detail))


class PyAudioLoudspeaker:
    """`Loudspeaker` of `firmware.hal.ports` on the output device that PortAudio calls exactly `device`."""

    def __init__(self, device: str) -> None:
        """Raises DriverError, naming the devices that exist, if `device` is missing."""
        self._device = device
        self._playing = threading.Lock()
        self._stopping = threading.Event()
        self._facts = _describe(device, capture=False)

    def play(self, pcm: bytes, rate: int) -> None:
        """Play and return when it has been heard, the time in the library's buffers included.

        Raises DriverError if the device cannot be opened or stops taking sound.
        """
        with self._playing:
            self._stopping.clear()
            # Asking whether the device takes another rate would hold Python's lock as long as the sound server hangs,
            # and with it the pictures.
            pcm, rate = _resample(pcm, rate), _RATE
            clip = _Clip(pcm)
            stream = _Stream(self._device, rate, clip.give, capture=False)
            try:
                # Draining is left to nobody: silence as long as the buffers pushes the last word out.
                clip.append_silence(2 * round(stream.output_seconds() * rate) + 2 * _SPOKEN_SAMPLES)
                stream.start()
                self._await(clip)
            finally:
                stream.close()

    def stop(self) -> None:
        """End what is playing; `play` returns at once."""
        self._stopping.set()

    def describe(self) -> Mapping[str, str]:
        """`driver`, `model` (the device's name) and `library`."""
        return self._facts

    def _await(self, clip: _Clip) -> None:
        asked, since = -1, time.monotonic()
        while not clip.over.wait(0.02) and not self._stopping.is_set():
            if clip.asked != asked:
                asked, since = clip.asked, time.monotonic()
            elif time.monotonic() - since > _STALL_SECONDS:
                raise DriverError("pyaudio", f"{self._device!r} has taken no sound for {_STALL_SECONDS:g} s")


class _Clip:
    """What the loudspeaker's callback still has to give."""

    def __init__(self, pcm: bytes) -> None:
        self._pcm = pcm
        self._at = 0
        self.asked = 0  # callbacks so far
        self.over = threading.Event()

    def append_silence(self, samples: int) -> None:
        self._pcm += bytes(2 * samples)

    def give(
        self, _data: bytes | None, count: int, _times: Mapping[str, float], _status: int
    ) -> tuple[bytes | None, int]:
        part = self._pcm[self._at : self._at + 2 * count]
        self._at += 2 * count
        self.asked += 1
        if self._at < len(self._pcm):
            return part, pyaudio.paContinue
        self.over.set()
        return part.ljust(2 * count, b"\0"), pyaudio.paComplete


class _Stream:
    """One callback stream with a PyAudio of its own, so that reopening sees the devices of now."""

    def __init__(self, device: str, rate: int, callback: _Callback, *, capture: bool) -> None:
        """Raises DriverError."""
        end = "input" if capture else "output"
        with _PORTAUDIO, contextlib.ExitStack() as undo:
            self._library = pyaudio.PyAudio()
            undo.callback(self._library.terminate)
            index = _find(self._library, device, capture=capture)["index"]
            try:
                self._stream = self._library.open(
                    rate,
                    1,
                    pyaudio.paInt16,
                    frames_per_buffer=_BLOCK_SAMPLES if capture else _SPOKEN_SAMPLES,
                    stream_callback=callback,
                    start=False,
                    **{end: True, f"{end}_device_index": index},
                )
            except OSError as error:
                raise DriverError("pyaudio", f"{device!r} cannot be opened at {rate} Hz: {error}") from error
            undo.pop_all()

    def start(self) -> None:
        try:
            self._stream.start_stream()
        except OSError as error:
            self.close()
            raise DriverError("pyaudio", f"the stream cannot be started: {error}") from error

    def output_seconds(self) -> float:
        return float(self._stream.get_output_latency())

    def close(self) -> None:
        with _PORTAUDIO:
            self._library.terminate()  # it closes its stream first


@contextlib.contextmanager
def _library() -> Iterator[pyaudio.PyAudio]:
    with _PORTAUDIO:
        library = pyaudio.PyAudio()
        try:
            yield library
        finally:
            library.terminate()


def _find(library: pyaudio.PyAudio, device: str, *, capture: bool) -> Mapping[str, Any]:
    channels = "maxInputChannels" if capture else "maxOutputChannels"
    infos = [library.get_device_info_by_index(index) for index in range(library.get_device_count())]
    fitting = {str(info["name"]): info for info in infos if info[channels]}
    if device not in fitting:
        kind = "input" if capture else "output"
        names = ", ".join(repr(name) for name in fitting) or "none"
        raise DriverError("pyaudio", f"no {kind} device is called {device!r}; the configuration can name: {names}")
    found: Mapping[str, Any] = fitting[device]
    return found


def _describe(device: str, *, capture: bool) -> Mapping[str, str]:
    with _library() as library:
        found = _find(library, device, capture=capture)
        return {"driver": "pyaudio", "model": str(found["name"]), "library": pyaudio.get_portaudio_version_text()}


def _resample(pcm: bytes, rate: int) -> bytes:
    """Bring a clip to 48 kHz, band-limited; clips begin and end in silence, so its being cyclic does not matter."""
    samples = np.frombuffer(pcm, "<i2")
    count = samples.size * _RATE // rate
    spectrum = np.fft.rfft(samples)
    resampled = np.fft.irfft(spectrum[: count // 2 + 1], count) * (count / max(samples.size, 1))
    return np.clip(np.rint(resampled), -32768, 32767).astype("<i2").tobytes()
