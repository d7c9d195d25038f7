"""What a disk remembers of its files and names: what programs see, what is durable, and what a power cut makes of both.

Nothing is kinder here than POSIX: bytes become durable by a sync of their file, names by a sync of their folder. What
was not synced is lost, or there in part: a prefix cut at any byte, a length without its bytes (zeros, as ext4 leaves
them), pages in any order, or all of it, though nobody was told.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Tear = Literal["nothing", "prefix", "zeros", "pages", "everything"]
Names = Literal["nothing", "in order", "by folder"]
TEARS: tuple[Tear, ...] = ("nothing", "prefix", "prefix", "zeros", "pages", "everything")
NAMES: tuple[Names, ...] = ("nothing", "in order", "by folder")
_PAGE = 4096


@dataclass(eq=False)
class File:
    """`durable` bytes, and what was done since the last sync: data at an offset, or (None) a new size."""

    durable: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes | None]] = field(default_factory=list)
    size: int = 0
    mode: int = 0o640  # durable at once: either way a program has to live with it

    def write(self, offset: int, data: bytes) -> None:
        self.since.append((offset, data))
        self.size = max(self.size, offset + len(data))

    def truncate(self, size: int) -> None:
        self.since.append((size, None))
        self.size = size

    def sync(self) -> None:
        for change in self.since:
            _apply(self.durable, *change)
        self.since.clear()

    def tear(self, how: Tear, chance: random.Random) -> None:
        """The power is gone: settle what of the unsynced changes is there."""
        if how == "nothing" or not self.since:
            self.since.clear()
        elif how == "everything":
            self.sync()
        else:
            self._tear(how, chance)
        self.size = len(self.durable)

    def _tear(self, how: Tear, chance: random.Random) -> None:
        whole = bytearray(self.durable)
        for change in self.since:
            _apply(whole, *change)
        sure = len(self.durable)
        left = chance.randint(0, sum(len(data) for _, data in self.since if data is not None))
        for offset, data in self.since:
            if data is None:
                _apply(self.durable, offset, None)
                sure = min(sure, offset)
                continue
            _apply(self.durable, offset, data[:left])
            left -= min(left, len(data))
        self.since.clear()
        if how == "prefix" or len(whole) <= len(self.durable):
            return
        reach = chance.randint(len(self.durable), len(whole))
        if how == "zeros":
            self.durable += bytes(reach - len(self.durable))
            return
        torn = whole[:reach]
        for start in range(sure // _PAGE * _PAGE, reach, _PAGE):
            if chance.random() < 1 / 2:
                lost = slice(max(start, sure), min(start + _PAGE, reach))
                torn[lost] = bytes(lost.stop - lost.start)
        self.durable = torn


@dataclass(eq=False)
class Folder:
    """Names as programs see them, and as they are durable."""

    names: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)


Node = File | Folder
Change = tuple[Folder, str, Node | None]  # a name now means this; None: it is gone


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content += bytes(offset - len(content))
    elif data:
        content += bytes(max(0, offset - len(content)))
        content[offset : offset + len(data)] = data


class Platter:
    """One disk. Paths are relative, with `/`; the root is ""."""

    def __init__(self) -> None:
        self.root = Folder()
        self._since: list[tuple[Change, ...]] = []  # changes of names that are not durable, in order

    def find(self, path: str) -> Node | None:
        node: Node | None = self.root
        for name in filter(None, path.split("/")):
            node = node.names.get(name) if isinstance(node, Folder) else None
        return node

    def file(self, path: str) -> File:
        found = self.find(path)
        if not isinstance(found, File):
            raise FileNotFoundError(path)
        return found

    def create(self, path: str, node: Node) -> None:
        self._change((*self._place(path), node))

    def remove(self, path: str) -> None:
        self._change((*self._place(path), None))

    def rename(self, old: str, new: str) -> None:
        """In one folder, the change is one; between two, each has its own part of it."""
        node = self.find(old)
        source, target = self._place(old), self._place(new)
        if source[0] is target[0]:
            self._change((*target, node), (*source, None))
        else:
            self._change((*target, node))
            self._change((*source, None))

    def _place(self, path: str) -> tuple[Folder, str]:
        parent, _, name = path.rpartition("/")
        folder = self.find(parent)
        if not isinstance(folder, Folder):
            raise NotADirectoryError(parent)
        return folder, name

    def _change(self, *changes: Change) -> None:
        _rename(changes, durable=False)
        self._since.append(changes)

    def sync_folder(self, folder: Folder) -> None:
        folder.durable = dict(folder.names)
        self._since = [changes for changes in self._since if changes[0][0] is not folder]

    def lose_power(self, chance: random.Random | None) -> None:
        """What is durable is all there is; of the rest, what chance lets be there. None: nothing."""
        self._settle_names("nothing" if chance is None else chance.choice(NAMES), chance or random.Random())
        for _, node in _walk(self.root, "", durable=True):
            if isinstance(node, File):
                node.tear("nothing" if chance is None else chance.choice(TEARS), chance or random.Random())
            else:
                node.names = dict(node.durable)

    def _settle_names(self, how: Names, chance: random.Random) -> None:
        since, self._since = self._since, []
        if how == "nothing" or not since:
            return
        if how == "in order":
            kept = since[: chance.randint(0, len(since))]
        else:
            kept = [changes for changes in since if chance.random() < 1 / 2]
        for changes in kept:
            _rename(changes, durable=True)

    def files(self) -> Iterator[tuple[str, File]]:
        """Every file that programs see."""
        return ((path, node) for path, node in _walk(self.root, "") if isinstance(node, File))

    def durable(self) -> dict[str, bytes]:
        """What no cut takes away."""
        found = _walk(self.root, "", durable=True)
        return {path: bytes(node.durable) for path, node in found if isinstance(node, File)}

    def folders(self) -> Iterator[str]:
        """Every folder that programs see but the root, parents first."""
        return (path for path, node in _walk(self.root, "") if isinstance(node, Folder) and path)


def _rename(changes: tuple[Change, ...], *, durable: bool) -> None:
    for folder, name, node in changes:
        names = folder.durable if durable else folder.names
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _walk(node: Node, path: str, *, durable: bool = False) -> Iterator[tuple[str, Node]]:
    yield path, node
    if isinstance(node, Folder):
        for name, below in sorted((node.durable if durable else node.names).items()):
            yield from _walk(below, f"{path}/{name}" if path else name, durable=durable)
