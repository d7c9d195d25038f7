"""Dock and office as they run, each its own process below one folder; the camera's dock port in this one."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from evidence import pki
from evidence.pki import Role
from runtime.keys import private_pem
from tests.agency import Agency
from tests.dock_camera import DockedCamera

_SECONDS = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Programs:
    """Office and dock below `tmp`, each a process; the camera in this one."""

    def __init__(self, tmp: Path, agency: Agency) -> None:
        self.tmp = tmp
        self.running: list[subprocess.Popen[bytes]] = []
        signer = agency.issue(Role.SIGNER, "OFFICE-1")
        (tmp / "roots.pem").write_bytes(pki.to_pem(agency.root.certificate))
        holders = {"dock": agency.issue(Role.DOCK, "DOCK-1"), "office": agency.issue(Role.OFFICE, "OFFICE-1")}
        for name, holder in {**holders, "signer": signer}.items():
            holder.write(tmp, name)
        (tmp / "log.key.pem").write_bytes(private_pem(ed25519.Ed25519PrivateKey.generate()))
        self.camera = DockedCamera(tmp / "camera", agency, signer.certificate)
        self.camera.port.start()
        port, broker = free_port(), free_port()
        (tmp / "office.toml").write_text(
            f'data = "office"\nroots = "roots.pem"\ncertificate = "office.pem"\nkey = "office.key.pem"\n'
            f'signer_certificate = "signer.pem"\nsigner_key = "signer.key.pem"\nlog_key = "log.key.pem"\n'
            f"port = {port}\nbroker_port = {broker}\n"
        )
        (tmp / "dock.toml").write_text(
            f'certificate = "dock.pem"\nkey = "dock.key.pem"\nroots = "roots.pem"\nsigners = "signer.pem"\n'
            f'spool = "spool"\noffice = "127.0.0.1:{port}"\nbroker = "127.0.0.1:{broker}"\nkeep_segments = true\n'
            f"poll_seconds = 0.1\nretry_seconds = 0.2\nretry_limit_seconds = 1\n"
            f'[[bays]]\ncamera = "127.0.0.1:{self.camera.port.address[1]}"\n'
            f"[screen]\nport = 0\n[metrics]\nport = 0\n"
        )

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a program; its log is `<name>.log`."""
        with (self.tmp / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(self.command(name, "run"), stdin=subprocess.DEVNULL, stderr=log)
        self.running.append(process)
        return process

    def command(self, name: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "bodycam", name, *arguments, "--config", str(self.tmp / f"{name}.toml")]

    def wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + _SECONDS
        while not condition():
            logs = {path.name: path.read_text()[-2000:] for path in self.tmp.glob("*.log")}
            assert time.monotonic() < end, logs
            time.sleep(0.02)

    def said(self, name: str, text: str) -> bool:
        path = self.tmp / f"{name}.log"
        return path.exists() and text in path.read_text()

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            process.wait(20)
        self.camera.port.stop()
