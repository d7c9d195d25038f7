"""The office's register of cameras: whose they are, how they stand, which link certificates lie ready for them.

A folder, `<DEVICE>/` in it for each camera, filled by other commands and read anew each time:

    config.jws         the latest configuration, as `bodycam provision configure` signed it
    standing           "lost" or "unassigned"; not there: it is in use
    link/*.pem         link certificates that the agency signed ahead (docs/adr/0009)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509

from evidence import pki, shape
from evidence.documents import Configuration
from evidence.errors import EvidenceError
from evidence.jose import Json
from evidence.pki import Role
from evidence.revoked import Revoked
from evidence.standing import Standing, of_link
from office.errors import OfficeError
from runtime.keys import CredentialError, load_certificates, replace_file

_log = logging.getLogger(__name__)
_Found = tuple[bytes, Configuration]
MARKS = (Standing.LOST, Standing.UNASSIGNED)


class Register:
    """`folder` None: the office has no register. Then every camera of the agency is good, and gets no papers."""

    def __init__(
        self, folder: Path | None, office: str, signer: x509.Certificate, roots: list[x509.Certificate]
    ) -> None:
        self._folder = folder
        self._office = office
        self._signer = pki.public_key(signer)
        self._roots = roots
        self._seen: dict[str, tuple[tuple[int, int], _Found | None]] = {}  # by camera, and the file's time and size

    def devices(self) -> list[str]:
        """Cameras in it."""
        if self._folder is None or not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if shape.identifier(path.name))

    def marked(self, device: str) -> Standing:
        """What the office itself says of a camera."""
        if self._folder is None:
            return Standing.GOOD
        try:
            text = (self._folder / device / "standing").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return Standing.GOOD if self.configuration(device) else Standing.UNASSIGNED
        # Whatever else stands there was meant to keep it from being handed out.
        return Standing(text) if text in MARKS else Standing.UNASSIGNED

    def mark(self, device: str, standing: Standing) -> None:
        """Say how a camera stands, durable. Raises `OfficeError`, OSError."""
        if self._folder is None:
            raise OfficeError("no-register", "office.toml names no register of cameras: set `cameras`")
        path = self._folder / device / "standing"
        if standing is Standing.GOOD:
            path.unlink(missing_ok=True)
        else:
            replace_file(path, f"{standing}\n".encode("ascii"))

    def standing(self, device: str, link: x509.Certificate, revoked: Revoked, now: datetime) -> Standing:
        """How a camera with this link certificate stands."""
        by_link = of_link(link, revoked, now)
        return by_link if by_link is Standing.REVOKED else _gravest(self.marked(device), by_link)

    def configuration(self, device: str) -> bytes | None:
        """The camera's latest configuration, a JWS. One that does not verify is told and not passed on."""
        found = self._read(device)
        return None if found is None else found[0]

    def latest(self, device: str) -> Configuration | None:
        """What that configuration says."""
        found = self._read(device)
        return None if found is None else found[1]

    def link_until(self, device: str) -> datetime | None:
        """Until when link certificates lie ready."""
        return max((chain.not_after for chain in self._ready(device)), default=None)

    def _read(self, device: str) -> _Found | None:
        if self._folder is None:
            return None
        path = self._folder / device / "config.jws"
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        age = (status.st_mtime_ns, status.st_size)
        seen = self._seen.get(device)
        if seen is None or seen[0] != age:
            seen = self._seen[device] = (age, self._verified(device, path))
        return seen[1]

    def _verified(self, device: str, path: Path) -> _Found | None:
        try:
            text = path.read_bytes().strip()
            found = Configuration.read(text, self._signer)
        except FileNotFoundError:
            return None
        except EvidenceError as error:
            _log.error("register: %s: %s", path, error)
            return None
        if (found.device, found.office) != (device, self._office):
            _log.error("register: %s is %s's for %s", path, found.office, found.device)
            return None
        return text, found

    def renew(self, request: bytes, revoked: Revoked, now: datetime) -> tuple[str, bytes]:
        """The camera that asks, and the certificate that lies ready for its key, of those valid now the longest.

        Raises `OfficeError` (renewal-refused, renewal-missing), `EvidenceError`.
        """
        (asked, *more) = pki.parse_requests(request)
        role, device = pki.role_and_id(asked)
        if more or role is not Role.CAMERA:
            raise OfficeError("renewal-refused", "only a camera's link key gets a certificate here", 403)
        if self._folder is None or self.marked(device) is not Standing.GOOD:
            raise OfficeError("renewal-refused", f"{device} is not in use at this office", 403)
        ready = [chain for chain in self._ready(device) if _is_for(chain, asked, now)]
        if not ready:
            raise OfficeError(
                "renewal-missing", f"no certificate lies ready for the link key of {device}: have the agency sign", 404
            )
        best = max(ready, key=lambda chain: chain.leaf.not_valid_after_utc)
        if revoked.entry(best.leaf) is not None:
            raise OfficeError("renewal-refused", f"the link key of {device} was taken back", 403)
        return device, pki.to_pem(*best.certificates[:-1])

    def _ready(self, device: str) -> Iterator[pki.Chain]:
        if self._folder is None:
            return
        for path in sorted((self._folder / device / "link").glob("*.pem")):
            try:
                leaf, *above = load_certificates(path)
                yield pki.validate_chain(leaf, above, self._roots, role=Role.CAMERA, at=None)
            except (CredentialError, EvidenceError) as error:
                _log.error("register: %s: %s", path, error)


def _is_for(chain: pki.Chain, asked: x509.CertificateSigningRequest, now: datetime) -> bool:
    same = chain.id == pki.role_and_id(asked)[1] and pki.public_key(chain.leaf) == pki.public_key(asked)
    return same and chain.not_before <= now <= chain.not_after


def _gravest(marked: Standing, by_link: Standing) -> Standing:
    return by_link if marked is Standing.GOOD else marked


def describe(register: Register, quarantined: Mapping[str, int]) -> list[Json]:
    """Each camera of the register, or in quarantine (segments by camera)."""
    return [
        {
            "device": device,
            "standing": register.marked(device).value,
            "issued": found.issued if (found := register.latest(device)) else None,
            "officer_number": found.officer_number if found else None,
            "officer_name": found.officer_name if found else None,
            "unit": found.unit if found else None,
            "link_until": until.isoformat() if (until := register.link_until(device)) else None,
            "quarantined_segments": quarantined.get(device, 0),
        }
        for device in sorted({*register.devices(), *quarantined})
    ]


def table(rows: Sequence[Json]) -> str:
    """For people."""
    lines = ["设备\t状态\t警号\t姓名\t单位\t连接证书备至\t隔离区段数"]
    for row in rows:
        who = [row["officer_number"] or "-", row["officer_name"] or "-", row["unit"] or "-"]
        until = (row["link_until"] or "-")[:10]
        lines.append("\t".join([row["device"], _WORDS[row["standing"]], *who, until, str(row["quarantined_segments"])]))
    return "\n".join(lines) + "\n"


_WORDS = {"good": "在用", "lost": "挂失", "unassigned": "未配发"}
