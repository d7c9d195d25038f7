"""What a picture driver owes besides pictures: an account of each, faults told once, and an eye on silence."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator

from firmware.hal.ports import Clock, SourceFault

_log = logging.getLogger(__name__)

_STALL_NS = 1_000_000_000
_FIRST_PICTURE_NS = 3_000_000_000  # a sensor needs up to two seconds to start
_WATCH_SECONDS = 0.1


class Ledger:
    """Follows each picture from the sensor through the encoder."""

    def __init__(self, frame_ns: int) -> None:
        self._frame_ns = frame_ns
        self._lock = threading.Lock()
        self._in_encoder: deque[tuple[int, int]] = deque()
        self.last_ns: int | None = None  # boot time of the last picture
        self._counts = dict.fromkeys(("delivered", "encoded", "dropped", "lost"), 0)

    def exposed(self, boot_ns: int) -> None:
        """Take note of a picture that libcamera delivered; a gap before it are pictures that it did not."""
        with self._lock:
            if self.last_ns is not None:
                self._counts["lost"] += max(0, round((boot_ns - self.last_ns) / self._frame_ns) - 1)
            self.last_ns = boot_ns
            self._counts["delivered"] += 1
            self._in_encoder.append((_encoder_us(boot_ns), boot_ns))

    def encoded(self, encoder_us: int) -> int:
        """Give the exact boot time of an encoded frame, whose own time was cut to microseconds."""
        with self._lock:
            self._counts["encoded"] += 1
            while self._in_encoder and self._in_encoder[0][0] < encoder_us:
                self._in_encoder.popleft()
                self._counts["dropped"] += 1
            if self._in_encoder and self._in_encoder[0][0] == encoder_us:
                return self._in_encoder.popleft()[1]
            return encoder_us * 1_000

    def oldest_ns(self) -> int | None:
        """Give the boot time of the picture that has waited longest for the encoder; None if none waits."""
        with self._lock:
            return self._in_encoder[0][1] if self._in_encoder else None

    def counts(self) -> dict[str, int]:
        """Give the pictures delivered, encoded, dropped and lost."""
        with self._lock:
            return dict(self._counts)


class Faults:
    """Tells faults, each cause once until it has passed."""

    def __init__(self, on_fault: Callable[[SourceFault], None]) -> None:
        self._on_fault = on_fault
        self._present: set[str] = set()

    def raised(self, cause: str, detail: str) -> None:
        """Tell a fault, unless it has been told and has not passed."""
        if cause in self._present:
            return
        self._present.add(cause)
        try:
            self._on_fault(SourceFault(cause, detail))
        except Exception:  # noqa: BLE001 - a listener must not end the thread that tells it
            _log.exception("the listener for faults failed on %s", cause)

    def passed(self, cause: str) -> None:
        """Be ready to tell that cause again."""
        self._present.discard(cause)

    @contextlib.contextmanager
    def told(self, cause: str) -> Iterator[None]:
        """Tell an exception as a fault instead of raising it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end picamera2's thread
            self.raised(cause, f"{type(error).__name__}: {error}")
        else:
            self.passed(cause)


class Watchdog:
    """Tells of a camera or an encoder that has given nothing for a second."""

    def __init__(self, clock: Clock, ledger: Ledger, faults: Faults, is_plugged: Callable[[], bool]) -> None:
        self._clock = clock
        self._ledger = ledger
        self._faults = faults
        self._is_plugged = is_plugged
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="video-watchdog", daemon=True)
        self._grace_ns = clock.boot_ns() + _FIRST_PICTURE_NS - _STALL_NS

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Idempotent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(_WATCH_SECONDS):
            present = self._present_cause()
            for cause in ("camera_stall", "camera_lost", "encoder_stall"):
                if cause == present:
                    self._faults.raised(cause, "nothing has come for a second")
                else:
                    self._faults.passed(cause)

    def _present_cause(self) -> str | None:
        """A picture that came and does not come out is the encoder's: it may hold up the ones behind it as well."""
        expected_ns = self._clock.boot_ns() - _STALL_NS
        if (self._ledger.oldest_ns() or expected_ns) < expected_ns:
            return "encoder_stall"
        if (self._ledger.last_ns or self._grace_ns) < expected_ns:
            return "camera_stall" if self._is_plugged() else "camera_lost"
        return None


def _encoder_us(boot_ns: int) -> int:
    """Cut a boot time to microseconds exactly as picamera2's encoders do."""
    return int(boot_ns / 1_000)
