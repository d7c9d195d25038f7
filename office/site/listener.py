"""The HTTPS server for people: TLS 1.2 and up, no client certificates; who they are is a matter of sessions."""

from __future__ import annotations

import ssl
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from runtime.keys import CredentialError


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The server's context. `certificate`: PEM chain of any authority that the people's browsers trust.

    Raises `CredentialError`.
    """
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        found.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise CredentialError(f"page_certificate, page_key: {certificate} and {key} cannot be used: {error}") from error
    return found


def settings(app: ASGIApp, tls: ssl.SSLContext, grace_seconds: int) -> uvicorn.Config:
    """How uvicorn serves the page."""
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_context_factory=lambda *_: tls,
        timeout_graceful_shutdown=grace_seconds,
    )
