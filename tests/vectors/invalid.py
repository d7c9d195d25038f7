"""What must be refused: lines, age files, and folders that somebody spoiled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from evidence import age, jose, office_log, records
from evidence.records import Chain
from tests.evidence_builder import Camera
from tests.evidence_keys import AGENCY, Stream, key, kid, recipients, sha256

DEVICE = "BWC-0001"


def invalid_lines(good: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Lines that a reader refuses when it parses or verifies them with the key in `line.json`, and the error code."""
    own = f"{AGENCY.seed} session {DEVICE} 1"
    private, own_kid = key(own), kid(own)
    payload = json.loads(good["payload"])
    header, body, signature = good["line"].split(".")

    def signed(value: bytes, typ: str = records.TYP) -> str:
        return jose.sign(value, private, typ, own_kid, deterministic=True)

    def headed(value: bytes) -> str:
        return f"{jose.b64(value)}.{body}.{signature}"

    def changed(**members: Any) -> str:
        return signed(jose.dump_json({**payload, **members}))

    def without(name: str) -> str:
        return signed(jose.dump_json({key: value for key, value in payload.items() if key != name}))

    told = f'"kid":"{own_kid}","typ":"bodycam-journal"'
    yield from (
        {"name": name, "code": code, "line": text}
        for name, code, text in (
            ("empty", "jws-form", ""),
            ("two parts", "jws-form", f"{header}.{body}"),
            ("four parts", "jws-form", f"{good['line']}.AA"),
            ("padding", "jws-form", f"{good['line']}="),
            ("standard base64 alphabet", "jws-form", f"{header}.{body}.{'+' * 86}"),
            ("signature too short", "jws-form", f"{header}.{body}.{signature[:-4]}"),
            ("base64url with stray bits", "jws-form", f"{header}.{body}.{signature[:-1]}{_stray(signature[-1])}"),
            ("alg none", "jws-header", headed(f'{{"alg":"none",{told}}}'.encode())),
            ("alg ES384", "jws-header", headed(f'{{"alg":"ES384",{told}}}'.encode())),
            ("jwk in the header", "jws-header", headed(f'{{"alg":"ES256",{told},"jwk":{{}}}}'.encode())),
            ("x5u in the header", "jws-header", headed(f'{{"alg":"ES256",{told},"x5u":"https://a"}}'.encode())),
            ("crit in the header", "jws-header", headed(f'{{"alg":"ES256",{told},"crit":["b64"]}}'.encode())),
            ("kid twice", "json-form", headed(f'{{"alg":"ES256",{told},"kid":""}}'.encode())),
            ("typ of a receipt", "jws-header", signed(good["payload"].encode(), "bodycam-receipt")),
            ("signature of other bytes", "jws-signature", f"{header}.{body}.{_signature_of(signed(b'{}'))}"),
            ("s of zero", "jws-signature", f"{header}.{body}.{jose.b64(bytes([1]) * 32 + bytes(32))}"),
            ("payload is a list", "json-form", signed(b"[]")),
            ("payload is not UTF-8", "json-form", signed(b'{"v":1,"x":"\xff"}')),
            ("member twice", "json-form", signed(good["payload"].replace('"v":1', '"v":1,"v":1').encode())),
            ("fraction", "json-form", signed(good["payload"].replace('"v":1', '"v":1.0').encode())),
            ("NaN", "json-form", signed(b'{"v":NaN}')),
            ("number of 64 bits", "json-form", signed(good["payload"].replace('"seq":7', f'"seq":{2**63}').encode())),
            ("nine levels", "json-form", signed(b'{"v":1,"x":[[[[[[[[]]]]]]]]}')),
            ("lone surrogate", "json-form", signed(b'{"v":1,"x":"\\ud800"}')),
            ("version 2", "unknown-version", changed(v=2)),
            ("version true", "shape", changed(v=True)),
            ("no version", "unknown-version", without("v")),
            ("member missing", "shape", without("prev")),
            ("unknown member", "shape", changed(more=1)),
            ("unknown kind", "shape", changed(kind="footnote")),
            ("body of another kind", "shape", changed(kind="docked")),
            ("device in small letters", "shape", changed(device="bwc-0001")),
            ("negative sequence number", "shape", changed(seq=-1)),
            ("time without milliseconds", "shape", changed(clock={**payload["clock"], "utc": "2026-11-24T06:00:00Z"})),
            ("the 30th of February", "shape", changed(clock={**payload["clock"], "utc": "2026-02-30T06:00:00.000Z"})),
        )
    )  # fmt: skip


