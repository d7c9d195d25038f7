"""What emptying a camera costs: the dock against curl, the camera's port against nginx, the archive against nginx DAV.

All over mutual TLS 1.3, from and to files, in turns in the same run. A camera's footage is made anew for each turn of
each way, since the archive takes a segment once.

- dock: `bodycam dock` empties a camera into the archive, every hash and signature checked, receipts brought back; curl
  fetches the same segments into files, then sends them, each in one request, to the same archive. CPU is that of what
  stands in the middle: the dock's, or both curls'.
- camera: one segment fetched again and again by curl, from the camera's port and from nginx with one worker.
- archive: the uploads of curl that were measured for the dock; then the same files by PUT into nginx DAV, which hashes
  nothing and makes nothing durable. CPU is the server's.

    scripts/bench dock [--mib N] [--rounds N] [--folder DIR]

This machine is not a Pi.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import getpass
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _measured import children, lacks

from evidence import pki, records
from evidence.pki import Role
from hw_sim import control
from hw_sim.fleet import clip as clips
from hw_sim.usage import cpu
from tests.dock_yard import enrol
from tests.office_kit import ROOT, OfficeKit, free_port, wait_for

MIB, GB = 1024 * 1024, 1e9
MEGABITS, SEGMENT_SECONDS = 64, 8  # a segment of about 64 MB
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
Key = tuple[str, int]
NGINX = """\
daemon off;
user {user};
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/temp;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_protocols TLSv1.3;
    ssl_certificate {chain};
    ssl_certificate_key {key};
    ssl_client_certificate {roots};
    ssl_verify_client on;
    ssl_verify_depth 3;
    root {folder}/root;
    dav_methods PUT;
    create_full_put_path on;
  }}
}}
"""


class Servers:
    """Archive, nginx, and light cameras, each of which is used once."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.office = OfficeKit(folder / "office")
        self.office.start()
        stack.callback(self.office.stop)
        self.chain, self.key = self.office.agency.issue(Role.DOCK, "DOCK-1").write(folder, "dock")
        clips.make(MEGABITS * 1000).save(folder / "clip.json")
        self.nginx_port = free_port()
        self.nginx = self._nginx()
        self._cameras = 0

    @property
    def office_pid(self) -> int:
        assert self.office.process is not None  # noqa: S101 - it runs as long as this does
        return self.office.process.pid

    def camera(self, mib: int) -> Camera:
        """A camera with so much footage, in its bay."""
        self._cameras += 1
        device = f"BWC-{self._cameras:04}"
        folder = self.folder / device
        enrol(folder, self.office.agency, self.office.signer, device)
        camera = Camera(folder, device, free_port(), self.start)
        while sum(camera.held().values()) < mib * MIB:
            camera.ask("record", seconds=SEGMENT_SECONDS)
        camera.ask("dock")
        return camera

    def start(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        """A program that ends with this one."""
        with log.open("ab") as file:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stderr=file, env=ENVIRONMENT
            )
        self._stack.callback(process.wait, 30)
        self._stack.callback(process.terminate)
        return process

    def _nginx(self) -> int:
        """Start it; the worker's process id."""
        folder = self.folder / "nginx"
        for name in ("root", "temp"):
            (folder / name).mkdir(parents=True)
        kit = self.office
        text = NGINX.format(
            folder=folder, port=self.nginx_port, chain=kit.certificate, key=kit.key, roots=kit.roots,
            user=getpass.getuser(),
        )  # fmt: skip
        (folder / "nginx.conf").write_text(text)
        master = self.start(["nginx", "-c", str(folder / "nginx.conf")], folder / "log")
        children = Path(f"/proc/{master.pid}/task/{master.pid}/children")
        wait_for(lambda: children.read_text().split())
        return int(children.read_text().split()[0])

    def curl(self, *arguments: object) -> None:
        """Over mutual TLS, as the dock."""
        known = ["--cert", self.chain, "--key", self.key, "--cacert", self.office.roots, "--insecure", "--tlsv1.3"]
        command = ["curl", "--silent", "--show-error", "--fail", *map(str, [*known, *arguments])]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Camera:
    """One light camera's process."""

    def __init__(
        self, folder: Path, device: str, port: int, start: Callable[[list[str], Path], subprocess.Popen[bytes]]
    ) -> None:
        self.folder, self.device, self.port = folder, device, port
        self._socket = folder / "control.sock"
        command = [sys.executable, "-m", "bodycam", "sim", "docked", str(folder), "--ports", str(port)]
        command += ["--clip", str(folder.parent / "clip.json"), "--control", str(self._socket), "--on-seconds", "7200"]
        self.process = start(command, folder / "log")
        wait_for(self._socket.exists, 60)

    def ask(self, do: str, **facts: int) -> None:
        """Give it an order."""
        control.ask(self._socket, {"do": do, "camera": self.device, **facts})

    def held(self) -> dict[Key, int]:
        """Sizes of the segments that it has not given up."""
        found = (self.folder / "data").glob("segments/*/*.age")
        return {(path.parent.name, int(path.name.partition(".")[0])): path.stat().st_size for path in found}

    def path(self, key: Key) -> Path:
        """Where a segment is."""
        return self.folder / "data" / records.segment_path(*key)

    def url(self, key: Key) -> str:
        """Where its port has it."""
        return f"https://127.0.0.1:{self.port}/v1/segments/{key[0]}/{key[1]}"


