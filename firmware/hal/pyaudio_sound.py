"""Microphone and loudspeaker by PyAudio (PortAudio), each stream in a process of its own.

PortAudio says little when a device goes away: callbacks just stop, and the stream may still call itself active. A sound
server that hangs holds whoever calls PortAudio, with Python's lock in its hand. So whatever knows PortAudio is in
`firmware.hal.pyaudio_child`, and the drivers here watch what comes from it, never wait for it, and start it anew. A new
process sees the devices of now.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from firmware.hal import pyaudio_child
from firmware.hal.ports import Clock, DriverError, SoundBlock, SourceFault
from firmware.hal.pyaudio_process import OPEN_SECONDS, Message, SoundProcess, find_device
from firmware.resampling import resample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)

_BLOCK_NS = 50_000_000
_STALL_SECONDS = 1.0  # a device without a callback for so long is lost
_SILENT_BLOCKS = 40  # two seconds
_RETRY_SECONDS = 0.5
_LATE_NS = 500_000_000
_CATCH_UP_SECONDS = 0.01  # for each late block: five times as fast as it was made
_STOP_SECONDS = 5.0


class PyAudioMicrophone:
    """`Microphone` of `firmware.hal.ports` on the input device that PortAudio calls exactly `device`.

    `boot_ns` of a block is the time of its callback less the block's length, and less what it has waited if that is
    much; PortAudio's own times are of the wall clock.
    It comes back by itself from every fault. Each is told once in an outage, which the next block ends:

    - "microphone_lost": no sound for a second, no device, or a stream's process that died. Also told, once for each
      block before which the library below lost samples: an outage that is over when it is told.
    - "microphone_silent": all samples of a block are the same, for two seconds. A microphone that works hears at least
      itself. From then on such blocks are left out, since they say no more than the fault does.
    - "microphone_moved": a sound server (PulseAudio, or PipeWire in its place) has joined the stream to another source,
      as it does when the microphone's own goes away. The stream is closed at once and opened again on `device`. What
      came from the other source before that was noticed, some milliseconds as a rule and 0.5 s at most, stays in the
      recording, and the fault tells of it: nothing recorded is thrown away, and nothing more of it is taken for the
      microphone's. `device` must therefore name one source, not the server's default, which is whatever it is today.
      A Raspberry Pi OS without a desktop has no such server: the stream holds the card itself, nothing can move it, and
      a card that goes away is lost.
    """

    def __init__(self, device: str, clock: Clock) -> None:
        """Raises DriverError, naming the devices that exist, if `device` is missing."""
        self._device = device
        # Both clocks run alike. Whatever comes between the two readings makes the difference too small, never too big.
        self._offset_ns = max(clock.boot_ns() - _boottime_ns() for _ in range(5))
        self._stopping = threading.Event()
        self._process: SoundProcess | None = None
        self._thread: threading.Thread | None = None
        self._told: set[str] = set()
        self._constant_blocks = 0
        self._facts = find_device(device, capture=True)

    def start(self, on_block: Callable[[SoundBlock], None], on_fault: Callable[[SourceFault], None]) -> None:
        """Deliver blocks until `stop`. A device that cannot be opened is told as a fault, and tried again."""
        self._on_block = on_block
        self._on_fault = on_fault
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="microphone", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop and release the device. Idempotent."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread:
            if process := self._process:
                process.kill()
            thread.join(_STOP_SECONDS)

    def describe(self) -> Mapping[str, str]:
        """`driver`, `model` (the device's name) and `library`."""
        return self._facts

    def _run(self) -> None:
        """Keep a stream open until `stop`, a new one after each loss."""
        while not self._stopping.is_set():
            try:
                with SoundProcess("capture", self._device) as self._process:
                    self._listen(self._process)
            except DriverError as error:
                self._tell("microphone_lost", f"{self._device!r}: {error}")
                self._stopping.wait(_RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 - no thread dies silently
                _log.exception("the microphone's thread goes on")
                self._tell("microphone_lost", f"{type(error).__name__}: {error}")
                self._stopping.wait(_RETRY_SECONDS)

    def _listen(self, process: SoundProcess) -> None:
        """Deliver what the process hears until it is of no more use. Raises DriverError if the sound is lost."""
        patience = OPEN_SECONDS
        while not self._stopping.is_set():
            message = process.receive(patience)
            if message is None:
                raise DriverError("pyaudio", f"no sound for {patience:g} s")
            if message.kind == pyaudio_child.MOVED:
                moved = message.body.decode("utf-8", "replace")
                self._tell("microphone_moved", f"the stream was moved {moved}, up to 0.5 s ago; it is opened again")
                return
            patience = _STALL_SECONDS
            if message.kind != pyaudio_child.OPENED:
                self._hear(message)

    def _hear(self, message: Message) -> None:
        pcm = message.body
        self._constant_blocks = self._constant_blocks + 1 if pcm == pcm[:2] * pyaudio_child.BLOCK_SAMPLES else 0
        if self._constant_blocks > _SILENT_BLOCKS:
            self._tell("microphone_silent", f"{self._device!r} has given one and the same sample for 2 s")
            return
        self._told.clear()
        if message.kind == pyaudio_child.BLOCK_AFTER_LOSS:
            self._on_fault(SourceFault("microphone_lost", "overflow: the sound library lost samples before this block"))
        if _boottime_ns() - message.at_ns > _LATE_NS:
            # This process was held up. Its pictures were too, and need longer than sound: let them come in between.
            self._stopping.wait(_CATCH_UP_SECONDS)
        self._on_block(SoundBlock(pcm, message.at_ns + self._offset_ns - _BLOCK_NS))

    def _tell(self, cause: str, detail: str) -> None:
        if cause not in self._told and not self._stopping.is_set():
            self._told.add(cause)
            self._on_fault(SourceFault(cause, detail))


class PyAudioLoudspeaker:
    """`Loudspeaker` of `firmware.hal.ports` on the output device that PortAudio calls exactly `device`.

    Each clip has a process of its own. The next one is there already, its library loaded, and waits for its clip.
    """

    def __init__(self, device: str) -> None:
        """Raises DriverError, naming the devices that exist, if `device` is missing."""
        self._device = device
        self._playing = threading.Lock()
        self._stopping = threading.Event()
        self._facts = find_device(device, capture=False)
        self._next = SoundProcess("play", device)

    def play(self, pcm: bytes, rate: int) -> None:
        """Play and return when it has been heard, the time in the library's buffers included.

        Raises DriverError if the device cannot be opened or stops taking sound.
        """
        with self._playing:
            self._stopping.clear()
            process = self._ready_process()
            try:
                process.send_clip(resample(np.frombuffer(pcm, "<i2"), rate, pyaudio_child.RATE).astype("<i2").tobytes())
                self._await(process)
            except DriverError:
                if not self._stopping.is_set():
                    raise
            finally:
                process.close()
                self._next = SoundProcess("play", self._device)

    def stop(self) -> None:
        """End what is playing; `play` returns at once."""
        self._stopping.set()
        if self._playing.locked():
            self._next.kill()

    def describe(self) -> Mapping[str, str]:
        """`driver`, `model` (the device's name) and `library`."""
        return self._facts

    def _ready_process(self) -> SoundProcess:
        if not self._next.alive:
            self._next.close()
            self._next = SoundProcess("play", self._device)
        return self._next

    def _await(self, process: SoundProcess) -> None:
        patience = OPEN_SECONDS
        while (message := process.receive(patience)) is not None:
            if message.kind == pyaudio_child.PLAYED:
                return
            patience = _STALL_SECONDS
        raise DriverError("pyaudio", f"{self._device!r} has taken no sound for {patience:g} s")


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
