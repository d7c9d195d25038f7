"""The dock's configuration file, documented in docs/configuration.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from runtime.config import Between, Matches

_ADDRESS = Matches(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")
Address = Annotated[str, _ADDRESS]
OUTBOX: Final = "outbox.sqlite"
"""The outbox's name in the spool."""


@dataclass(frozen=True, slots=True)
class Bay:
    """One place for a camera: the port that it plugs into, or the fixed address at which it is found.

    `name`: what people call it; without one, its number. `port`: a USB port as the kernel names it ("1-1.2"), or the
    name of a network interface.
    """

    name: Annotated[str, Matches("[A-Za-z0-9-]{1,32}")] | None = None
    port: Annotated[str, Matches(r"[A-Za-z0-9._-]{1,32}")] | None = None
    camera: Address | None = None

    def __post_init__(self) -> None:
        if (self.port is None) == (self.camera is None):
            raise ValueError("a bay has either a port or a camera")


@dataclass(frozen=True, slots=True)
class ScreenConfig:
    """The page for a screen at the dock. On loopback, always: what is shown is for those who stand there."""

    port: Annotated[int, Between(0, 65535)] = 8480


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """Where Prometheus finds this dock."""

    address: str = "127.0.0.1"
    port: Annotated[int, Between(0, 65535)] = 9480


@dataclass(frozen=True, slots=True)
class DockConfig:
    """`dock.toml`. The dock's id is that of its certificate."""

    certificate: Path  # PEM chain, leaf first, role dock
    key: Path
    roots: Path  # PEM of the agency's roots
    signers: Path  # PEM of the office's signer certificates with those above them
    spool: Path
    office: Address
    broker: Address
    bays: tuple[Bay, ...]
    spool_bytes: Annotated[int, Between(0, None)] = 64 * 1024**3
    keep_segments: bool = False
    office_blocks: Annotated[int, Between(1, 64)] = 4
    telemetry_seconds: Annotated[float, Between(0.1, 3600)] = 60.0
    thermometer: Path = Path("/sys/class/thermal/thermal_zone0/temp")
    poll_seconds: Annotated[float, Between(0.1, 60)] = 2.0
    retry_seconds: Annotated[float, Between(0.1, 60)] = 1.0
    retry_limit_seconds: Annotated[float, Between(1, 3600)] = 120.0
    connect_seconds: Annotated[float, Between(0.1, 30)] = 3.0
    block_seconds: Annotated[float, Between(0.5, 300)] = 30.0
    screen: ScreenConfig | None = None
    metrics: MetricsConfig | None = None

    def __post_init__(self) -> None:
        if not self.bays:
            raise ValueError("at least one [[bays]] is needed")
        places = [bay.port or bay.camera for bay in self.bays]
        for what, values in (("name", [*self.named_bays]), ("port or camera", places)):
            if len(set(values)) < len(self.bays):
                raise ValueError(f"two [[bays]] have the same {what}")

    @property
    def named_bays(self) -> dict[str, Bay]:
        """The bays by name."""
        return {bay.name or str(number): bay for number, bay in enumerate(self.bays, 1)}


def split_address(address: str) -> tuple[str, int]:
    """`host:port` or `[address]:port` as a pair."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
