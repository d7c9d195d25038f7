"""The cable between a camera and a bay: a veth pair between two network namespaces of the kernel, shaped and pulled.

Needs root. Everything is unnamed, so that nothing is left behind when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Iterator

CAMERA_INTERFACE, CAMERA_ADDRESS = "usb0", "fe80::1"
_CLONE_NEWNET = 0x40000000
_MINE = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """A network namespace with its loopback up. It lives as long as this object, or a socket or process in it."""

    def __init__(self) -> None:
        """Raises PermissionError without the right to make one."""
        made: list[int | OSError] = []
        thread = threading.Thread(target=_unshare, args=(made,))  # so that the caller's own network stays his
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        self._descriptor = made[0]
        self.run("ip", "link", "set", "lo", "up")

    @property
    def path(self) -> str:
        """A path under which other programs find it, as long as this process lives."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """What this thread opens meanwhile, and threads and processes that it starts, are in this network."""
        before = os.open(_MINE, os.O_RDONLY | os.O_CLOEXEC)
        _check(_libc.setns(self._descriptor, _CLONE_NEWNET))
        try:
            yield
        finally:
            _check(_libc.setns(before, _CLONE_NEWNET))
            os.close(before)

    def run(self, *command: str) -> str:
        """Run a program in it; what it wrote. Raises `subprocess.CalledProcessError`."""
        with self.entered():
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


class Cable:
    """A link from an interface in the dock's network to `usb0` in a camera's, which has its fixed address."""

    def __init__(self, dock: Network, interface: str, camera: Network, megabits: int | None = None) -> None:
        """`megabits` a second, each way; None: as fast as the machine is."""
        self._dock, self._interface, self._camera = dock, interface, camera
        ends = (interface, "type", "veth", "peer", "name", CAMERA_INTERFACE, "netns", camera.path)
        dock.run("ip", "link", "add", *ends)
        if megabits is not None:
            for network, name in ((dock, interface), (camera, CAMERA_INTERFACE)):
                shape(network, name, megabits)

    def plug(self) -> None:
        """Give the link its carrier."""
        self._camera.run("ip", "link", "set", CAMERA_INTERFACE, "up")
        self._camera.run("ip", "addr", "replace", f"{CAMERA_ADDRESS}/64", "dev", CAMERA_INTERFACE, "nodad")

    def pull(self) -> None:
        """Take the carrier away: the interfaces stay, as with a hub that loses its power."""
        self._camera.run("ip", "link", "set", CAMERA_INTERFACE, "down")

    def remove(self) -> None:
        """Remove both interfaces, as when a USB device is pulled out."""
        self._dock.run("ip", "link", "del", self._interface)


def shape(network: Network, interface: str, megabits: int) -> None:
    """Let an interface send so many megabits a second at most."""
    network.run("ip", "link", "set", interface, "mtu", "1500")
    rate = ("rate", f"{megabits}mbit", "burst", "64kb", "latency", "50ms")
    network.run("tc", "qdisc", "add", "dev", interface, "root", "tbf", *rate)


def _unshare(made: list[int | OSError]) -> None:
    try:
        _check(_libc.unshare(_CLONE_NEWNET))
        made.append(os.open(_MINE, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        made.append(error)


def _check(status: int) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