def _stray(letter: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(letter) ^ 1]


def _signature_of(text: str) -> str:
    return text.rpartition(".")[2]


def invalid_age(good: bytes, stranger: bytes) -> Iterator[dict[str, str]]:
    """What must not open with the office's identity as a whole file, and the error code."""
    head_end = age.parse_header(good).size
    lines = good.split(b"\n")
    header_line = b"\n".join
    empty = age.Encryptor(recipients(), Stream("age empty"))
    empty_last = empty.header + bytes(empty.seal(bytes(age.CHUNK)))
    empty_last += empty._cipher.encrypt((1).to_bytes(11, "big") + b"\1", b"", None)
    cases = (
        ("another version", "age-header", good.replace(b"/v1\n", b"/v2\n", 1)),
        ("cut in its header", "age-header", good[: head_end - 20]),
        ("cut in its nonce", "age-header", good[: head_end - 1]),
        ("no recipient", "age-header", header_line([lines[0], *lines[5:]])),
        ("carriage returns", "age-header", header_line([lines[0] + b"\r", *lines[1:]])),
        ("padded base64 in a stanza", "age-header", header_line([*lines[:2], lines[2] + b"=", *lines[3:]])),
        ("empty argument", "age-header", header_line([lines[0], lines[1].replace(b" X", b"  X"), *lines[2:]])),
        ("one stanza taken out", "age-mac", header_line([*lines[:3], *lines[5:]])),
        ("stanzas swapped", "age-mac", header_line([lines[0], *lines[3:5], *lines[1:3], *lines[5:]])),
        ("for somebody else", "age-identity", stranger),
        ("payload flipped", "age-chunk", good[:-1] + bytes([good[-1] ^ 1])),
        ("last byte cut", "age-chunk", good[:-1]),
        ("byte added", "age-chunk", good + b"\0"),
        ("no payload", "age-chunk", good[:head_end]),
        ("empty last chunk", "age-chunk", None),
    )
    for name, code, data in cases:
        if data is not None:
            yield {"name": name, "code": code, "file": data.hex()}
    yield {
        "name": "empty last chunk",
        "code": "age-chunk",
        "sha256": sha256(empty_last),
        "made": "65,536 zeros, then b''",
    }


