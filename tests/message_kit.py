"""A dock beside a running office, and the distribution's own MQTT clients as a desk of the office."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence import pki
from evidence.certificate import Role
from tests.office_kit import ROOT, Client, OfficeKit, wait_for

DESK, LISTENER = "DESK-1", "DESK-2"  # a desk has one connection at a time: its name is its client id


@dataclass(frozen=True)
class Message:
    """As `mosquitto_sub` heard it."""

    topic: str
    payload: bytes
    retained: bool  # by the publisher's wish

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


def with_desk(office: OfficeKit) -> Client:
    """Let desks into this office, which is not running yet; the one that asks."""
    text = office.config.read_text()
    office.config.write_text(f'desks = ["{DESK}", "{LISTENER}"]\n{text}')
    return office.client(Role.DESK, DESK)


def mqtt(client: Client, program: str, *options: str) -> list[str]:
    """How to call one of the distribution's MQTT programs."""
    return [program, "-h", "127.0.0.1", "-p", str(client.office.broker_port), "-V", "mqttv5", "--insecure", "--cafile",
            str(client.office.roots), "--cert", str(client.chain), "--key", str(client.key), *options]  # fmt: skip


class Listener:
    """`mosquitto_sub` over everything, as a desk."""

    def __init__(self, office: OfficeKit, *topics: str) -> None:
        client = office.client(Role.DESK, LISTENER)
        self._path = office.folder / "heard"
        wanted = [word for topic in topics or ("bodycam/v1/#",) for word in ("-t", topic)]
        options = ["-q", "1", "-F", "%t %r %x", "--retain-as-published", *wanted]
        with self._path.open("wb") as heard:
            line = mqtt(client, "mosquitto_sub", "-d", *options)
            self._process = subprocess.Popen(["stdbuf", "-oL", *line], stdout=heard, stderr=subprocess.STDOUT)
        wait_for(lambda: "SUBACK" in self._path.read_text())

    def messages(self) -> list[Message]:
        found = []
        for line in self._path.read_text().split("\n")[:-1]:
            if line.startswith("bodycam/v1/"):
                topic, retained, payload = line.split(" ", 2)
                found.append(Message(topic, bytes.fromhex(payload), retained == "1"))
        return found

    def last(self, topic: str) -> Any:
        """The last word on a topic; None: nothing stands there, or it is not JSON."""
        found = [message.payload for message in self.messages() if message.topic == topic]
        return json.loads(found[-1]) if found and found[-1] else None

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def ask(client: Client, dock: str, payload: str, name: str = DESK) -> Any:
    """Speak to a dock with `mosquitto_rr`; its answer, None if there is none within three seconds."""
    base = "bodycam/v1"
    line = mqtt(
        client, "mosquitto_rr", "-q", "1", "-W", "3", "-t", f"{base}/to/dock/{dock}/command",
        "-e", f"{base}/dock/{dock}/reply/{name}", "-m", payload,
    )  # fmt: skip
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=20)
    return json.loads(done.stdout) if done.stdout.strip() else None


class DockProgram:
    """`bodycam dock` in a process of its own."""

    def __init__(self, office: OfficeKit, cameras: dict[str, int], name: str = "DOCK-1", **settings: float) -> None:
        """`cameras`: port on loopback by bay."""
        self.folder = office.folder / name
        self.folder.mkdir(exist_ok=True)
        chain, key = office.agency.issue(Role.DOCK, name).write(self.folder, "dock")
        (self.folder / "signers.pem").write_bytes(pki.to_pem(office.signer.certificate, *office.signer.above))
        paths = {
            "certificate": chain, "key": key, "roots": office.roots, "signers": self.folder / "signers.pem",
            "spool": self.folder / "spool", "office": f"127.0.0.1:{office.port}",
            "broker": f"127.0.0.1:{office.broker_port}",
        }  # fmt: skip
        lines = [f"{key} = {json.dumps(str(value))}" for key, value in paths.items()]
        seconds = {"poll_seconds": 0.1, "retry_seconds": 0.1, "retry_limit_seconds": 1, **settings}
        lines += [f"{key} = {value}" for key, value in seconds.items()]
        for bay, port in cameras.items():
            lines += ["[[bays]]", f'name = "{bay}"', f'camera = "127.0.0.1:{port}"']
        (self.folder / "dock.toml").write_text("\n".join(lines) + "\n")
        self.log = self.folder / "dock.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "bodycam", "dock", "run", "--config", str(self.folder / "dock.toml")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)})

    def end(self, how: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None


@contextlib.contextmanager
def running_dock(office: OfficeKit, cameras: dict[str, int], **settings: Any) -> Iterator[DockProgram]:
    """A dock for the time of a block."""
    dock = DockProgram(office, cameras, **settings)
    dock.start()
    try:
        yield dock
    finally:
        dock.end()


def spec_path() -> Path:
    return ROOT / "docs" / "spec" / "messages.md"
