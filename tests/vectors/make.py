"""Makes the test vectors of docs/spec/evidence.md: `python -m tests.vectors.make` writes them beside itself.

Intermediate values are computed here from the primitives, not asked of `evidence`, so that the two check each other.
Media is an input (`media.json`), because encoders differ between machines. Everything else is derived.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from evidence import age, jose, mp4, office_log, pki, report, sealed, timestamp
from evidence.checkpoint import Proof
from evidence.records import Chain, Stamp
from evidence.verify import Verifier
from tests import evidence_keys as keys_of
from tests.evidence_builder import START_UTC_MS, Camera, MemoryFolder
from tests.evidence_keys import AGENCY, Stream, sha256
from tests.office_log_kit import OfficeLogCopy
from tests.vectors import invalid, standing
from tests.vectors.invalid import DEVICE
from tests.vectors.signatures import signatures

HERE = Path(__file__).parent
INPUTS = ("media.json", ".py", ".pyc")  # names and endings of what is not made


def vectors() -> dict[str, bytes]:
    """Every file of this folder that is made, by its path in it."""
    camera, torn = example()
    made = {
        "keys.json": _json(keys()),
        "age.json": _json([age_file(b"evidence\n"), age_file(bytes(range(256)) * 256 + mp4.TRAILER)]),
        "line.json": _json(line()),
        "sealed.json": _json(sealed_bodies()),
        "documents.json": _json(documents(camera)),
        "journal.json": _json(journal(camera, torn)),
        "log.json": _json(office_logs(camera)),
        "segments.json": _json(list(segments(camera))),
        "report.json": _json(reported(camera, None)),
        "report-opened.json": _json(reported(camera, keys_of.identity("office"))),
        "invalid-lines.json": _json(list(invalid.invalid_lines(line()))),
        "invalid-age.json": _json(list(invalid.invalid_age(*age_files()))),
        "invalid-folders.json": _json([*invalid.invalid_folders(camera, torn), *standing.invalid_keys(camera)]),
        "late.jws": standing.late(),
    }
    return made | {f"folder/{path}": data for path, data in camera.files.items()}


def example() -> tuple[Camera, bytes]:
    """The folder that all vectors are about: two boots, a torn tail, a released, a truncated and a closed segment.

    The truncated one has a still whose record the power cut kept from being written, the closed one a listed one.
    """
    camera = Camera(DEVICE)
    camera.boot()
    camera.anchor()
    camera.line("assigned", sealed_bodies()["assigned"]["record_body"])
    camera.record("R", stop=False)
    camera.segment(3, cut=True, stills=1, listed=False)
    torn = b"eyJhbGciOiJFUzI1NiIsImtpZCI6I"
    camera.resume(torn=torn)
    camera.segment(stills=1)
    camera.stop()
    camera.summary()
    camera.line("shutdown", {"clean": True})
    camera.files["certs/root.pem"] = pki.to_pem(AGENCY.root)
    log = OfficeLogCopy(camera)
    log.ingest(0)
    log.head()
    log.stamp(log.publish(), after_ms=10_000)
    return camera, torn


# --- keys


def keys() -> dict[str, Any]:
    names = {
        "root": f"{AGENCY.seed} root",
        "issuing": f"{AGENCY.seed} issuing",
        "signer": f"{AGENCY.seed} signer",
        "stamp": f"{AGENCY.seed} stamp",
        "evidence": f"{AGENCY.seed} evidence {DEVICE}",
        "session of boot 1": f"{AGENCY.seed} session {DEVICE} 1",
        "session of boot 2": f"{AGENCY.seed} session {DEVICE} 2",
    }
    return {
        "p256": {name: {"d": f"{keys_of.scalar(own):064x}", "kid": keys_of.kid(own)} for name, own in names.items()},
        "age": {name: _age_keys(name) for name in ("office", "recovery")},
        "certificates": {
            "root": _pem(AGENCY.root),
            "issuing": _pem(AGENCY.issuing),
            "signer": _pem(AGENCY.signer),
            "stamp": _pem(AGENCY.stamp),
            "evidence": _pem(AGENCY.evidence(DEVICE)),
        },
    }


def _age_keys(name: str) -> dict[str, str]:
    identity = keys_of.identity(name)
    recipient = age.recipient_of(identity)
    return {"identity": identity, "recipient": recipient, "fingerprint": age.fingerprint(recipient)}


# --- age


def age_file(plain: bytes) -> dict[str, Any]:
    """An age file for the office and recovery, taken apart. Long contents are told by hash."""
    random = Stream(f"age vector {len(plain)}")
    names = ("office", "recovery")
    data = _encrypt(plain, keys_of.recipients(), Stream(f"age vector {len(plain)}"))
    file_key = random(16)
    stanzas, header = [], b"age-encryption.org/v1\n"
    for name in names:
        secret, public = X25519PrivateKey.from_private_bytes(random(32)), _x25519(name).public_key()
        share = secret.public_key().public_bytes_raw()
        shared = secret.exchange(X25519PublicKey.from_public_bytes(public.public_bytes_raw()))
        wrap_key = _hkdf(shared, share + public.public_bytes_raw(), b"age-encryption.org/v1/X25519")
        body = ChaCha20Poly1305(wrap_key).encrypt(bytes(12), file_key, None)
        header += b"-> X25519 " + _b64(share) + b"\n" + _b64(body) + b"\n"
        stanzas.append(
            {
                "recipient": name,
                "ephemeral_secret": secret.private_bytes_raw().hex(),
                "ephemeral_share": share.hex(),
                "shared_secret": shared.hex(),
                "wrap_key": wrap_key.hex(),
                "wrapped_file_key": body.hex(),
            }
        )
    mac_key, mac_input = _hkdf(file_key, None, b"header"), header + b"---"
    mac = hmac.digest(mac_key, mac_input, "sha256")
    nonce = random(16)
    header = mac_input + b" " + _b64(mac) + b"\n" + nonce
    payload_key = _hkdf(file_key, nonce, b"payload")
    chunks, payload = [], b""
    for index, start in enumerate(range(0, len(plain), 65536)):
        last = start + 65536 >= len(plain)
        chunk_nonce = index.to_bytes(11, "big") + bytes([last])
        cipher = ChaCha20Poly1305(payload_key).encrypt(chunk_nonce, plain[start : start + 65536], None)
        payload += cipher
        chunks.append({"nonce": chunk_nonce.hex(), "size": len(cipher), "sha256": sha256(cipher)})
    assert data == header + payload, "evidence.age and this generator disagree"
    return {
        "plain_size": len(plain),
        "plain_sha256": sha256(plain),
        "plain_repeats": "00 01 … ff, 256 times, then the trailer box" if len(plain) > 256 else None,
        "plain": plain.hex() if len(plain) <= 256 else None,
        "file_key": file_key.hex(),
        "stanzas": stanzas,
        "mac_key": mac_key.hex(),
        "mac": mac.hex(),
        "nonce": nonce.hex(),
        "header": header.hex(),
        "header_sha256": sha256(header),
        "payload_key": payload_key.hex(),
        "chunks": chunks,
        "file_size": len(data),
        "file_sha256": sha256(data),
        "file": data.hex() if len(plain) <= 256 else None,
    }


def age_files() -> tuple[bytes, bytes]:
    """A file for the office and recovery, and one for somebody else."""
    stranger = age.recipient_of(keys_of.identity("stranger"))
    good = bytes.fromhex(age_file(b"evidence\n")["file"])
    return good, _encrypt(b"evidence\n", [stranger], Stream("age stranger"))


def _encrypt(plain: bytes, recipients: list[str], random: age.Random) -> bytes:
    writer = age.Encryptor(recipients, random)
    whole = (len(plain) - 1) // age.CHUNK * age.CHUNK
    return writer.header + bytes(writer.seal(plain[:whole])) + writer.finish(plain[whole:])


def _x25519(name: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(Stream(f"age {name}")(32))


def _hkdf(secret: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


# --- lines


def line() -> dict[str, Any]:
    """One signed line, taken apart."""
    own = f"{AGENCY.seed} session {DEVICE} 1"
    private, kid = keys_of.key(own), keys_of.kid(own)
    chain = Chain(DEVICE, "11" * 16, private, kid, seq=7, prev="ab" * 32)
    text = chain.append("marker", *_marker(), deterministic=True)
    header, payload, signature = text.split(b".")
    signing_input = header + b"." + payload
    spki = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {
        "d": f"{keys_of.scalar(own):064x}",
        "spki": spki.hex(),
        "kid": kid,
        "header": jose.unb64(header).decode(),
        "payload": jose.unb64(payload).decode(),
        "signing_input": signing_input.decode(),
        "signing_input_sha256": sha256(signing_input),
        "r": jose.unb64(signature)[:32].hex(),
        "s": jose.unb64(signature)[32:].hex(),
        "line": text.decode(),
        "line_sha256": sha256(text),
    }


def _marker() -> tuple[dict[str, Any], Stamp]:
    return {"recording": "11111111-1", "at_ns": 5_000_000_000}, Stamp(5_000_100_000, START_UTC_MS, "rtc", 1500)


def journal(camera: Camera, torn: bytes) -> dict[str, Any]:
    """Every line of the folder's journal, taken apart, and its torn tail."""
    return {
        "torn_tail": torn.decode(),
        "lines": [
            {
                "seq": record.seq,
                "prev": record.prev,
                "kind": record.kind,
                "kid": record.kid,
                # An opening's payload is long: it stands in the file.
                "payload": None if record.kind in ("boot", "summary") else record.jws.payload.decode(),
                "signing_input_sha256": sha256(record.jws.signing_input),
                "sha256": record.sha256,
            }
            for record in camera.records
        ],
    }


