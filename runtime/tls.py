"""Mutual TLS 1.3 between devices of one agency, who are known by role and id (`evidence.pki`), not by host name."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from cryptography import x509

from evidence import pki
from evidence.errors import EvidenceError
from evidence.revoked import Revoked
from runtime.keys import CredentialError

_X509_V_FLAG_NO_CHECK_TIME = 0x200000  # openssl/x509_vfy.h; the ssl module passes it on but has no name for it


class PeerError(Exception):
    """The other end is not who it must be."""

    exit_status = os.EX_NOPERM  # 77


def server_context(certificate_chain: Path, key: Path, roots: Path, *, check_dates: bool = True) -> ssl.SSLContext:
    """Make a context that demands a certificate of the agency from each client.

    `certificate_chain`: PEM, leaf first; `roots`: PEM of the agency's roots. `check_dates=False` is for a device whose
    clock cannot be trusted: chain, role and agency are checked, dates are not. Raises `CredentialError`.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, certificate_chain, key, roots, check_dates=check_dates)
    context.num_tickets = 0  # no resumption: each connection shows its certificate anew
    return context


def client_context(certificate_chain: Path, key: Path, roots: Path, *, check_dates: bool = True) -> ssl.SSLContext:
    """Make a context that shows this end's certificate and demands one of the agency. As `server_context`.

    Call `require_peer` after the handshake: the context alone accepts every role of the agency.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, certificate_chain, key, roots, check_dates=check_dates)


def peer_certificate(connection: ssl.SSLSocket | ssl.SSLObject) -> x509.Certificate:
    """Return the other end's certificate, after the handshake. Raises `PeerError`."""
    der = connection.getpeercert(binary_form=True)
    if der is None:
        raise PeerError("the other end has shown no certificate")
    try:
        return pki.parse_certificate(der)
    except EvidenceError as error:
        raise PeerError(f"the other end's certificate cannot be read: {error.message}") from error


def peer(connection: ssl.SSLSocket | ssl.SSLObject, revoked: Revoked | None = None) -> tuple[pki.Role, str]:
    """Return role and id of the other end, after the handshake, unless it was taken back. Raises `PeerError`."""
    certificate = peer_certificate(connection)
    try:
        role, name = pki.role_and_id(certificate)
        entry = None if revoked is None else revoked.entry(certificate)
    except EvidenceError as error:
        raise PeerError(f"the other end's certificate does not tell who it is: {error.message}") from error
    if entry is not None:
        raise PeerError(f"the certificate of {role}/{name} was taken back on {entry.at:%Y-%m-%d}")
    return role, name


def require_peer(
    connection: ssl.SSLSocket | ssl.SSLObject,
    role: pki.Role,
    name: str | None = None,
    revoked: Revoked | None = None,
) -> str:
    """Return the other end's id if it has `role` (and the id `name`, if given). As `peer`. Raises `PeerError`."""
    found_role, found = peer(connection, revoked)
    if found_role is not role or name not in {None, found}:
        raise PeerError(f"expected {role}/{name or '*'} at the other end, found {found_role}/{found}")
    return found


def _context(protocol: int, certificate_chain: Path, key: Path, roots: Path, *, check_dates: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if not check_dates:
        context.verify_flags |= ssl.VerifyFlags(_X509_V_FLAG_NO_CHECK_TIME)
    try:
        context.load_cert_chain(certificate_chain, key)
        context.load_verify_locations(roots)
    except (OSError, ssl.SSLError) as error:
        raise CredentialError(
            f"cannot use certificate {certificate_chain}, key {key} and roots {roots}: {error}; provision this device"
        ) from error
    return context
