"""What docks fetch for cameras besides receipts and time, and where they knock for quarantine (docs/spec/dock.md)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from evidence import pki, shape
from evidence.certificate import Role
from evidence.revoked import Revoked
from office.errors import OfficeError
from office.log import Log
from office.quarantine import Quarantine
from office.register import Register
from office.web import dock_of, for_docks, small_body

_log = logging.getLogger(__name__)
_PEM = "application/x-pem-file"
_BODY_LIMIT = 32 * 1024
_SECONDS = 10.0  # patience with a small body


class Papers:
    """The handlers."""

    def __init__(self, register: Register, quarantine: Quarantine, revoked: Callable[[], Revoked], log: Log) -> None:
        self._register = register
        self._quarantine = quarantine
        self._revoked = revoked
        self._log = log

    def routes(self) -> list[Route]:
        """The routes; all are for docks alone."""
        return [
            Route("/v1/revocations", for_docks(self._revocations), methods=["GET"]),
            Route("/v1/standings", for_docks(self._standing), methods=["POST"]),
            Route("/v1/configurations/{device}", for_docks(self._configuration), methods=["GET"]),
            Route("/v1/renewals", for_docks(self._renewal), methods=["POST"]),
            Route("/v1/quarantine/{device}", for_docks(self._open), methods=["POST"]),
        ]

    async def _revocations(self, _: Request) -> Response:
        return Response((await asyncio.to_thread(self._revoked)).bundle, media_type=_PEM)

    async def _standing(self, request: Request) -> Response:
        link = pki.parse_certificate(await small_body(request, _SECONDS, _BODY_LIMIT))
        role, device = pki.role_and_id(link)
        if role is not Role.CAMERA:
            raise OfficeError("role", "only cameras are looked up here", 422)
        now = datetime.now(UTC)
        standing = await asyncio.to_thread(lambda: self._register.standing(device, link, self._revoked(), now))
        return JSONResponse({"device": device, "standing": standing.value})

    async def _configuration(self, request: Request) -> Response:
        device = _device(request)
        found = await asyncio.to_thread(self._register.configuration, device)
        if found is None:
            raise OfficeError("configuration-unknown", f"there is no configuration for {device}", 404)
        return Response(found, media_type="application/jose")

    async def _renewal(self, request: Request) -> Response:
        asked = await small_body(request, _SECONDS, _BODY_LIMIT)
        now, dock = datetime.now(UTC), dock_of(request)
        device, pem = await asyncio.to_thread(lambda: self._register.renew(asked, self._revoked(), now))
        leaf = pki.parse_certificate(pem)
        told = {"act": "renewal", "device": device, "certificate": pki.thumbprint(leaf), "dock": dock}
        await asyncio.to_thread(self._log.append, told)
        return Response(pem, media_type=_PEM)

    async def _open(self, request: Request) -> Response:
        device = _device(request)
        body = await small_body(request, _SECONDS, _BODY_LIMIT)
        dock = dock_of(request)
        await asyncio.to_thread(lambda: self._quarantine.open(device, body, self._revoked(), dock))
        return Response(status_code=204)


def _device(request: Request) -> str:
    device = str(request.path_params["device"])
    if not shape.identifier(device):
        raise OfficeError("unknown-address", "there is no such camera", 404)
    return device
