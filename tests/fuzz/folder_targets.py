"""Targets that are whole: a journal, a segment against its records, a folder, a card that a camera starts from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from evidence import age, jose, mp4, records, segment_check, shape
from evidence.account import SegmentAccount
from evidence.fragment_check import PartClock
from evidence.journal import JournalReader
from evidence.records import Record, Stamp
from evidence.report import to_json
from evidence.session import make_voucher, open_session
from evidence.verify import Verifier
from firmware.capture.recovery import recover
from tests.evidence_builder import MemoryFolder
from tests.evidence_keys import AGENCY, Stream, identity, key, recipients, sha256
from tests.evidence_media import BLOCKS, FRAGMENT_NS, PICTURES
from tests.fuzz.format_targets import plaintext
from tests.fuzz.signed import DEVICE, example, folder, line_of, payloads
from tests.fuzz.target import attempt, taken, target
from tests.memory_disk import MemoryDisk

STEPS = 60
"""Changes to a folder in one input: each costs a copy of a file."""


def verified(files: dict[str, bytes], *, opened: bool = True) -> jose.Json:
    """What the verifier says of a folder: it always says something, and in JSON."""
    report = Verifier(MemoryFolder(files), [AGENCY.root], identity("office") if opened else None).run()
    told = to_json(report)
    json.dumps(told, allow_nan=False).encode()
    if told["recordings"]:
        taken.append("a recording")
    return told


# --- a journal whose signatures hold


class Teller:
    """Writes lines as a camera's own key holder would: any kind and body, at its right place in the chain."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._file, self._seq, self._prev = 0, 0, records.GENESIS
        self._boot = json.loads(payloads()[0])["boot"]

    def tell(self, told: Any) -> None:
        """`told` is a record's members; `v`, `device`, `seq`, `prev` and `boot` are made right unless it has them."""
        if not isinstance(told, dict):
            return
        body = told.get("body")
        if told.get("kind") in ("boot", "summary") and isinstance(body, dict):
            number = body.get("file")
            self._file = number if type(number) is int and 0 <= number < 10**8 else self._file + 1
            self._boot = told["boot"] if shape.BOOT(told.get("boot")) else self._boot
        own = {"v": 1, "device": DEVICE, "seq": self._seq, "prev": self._prev, "boot": self._boot}
        line = line_of(json.dumps({**own, **told}, separators=(",", ":")).encode("ascii"))
        path = records.journal_path(self._file)
        self.files[path] = self.files.get(path, b"") + line + b"\n"
        self._seq, self._prev = self._seq + 1, records.line_sha256(line)


_CHAINED = {"v", "device", "seq", "prev", "boot"}


def _told(payload: bytes) -> bytes:
    members = json.loads(payload)
    return json.dumps({name: members[name] for name in members if name not in _CHAINED}).encode()


def stories() -> list[bytes]:
    lines = [_told(payload) for payload in payloads() if b'"kind"' in payload]
    first = next(line for line in lines if b'"kind": "boot"' in line)
    body = json.loads(first)["body"]
    voucher = make_voucher(key("fuzz"), [AGENCY.issuing], DEVICE, "1" * 32, body["session_key"])
    unsigned = {**json.loads(first), "body": {**body, "chain": [], "voucher": voucher}}
    boots = [number for number, line in enumerate(lines) if b'"kind": "boot"' in line]
    clock = json.loads(first)["clock"]
    ended: list[Any] = [
        {"kind": "recording_started", "clock": clock, "body": {
            "recording": f"{json.loads(payloads()[0])['boot'][:8]}-1", "part": 1, "resumed": False,
            "mode": "picture_and_sound", "activity": None, "pressed_ns": None, "ring_from_ns": None}},
        {"kind": "gap", "clock": clock, "body": {
            "recording": f"{json.loads(payloads()[0])['boot'][:8]}-1", "after_part": 1, "before_part": None,
            "cause": "power_cut", "last_ns": 5, "first_ns": None, "same_clock": True, "min_ms": 0, "max_ms": None}},
    ]  # fmt: skip
    return [
        b"\n".join(lines[: boots[1]]),
        b"\n".join([first, *(json.dumps(one).encode() for one in ended)]),
        json.dumps(unsigned).encode(),
    ]


def parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


@target(stories)
def journal(data: bytes) -> None:
    """Records of a hostile camera, each signed and in its place: the verifier tells of all of them."""
    teller = Teller()
    for text in data.splitlines()[:200]:
        teller.tell(parsed(text))
    verified({**folder(), **{path: b"" for path in folder() if path.startswith("journal/")}, **teller.files})
    verified(teller.files)


@target(lambda: [story.splitlines()[0] for story in stories()])
def opening(data: bytes) -> None:
    """A file's first line: whose key it names, and what stands behind that key."""
    told = parsed(data)
    teller = Teller()
    teller.tell(told)
    for number, text in enumerate(teller.files.values()):
        for strict in (False, True):
            reader = JournalReader([AGENCY.root], refuse_strangers=strict)
            attempt(reader.feed, number, text)
        found = attempt(records.parse, text[:-1])
        if found is not None and found.kind in ("boot", "summary"):
            attempt(open_session, found.body, found.device, found.boot, None)
            attempt(open_session, found.body, found.device, found.boot, [AGENCY.root])


# --- a segment


def _record(kind: str, body: dict[str, Any], seq: int) -> Record:
    clock = Stamp(0, 0, "none", None)
    return Record(DEVICE, seq, "", "1" * 32, clock, kind, body, "", jose.Jws("", "", b"", b"", b""))


def _account(plain: bytes, offset: int, counts: tuple[int, int], cipher: bytes) -> SegmentAccount:
    where = {"recording": "11111111-1", "part": 1, "segment": 0}
    told = {"frames": counts[0], "samples": counts[1] * mp4.BLOCK, "from_ns": 0, "to_ns": FRAGMENT_NS,
            "starts_with_idr": counts[0] > 0}  # fmt: skip
    fragment = {
        **where, **told, "plain_offset": offset, "plain_len": max(0, len(plain) - offset), "index": 0,
        "plain_sha256": sha256(plain), "cipher_sha256": sha256(cipher), "cipher_len": len(cipher),
    }  # fmt: skip
    still = {"plain_offset": offset + mp4.STILL_HEAD, "size": 6, "at_ns": 5, "sha256": sha256(b"\xff\xd8jpeg")}
    account = SegmentAccount("11111111-1", 0, 1, "1" * 32)
    account.fragments.append(_record("fragment", fragment, 1))
    account.stills.append(_record("still", still, 2))
    return account


def _segments() -> list[bytes]:
    offset = plaintext().index(b"prft") - 4
    told = offset.to_bytes(4, "big") + bytes([PICTURES, BLOCKS])
    return [told + plaintext(), told + plaintext(1)]


@target(_segments)
def segment(data: bytes) -> None:
    """Step 12 over any plaintext that the camera encrypted and signed. The first bytes tell what its record says."""
    offset, counts, plain = int.from_bytes(data[:4], "big"), (*data[4:6], 0, 0)[:2], data[6:]
    if not plain:
        return
    writer = age.Encryptor(recipients(), Stream("fuzz segment"))
    whole = len(plain) // age.CHUNK * age.CHUNK
    whole -= age.CHUNK if whole == len(plain) else 0
    cipher = writer.header + bytes(writer.seal(plain[:whole])) + writer.finish(plain[whole:])
    account = _account(plain, offset, (counts[0], counts[1]), cipher)
    opened = attempt(segment_check.open_segment, account, cipher, identity("office"), PartClock(0, 0, 0))
    if opened is not None:
        attempt(segment_check.unlisted_stills, account, opened)
    check = segment_check.SegmentCheck(account)
    for start in range(0, len(cipher), 4096):
        check.update(cipher[start : start + 4096])
    check.finish()


