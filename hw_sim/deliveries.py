"""The deliveries log: what the simulated lens gave, as the truth to compare a recording with."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Delivery:
    """One exposure and what became of it.

    `n` counts the exposures that reached the application, through restarts too; None for any other exposure.
    `source` is the number of the source frame that the picture shows; None if it shows none (black).
    `sequence` counts exposures since the camera was started. `status` is delivered, lost, error or cancelled.
    """

    n: int | None
    sensor_ns: int
    source: int | None
    sequence: int
    status: str


class DeliveryLog:
    """Appends deliveries to a file of JSON lines; each line is in the kernel's hands before the frame is delivered."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.next_n = _resume(path)
        self._file = path.open("a", buffering=1, encoding="ascii")

    def append(self, delivery: Delivery) -> None:
        """Append one line."""
        self._file.write(json.dumps(asdict(delivery), separators=(",", ":")) + "\n")
        if delivery.n is not None:
            self.next_n = delivery.n + 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_deliveries(path: Path) -> list[Delivery]:
    """Read a log back; a last line that is not complete (the process was killed) is left out."""
    lines = path.read_text("ascii").split("\n")[:-1]
    return [Delivery(**json.loads(line)) for line in lines]


def _resume(path: Path) -> int:
    """Cut a torn last line off; give the number of the next delivery."""
    if not path.exists():
        return 0
    os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
    counted = [delivery.n for delivery in read_deliveries(path) if delivery.n is not None]
    return counted[-1] + 1 if counted else 0