Measured = dict[str, list[float]]


def main() -> int:
    """Measure, print a table and, as the last line, the same as JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench dock", description=__doc__)
    parser.add_argument("--mib", type=int, default=512, help="of footage in a camera (default 512)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    told = parser.parse_args()
    if lacks("curl", "nginx", "setpriv"):
        return os.EX_UNAVAILABLE
    measured: Measured = {}
    with tempfile.TemporaryDirectory(dir=told.folder, prefix="bench-dock-") as name, contextlib.ExitStack() as stack:
        servers = Servers(Path(name), stack)
        for turn in range(told.rounds + 1):
            found = {**dock(servers, told.mib), **by_hand(servers, told.mib), **port(servers)}
            for what, value in found.items() if turn else ():  # the first turn warms caches
                measured.setdefault(what, []).append(value)
    report(measured, told)
    return 0


def dock(servers: Servers, mib: int) -> dict[str, float]:
    """`bodycam dock` empties a camera."""
    camera = servers.camera(mib)
    size = sum(camera.held().values())
    folder = camera.folder / "dock"
    folder.mkdir()
    kit = servers.office
    (folder / "signers.pem").write_bytes(pki.to_pem(kit.signer.certificate, *kit.signer.above))
    settings: dict[str, object] = {
        "certificate": str(servers.chain), "key": str(servers.key), "roots": str(kit.roots),
        "signers": str(folder / "signers.pem"), "spool": str(folder / "spool"),
        "office": f"127.0.0.1:{kit.port}", "broker": f"127.0.0.1:{kit.broker_port}",
    }  # fmt: skip
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    bay = f'[[bays]]\ncamera = "127.0.0.1:{camera.port}"\n'
    (folder / "dock.toml").write_text("\n".join([*lines, bay]))
    before, log = cpu(servers.office_pid), folder / "log"
    process = servers.start(
        [sys.executable, "-m", "bodycam", "dock", "run", "--config", str(folder / "dock.toml")], log
    )
    wait_for(lambda: "contact" in log.read_text() or " is in bay " in log.read_text(), 60)
    began, own, serving = time.monotonic(), cpu(process.pid), cpu(camera.process.pid)
    wait_for(lambda: not camera.held(), 600)
    seconds = time.monotonic() - began
    return {
        "dock MB/s": size / 1e6 / seconds,
        "dock CPU": (cpu(process.pid) - own) * GB / size,
        "dock, its archive CPU": (cpu(servers.office_pid) - before) * GB / size,
        "dock, its camera CPU": (cpu(camera.process.pid) - serving) * GB / size,
    }


def by_hand(servers: Servers, mib: int) -> dict[str, float]:
    """Fetch by curl, send by curl to the archive; then the same files into nginx DAV."""
    camera = servers.camera(mib)
    held = camera.held()
    size = sum(held.values())
    journal = [path.read_bytes() for path in sorted((camera.folder / "data" / "journal").iterdir())]
    client = servers.office.client()
    client.hand_in_journal(camera.device, journal)
    files = {key: camera.folder / f"{key[0]}-{key[1]}" for key in held}
    began, spent = time.monotonic(), children()
    servers.curl(*(part for key in held for part in (camera.url(key), "-o", files[key])))
    serving = cpu(servers.office_pid)
    for key, file in files.items():
        told = {"kind": "segment", "device": camera.device, "recording": key[0], "segment": str(key[1])}
        pairs = ",".join(f"{name} {base64.b64encode(text.encode()).decode()}" for name, text in told.items())
        uploads = f"https://127.0.0.1:{servers.office.port}/v1/uploads"
        tus = ["-H", "Tus-Resumable: 1.0.0"]
        servers.curl(
            *tus, "-X", "POST", "-H", f"Upload-Length: {held[key]}", "-H", f"Upload-Metadata: {pairs}", uploads
        )
        body = ["-H", "Upload-Offset: 0", "-H", "Content-Type: application/offset+octet-stream", "-H", "Expect:"]
        target = f"{uploads}/{camera.device}/{key[0]}/{key[1]}"
        servers.curl(*tus, *body, "-X", "PATCH", "-T", file, target)
    seconds, curls = time.monotonic() - began, children() - spent
    archive = cpu(servers.office_pid) - serving
    serving = cpu(servers.nginx)
    for file in files.values():
        servers.curl("-H", "Expect:", "-T", file, f"https://127.0.0.1:{servers.nginx_port}/{file.name}")
    dav = cpu(servers.nginx) - serving
    for file in files.values():
        (servers.folder / "nginx" / "root" / file.name).unlink()
        file.unlink()
    camera.process.terminate()
    return {
        "curl MB/s": size / 1e6 / seconds,
        "curl CPU": curls * GB / size,
        "archive CPU": archive * GB / size,
        "nginx DAV CPU": dav * GB / size,
    }


def port(servers: Servers, times: int = 8) -> dict[str, float]:
    """One segment, again and again, from the camera's port and from nginx."""
    camera = servers.camera(1)
    ((key, size),) = camera.held().items()
    link = servers.folder / "nginx" / "root" / "segment"
    link.unlink(missing_ok=True)
    os.link(camera.path(key), link)
    idle = resident(camera.process.pid)
    found: dict[str, float] = {}
    ways = {
        "port": (camera.process.pid, camera.url(key)),
        "nginx": (servers.nginx, f"https://127.0.0.1:{servers.nginx_port}/segment"),
    }
    for name, (pid, url) in ways.items():
        before = cpu(pid)
        servers.curl(*[part for _ in range(times) for part in (url, "-o", "/dev/null")])
        found[f"{name} CPU"] = (cpu(pid) - before) * GB / (times * size)
    found["port MiB more"] = resident(camera.process.pid) - idle
    found["nginx MiB"] = resident(servers.nginx)
    camera.process.terminate()
    return found


