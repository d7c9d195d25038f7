"""Client of a camera's dock port."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evidence import jose, shape
from evidence.errors import EvidenceError
from evidence.pki import Role
from syncd.errors import AwayError
from syncd.link import Blocks, Link, Patience

_LIST_LIMIT = 100_000

_SIZE = shape.number(0, 2**50)
_HEAD = {"seq": shape.number(), "sha256": shape.SHA256}
_JOURNAL = {"file": shape.number(0, 99_999_999), "size": _SIZE}
_SEGMENT = {"recording": shape.recording_id, "segment": shape.number(0, 999_999), "size": _SIZE}


def _long_list(member: dict[str, shape.Check]) -> shape.Check:
    check = shape.nested(member)
    return lambda value: isinstance(value, list) and len(value) <= _LIST_LIMIT and all(map(check, value))


_STATE: dict[str, shape.Check] = {
    "device": shape.identifier,
    "boot": shape.BOOT,
    "nonce": shape.optional(shape.hexadecimal(32)),
    "head": shape.nested(_HEAD),
    "journal": _long_list(_JOURNAL),
    "segments": _long_list(_SEGMENT),
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
        body = self._link.request("GET", "/v1/state").body
        try:
            value = shape.require("state", jose.parse_json(body), _STATE)
        except EvidenceError as error:
            self.close()
            raise AwayError("camera", "protocol", error.message) from error
        state = _read(value)
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

    def _give(self, path: str, jws: bytes) -> None:
        answer = self._link.request("POST", path, {"Content-Type": "application/jose"}, jws)
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
