"""Battery, heat and storage: looked at often, told to the wearer when they get worse (rules 10 and 15)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from firmware.capture.vocabulary import Event, Warned
from firmware.hal.ports import Battery, Board, Charge, Clock, DriverError
from firmware.health import Heat, HeatJudge, Storage, StorageJudge
from firmware.loop import Loop
from firmware.power import Power, PowerJudge
from firmware.worker import Worker
from runtime.disk import Disk

_LOOK_SECONDS = 3.0  # a sag is told within five
_PATIENCE_LOOKS = 5
_MOST_PERCENT, _MOST_VOLTS = 150.0, 100.0  # beyond, and NaN, it is no figure


class Care:
    """Called from the loop; what may hang with its device is asked in the worker's thread.

    `reserve_bytes` are not for recordings. `planned_bytes_per_second` is counted with until the real rate was seen.
    """

    def __init__(
        self, clock: Clock, disk: Disk, battery: Battery | None, board: Board, loop: Loop, worker: Worker,
        step: Callable[[Event], None], fault: Callable[[str, str], None], recording: Callable[[], str | None],
        *, reserve_bytes: int, planned_bytes_per_second: float,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._disk = disk
        self._battery = battery
        self._board = board
        self._loop = loop
        self._worker = worker
        self._step = step
        self._fault = fault
        self._recording = recording
        self._reserve_bytes = reserve_bytes
        self._power_judge = PowerJudge()
        self._heat_judge = HeatJudge()
        self._storage_judge = StorageJudge(planned_bytes_per_second)
        self._asking = threading.Event()
        self._critical: dict[str, str | None] = {}  # what is critical, and the recording in which it was told
        self.power: Power | None = None
        self.heat: Heat | None = None
        self.storage: Storage | None = None
        self.gauge_missing = False  # it is configured, and does not answer
        self._free = 0
        self._unanswered = 0  # looks since it was asked

    def start(self) -> None:
        """Look now, and every three seconds."""
        self._look()
        self._loop.every(_LOOK_SECONDS, self._look)

    def figures(self) -> Mapping[str, Any]:
        """For `self_check` and `heartbeat` records."""
        told: dict[str, Any] = {}
        for part in (self.power, self.heat, self.storage):
            told |= part.figures() if part is not None else {}
        return told

    @property
    def has_room(self) -> bool:
        """Whether the disk had more free than the reserve; true until it was asked, which may hang with it."""
        return self.storage is None or self._free >= self._reserve_bytes

    def free_bytes(self) -> int:
        """What the disk had free when it was asked last, the reserve included."""
        return self._free

    def _look(self) -> None:
        if not self._asking.is_set():  # a device that hangs is asked once
            self._asking.set()
            self._unanswered = 0
            self._worker.do(self._ask)
            return
        self._unanswered += 1
        if self._unanswered == _PATIENCE_LOOKS:
            self.power, self.gauge_missing = None, self._battery is not None
            self._fault("care", "battery, board or disk does not answer; what they told last counts no more")

    def _ask(self) -> None:
        charge, failed = None, None
        try:
            try:
                charge = self._charge()
            except DriverError as error:
                failed = str(error)
            except Exception as error:  # noqa: BLE001 - a library's own failure must not keep the rest from being asked
                failed = f"{type(error).__name__}: {error}"
            celsius, wear, free = self._board.celsius(), self._board.card_wear_percent(), self._disk.free()
        finally:
            self._asking.clear()
        self._loop.put(lambda: self._judge(charge, failed, celsius, wear, free))

    def _charge(self) -> Charge | None:
        charge = self._battery.read() if self._battery is not None else None
        if charge is not None and not (0 <= charge.percent <= _MOST_PERCENT and 0 <= charge.volts <= _MOST_VOLTS):
            raise DriverError("battery", f"tells {charge.percent} % and {charge.volts} V, which no battery has")
        return charge

    def _judge(
        self, charge: Charge | None, failed: str | None, celsius: float | None, wear: float | None, free: int
    ) -> None:
        now = self._clock.boot_ns()
        self._free = free
        if failed is not None:
            self.power = None
            if not self.gauge_missing:  # told once, until it answers again
                self._fault("battery", failed)
        self.gauge_missing = failed is not None
        if charge is not None:
            self._judge_power(self._power_judge.take(charge, now))
        self._judge_heat(self._heat_judge.take(celsius))
        free = max(0, free - self._reserve_bytes)
        self._judge_storage(self._storage_judge.take(free, wear, now, recording=self._recording() is not None))

    def _judge_power(self, power: Power) -> None:
        before, self.power = self.power, power
        detail = f"{power.percent:.0f} %, {power.volts:.2f} V, {power.hours:.1f} h left"
        if power.level == "low" and not power.charging and (before is None or before.level == "ok"):
            self._step(Warned("battery_warning", "battery_warning", detail))
        self._tell_critical("battery_low", "battery_low", detail, now=power.level == "critical" and not power.charging)

    def _judge_heat(self, heat: Heat) -> None:
        before, self.heat = self.heat, heat
        if heat.level == "warm" and (before is None or before.level == "ok"):
            self._step(Warned("heat_warning"))
        self._tell_critical(
            "heat_warning", "heat", f"{heat.celsius or 0:.0f} degrees Celsius", now=heat.level == "critical"
        )

    def _judge_storage(self, storage: Storage) -> None:
        before, self.storage = self.storage, storage
        detail = f"{storage.free_bytes >> 20} MiB, {storage.hours:.1f} h can be recorded"
        if storage.level == "low" and (before is None or before.level == "ok"):
            self._step(Warned("storage_warning", "storage_warning", detail))
        self._tell_critical("storage_low", "storage_low", detail, now=storage.level == "critical")

    def _tell_critical(self, prompt: str, what: str, detail: str, *, now: bool) -> None:
        """Once, and once in each recording: should it be cut off, its records tell the likely cause (R4)."""
        if not now:
            self._critical.pop(what, None)
            return
        recording = self._recording()
        if what in self._critical and recording in (None, self._critical[what]):
            return
        self._critical[what] = recording
        self._step(Warned(prompt, what, detail))