def resident(pid: int) -> float:
    """MiB that a process has to itself."""
    status = Path(f"/proc/{pid}/status").read_text().split()
    return int(status[status.index("RssAnon:") + 1]) / 1024


RATIOS = {
    "dock / curl, throughput": ("dock MB/s", "curl MB/s", ">= 1.7"),
    "dock / curl, CPU": ("dock CPU", "curl CPU", "<= 1.15"),
    "camera's port / nginx, CPU": ("port CPU", "nginx CPU", "<= 1.1"),
    "archive / nginx DAV, CPU": ("archive CPU", "nginx DAV CPU", "<= 2.0"),
}


def report(measured: Measured, told: argparse.Namespace) -> None:
    """A table for people, a line of JSON for programs."""
    median = {name: statistics.median(values) for name, values in measured.items()}
    print(f"{told.mib} MiB in a camera, {told.rounds} turns; CPU in s per GB; not on a Pi")
    for name, value in median.items():
        print(f"{name:<24}{value:>10.2f}")
    ratios = {name: _ratio(measured, mine, theirs) for name, (mine, theirs, _) in RATIOS.items()}
    for name, ratio in ratios.items():
        print(f"{name:<32}{ratio:>6.2f}   goal {RATIOS[name][2]}")
    figures = {name: round(value, 3) for name, value in median.items()}
    print(json.dumps({"bench": "dock", "on_a_pi": False, "mib": told.mib, "figures": figures, "ratios": ratios}))


def _ratio(measured: Measured, mine: str, theirs: str) -> float:
    return round(statistics.median(a / b for a, b in zip(measured[mine], measured[theirs], strict=True)), 3)


if __name__ == "__main__":
    raise SystemExit(main())
