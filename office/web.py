"""The office's page for docks: tus ingest, receipts, time anchors. HTTPS with mutual TLS 1.3; role `dock` only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from evidence import jose, shape
from evidence.certificate import Role
from evidence.errors import EvidenceError
from evidence.records import FILE_LIMIT
from office import tus
from office.errors import OfficeError
from office.ingest import Ingest
from office.journals import Fork
from office.peer import EXTENSION, Peer
from office.tus import JournalUpload, SegmentUpload

_log = logging.getLogger(__name__)
_PIECE = 512 * 1024  # bytes gathered before a thread hashes and writes them, while the next are gathered
_SMALL_BODY = 4096
_Handler = Callable[[Request], Awaitable[Response]]


class Pages:
    """The handlers over one place that is handed in to.

    `alive`: whether the other parts are up; `admit` refuses, at once, what may not be handed in here; `base` is the
    path of its uploads.
    """

    def __init__(
        self,
        ingest: Ingest,
        office: str,
        stall_seconds: float,
        alive: Callable[[], dict[str, Any]],
        admit: Callable[[tus.Upload], None] = lambda _: None,
        base: str = tus.BASE,
    ) -> None:
        self._ingest = ingest
        self._office = office
        self._stall_seconds = stall_seconds
        self._alive = alive
        self._admit = admit
        self._base = base
        self._locks = _Locks()

    def application(self, *more: Route) -> Starlette:
        """The ASGI application, with `more` routes."""
        return Starlette(
            routes=[
                Route("/v1/health", _answering(self._health)),
                *self.uploads(),
                Route("/v1/receipts/{device}/{recording}/{segment}", for_docks(self._receipt), methods=["GET"]),
                Route("/v1/anchors", for_docks(self._anchor), methods=["POST"]),
                *more,
            ],
            exception_handlers={404: _not_found, 405: _not_found, 500: _broken},
        )

    def uploads(self) -> list[Route]:
        """The routes of uploads alone."""
        one = self._base + "/{device}/{group}/{number}"
        return [
            Route(self._base, for_docks(self._create), methods=["POST"]),
            Route(self._base, _answering(self._options), methods=["OPTIONS"]),
            Route(one, _answering(self._options), methods=["OPTIONS"]),
            Route(one, for_docks(self._head), methods=["HEAD"]),
            Route(one, for_docks(self._patch), methods=["PATCH"]),
            Route(one, for_docks(self._delete), methods=["DELETE"]),
        ]

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"office": self._office, **self._alive()})

    async def _options(self, _: Request) -> Response:
        return Response(status_code=204, headers={"Tus-Resumable": tus.VERSION, **tus.SERVER_HEADERS})

    async def _create(self, request: Request) -> Response:
        upload, length = tus.creation(request.headers)
        self._admit(upload)
        await asyncio.to_thread(self._ingest.create, upload, length)
        path = self._base + upload.path.removeprefix(tus.BASE)
        return _tus(201, Location=f"https://{request.base_url.netloc}{path}")

    async def _head(self, request: Request) -> Response:
        tus.check_version(request.headers)
        upload = _upload(request)
        async with self._locks.hold(upload, request):
            offset = await asyncio.to_thread(self._ingest.offset, upload)
            length = await asyncio.to_thread(self._ingest.length, upload)
        told = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        return _tus(200, **{"Upload-Offset": str(offset), "Cache-Control": "no-store", **told})

    async def _patch(self, request: Request) -> Response:
        upload = _upload(request)
        self._admit(upload)
        async with self._locks.hold(upload, request):
            offset = await asyncio.to_thread(self._ingest.offset, upload)
            length = await asyncio.to_thread(self._ingest.length, upload)
            tus.check_patch(request.headers, offset, length)
            try:
                if isinstance(upload, JournalUpload):
                    offset += await self._take_journal(request, upload)
                elif length is not None and offset < length:
                    offset = await self._take_segment(request, upload, length)
            except (ClientDisconnect, TimeoutError):
                return Response(status_code=408)  # nobody reads it
        return _tus(204, **{"Upload-Offset": str(offset)})

    async def _take_segment(self, request: Request, upload: SegmentUpload, length: int) -> int:
        """Append the body; the durable offset. At the last byte, the receipt exists when this returns."""
        staged = await asyncio.to_thread(self._ingest.open, upload)
        left = length - staged.size
        writing: asyncio.Future[None] | None = None
        try:
            async with contextlib.aclosing(self._pieces(request)) as pieces:
                async for piece in pieces:
                    if writing is not None:
                        await writing
                    left -= len(piece)
                    if left < 0:
                        raise OfficeError("too-long", f"the body goes beyond the segment's {length} bytes", 413)
                    writing = asyncio.ensure_future(asyncio.to_thread(self._ingest.append, staged, piece))
        finally:
            try:
                if writing is not None:
                    await writing
            finally:
                await asyncio.to_thread(self._ingest.close, upload, staged)
        if staged.size == length:
            await asyncio.to_thread(self._ingest.finish, upload, staged, dock_of(request))
        return staged.size

    async def _take_journal(self, request: Request, upload: JournalUpload) -> int:
        """Verify and keep the body's lines; their length. A line that does not end is left for the next request."""
        taken, rest = 0, b""
        async with contextlib.aclosing(self._pieces(request)) as pieces:
            async for piece in pieces:
                data = rest + piece
                try:
                    length = await asyncio.to_thread(self._ingest.append_journal, upload, data, dock_of(request))
                except Fork as error:
                    await self._keep_fork(request, upload, data, pieces)
                    raise OfficeError("fork", f"kept beside: {error.message}", 409) from error
                taken += length
                rest = data[length:]
        return taken

    async def _keep_fork(
        self, request: Request, upload: JournalUpload, data: bytes, rest: AsyncIterator[memoryview]
    ) -> None:
        whole = bytearray(data)
        with contextlib.suppress(ClientDisconnect, TimeoutError):
            async for more in rest:
                whole += more[: FILE_LIMIT - len(whole)]
        await asyncio.to_thread(self._ingest.keep_fork, upload, bytes(whole), dock_of(request))

    async def _pieces(self, request: Request) -> AsyncGenerator[memoryview, None]:
        """The body in pieces of 512 KiB, the last but shorter, each aligned in memory and valid until the next but one.

        What came before a cut is yielded, then the cut is raised.
        """
        clock = asyncio.get_running_loop().time
        now, other = memoryview(mmap.mmap(-1, _PIECE)), memoryview(mmap.mmap(-1, _PIECE))
        filled = 0
        cut: Exception | None = None
        try:
            async with asyncio.timeout(self._stall_seconds) as stall:
                async for chunk in request.stream():
                    rest = memoryview(chunk)
                    while rest:
                        taken = rest[: _PIECE - filled]
                        now[filled : filled + len(taken)] = taken
                        filled, rest = filled + len(taken), rest[len(taken) :]
                        if filled == _PIECE:
                            stall.reschedule(None)
                            yield now
                            now, other, filled = other, now, 0
                    stall.reschedule(clock() + self._stall_seconds)
        except (ClientDisconnect, TimeoutError) as error:
            cut = error
        if filled:
            yield now[:filled]
        if cut is not None:
            raise cut

    async def _delete(self, _: Request) -> Response:
        raise OfficeError("write-once", "what was handed in is not taken back", 403)

    async def _receipt(self, request: Request) -> Response:
        try:
            wanted = tus.upload_at(*(request.path_params[name] for name in ("device", "recording", "segment")))
        except OfficeError:
            wanted = None
        if not isinstance(wanted, SegmentUpload):
            raise OfficeError("receipt-unknown", "the office does not hold this segment", 404)
        found = await asyncio.to_thread(self._ingest.receipt, wanted.device, wanted.recording, wanted.segment)
        return Response(found, media_type="application/jose")

    async def _anchor(self, request: Request) -> Response:
        body = await small_body(request, self._stall_seconds)
        value = shape.require(
            "anchor", jose.parse_json(body), {"device": shape.identifier, "nonce": shape.hexadecimal(32)}
        )
        signed = await asyncio.to_thread(self._ingest.anchor, value["device"], value["nonce"])
        return Response(signed, media_type="application/jose")


