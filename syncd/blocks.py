"""What is done to blocks of bytes on their way from one end to the other."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from concurrent import futures

from syncd.link import BLOCK, Blocks, Buffer


class GaveWay(Exception):  # noqa: N818 - nothing is wrong
    """What was under way is left to somebody else, who goes on where it stands."""


def giving_way(blocks: Blocks, wanted: threading.Event) -> Blocks:
    """The same blocks until `wanted` is set. Raises `GaveWay`."""
    with contextlib.closing(blocks):
        for block in blocks:
            if wanted.is_set():
                raise GaveWay
            yield block


def hashed(blocks: Blocks, digest: hashlib._Hash | None) -> Blocks:
    """The same blocks, each taken into `digest`, if there is one, before it is passed on."""
    with contextlib.closing(blocks):
        for block in blocks:
            if digest is not None:
                digest.update(block)
            yield block


def ahead(blocks: Blocks) -> Iterator[Buffer]:
    """The same blocks, the next one being fetched while the present one is worked on."""
    with futures.ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool, contextlib.closing(blocks):
        coming = pool.submit(next, blocks, None)
        try:
            while (block := coming.result()) is not None:
                coming = pool.submit(next, blocks, None)
                yield block
        finally:
            futures.wait([coming])


def whole_lines(data: bytes) -> Iterator[bytes]:
    """Pieces of at most a block, each ending with a line."""
    start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + BLOCK) + 1
        if end <= start:
            return
        yield data[start:end]
        start = end