# --- sealed bodies, documents, segments


def sealed_bodies() -> dict[str, Any]:
    bodies: dict[str, dict[str, Any]] = {
        "assigned": {"officer_number": "012345", "officer_name": "示例", "unit": "执法一中队"},
        "position": {
            "latitude_e7": 409_567_000,
            "longitude_e7": 1_179_240_000,
            "altitude_mm": 312_000,
            "error_mm": 4_500,
            "fix_utc": "2026-11-24T06:00:00.000Z",
        },
    }
    made = {}
    for kind, body in bodies.items():
        sealed_body = sealed.seal(kind, body, keys_of.recipients(), Stream(f"sealed {kind}"))
        plain = age.open_file(jose.unb64(sealed_body["sealed"].encode()), keys_of.identity("recovery")).plain
        made[kind] = {
            "body": body,
            "salt": Stream(f"sealed {kind}")(32).hex(),
            "plain": plain.decode(),
            "record_body": sealed_body,
        }
    return made


def documents(camera: Camera) -> dict[str, Any]:
    recording = camera.recording
    anchor = next(record for record in camera.records if record.kind == "time_anchor")
    texts = {
        "receipt": camera.receipt(recording, 0),
        "log key": camera.files[office_log.KEY].decode(),
        "configuration": camera.configuration(),
        "time anchor": anchor.body["anchor"],
    }
    made = {}
    for name, text in texts.items():
        header, payload, signature = text.encode().split(b".")
        made[name] = {
            "header": jose.unb64(header).decode(),
            "payload": jose.unb64(payload).decode(),
            "signing_input_sha256": sha256(header + b"." + payload),
            "r": jose.unb64(signature)[:32].hex(),
            "s": jose.unb64(signature)[32:].hex(),
            "text": text,
            "sha256": sha256(text.encode()),
        }
    return made