def invalid_folders(camera: Camera, torn: bytes) -> Iterator[dict[str, Any]]:
    """What to do to `folder/`, and the step, verdict and attack that must then be found. `bit` 0 is the lowest."""
    recording = camera.recording
    first, second = records.journal_path(0), records.journal_path(1)
    lines = camera.files[first].split(b"\n")
    starts = [sum(len(text) + 1 for text in lines[:n]) for n in range(len(lines))]
    closed, cut = records.segment_path(recording, 2), records.segment_path(recording, 1)
    receipt = records.receipt_path(recording, 0)
    header = age.parse_header(camera.files[closed]).size
    head, third = office_log.head_path(camera.records[-1].seq), records.journal_path(2)
    third_end = camera.files[third].rindex(b"\n", 0, -1) + 1

    def flip(path: str, offset: int) -> dict[str, Any]:
        return {"do": "flip", "path": path, "offset": offset, "bit": 0}

    def cut_out(path: str, offset: int, length: int) -> dict[str, Any]:
        return {"do": "cut", "path": path, "offset": offset, "length": length}

    def legible(offset: int) -> int:
        """The next byte whose lowest bit can be flipped within the alphabet of base64url."""
        while not chr(camera.files[first][offset] ^ 1).isalnum():
            offset += 1
        return offset

    end = len(camera.files[first]) - len(torn)
    yield from (
        {"name": name, "steps": steps, "step": step, "verdict": verdict, "attack": attack}
        for name, step, verdict, attack, steps in (
            ("a line altered", 1, "altered", "edited", [flip(first, starts[1] + 200)]),
            ("a signature altered", 3, "altered", "edited", [flip(first, legible(starts[2] - 40))]),
            ("a line deleted", 4, "altered", "deleted", [cut_out(first, starts[2], starts[3] - starts[2])]),
            ("an opening deleted", 2, "altered", "deleted", [cut_out(first, 0, starts[1])]),
            ("the torn tail altered", 5, "altered", "edited", [flip(first, end + 3)]),
            ("a journal file deleted", 2, "altered", "deleted", [{"do": "delete", "path": second}]),
            ("a closed segment altered", 9, "altered", "edited", [flip(closed, header + 70_000)]),
            ("a recipient added or changed", 9, "altered", "exchanged", [flip(closed, 60)]),
            ("a trailer cut off", 9, "altered", "cut-short", [cut_out(closed, len(camera.files[closed]) - 24, 24)]),
            ("a truncated segment's attested bytes altered", 9, "altered", "edited", [flip(cut, header + 5)]),
            ("a truncated segment's tail altered", 9, "altered", "edited", [flip(cut, len(camera.files[cut]) - 1)]),
            ("a segment deleted", 9, "missing", "deleted", [{"do": "delete", "path": closed}]),
            ("segments swapped", 9, "altered", "reordered", [{"do": "swap", "path": closed, "with": cut}]),
            ("a receipt altered", 10, "altered", "edited", [flip(receipt, 300)]),
            ("a receipt for another segment", 10, "foreign", "swapped",
             [{"do": "move", "path": receipt, "to": records.receipt_path(recording, 2)}]),
            ("the certificate of the log's key deleted", 10, "foreign", "false-archive",
             [{"do": "delete", "path": office_log.KEY}]),
            ("the certificate of the log's key altered", 10, "altered", "edited", [flip(office_log.KEY, 300)]),
            ("a checkpoint altered", 10, "altered", "edited", [flip(office_log.checkpoint_path(2), 40)]),
            ("a checkpoint deleted", 10, "altered", "edited",
             [{"do": "delete", "path": office_log.checkpoint_path(2)}]),
            ("a head in the log altered", 10, "altered", "edited", [flip(head, 100)]),
            ("a head in the log for another record", 10, "foreign", "swapped",
             [{"do": "move", "path": head, "to": office_log.head_path(camera.records[-2].seq)}]),
            ("proofs of the log swapped", 10, "altered", "edited",
             [{"do": "swap", "path": head, "with": office_log.ingest_path(recording, 0)}]),
            ("the last line cut off, which the log holds", 10, "missing", "deleted",
             [cut_out(third, third_end, len(camera.files[third]) - third_end)]),
            ("a stamp's time altered", 10, "altered", "edited",
             [flip(office_log.stamp_path(2), camera.files[office_log.stamp_path(2)].index(b"20261124") + 7)]),
            ("a stamp's signature altered", 10, "altered", "edited",
             [flip(office_log.stamp_path(2), len(camera.files[office_log.stamp_path(2)]) - 3)]),
            ("a stamp that is none", 10, "altered", "edited",
             [{"do": "swap", "path": office_log.stamp_path(2), "with": receipt}]),
            ("a foreign file", 13, "foreign", "inserted",
             [{"do": "move", "path": closed, "to": records.segment_path("00000000-1", 0)}]),
        )
    )  # fmt: skip
    yield from invalid_stills(camera)


def invalid_stills(camera: Camera) -> Iterator[dict[str, Any]]:
    """Records that the camera itself signs at the end of its journal, and what must be found: step, verdict, attack.

    Step 12 needs the office's identity: without it, nothing is found.
    """
    good, last = next(record.body for record in camera.records if record.kind == "still"), camera.records[-1]
    begin, size, last_file = good["plain_offset"], good["size"], records.journal_path(camera.file)
    for name, step, changed in (
        ("a still in a segment that was not told", 6, {"segment": 3}),
        ("a still in a segment of another boot", 6, {"segment": 1}),
        ("a still in the initialisation", 7, {"plain_offset": 100}),
        ("a still that no fragment holds", 7, {"plain_offset": 2**62}),
        ("a still that begins in one fragment and ends after it", 7, {"plain_offset": 130_000, "size": 2_000}),
        ("a still twice", 7, {}),
        ("a still in another's place", 7, {"plain_offset": begin + size - 1}),
        ("a still among the samples", 12, {"plain_offset": 68_000}),
    ):
        chain = Chain(DEVICE, last.boot, key(camera.session_key), kid(camera.session_key), seq=last.seq + 1,
                      prev=last.sha256)  # fmt: skip
        line = chain.append("still", {**good, **changed}, last.clock, deterministic=True)
        steps = [{"do": "append", "path": last_file, "text": line.decode() + "\n"}]
        yield {"name": name, "steps": steps, "step": step, "verdict": "altered", "attack": "contradiction"}
