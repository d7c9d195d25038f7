"""Targets of the office: what docks upload, and what docks and cameras tell over MQTT."""

from __future__ import annotations

import asyncio
import functools
import json
import urllib.parse
from pathlib import Path
from typing import Any, cast

from evidence import jose, pki
from evidence.certificate import Role
from evidence.journal import JournalReader
from evidence.revoked import Revoked
from office import alerts, direct, listing, tus
from office.archive import Archive
from office.catalogue import Catalogue
from office.config import OfficeConfig
from office.database import Database
from office.errors import OfficeError
from office.events import Hints
from office.ingest import Ingest
from office.peer import EXTENSION, Peer
from office.web import Pages
from runtime import outbox
from runtime.keys import private_pem
from tests.evidence_keys import AGENCY
from tests.fuzz.folder_targets import Teller, parsed, stories
from tests.fuzz.format_targets import _LOG
from tests.fuzz.program_targets import scratch
from tests.fuzz.signed import DEVICE, folder, line_of, payloads
from tests.fuzz.target import attempt, taken, target

_PARTS_OF_A_PATH = 3


def _head(*lines: str) -> bytes:
    return "\n".join(["tus-resumable: 1.0.0", *lines]).encode()


_METADATA = "kind c2VnbWVudA==,device QldDLTAwMDE=,recording YmZlM2I1YjEtMQ==,segment Mg=="


@target(
    lambda: [
        _head("upload-length: 131410", f"upload-metadata: {_METADATA}"),
        _head("upload-defer-length: 1", "upload-metadata: kind am91cm5hbA==,device QldDLTAwMDE=,file MA=="),
        _head("content-type: application/offset+octet-stream", "upload-offset: 40", "content-length: 60"),
        b"BWC-0001/bfe3b5b1-1/2",
        b"BWC-0001/journal/0",
    ]
)
def tus_headers(data: bytes) -> None:
    """Headers and address of an upload."""
    text = data.decode("latin-1")
    pairs = (text_line.partition(":") for text_line in text.split("\n"))
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    for judge in (tus.creation, lambda told: tus.check_patch(told, 40, 100), lambda _: tus.parse_metadata(text)):
        attempt(judge, headers, error=OfficeError)
    parts = text.split("/")
    if len(parts) == _PARTS_OF_A_PATH:
        upload = attempt(tus.upload_at, *parts, error=OfficeError)
        assert upload is None or upload.path == f"{tus.BASE}/{text}"


# --- the page


@functools.cache
def _archive() -> Archive:
    at = scratch() / "office"
    at.mkdir()

    def write(name: str, data: bytes) -> Path:
        (at / name).write_bytes(data)
        return at / name

    certificate = AGENCY._certify(Role.OFFICE, "OFFICE-1", "office", AGENCY.issuing)
    return Archive(
        OfficeConfig(
            at / "data",
            write("root.pem", pki.to_pem(AGENCY.root)),
            write("office.pem", pki.to_pem(certificate, AGENCY.issuing)),
            write("office.key", private_pem(AGENCY.key("office"))),
            write("signer.pem", pki.to_pem(AGENCY.signer, AGENCY.issuing)),
            write("signer.key", private_pem(AGENCY.key("signer"))),
            write("log.key", private_pem(_LOG)),
        )
    )


@functools.cache
def _page() -> tuple[Any, asyncio.AbstractEventLoop]:
    return Pages(Ingest(_archive()), "OFFICE-1", 5, dict).application(), asyncio.new_event_loop()