def office_logs(camera: Camera) -> dict[str, Any]:
    """The log of two leaves that the folder carries proofs of, taken apart; the token's times are whole seconds."""
    recording, last = camera.recording, camera.records[-1].seq
    paths = [office_log.ingest_path(recording, 0), office_log.head_path(last)]
    entries = [Proof.read(camera.files[path]).entry for path in paths]
    leaves = [hashlib.sha256(b"\0" + entry).digest() for entry in entries]
    note, token = camera.files[office_log.checkpoint_path(2)], camera.files[office_log.stamp_path(2)]
    return {
        "ed25519_seed": hashlib.sha256(b"bodycam vectors log").hexdigest(),
        "leaves": [
            {"path": path, "entry": entry.decode(), "leaf_hash": leaf.hex()}
            for path, entry, leaf in zip(paths, entries, leaves, strict=True)
        ],
        "root": hashlib.sha256(b"\1" + leaves[0] + leaves[1]).hexdigest(),
        "checkpoint": note.decode(),
        "message_imprint": sha256(note),
        "stamp": token.hex(),
        "stamp_latest_ms": timestamp.read(token, note, [AGENCY.root], [AGENCY.issuing]).latest_ms,
    }


def segments(camera: Camera) -> Iterator[dict[str, Any]]:
    """The segment files of the folder: file keys, headers, and the fragments within."""
    identity = keys_of.identity("office")
    for path, data in camera.files.items():
        if not path.startswith("segments/"):
            continue
        header = age.parse_header(data)
        file_key = age.unwrap(header, identity)
        opened = age.open_file(data, identity)
        index = int(path[-13:-8])
        yield {
            "path": path,
            "size": len(data),
            "sha256": sha256(data),
            "header_size": header.size,
            "header_sha256": header.sha256,
            "file_key": file_key.hex(),
            "payload_key": _hkdf(file_key, header.nonce, b"payload").hex(),
            "complete": opened.complete,
            "plain_size": len(opened.plain),
            "plain_sha256": sha256(opened.plain),
            "boxes": _boxes(opened.plain),
            "stills": list(_stills(opened.plain)),
            "signatures": list(signatures(opened.plain)),
            "fragments": [r.body for r in camera.records if r.kind == "fragment" and r.body["segment"] == index],
        }


def _boxes(plain: bytes) -> list[list[Any]]:
    found, position = [], 0
    while position < len(plain):
        size = int.from_bytes(plain[position : position + 4], "big")
        found.append([plain[position + 4 : position + 8].decode(), position, size])
        position += size
    return found


def _stills(plain: bytes) -> Iterator[dict[str, Any]]:
    for kind, start, size in _boxes(plain):
        if kind == "uuid":
            uuid, at_ns = plain[start + 8 : start + 24].hex(), int.from_bytes(plain[start + 24 : start + 32], "big")
            jpeg = plain[start + 32 : start + size]
            yield {"uuid": uuid, "at_ns": at_ns, "plain_offset": start + 32, "size": len(jpeg), "sha256": sha256(jpeg)}


def reported(camera: Camera, identity: str | None) -> dict[str, Any]:
    return report.to_json(Verifier(MemoryFolder(camera.files), [AGENCY.root], identity).run())


# --- output


def _b64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _pem(certificate: Any) -> str:
    return pki.to_pem(certificate).decode()


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def main() -> None:
    made = vectors()
    for path in sorted(HERE.rglob("*")):
        if path.is_file() and not path.name.endswith(INPUTS) and path.relative_to(HERE).as_posix() not in made:
            path.unlink()
    for name, data in made.items():
        target = HERE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


if __name__ == "__main__":
    main()
