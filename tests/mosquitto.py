"""A real mosquitto as the office runs it: mutual TLS, one access rule for each identity."""

from __future__ import annotations

import getpass
import socket
import subprocess
import time
from pathlib import Path

from evidence import pki
from evidence.pki import Role
from office.broker import access
from tests.agency import Agency


class Broker:
    """A broker on a loopback port, at the same port after each restart; its certificate has role `role`."""

    def __init__(self, folder: Path, agency: Agency, role: Role = Role.OFFICE) -> None:
        folder.mkdir()
        chain, key = agency.issue(role, "OFFICE-1").write(folder, "broker")
        self.roots = folder / "roots.pem"
        self.roots.write_bytes(pki.to_pem(agency.root.certificate))
        (folder / "acl").write_text(access("OFFICE-1", ["DESK-1"]))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"user {getpass.getuser()}\nlistener {self.port} 127.0.0.1\nallow_anonymous false\n"
            f"cafile {folder}/roots.pem\ncertfile {chain}\nkeyfile {key}\ntls_version tlsv1.3\n"
            f"require_certificate true\nuse_identity_as_username true\nacl_file {folder}/acl\n"
            f"persistence true\npersistence_location {folder}/\nlog_dest file {folder}/log\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def start(self) -> None:
        """Start, and return when it listens."""
        self._process = subprocess.Popen(["mosquitto", "-c", str(self._config)], stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(self.address, timeout=1).close()
            except ConnectionRefusedError:
                assert self._process.poll() is None, "mosquitto did not start"
                time.sleep(0.02)
            else:
                return
        raise AssertionError("mosquitto does not listen")

    def kill(self) -> None:
        """As by the out-of-memory killer."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
