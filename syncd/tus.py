"""tus 1.0 client: creation, offset, append. Termination does not exist here: nothing handed in is taken back.

An upload's address is fixed by what it carries and creation is idempotent, so the dock keeps no list of uploads: it
creates, asks for the offset, and goes on from there.
"""

from __future__ import annotations

import base64
import contextlib
import re
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from syncd.errors import AwayError
from syncd.link import Answer, Blocks, Buffer, Link

_VERSION = {"Tus-Resumable": "1.0.0"}
_CREATED = 201
_OK = frozenset({200, 204})
_APPENDED = 204
_PAUSE_SECONDS = 20.0  # well within what the office waits for more of a body


class Uploads:
    """The uploads of one server, over a link that others may use in turn."""

    def __init__(self, link: Link, path: str = "/v1/uploads") -> None:
        self._link = link
        self._path = path

    def create(self, metadata: Mapping[str, str], size: int | None) -> str:
        """Create, or find, an upload of `size` bytes (None: it grows); returns its path on the server."""
        length = {"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)}
        told = ",".join(f"{name} {base64.b64encode(text.encode()).decode()}" for name, text in metadata.items())
        answer = self._link.request("POST", self._path, {**_VERSION, **length, "Upload-Metadata": told}, b"")
        # Only the path counts: the address that is known to be the office's is not left for one that it names.
        path = urlsplit(answer.headers.get("location", "")).path
        if answer.status != _CREATED or not path.startswith(self._path + "/"):
            raise _strange(f"creation was answered {answer.status}, location {path!r}")
        return path

    def offset(self, upload: str) -> int:
        """How many bytes the server holds, durable."""
        answer = self._link.request("HEAD", upload, _VERSION)
        found = answer.headers.get("upload-offset", "")
        if answer.status not in _OK or not re.fullmatch("[0-9]{1,18}", found):
            raise _strange(f"the offset was answered {answer.status} {found!r}")
        return int(found)

    def append(self, upload: str, offset: int, data: Buffer) -> int:
        """Append at `offset`; returns the new offset, which is durable. Only 204 with that offset is success."""
        answer = self._link.request("PATCH", upload, _at(offset), data)
        return _appended(answer, offset, offset + len(data))

    def complete(self, upload: str, offset: int, size: int, blocks: Blocks) -> None:
        """Append `blocks`, which are what lacks of an upload of `size` bytes. As `append`.

        All go in one request, since each costs the server two syncs; but a pause among them, for want of a turn, ends
        it, before the server takes this end for dead, and another goes on. However `blocks` ends, what was sent counts.
        """
        began, sent_at = None, 0.0
        with contextlib.closing(blocks), contextlib.ExitStack() as unless_whole:
            unless_whole.callback(self._link.close)
            for block in blocks:
                if began is not None and time.monotonic() > sent_at + _PAUSE_SECONDS:
                    self._link.close()
                    began = None
                    if self.offset(upload) != offset:
                        raise AwayError("office", "lost", "it has not got all that was sent")
                if began is None:
                    self._link.begin("PATCH", upload, _at(offset), size - offset)
                    began = offset
                if self._link.answered():
                    break
                self._link.send(block)
                offset, sent_at = offset + len(block), time.monotonic()
            if began is not None:
                _appended(self._link.answer(), began, size)
            if offset == size:
                unless_whole.pop_all()


def _at(offset: int) -> dict[str, str]:
    return {**_VERSION, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}


def _appended(answer: Answer, offset: int, end: int) -> int:
    found = answer.headers.get("upload-offset")
    if answer.status != _APPENDED or found != str(end):
        raise _strange(f"{end - offset} bytes at {offset} were answered {answer.status}, offset {found}")
    return end


def _strange(message: str) -> AwayError:
    return AwayError("office", "protocol", message)
