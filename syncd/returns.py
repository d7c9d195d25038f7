"""What the dock brings a camera besides receipts and time: revocation lists, link certificate, configuration.

It carries, and decides nothing: the camera verifies each itself. All of it is brought when everything is handed in, the
configuration last, since the camera begins anew with it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from evidence.errors import EvidenceError
from evidence.revoked import Revoked
from evidence.standing import Standing, of_link
from runtime.revoked_file import RevokedFile
from syncd.attempts import Attempts
from syncd.camera import Camera, CameraPapers
from syncd.errors import AwayError, DockError
from syncd.office import Office

_LOOK_SECONDS = 60.0  # between two looks at what the office has

_log = logging.getLogger(__name__)


class Lists:
    """The dock's revocation lists, brought up to date now and then. Safe for several threads."""

    def __init__(self, path: Path, roots: list[x509.Certificate]) -> None:
        self._file = RevokedFile(path, roots)
        self._due = 0.0

    def now(self) -> Revoked:
        """The lists that are here."""
        return self._file.now

    def refresh(self, office: Office) -> None:
        """Ask the office, if that is due. Raises `DockError` for lists that do not verify: those here stay."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _LOOK_SECONDS
        try:
            bundle = office.papers.revocations()
        except AwayError as away:
            away.answers = False  # nothing of any camera was asked: the office itself is not well
            raise
        if not bundle:
            return
        try:
            if self._file.take(bundle):
                _log.info("revocation lists taken")
        except EvidenceError as error:
            raise DockError("revocations-wrong", error.message) from error


class Returns:
    """For one camera."""

    def __init__(self, device: str, lists: Lists, tries: Attempts) -> None:
        self._device = device
        self._lists = lists
        self._tries = tries
        self._said: Standing | None = None  # by the office, since the camera came
        self._configuration: bytes | None = None
        self._look_due = self._standing_due = 0.0

    def standing(self, camera: Camera, office: Office) -> Standing:
        """How the camera stands: taken back by the lists that are here, or as the office says.

        Only while the office has not said anything does the date count here: a dock whose clock is off must not send a
        whole shift to quarantine.
        """
        link = camera.certificate()

        def ask() -> None:
            self._lists.refresh(office)
            self._said = office.papers.standing(link)
            self._standing_due = time.monotonic() + _LOOK_SECONDS

        if time.monotonic() >= self._standing_due:
            self._tries.office_attempt("standing", ask)
        try:
            by_link = of_link(link, self._lists.now(), datetime.now(UTC))
        except EvidenceError as error:
            raise AwayError("camera", "identity", error.message) from error
        return by_link if by_link is Standing.REVOKED or self._said is None else self._said

    def begin(self) -> None:
        """The camera has come: what was known of it may be old."""
        self._said = None
        self._look_due = self._standing_due = 0.0

    def bring(self, camera: Camera, office: Office) -> CameraPapers | None:
        """Bring what it lacks; which papers it has then. Raises `AwayError` of the camera."""
        papers = camera.papers()
        if papers is None:
            return None
        gave = False
        lists = self._lists.now().bundle
        if lists and papers.revocations != _sha256(lists):
            gave |= self._tries.attempt("revocations", lambda: camera.give_revocations(lists))
        if time.monotonic() >= self._look_due and self._tries.office_ready():
            self._look_due = time.monotonic() + _LOOK_SECONDS
            if _half_over(camera.certificate()):
                self._tries.office_attempt("certificate", lambda: self._renew(camera, office))
            self._tries.office_attempt("configuration", lambda: self._fetch(office))
        text = self._configuration
        if text is not None and papers.held != _sha256(text):
            gave |= self._tries.attempt("configuration", lambda: camera.give_configuration(text))
        return camera.papers() if gave else papers

    def _renew(self, camera: Camera, office: Office) -> None:
        camera.give_certificate(office.papers.renewal(camera.request()))
        camera.close()  # the next connection shows it

    def _fetch(self, office: Office) -> None:
        self._configuration = office.papers.configuration(self._device)


def _half_over(link: x509.Certificate) -> bool:
    first, last = link.not_valid_before_utc, link.not_valid_after_utc
    return datetime.now(UTC) > first + (last - first) / 2


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