# --- a folder that somebody spoiled


def _flip(old: bytes, at: int, told: bytes) -> bytes:
    return old[:at] + bytes(a ^ b for a, b in zip(old[at:], told, strict=False)) + old[at + len(told) :]


_EDITS: dict[bytes, Callable[[bytes, int, bytes], bytes]] = {
    b"x": _flip,
    b"w": lambda old, at, told: old[:at] + told + old[at + len(told) :],
    b"i": lambda old, at, told: old[:at] + told + old[at:],
    b"d": lambda old, at, told: old[:at] + old[at + int.from_bytes(told[:3], "big") :],
    b"t": lambda old, at, _: old[:at],
    b"l": lambda old, at, told: old[:at] + b"\n" + told + old[at:],
}


def spoiled(files: dict[str, bytes], data: bytes) -> dict[str, bytes]:
    """A folder after the steps of `data`, one a line: what to do, number of the file, place in hex, and with what.

    Beside edits: `r` gives the file the name that follows, `c` another file's content, `n` makes a new file.
    """
    files = dict(files)
    for step in data.split(b"\n")[:STEPS]:
        do, where, told = step[:1], step[1:8], step[8:]
        names = sorted(files)
        try:
            number, at = int(where[:2] or b"0", 16), int(where[2:] or b"0", 16)
        except ValueError:
            continue
        if not names:
            break
        name = names[number % len(names)]
        text = told.decode("utf-8", "surrogateescape")
        if do in _EDITS:
            files[name] = _EDITS[do](files[name], at, told)
        elif do == b"r":
            files[text] = files.pop(name)
        elif do == b"c":
            files[name] = files[names[at % len(names)]]
        elif do == b"n":
            files[text] = b""
    return files


@target(
    lambda: [
        b"x0004000\x01",
        b"x0700100\x01\nd0300200\0\1\0",
        b"r0400000journal/99999999.jws",
        b"c0200003\nt0500020",
        b"nff00000segments/bfe3b5b1-1/00009.mp4.age\nnff00000certs/\xff\n.pem\ni0100000-----BEGIN CERTIFICATE-----\n",
    ]
)
def spoiled_folder(data: bytes) -> None:
    """The vectors' folder after any change: the verifier ends, and tells."""
    files = spoiled(folder(), data)
    verified(files, opened=len(data) % 2 == 0)
    if files == folder():
        assert verified(files)["ok"]


# --- a card that a camera starts from


def _disk(files: dict[str, bytes]) -> MemoryDisk:
    disk = MemoryDisk()
    for path, content in files.items():
        with_name = disk.create(path)
        with_name.append(content)
        with_name.sync()
        with_name.close()
    return disk


@target(lambda: [b"x0004000\x01", b"x0200010\x01", b"t0200900", b"x0100010\x01\nt0200e00", b"d0200000\0\x0a\0"])
def rotten_card(data: bytes) -> None:
    """A camera starts from whatever is on its card; what is wrong there is the verifier's to name."""
    journals = {path: content for path, content in example().files.items() if path.startswith("journal/")}
    files = {path: text for path, text in spoiled(journals, data).items() if path.startswith("journal/")}
    _start(files)


def _start(files: dict[str, bytes]) -> None:
    if recover(_disk(files)).seq:
        taken.append("a chain to go on with")


def _hostile_lines(data: bytes) -> Iterator[bytes]:
    teller = Teller()
    for text in data.splitlines()[:100]:
        teller.tell(parsed(text))
    yield from teller.files.values()


@target(stories)
def own_journal(data: bytes) -> None:
    """A camera starts from any journal that its own keys signed, such as another version's."""
    _start({records.journal_path(n): text for n, text in enumerate(_hostile_lines(data))})
