"""Which bays are in contact, as the kernel tells of their network interfaces (netlink).

A camera is a USB network gadget: put in, its interface appears; pulled out, it goes. Everybody on such a link has the
same fixed link-local address, the camera fe80::1 and the dock fe80::2, so nothing has to be handed out or found, and
nothing on it can be reached from another network (docs/adr/0008-fixed-link-local-addresses.md).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import socket
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, IPRSocket
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTM_DELLINK, RTM_NEWLINK, RTMGRP_LINK

_CAMERA_ADDRESS, _CAMERA_PORT = "fe80::1", 8443
_DOCK_ADDRESS = "fe80::2"
_UP, _CARRIER = 0x1, 0x10000  # IFF_UP, IFF_LOWER_UP
_NO_DETECTION = 0x02  # IFA_F_NODAD: nobody else is on the link, and a second is not waited
_AGAIN_SECONDS = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface. `usb` is the port it is plugged into, as the kernel names it ("1-1.2"); else empty."""

    index: int
    name: str
    usb: str
    up: bool
    carrier: bool

    @property
    def camera(self) -> tuple[str, int]:
        """Where the camera on this link listens."""
        return f"{_CAMERA_ADDRESS}%{self.index}", _CAMERA_PORT

    @classmethod
    def of(cls, message: Any) -> Interface:
        """Read a netlink message about a link."""
        parent = message.get("IFLA_PARENT_DEV_NAME") or ""
        on_usb = message.get("IFLA_PARENT_DEV_BUS_NAME") == "usb"
        usb = parent.partition(":")[0] if on_usb else ""  # "1-1.2:1.0" is function 0 of what is plugged into 1-1.2
        flags = message["flags"]
        up = bool(flags & _UP)
        return cls(message["index"], message.get("IFLA_IFNAME") or "", usb, up, up and bool(flags & _CARRIER))


class Ports:
    """The interfaces there are, and which of them is in contact at each port. Pure."""

    def __init__(self, ports: Collection[str]) -> None:
        """`ports`: names of USB ports or of interfaces."""
        self._ports = ports
        self.interfaces: dict[int, Interface] = {}  # those at a port
        self._contacts: dict[str, Interface] = {}

    def port_of(self, interface: Interface) -> str | None:
        """The port it is at, if that is one of a bay."""
        return next((port for port in (interface.usb, interface.name) if port and port in self._ports), None)

    def seen(self, interface: Interface) -> None:
        """Take in how an interface is now."""
        if self.port_of(interface) is None:
            self.gone(interface.index)
        else:
            self.interfaces[interface.index] = interface

    def gone(self, index: int) -> None:
        """Take in that there is no such interface any more."""
        self.interfaces.pop(index, None)

    def changes(self) -> list[tuple[str, Interface | None]]:
        """What has changed since the last call, in order: None is a contact that has broken."""
        live: dict[str, Interface] = {}
        for _, interface in sorted(self.interfaces.items()):
            if interface.carrier:
                live.setdefault(self.port_of(interface) or "", interface)
        before, self._contacts = self._contacts, live
        kept = {port for port, interface in live.items() if port in before and before[port].index == interface.index}
        broken: list[tuple[str, Interface | None]] = [(port, None) for port in before if port not in kept]
        return broken + [(port, interface) for port, interface in live.items() if port not in kept]


class Watcher:
    """Tells from a thread of its own when a contact is made and when it has broken."""

    def __init__(
        self, ports: Collection[str], made: Callable[[str, Interface], None], broken: Callable[[str], None]
    ) -> None:
        """Tell of every contact that there is, then of each change. Raises OSError if netlink cannot be had."""
        self._ports = Ports(ports)
        self._made = made
        self._broken = broken
        self._wake, self._waker = socket.socketpair()
        self._events = _listen()
        self._thread = threading.Thread(target=self._run, name="contacts")
        self._thread.start()

    def stop(self) -> None:
        """Tell nothing more. Idempotent."""
        self._waker.close()
        self._thread.join()

    def _run(self) -> None:
        with self._wake, IPRoute() as kernel:
            while not self._follow(kernel):
                self._events.close()
                self._events = _listen()  # before looking: what happens meanwhile must not be missed
        self._events.close()

    def _follow(self, kernel: IPRoute) -> bool:
        """Follow what happens until stopped (True), or until some of it may have been missed (False)."""
        try:
            self._take_stock(kernel)
            while self._wake not in select.select([self._wake, self._events], [], [])[0]:
                for message in self._events.get():
                    self._take(kernel, message)
        except (OSError, NetlinkError) as error:  # more happened than the kernel could keep for us
            _log.warning("contacts: %s; looking at all interfaces anew", error)
        except Exception:  # noqa: BLE001 - an error of this program: cameras come and go all the same
            _log.exception("dock-error: unforeseen; looking at all interfaces anew")
        else:
            return True
        return self._wake in select.select([self._wake], [], [], _AGAIN_SECONDS)[0]

    def _take_stock(self, kernel: IPRoute) -> None:
        links = [Interface.of(message) for message in kernel.get_links()]
        for index in self._ports.interfaces.keys() - {link.index for link in links}:
            self._ports.gone(index)
        for link in links:
            self._look_at(kernel, link)
        self._tell()

    def _take(self, kernel: IPRoute, message: Any) -> None:
        kind = message["header"]["type"]
        if kind not in {RTM_NEWLINK, RTM_DELLINK} or message["family"] != socket.AF_UNSPEC:
            return  # bridges tell of their ports with the same kinds
        if kind == RTM_DELLINK:
            self._ports.gone(message["index"])
        else:
            self._look_at(kernel, Interface.of(message))
        self._tell()

    def _look_at(self, kernel: IPRoute, link: Interface) -> None:
        before = self._ports.interfaces.get(link.index)
        self._ports.seen(link)
        if self._ports.port_of(link) is not None and (before is None or (link.up and not before.up)):
            _prepare(kernel, link, first=before is None)

    def _tell(self) -> None:
        for port, interface in self._ports.changes():
            if interface is None:
                self._broken(port)
            else:
                self._made(port, interface)


def _listen() -> IPRSocket:
    events = IPRSocket()
    events.bind(RTMGRP_LINK)
    return events


def _prepare(kernel: IPRoute, link: Interface, *, first: bool) -> None:
    """Give the dock its address on this link. A new link is set up; one that was set down later stays as it is."""
    try:
        if first:
            # What is plugged in must not become a way to other networks.
            with contextlib.suppress(OSError):  # then whoever set the link up has said what it accepts
                Path(f"/proc/sys/net/ipv6/conf/{link.name}/accept_ra").write_text("0", "ascii")
            kernel.link("set", index=link.index, state="up")
        kernel.addr("replace", index=link.index, address=_DOCK_ADDRESS, prefixlen=64, flags=_NO_DETECTION)
    except NetlinkError as error:
        if error.code != errno.ENODEV:  # else it is gone already
            advice = "give the dock CAP_NET_ADMIN, and the machine IPv6, or set links up by other means"
            _log.warning("contact-link: %s cannot be set up: %s; %s", link.name, os.strerror(error.code), advice)
