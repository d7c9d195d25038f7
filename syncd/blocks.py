"""What is done to blocks of bytes on their way from one end to the other."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from concurrent import futures

from syncd.errors import DockError
from syncd.link import BLOCK, Blocks
from syncd.shares import Share


class GaveWay(Exception):  # noqa: N818 - nothing is wrong
    """What was under way is left to somebody else, who goes on where it stands."""


def giving_way(blocks: Blocks, wanted: threading.Event) -> Blocks:
    """The same blocks until `wanted` is set. Raises `GaveWay`."""
    with contextlib.closing(blocks):
        for block in blocks:
            if wanted.is_set():
                raise GaveWay
            yield block


def verified(blocks: Blocks, size: int, sha256: str) -> Blocks:
    """The same blocks, which are the whole of `size` bytes. Raises `DockError` in place of the last if they are not."""
    digest, left = hashlib.sha256(), size
    with contextlib.closing(blocks):
        for block in blocks:
            digest.update(block)
            left -= len(block)
            if not left and digest.hexdigest() != sha256:
                raise DockError("hash-mismatch", "the segment is not what the camera signed")
            yield block


def ahead(blocks: Blocks) -> Blocks:
    """The same blocks, the next one being fetched while the present one is worked on."""
    with futures.ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool, contextlib.closing(blocks):
        coming = pool.submit(next, blocks, None)
        try:
            while (block := coming.result()) is not None:
                coming = pool.submit(next, blocks, None)
                yield block
        finally:
            futures.wait([coming])


def in_turn(blocks: Blocks, share: Share, weight: int) -> Blocks:
    """The same blocks, each in its turn on the line to the office, which lasts until the next is asked for."""
    with contextlib.closing(blocks):
        for block in blocks:
            with share.turn(len(block), weight):
                yield block


def whole_lines(data: bytes) -> Iterator[bytes]:
    """Pieces of at most a block, each ending with a line."""
    start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + BLOCK) + 1
        if end <= start:
            return
        yield data[start:end]
        start = end
