"""Targets of the programs: configuration files, requests, answers, messages, receivers."""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import io
import re
import shutil
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from evidence import jose, pki, records
from evidence.documents import Order, Receipt, TimeAnchor
from evidence.journal import JournalReader
from evidence.records import Chain, Stamp
from firmware import dock_port
from firmware.config import CameraConfig
from firmware.dock_host import PortState
from firmware.hal.gpsd_positioning import GnssConfig, GpsdPositioning
from firmware.hal.linux_clock import LinuxClock, LinuxClockConfig
from firmware.hal.ports import DriverError
from firmware.hal.smbus2_battery import BatteryConfig, Smbus2Battery
from hw_sim.scenario import plan
from office.config import OfficeConfig
from runtime import config
from runtime.config import ConfigError
from syncd.camera import Camera as CameraLink
from syncd.camera import CameraState
from syncd.config import DockConfig
from syncd.errors import DockError
from syncd.events import Events
from syncd.handin import Dock, HandIn
from syncd.office import Office
from syncd.returns import Lists
from syncd.spool import Spool
from tests.evidence_keys import AGENCY, key, kid
from tests.fuzz.folder_targets import spoiled
from tests.fuzz.format_targets import SIGNERS
from tests.fuzz.signed import DEVICE, OWN, document_of, folder, vector
from tests.fuzz.target import ROOT, attempt, taken, target
from tests.memory_disk import MemoryDisk


@functools.cache
def scratch() -> Path:
    """A folder for what a parser wants as a file; gone at the end."""
    made = tempfile.TemporaryDirectory(prefix="fuzz-")
    atexit.register(made.cleanup)
    return Path(made.name)


# --- configuration files

_KINDS = (CameraConfig, DockConfig, OfficeConfig, plan.When, plan.Setting)


def _texts() -> list[bytes]:
    shipped = [path.read_bytes() for path in sorted((ROOT / "hw_sim" / "scenario" / "shifts").glob("*.toml"))]
    return [
        *shipped[:3],
        b'credentials = "a"\nreserve_bytes = 1048576\n[battery]\naddress = 0x36\n[gnss]\nport = 2947\n',
        (
            b'certificate = "a"\nkey = "a"\nroots = "a"\nsigners = "~/a"\nspool = "a"\noffice = "a:1"\n'
            b'broker = "[::1]:2"\npoll_seconds = 1\n[[bays]]\ncamera = "a:1"\n'
        ),
        (
            b'data = "a"\nroots = "a"\ncertificate = "a"\nkey = "a"\nsigner_certificate = "a"\nsigner_key = "a"\n'
            b'log_key = "a"\nretention_years = 2\n'
        ),
    ]


@target(_texts)
def toml(data: bytes) -> None:
    """A program's configuration file, and a scenario."""
    path = scratch() / "any.toml"
    path.write_bytes(data)
    for kind in _KINDS:
        attempt(config.load, path, kind, error=ConfigError)
    attempt(plan.load, path, error=ConfigError)


@target(lambda: [b'{"kernel_boot":"KERNEL","boot_ns":5,"ms":1795500000000,"source":"gnss","error_ms":20}'])
def clock_state(data: bytes) -> None:
    """The time that a camera remembered: what it makes of it fits into a record."""
    path = scratch() / "clock.json"
    path.write_bytes(data.replace(b"KERNEL", _kernel_boot()))
    clock = LinuxClock(LinuxClockConfig(path))
    utc = clock.utc()
    if utc.source != "none":
        taken.append(utc.source)
    chain = Chain(DEVICE, "1" * 32, key(OWN), kid(OWN), seq=0, prev=records.GENESIS)
    chain.append("armed", {"ring_seconds": 1}, Stamp(clock.boot_ns(), utc.ms, utc.source, utc.error_ms))


@functools.cache
def _kernel_boot() -> bytes:
    return LinuxClock(LinuxClockConfig(scratch() / "none")).kernel_boot.encode()


# --- receivers


_TPV = b'{"class":"TPV","mode":3,"time":"2026-11-24T06:00:00.000Z","lat":31.2,"lon":121.4,"eph":3.1,"ept":0.005}'


@target(lambda: [b'{"class":"VERSION","release":"3.25"}\n{"class":"DEVICE","driver":"u-blox"}\n' + _TPV])
def gpsd(data: bytes) -> None:
    """What gpsd says: a fix that a record has room for, or a ValueError, after which it is asked anew."""
    driver = GpsdPositioning(GnssConfig(), cast("Any", SimpleNamespace(boot_ns=lambda: 10**9)))
    fixes: list[Any] = []
    for text in data.split(b"\n")[:50]:
        attempt(driver._take, text, fixes.append, error=ValueError)
    for fix in filter(None, fixes):
        assert -90 <= fix.latitude_deg <= 90
        assert -180 <= fix.longitude_deg <= 180
        assert fix.utc_ms is None or abs(fix.utc_ms) < 2**62


