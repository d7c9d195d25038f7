"""Hand-in to quarantine: a camera of this agency whose link certificate has run out or was taken back, or that is lost.

Footage is never stranded by paperwork, and a thief gets nothing by it: the camera proves its evidence key, what it has
goes through to a place of its own at the office, and nothing comes back, no receipt, no time, no paper. So it gives
nothing up. Nothing of it touches the dock's own copy of its journal, or its events: a copied card must not go on with
what the true camera began.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from cryptography import x509

from evidence import challenge
from evidence.errors import EvidenceError
from evidence.jose import LINE_LIMIT
from evidence.revoked import Revoked
from evidence.standing import Standing
from syncd.attempts import Attempts
from syncd.blocks import ahead, in_turn, whole_lines
from syncd.camera import Camera, Listed
from syncd.errors import DockError
from syncd.office import Office

_WEIGHT = 1  # of its blocks at the office's line: routine

_Key = tuple[str, int]


class Quarantine:
    """Of one camera, for one thread."""

    def __init__(
        self, device: str, dock: str, roots: Sequence[x509.Certificate], revoked: Callable[[], Revoked], tries: Attempts
    ) -> None:
        self._device = device
        self._dock = dock
        self._roots = roots
        self._revoked = revoked
        self._tries = tries
        self._proved = False
        self._there: dict[int, int] = {}  # bytes of each journal file that need not be sent again
        self._held: set[_Key] = set()
        self._told: Standing | None = None

    def begin(self) -> None:
        """The camera has come: what answers now must prove itself anew."""
        self._proved = False
        self._there.clear()
        self._held.clear()

    def visit(self, camera: Camera, office: Office, standing: Standing) -> bool:
        """Do all that can be done now; whether the office holds everything. Raises `AwayError` of the camera."""
        if self._told is not standing:
            self._told = standing
            self._tries.fault(DockError("camera-quarantine", f"the camera is {standing}: it hands in to quarantine"))
        if not self._tries.office_ready():
            return False
        if not self._proved and not self._tries.office_attempt("proof", lambda: self._prove(camera, office, standing)):
            return False
        state = camera.state()
        complete = True
        for file, size in state.journal:
            complete &= self._tries.office_attempt(
                f"quarantine-{file}",
                lambda file=file, size=size: self._journal(camera, office, file, size),  # type: ignore[misc]
            )
        for listed in state.segments:
            complete &= listed.key in self._held or self._tries.office_attempt(
                f"{listed.recording}/{listed.segment}",
                lambda listed=listed: self._segment(camera, office, listed),  # type: ignore[misc]
            )
        return complete

    def _prove(self, camera: Camera, office: Office, standing: Standing) -> None:
        nonce = secrets.token_hex(16)
        proof = camera.challenge(nonce)
        try:
            challenge.check(proof, self._roots, self._revoked(), self._device, self._dock, nonce)
        except EvidenceError as error:
            raise DockError("camera-unproven", f"{error.message}; keep the camera, have its card read") from error
        office.papers.open_quarantine(self._device, standing, proof)
        self._proved = True

    def _journal(self, camera: Camera, office: Office, file: int, size: int) -> None:
        """Send whole lines; the office verifies them. A torn tail stays: a later file declares it."""
        if self._there.get(file, -1) >= size:
            return
        upload = office.quarantine.create({"kind": "journal", "device": self._device, "file": str(file)}, None)
        offset = office.quarantine.offset(upload)
        rest = b""
        for block in self._tries.watched(camera.journal(file, offset, size)):
            data = rest + bytes(block)
            done = 0
            for piece in whole_lines(data):
                offset = office.quarantine.append(upload, offset, piece)
                done += len(piece)
            rest = data[done:]
            if len(rest) > LINE_LIMIT:
                break
        self._there[file] = size

    def _segment(self, camera: Camera, office: Office, listed: Listed) -> None:
        recording, segment = listed.key
        told = {"kind": "segment", "device": self._device, "recording": recording, "segment": str(segment)}
        upload = office.quarantine.create(told, listed.size)
        offset = office.quarantine.offset(upload)
        blocks = in_turn(ahead(self._tries.watched(camera.segment(listed, offset))), office.share, _WEIGHT)
        office.quarantine.complete(upload, offset, listed.size, blocks)
        self._held.add(listed.key)
