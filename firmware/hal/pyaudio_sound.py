"""Microphone and loudspeaker by PyAudio (PortAudio).

PortAudio says little when a device goes away: callbacks just stop, and the stream may still call itself active. So
both drivers watch when the last callback came. It enumerates devices only while nobody in the process has it open,
and must not be entered by two threads: `_PORTAUDIO` guards opening and closing.
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
    from collections.abc import Callable, Mapping

_RATE = 48_000
_BLOCK_SAMPLES = 2_400
_BLOCK_NS = 50_000_000
_SILENCE_SECONDS = 1.0  # without a callback, the device is lost
_RETRY_SECONDS = 0.5
_PORTAUDIO = threading.Lock()


class _Stream:
    """One callback stream with a PyAudio of its own, so that reopening sees the devices of now."""

    def __init__(
        self,
        driver: str,
        device: str,
        rate: int,
        callback: Callable[[bytes | None, int, Mapping[str, float], int], tuple[bytes | None, int]],
        *,
        capture: bool,
    ) -> None:
        """Raises DriverError: the device is missing, or cannot be opened."""
        with _PORTAUDIO:
            self._library = pyaudio.PyAudio()
            try:
                index = _find(self._library, driver, device, capture=capture)
                end = "input" if capture else "output"
                if not capture and not _takes(self._library, index, rate):
                    rate = _RATE
                self.rate = rate
                self._stream = self._library.open(
                    rate,
                    1,
                    pyaudio.paInt16,
                    frames_per_buffer=_BLOCK_SAMPLES,
                    stream_callback=callback,
                    start=False,
                    **{end: True, f"{end}_device_index": index},
                )
            except OSError as error:
                self._library.terminate()
                raise DriverError(driver, f"{device!r} cannot be opened: {error}") from error
            except DriverError:
                self._library.terminate()
                raise

    def start(self) -> None:
        self._stream.start_stream()

    def active(self) -> bool:
        return bool(self._stream.is_active())

    def output_seconds(self) -> float:
        return float(self._stream.get_output_latency())

    def close(self) -> None:
        with _PORTAUDIO, contextlib.suppress(OSError):
            self._stream.close()
        with _PORTAUDIO:
            self._library.terminate()