@target(lambda: [b"\xc0\x30\x4b\x00\xff\xf0", b"\0\0\0\0\0\0", b"\xff" * 6])
def fuel_gauge(data: bytes) -> None:
    """Any words from the fuel gauge's registers: a charge that can be, or the driver's error."""
    words = dict(zip((0x02, 0x04, 0x16), data.ljust(6, b"\0")[0:6:2], strict=False))
    lows = dict(zip((0x02, 0x04, 0x16), data.ljust(6, b"\0")[1:6:2], strict=False))
    gauge = Smbus2Battery(BatteryConfig())
    gauge._bus = SimpleNamespace(
        read_word_data=lambda _, register: words[register] | lows[register] << 8, close=lambda: None
    )
    charge = attempt(gauge.read, error=DriverError)
    assert charge is None or 0 <= charge.percent <= 100


# --- the camera's port


class _Host:
    """A camera with the vectors' journal and one segment."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        for path, content in folder().items():
            file = self.disk.create(path)
            file.append(content)
            file.sync()
        self.host = self
        self.papers = None

    def state(self) -> PortState:
        journal, segments = ((0, 13_000), (1, 11_030)), (("bfe3b5b1-1", 2, 131_410),)
        return PortState(DEVICE, "1" * 32, None, (3, "0" * 64), journal, segments)

    def take_receipt(self, jws: str) -> None:
        Receipt.read(jws, AGENCY.key("signer").public_key())

    def take_anchor(self, jws: str) -> None:
        TimeAnchor.read(jws, AGENCY.key("signer").public_key())

    def take_order(self, jws: str) -> None:
        Order.read(jws, AGENCY.key("signer").public_key())


class _Connection(dock_port._Handler):
    """The port's handler, behind its TLS: the bytes of a dock in, the bytes of the answers out."""

    def __init__(self, data: bytes) -> None:
        self.rfile, self.wfile = io.BytesIO(data), io.BytesIO()
        self.client_address, self.close_connection, self._dock = ("127.0.0.1", 1), True, "DOCK-1"
        self.server, self.connection = cast("Any", _host()), cast("ssl.SSLSocket", SimpleNamespace())

    def answer(self) -> bytes:
        BaseHTTPRequestHandler.handle(self)
        return cast("io.BytesIO", self.wfile).getvalue()


@functools.cache
def _host() -> _Host:
    return _Host()


