"""Client of a camera's dock port."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from evidence import jose, shape
from evidence.errors import EvidenceError
from evidence.pki import Role
from syncd.errors import AwayError, RefusedError
from syncd.link import Blocks, Link, Patience

ANSWER_SECONDS: Final = 15.0
"""How long a bay that has contact waits for an answer: a camera opens its port soon after the contact has closed."""
_LIST_LIMIT = 100_000

_SIZE = shape.number(0, 2**50)
_HEAD = {"seq": shape.number(), "sha256": shape.SHA256}
_JOURNAL = shape.nested({"file": shape.number(0, 99_999_999), "size": _SIZE})
_SEGMENT = shape.nested({"recording": shape.recording_id, "segment": shape.number(0, 999_999), "size": _SIZE})


_STATE: dict[str, shape.Check] = {
    "device": shape.identifier,
    "boot": shape.BOOT,
    "nonce": shape.optional(shape.hexadecimal(32)),
    "head": shape.nested(_HEAD),
    "journal": shape.list_of(_JOURNAL, at_most=_LIST_LIMIT),
    "segments": shape.list_of(_SEGMENT, at_most=_LIST_LIMIT),
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A segment that the camera says it holds."""

    recording: str
    segment: int
    size: int  # bytes

    @property
    def key(self) -> tuple[str, int]:
        """Its name in journal and receipts."""
        return self.recording, self.segment


@dataclass(frozen=True, slots=True)
class CameraState:
    """What the camera says of itself; a claim until the journal bears it out."""

    device: str
    boot: str
    nonce: str | None
    head: tuple[int, str]
    journal: tuple[tuple[int, int], ...]  # (file, size), ascending
    segments: tuple[Listed, ...]


@dataclass(frozen=True, slots=True)
class Fitness:
    """What the camera says of its next shift (docs/spec/dock.md §6). None: it cannot tell."""

    wrong: list[str] | None  # what its last self-check found, but for what stands below
    battery_percent: int | None
    battery_minutes: int | None
    charging: bool | None
    storage_minutes: int | None
    clock_trusted: bool
    assigned: bool
    planned_minutes: int


@dataclass(frozen=True, slots=True)
class CameraPapers:
    """SHA-256 of the configuration that it has, of the one in force, of its revocation lists; its fitness."""

    held: str
    in_force: str
    revocations: str | None
    fitness: Fitness


_MINUTES = shape.optional(shape.number(0, 10**6))
_PAPERS: dict[str, shape.Check] = {
    "configuration": shape.nested({"held": shape.SHA256, "in_force": shape.SHA256, "issued": shape.utc}),
    "revocations": shape.optional(shape.SHA256),
    "fitness": shape.nested(
        {
            "wrong": shape.optional(shape.list_of(shape.text)),
            "battery_percent": shape.optional(shape.number(0, 150)),
            "battery_minutes": _MINUTES,
            "charging": shape.optional(shape.boolean),
            "storage_minutes": _MINUTES,
            "clock_trusted": shape.boolean,
            "assigned": shape.boolean,
            "planned_minutes": shape.number(0, 10**6),
        }
    ),
}
_PEM = "application/x-pem-file"
_NOT_FOUND = 404


class Camera:
    """The camera in one bay, for one thread. Raises `AwayError` and `RefusedError`."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, patience: Patience | None = None) -> None:
        self.address = address
        self._link = Link("camera", Role.CAMERA, address, context, patience)

    def connect(self) -> str:
        """Connect and return the id in its certificate."""
        return self._link.connect()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._link.close()

    def cut(self, reason: Callable[[], Exception]) -> None:
        """See `Link.cut`."""
        self._link.cut(reason)

    def state(self) -> CameraState:
        """Ask what there is. The state must be of the device that the certificate names."""
        state = _read(self._told("/v1/state", _STATE))
        if state.device != self._link.peer:
            self.close()
            raise AwayError("camera", "identity", f"{self._link.peer} says that it is {state.device}")
        return state

    def journal(self, file: int, start: int, stop: int) -> Blocks:
        """Bytes `start` to `stop` (excluded) of a journal file. See `Link.blocks`."""
        return self._link.blocks(f"/v1/journal/{file}", start, stop)

    def segment(self, listed: Listed, start: int) -> Blocks:
        """A segment's ciphertext from `start` on. See `Link.blocks`."""
        return self._link.blocks(f"/v1/segments/{listed.recording}/{listed.segment}", start, listed.size)

    def give_receipt(self, jws: bytes) -> None:
        """Return when the camera has verified the receipt and written it down."""
        self._give("/v1/receipts", jws)

    def give_anchor(self, jws: bytes) -> None:
        """Return when the camera has verified the anchor and written it down."""
        self._give("/v1/anchor", jws)

    def give_order(self, jws: bytes) -> None:
        """Return when the camera has verified the order and carries it out."""
        self._give("/v1/orders", jws)

    def certificate(self) -> x509.Certificate:
        """Its link certificate."""
        return self._link.certificate()

    def papers(self) -> CameraPapers | None:
        """Which papers it has, and how fit it is; None: its firmware knows of none."""
        try:
            value = self._told("/v1/papers", _PAPERS)
        except RefusedError as refusal:
            if refusal.status == _NOT_FOUND:
                return None
            raise
        configuration = value["configuration"]
        return CameraPapers(
            configuration["held"], configuration["in_force"], value["revocations"], Fitness(**value["fitness"])
        )

    def request(self) -> bytes:
        """What it asks for another link certificate with, PEM."""
        return self._link.request("GET", "/v1/request").body

    def challenge(self, nonce: str) -> Any:
        """Its answer, not verified."""
        body = jose.dump_json({"nonce": nonce})
        answer = self._link.request("POST", "/v1/challenge", {"Content-Type": "application/json"}, body)
        with self._protocol():
            return jose.parse_json(answer.body)

    def give_configuration(self, jws: bytes) -> None:
        """Return when the camera has verified it and keeps it."""
        self._give("/v1/configuration", jws)

    def give_certificate(self, pem: bytes) -> None:
        """As `give_configuration`."""
        self._give("/v1/certificate", pem, _PEM)

    def give_revocations(self, pem: bytes) -> None:
        """As `give_configuration`."""
        self._give("/v1/revocations", pem, _PEM)

    def _told(self, path: str, expected: dict[str, shape.Check]) -> dict[str, Any]:
        body = self._link.request("GET", path).body
        with self._protocol():
            return shape.require(path, jose.parse_json(body), expected)

    @contextlib.contextmanager
    def _protocol(self) -> Iterator[None]:
        try:
            yield
        except EvidenceError as error:
            self.close()
            raise AwayError("camera", "protocol", error.message) from error

    def _give(self, path: str, body: bytes, media: str = "application/jose") -> None:
        answer = self._link.request("POST", path, {"Content-Type": media}, body)
        if answer.status != 204:  # noqa: PLR2004 - the one answer that means durable
            raise AwayError("camera", "protocol", f"answered {answer.status} instead of 204")


def _read(value: dict[str, Any]) -> CameraState:
    return CameraState(
        value["device"],
        value["boot"],
        value["nonce"],
        (value["head"]["seq"], value["head"]["sha256"]),
        tuple(sorted((item["file"], item["size"]) for item in value["journal"])),
        tuple(Listed(item["recording"], item["segment"], item["size"]) for item in value["segments"]),
    )