async def _ask(page: Any, data: bytes) -> tuple[int, bytes]:
    """Give the page a request as its server does, and take its answer."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, address = first.partition(b" ")
    raw, _, query = address.partition(b"?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "https", "root_path": "",
        "method": method.decode("latin-1"), "path": urllib.parse.unquote(raw.decode("latin-1")), "raw_path": raw,
        "query_string": query, "server": ("127.0.0.1", 8443), "client": ("127.0.0.1", 1),
        "headers": [(name.strip().lower(), value.strip()) for name, _, value in (one.partition(b":") for one in lines)],
        "extensions": {EXTENSION: {"peer": Peer(Role.DOCK, "DOCK-1", cast("asyncio.Transport", None))}},
    }  # fmt: skip
    pieces = [{"type": "http.request", "body": body[:7], "more_body": True}, {"type": "http.request", "body": body[7:]}]
    told: list[Any] = []

    async def receive() -> Any:
        return pieces.pop(0) if pieces else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        told.append(message)

    await page(scope, receive, send)
    return told[0]["status"], b"".join(part.get("body", b"") for part in told[1:])


def _page_requests() -> list[bytes]:
    journal = folder()["journal/00000000.jws"].splitlines(keepends=True)
    patch = "PATCH /v1/uploads/BWC-0001/journal/0\ntus-resumable: 1.0.0\nupload-offset: 0"
    kind = "content-type: application/offset+octet-stream"
    anchor = b'{"device":"BWC-0001","nonce":"11111111111111111111111111111111"}'
    return [
        f"{patch}\n{kind}\n\n".encode() + b"".join(journal[:2]),
        b"POST /v1/uploads\nhost: office\n" + _head("upload-length: 1", f"upload-metadata: {_METADATA}") + b"\n\n",
        b"POST /v1/anchors\n\n" + anchor,
        b"HEAD /v1/uploads/BWC-0001/bfe3b5b1-1/2\ntus-resumable: 1.0.0\n\n",
        b"GET /v1/receipts/BWC-0001/bfe3b5b1-1/2\n\n",
        b"OPTIONS /v1/uploads\n\n",
        b"GET /v1/health?a\nhost: [\n\n",
    ]


@target(_page_requests)
def office_request(data: bytes) -> None:
    """Any request to the office's page is answered, and never as the office's own fault."""
    page, loop = _page()
    status, body = loop.run_until_complete(_ask(page, data))
    assert 200 <= status < 500, (status, body)
    if status < 400:
        taken.append(f"office_request {status}")
    if status >= 400 and not data.startswith(b"HEAD") and body:
        assert json.loads(body).keys() == {"code", "message"}


@target(lambda: [*stories(), _told_story()])
def catalogued_journal(data: bytes) -> None:
    """A hostile camera's journal, each line signed and in its place, taken into the catalogue and listed."""
    teller = Teller()
    for text in data.splitlines()[:200]:
        teller.tell(parsed(text))
    catalogue, reader = Catalogue(Database("sqlite://")), JournalReader([AGENCY.root], device=DEVICE)
    for path, lines in teller.files.items():
        for text in lines.splitlines(keepends=True):
            for record in attempt(reader.feed, int(path[8:16]), text) or ():
                catalogue.add_records(DEVICE, [(record, reader.signed)], "DOCK-1")
    rows = [listing.describe(row) for row in catalogue.recordings()]
    told = [alerts.describe(row) for row in catalogue.alerts()]
    json.dumps([rows, told], allow_nan=False).encode()
    for table in (listing.table(rows), alerts.table(told)):
        assert all(letter.isprintable() or letter == "\n" for letter in table)
    assert alerts.table(told).count("\n") == 1 + len(told)
    catalogue.close()


def _told_story() -> bytes:
    first, begun, gap = stories()[1].splitlines()
    clock, recording = json.loads(first)["clock"], json.loads(begun)["body"]["recording"]
    more = {
        "alert": {"what": "heat", "recording": recording, "detail": "46 C"},
        "notice": {"recording": recording, "attempt": 1, "heard": True, "score_permille": 9, "from_ns": 0, "to_ns": 1},
        "gap_reason": {"recording": recording, "gap_seq": 2, "basis": "chosen", "from_ns": 0, "to_ns": 1},
        "recording_ended": {
            "recording": recording, "ground": None, "parts": 1, "segments": 0, "frames_delivered": 0,
            "frames_encoded": 0, "frames_dropped": 0,
        },
    }  # fmt: skip
    lines = [json.dumps({"kind": kind, "clock": clock, "body": body}).encode() for kind, body in more.items()]
    return b"\n".join([first, begun, gap, *lines])


# --- MQTT


@functools.cache
def _catalogue() -> Catalogue:
    return Catalogue(Database("sqlite://"))


def _lines() -> list[bytes]:
    return folder()["journal/00000000.jws"].splitlines()


@target(
    lambda: [
        b"bodycam/v1/dock/DOCK-1/camera/BWC-0001/journal\n" + _lines()[0],
        b"bodycam/v1/dock/DOCK-1/camera/BWC-0001/journal\n" + _lines()[1],
        b'bodycam/v1/dock/DOCK-1/camera/BWC-0001/handin\n{"id":"1","state":"done"}',
    ]
)
def dock_message(data: bytes) -> None:
    """A message of a dock: each becomes an event that the catalogue can keep, or none."""
    topic, _, payload = data.partition(b"\n")
    hints = Hints([AGENCY.root], _catalogue().openings)
    for told in (_lines()[0], payload):
        event = hints.event(topic.decode("utf-8", "replace"), told)
        if event is not None:
            _catalogue().add_events([event])
            taken.append(event.verdict)


@target(lambda: [_lines()[0] + b"\n" + line_of(_alert()), _lines()[0] + b"\n" + _lines()[1]])
def alert_message(data: bytes) -> None:
    """A message of a camera, as it comes."""
    attempt(direct.judge, DEVICE, data, [AGENCY.root], Revoked((AGENCY.root,)), also=("not-alert",))
    direct.line_of(data)


def _alert() -> bytes:
    members = json.loads(payloads()[1])
    return jose.dump_json({**members, "kind": "alert", "body": {"what": "heat", "recording": None, "detail": "46 C"}})


@target(lambda: [_alert()])
def alert(data: bytes) -> None:
    """An alert that its session signed, with any content: the catalogue can keep what holds."""
    message = _lines()[0] + b"\n" + line_of(data)
    judged = attempt(direct.judge, DEVICE, message, [AGENCY.root], Revoked((AGENCY.root,)), also=("not-alert",))
    if judged is not None:
        attempt(_catalogue().tell_alert, judged[0], signed=judged[1].signed, also=("fork",))
        _catalogue().alerts()


@target(lambda: [b'{"ids":["a","b"],"refused":{"c":"fork"}}'])
def acknowledgement(data: bytes) -> None:
    """What the office says has arrived."""
    attempt(outbox._acknowledged, data)