def _port_requests() -> list[bytes]:
    receipt = vector("documents")["receipt"]
    document = document_of(receipt["payload"].encode(), Receipt.TYP)
    head = b"POST /v1/receipts HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(document)
    return [
        b"GET /v1/state HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/journal/0 HTTP/1.1\r\nRange: bytes=5-900\r\n\r\n",
        b"GET /v1/segments/bfe3b5b1-1/2 HTTP/1.1\r\nRange: bytes=131000-\r\n\r\n",
        head + document,
        b"POST /v1/anchor HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ]


@target(_port_requests)
def dock_port_request(data: bytes) -> None:
    """What a dock sends to a camera's port: each answer is whole and none is the camera's own fault."""
    with contextlib.suppress(ConnectionAbortedError):
        told = io.BytesIO(_Connection(data).answer())
        while status := told.readline():
            assert status.startswith(b"HTTP/1.1 "), status
            assert int(status.split()[1]) not in {500, 507}, status
            if status.startswith(b"HTTP/1.1 2"):
                taken.append(f"dock_port_request {int(status.split()[1])}")
            headers = http.client.parse_headers(told)
            told.read(int(headers.get("Content-Length", "0")))


# --- what the dock is answered


class _Answered:
    """The other end of a dock's link, which says the same to every request."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: Any, **__: Any) -> io.BufferedIOBase:
        return io.BytesIO(self._data)

    def sendall(self, _: bytes) -> None:
        pass

    def close(self) -> None:
        pass


def _link(client: Any, data: bytes) -> Any:
    connection: Any = http.client.HTTPConnection("127.0.0.1", 1)
    connection.cut = connection.close
    connection.sock = cast("Any", _Answered(data))
    client._link._connection, client._link.peer = connection, DEVICE
    client._link.connect = lambda: DEVICE  # the connection stands
    return client


def _answer(body: bytes, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


_PAPERS: jose.Json = {
    "configuration": {"held": "0" * 64, "in_force": "0" * 64, "issued": "2026-11-24T06:00:00.000Z"},
    "revocations": None,
    "fitness": {
        "wrong": ["card_worn"], "battery_percent": 97, "battery_minutes": 571, "charging": True,
        "storage_minutes": None, "clock_trusted": True, "assigned": True, "planned_minutes": 540,
    },
}  # fmt: skip


def _answers() -> list[bytes]:
    documents = vector("documents")
    told = {name: document_of(documents[name]["payload"].encode(), f"bodycam-{name.replace(' ', '-')}")
            for name in ("receipt", "time anchor")}  # fmt: skip
    return [
        _answer(jose.dump_json(_host().state().to_json())),
        _answer(told["receipt"]),
        _answer(jose.dump_json({"device": DEVICE, "standing": "lost"})),
        _answer(jose.dump_json(_PAPERS)),
        _answer(pki.to_pem(AGENCY.issuing)),
        _answer(told["time anchor"]),
        _answer(b"", b"201 Created", b"Location: https://office:1/v1/uploads/BWC-0001/journal/0\r\n"),
        _answer(b"", b"204 No Content", b"Upload-Offset: 4\r\n"),
        _answer(b"abcd", b"206 Partial Content", b"Content-Range: bytes 0-3/9\r\n"),
        _answer(b'{"code":"busy","message":"later"}', b"503 Busy", b"Retry-After: 7\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ]


@target(_answers)
def http_answer(data: bytes) -> None:
    """What a camera or an office answers the dock: what was asked for, or a `DockError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    camera = CameraLink(("127.0.0.1", 1), context)
    office = Office(("127.0.0.1", 1), context, SIGNERS)
    asks: list[Callable[[], Any]] = [
        lambda: _link(camera, data).state(),
        lambda: _link(camera, data).give_receipt(b"a.b.c"),
        lambda: _link(camera, data).papers(),
        lambda: _link(camera, data).challenge("0" * 32),
        lambda: b"".join(map(bytes, _link(camera, data).journal(0, 0, 4))),
        lambda: _link(office, data).receipt(DEVICE, "bfe3b5b1-1", 2, "0" * 64, 4),
        lambda: _link(office, data).anchor(DEVICE, "0" * 32),
        lambda: _link(office, data).papers.standing(AGENCY.signer),
        lambda: _link(office, data).papers.configuration(DEVICE),
        lambda: Lists(scratch() / "lists.pem", [AGENCY.root]).refresh(_link(office, data)),
        lambda: _link(office, data).uploads.create({"kind": "journal"}, None),
        lambda: _link(office, data).uploads.offset("/v1/uploads/a"),
        lambda: _link(office, data).uploads.append("/v1/uploads/a", 0, b"abcd"),
    ]
    for ask in asks:
        attempt(ask, error=DockError)


# --- what the dock takes in


class _Served:
    """A camera that serves these journal files."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files
        self.state = CameraState(
            DEVICE, "1" * 32, None, (0, ""), tuple((int(path[8:16]), len(data)) for path, data in files.items()), ()
        )

    def journal(self, file: int, start: int, stop: int) -> Iterator[bytes]:
        data = self._files[records.journal_path(file)][start:stop]
        yield data[:9000]
        yield data[9000:]


class _Silent:
    """No broker is there."""

    def publish_many(self, _: Any) -> None:
        pass


@target(lambda: [b"", b"l0000100eyJh\r", b"x0000010\x01", b"t0200900", b"i0004bb2x\r"])
def pulled_journal(data: bytes) -> None:
    """A camera's journal, spoiled in any way, pulled by the dock: its spool holds just the lines that verify."""
    shutil.rmtree(scratch() / "spool", ignore_errors=True)
    spool = Spool(scratch() / "spool", 1 << 30)
    events = Events(cast("Any", _Silent()), "DOCK-1")
    dock = Dock(spool, [AGENCY.root], SIGNERS, b"", events, cast("Any", None), threading.Event())
    journals = {path: content for path, content in folder().items() if path.startswith("journal/")}
    files = {path: text for path, text in spoiled(journals, data).items() if _JOURNAL.fullmatch(path)}
    camera = _Served(dict(sorted(files.items())))
    attempt(HandIn(DEVICE, dock)._pull_journal, cast("Any", camera), cast("Any", None), camera.state, error=DockError)
    reader = JournalReader([AGENCY.root], device=DEVICE)
    for file in spool.device(DEVICE).journal_files():
        held = spool.device(DEVICE).journal(file)
        reader.feed(file, held)
        assert reader.good_len(file) == len(held)


_JOURNAL = re.compile(r"journal/[0-9]{8}\.jws")
