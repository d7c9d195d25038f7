"""A fleet's site below one folder: agency, office, docks and cameras, provisioned with the product's own commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hw_sim.demo.programs import command, free_ports

OFFICE = "OFFICE-1"
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class DockSite:
    """A dock, and the cameras that stand in its bays."""

    id: str
    folder: Path
    cameras: Mapping[str, int]  # device id to port

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.folder / "dock.toml"


@dataclass(slots=True)
class Site:
    """Where everything is."""

    root: Path
    office_port: int
    broker_port: int
    docks: list[DockSite] = field(default_factory=list)

    @property
    def office(self) -> Path:
        """The office's folder."""
        return self.root / "office"

    @property
    def store(self) -> Path:
        """What the office holds, by camera."""
        return self.office / "data" / "store"

    @property
    def office_config(self) -> Path:
        """The office's configuration."""
        return self.office / "office.toml"

    def camera(self, device: str) -> Path:
        """A camera's folder."""
        return self.root / "cameras" / device


def build(root: Path, cameras: int, docks: int, fragment_ms: int) -> Site:
    """Provision all. Raises `hw_sim.demo.programs.DemoError`."""
    office_port, broker_port, *ports = free_ports(cameras + 2)
    site = Site(root, office_port, broker_port)
    agency = ["--agency", str(root / "agency")]
    command(["provision", "agency", "--dir", str(root / "agency"), "--name", "仿真综合行政执法局"])
    command(["provision", "office", OFFICE, *agency, "--dir", str(site.office)])
    _write(site.office_config, _office(site))
    devices = [f"BWC-{number:04}" for number in range(1, cameras + 1)]
    for device in devices:
        folder = ["--office", str(site.office), "--dir", str(site.camera(device))]
        command(["provision", "camera", device, *agency, *folder, "--fragment-ms", str(fragment_ms)])
    for number in range(docks):
        dock = DockSite(
            f"DOCK-{number + 1}",
            root / "docks" / f"DOCK-{number + 1}",
            dict(zip(devices[number::docks], ports[number::docks], strict=True)),
        )
        command(["provision", "dock", dock.id, *agency, "--dir", str(dock.folder)])
        bays = "".join(f'[[bays]]\ncamera = "{_LOOPBACK}:{port}"\n' for port in dock.cameras.values())
        _write(dock.config, _dock(site), bays)
        site.docks.append(dock)
    return site


def _office(site: Site) -> dict[str, object]:
    return {
        "data": "data",
        "roots": "certs/root.pem",
        "certificate": "certs/office.pem",
        "key": "keys/office.key.pem",
        "signer_certificate": "certs/signer.pem",
        "signer_key": "keys/signer.key.pem",
        "log_key": "keys/log.key.pem",
        "stamp_certificate": "certs/stamp.pem",
        "stamp_key": "keys/stamp.key.pem",
        "address": _LOOPBACK,
        "port": site.office_port,
        "broker_address": _LOOPBACK,
        "broker_port": site.broker_port,
    }


def _dock(site: Site) -> dict[str, object]:
    return {
        "certificate": "certs/dock.pem",
        "key": "keys/dock.key.pem",
        "roots": "certs/root.pem",
        "signers": str(site.office / "certs" / "signer.pem"),
        "spool": "spool",
        "office": f"{_LOOPBACK}:{site.office_port}",
        "broker": f"{_LOOPBACK}:{site.broker_port}",
    }


def _write(path: Path, settings: Mapping[str, object], rest: str = "") -> None:
    lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in settings.items())
    path.write_text("".join(lines) + rest, encoding="utf-8")