class _Locks:
    """One request at a time for each upload. A newcomer cuts the one before: its link may be dead without saying so."""

    def __init__(self) -> None:
        self._locks: dict[tus.Upload, tuple[asyncio.Lock, list[Request]]] = {}

    @contextlib.asynccontextmanager
    async def hold(self, upload: tus.Upload, request: Request) -> AsyncIterator[None]:
        lock, users = self._locks.setdefault(upload, (asyncio.Lock(), []))
        for earlier in users:
            _peer(earlier).abort()
        users.append(request)
        try:
            async with lock:
                yield
        finally:
            users.remove(request)
            if not users:
                del self._locks[upload]


def _answering(handler: _Handler) -> _Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except OfficeError as error:
            return _error(error.status, error.code, error.message)
        except EvidenceError as error:
            return _error(422, error.code, error.message)
        except ClientDisconnect:
            return Response(status_code=408)  # nobody reads it

    return answer


async def small_body(request: Request, seconds: float, limit: int = _SMALL_BODY) -> bytes:
    """The body, whole. Raises `OfficeError` for one of more than `limit` bytes, ClientDisconnect after `seconds`."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise OfficeError("too-long", f"at most {limit} bytes are taken here", 413)
    except TimeoutError as error:
        raise ClientDisconnect from error
    return bytes(body)


def for_docks(handler: _Handler) -> _Handler:
    """The handler, for docks alone; what it raises is answered."""

    async def allowed(request: Request) -> Response:
        if _peer(request).role is not Role.DOCK:
            raise OfficeError("role", "only a dock hands in", 403)
        return await handler(request)

    return _answering(allowed)


def _peer(request: Request) -> Peer:
    peer = request.scope["extensions"][EXTENSION]["peer"]
    if not isinstance(peer, Peer):
        raise TypeError("the page runs only under office.peer.PeerProtocol")
    return peer


def dock_of(request: Request) -> str:
    """Id of the dock that asks."""
    return _peer(request).id


def _upload(request: Request) -> tus.Upload:
    return tus.upload_at(*(request.path_params[name] for name in ("device", "group", "number")))


def _tus(status: int, **headers: str) -> Response:
    return Response(status_code=status, headers={"Tus-Resumable": tus.VERSION, **headers})


def _error(status: int, code: str, message: str) -> Response:
    if status >= 500:  # noqa: PLR2004 - the office's own fault
        _log.error("%s: %s", code, message)
    body = {"code": code, "message": message}
    return JSONResponse(body, status_code=status, headers={"Tus-Resumable": tus.VERSION})


async def _not_found(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return _error(status, "unknown-address", f"there is nothing for {request.method} {request.scope['path']}")


async def _broken(_: Request, error: Exception) -> Response:
    return _error(500, "internal", f"an error in the office's program ({type(error).__name__}): see its log")
