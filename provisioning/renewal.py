"""Link certificates signed ahead (docs/adr/0009): the agency's key stays offline, and cameras are renewed every day.

For each camera's link key one certificate every third of a term, each valid for one term, so that whoever asks has
two thirds of a term ahead. They are public; without the camera's key they are worth nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from evidence import pki
from evidence.pki import Role
from provisioning.errors import ProvisioningError
from provisioning.key_files import Say
from provisioning.revocation import revoked_by
from runtime.keys import load_certificates, load_key, replace_file

TERM = timedelta(days=30)
STEP = TERM / 3
_ISSUED = re.compile(r"camera-([A-Z0-9-]{3,32})-[0-9a-f]{16}\.pem")


def renew(folder: Path, out: Path, days: int, now: datetime, say: Say) -> None:
    """Sign for every camera of the agency in `folder` what is missing for `days` to come; write all into `out`.

    `out` is the office's register, or a folder to be copied there: `<ID>/link/<first day>.pem`. A camera of which only
    revoked keys are known gets nothing.
    """
    (issuing,) = load_certificates(folder / "certs" / "issuing.pem")
    key = load_key(folder / "keys" / "issuing.key.pem")
    end = min(now + timedelta(days=days), issuing.not_valid_after_utc - TERM)
    count, revoked = 0, revoked_by(folder, issuing)
    for path, device, known in _current(folder):
        if known[0].serial_number in revoked:
            say(f"revoked, nothing signed: {device}")
            continue
        starts = _missing(known, now, end)
        public = pki.public_key(known[0])
        made = [
            pki.make_certificate(Role.CAMERA, device, public, issuing, key, start, start + TERM) for start in starts
        ]
        if made:
            replace_file(path, pki.to_pem(*known, *made))  # before they are given out: a revocation is of all of them
        for one in (*known, *made):
            if one.not_valid_after_utc > now:
                name = f"{one.not_valid_before_utc:%Y-%m-%d}.pem"
                replace_file(out / device / "link" / name, pki.to_pem(one, issuing))
        count += len(made)
    say(f"signed {count} certificates, for {days} days to come: {out}")


def _current(folder: Path) -> Iterator[tuple[Path, str, list[x509.Certificate]]]:
    """File, id and certificates of each camera's link key; of several keys, the one certified last."""
    latest: dict[str, tuple[datetime, Path, list[x509.Certificate]]] = {}
    for path in sorted((folder / "issued").glob("camera-*.pem")):
        match = _ISSUED.fullmatch(path.name)
        if match is None:
            raise ProvisioningError(os.EX_DATAERR, f"{path}: not a file of this agency")
        known = load_certificates(path)
        first = known[0].not_valid_before_utc
        if match[1] not in latest or latest[match[1]][0] < first:
            latest[match[1]] = (first, path, known)
    for device, (_, path, known) in sorted(latest.items()):
        yield path, device, known


def _missing(known: list[x509.Certificate], now: datetime, end: datetime) -> list[datetime]:
    """When those certificates begin that are not there yet."""
    last = max(one.not_valid_before_utc for one in known)
    start = max(last + STEP, (now - STEP).replace(microsecond=0))
    found = []
    while start < end:
        found.append(start)
        start += STEP
    return found
