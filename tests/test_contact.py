"""Contact between camera and bay over real links: network namespaces, and veth pairs that are pulled for real."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from hw_sim.dock_link import Cable, Network
from runtime import config
from syncd.config import DockConfig
from syncd.contact import Interface, Ports, Watcher
from tests.bay_site import BaySite, networks
from tests.dock_site import MIB
from tests.tus_office import Fault

pytestmark = pytest.mark.net

# Seconds, on a machine that does other things too: what would wait for a time-out here waits for 30. The kernel itself
# may keep the loss of a carrier to itself for one.
AT_ONCE = 5.0


def link(index: int, name: str = "usb0", usb: str = "", *, up: bool = True, carrier: bool = True) -> Interface:
    return Interface(index, name, usb, up, carrier)


# --- which bay is which


DOCK = """
certificate = "dock.pem"
key = "dock.key.pem"
roots = "roots.pem"
signers = "signer.pem"
spool = "spool"
office = "office:8443"
broker = "office:8883"
"""


def test_bays_have_names(tmp_path: Path) -> None:
    path = tmp_path / "dock.toml"
    bays = ('name = "left"\nport = "1-1.1"', 'port = "eth5"', 'camera = "127.0.0.1:8443"')
    path.write_text(DOCK + "".join(f"[[bays]]\n{bay}\n" for bay in bays))
    named = config.load(path, DockConfig).named_bays
    assert {name: bay.port or bay.camera for name, bay in named.items()} == {
        "left": "1-1.1",
        "2": "eth5",
        "3": "127.0.0.1:8443",
    }


@pytest.mark.parametrize(
    ("bays", "said"),
    [
        (["port = '1-1.1'\ncamera = '127.0.0.1:1'"], "either a port or a camera"),
        (["name = 'left'"], "either a port or a camera"),
        (["port = '1-1.1'", "port = '1-1.1'"], "the same port"),
        (["name = '2'\nport = '1-1.1'", "port = '1-1.2'"], "the same name"),
        (["port = '../1'"], "bays[0].port"),
        ([], "at least one"),
    ],
)
def test_bays_that_cannot_be_meant_are_refused(tmp_path: Path, bays: list[str], said: str) -> None:
    path = tmp_path / "dock.toml"
    path.write_text(("" if bays else "bays = []") + DOCK + "".join(f"[[bays]]\n{bay}\n" for bay in bays))
    with pytest.raises(config.ConfigError, match=re.escape(said)):
        config.load(path, DockConfig)


def test_a_camera_is_known_by_the_usb_port_that_it_is_plugged_into() -> None:
    sent = ifinfmsg()
    sent["index"], sent["flags"] = 7, 0x1 | 0x10000
    sent["attrs"] = [
        ("IFLA_IFNAME", "enx020000000007"),
        ("IFLA_PARENT_DEV_NAME", "1-1.2:1.0"),
        ("IFLA_PARENT_DEV_BUS_NAME", "usb"),
    ]
    sent.encode()
    received = ifinfmsg(sent.data)
    received.decode()
    assert Interface.of(received) == Interface(7, "enx020000000007", "1-1.2", up=True, carrier=True)


def test_contacts_are_told_once_each() -> None:
    ports = Ports({"1-1.1", "eth5"})
    one, two = link(3, usb="1-1.1"), link(4, "eth5")
    ports.seen(link(1, "lo"))
    ports.seen(link(2, usb="9-9"))  # a port that is no bay's
    ports.seen(one)
    ports.seen(link(4, "eth5", carrier=False))
    assert ports.changes() == [("1-1.1", one)]
    ports.seen(two)
    ports.seen(one)
    assert ports.changes() == [("eth5", two)]
    ports.gone(3)
    ports.seen(link(4, "eth5", up=False, carrier=False))
    assert sorted(ports.changes(), key=str) == [("1-1.1", None), ("eth5", None)]
    assert ports.changes() == []


def test_another_interface_at_the_same_port_is_another_contact() -> None:
    ports = Ports({"1-1.1"})
    first, second = link(3, "usb0", "1-1.1"), link(9, "usb1", "1-1.1")
    ports.seen(first)
    assert ports.changes() == [("1-1.1", first)]
    ports.seen(second)  # a device with two functions: one is enough
    ports.seen(link(3, "renamed", "1-1.1"))
    assert ports.changes() == []
    ports.gone(3)
    assert ports.changes() == [("1-1.1", None), ("1-1.1", second)]


class Told:
    """What a watcher tells."""

    def __init__(self, dock: Network, *ports: str) -> None:
        self.told: list[tuple[str, str]] = []
        with dock.entered():
            self.watcher = Watcher(
                ports,
                lambda port, link: self.told.append((port, link.name)),
                lambda port: self.told.append((port, "")),
            )

    def wait(self, *told: tuple[str, str]) -> None:
        end = time.monotonic() + AT_ONCE
        while self.told != list(told):
            assert time.monotonic() < end, self.told
            time.sleep(0.002)
        self.told.clear()


def test_links_come_and_go_at_any_moment() -> None:
    with networks(3) as (dock, one, other):
        there = Cable(dock, "bay1", one)
        there.plug()
        told = Told(dock, "bay1", "bay2")
        try:
            told.wait(("bay1", "bay1"))  # what was there before the dock started
            addresses = dock.run("ip", "-6", "-oneline", "addr", "show", "dev", "bay1")
            assert "fe80::2/64 scope link nodad" in addresses
            there.pull()
            told.wait(("bay1", ""))
            there.plug()
            told.wait(("bay1", "bay1"))
            there.remove()
            told.wait(("bay1", ""))
            hot = Cable(dock, "bay2", other)
            Cable(dock, "stranger", Network()).plug()
            hot.plug()
            told.wait(("bay2", "bay2"))
            dock.run("ip", "link", "set", "bay2", "down")  # by the administrator: it stays down
            told.wait(("bay2", ""))
            dock.run("ip", "link", "set", "bay2", "up")
            told.wait(("bay2", "bay2"))
            assert "fe80::2/64" in dock.run("ip", "-6", "-oneline", "addr", "show", "dev", "bay2")
        finally:
            told.watcher.stop()


def test_what_the_kernel_could_not_keep_is_made_good(caplog: pytest.LogCaptureFixture) -> None:
    with networks(3) as (dock, one, other):
        told, busy = Told(dock, "bay1", "bay2"), threading.Event()

        def made(port: str, interface: Interface) -> None:
            told.told.append((port, interface.name))
            busy.wait(10)

        told.watcher._made = made
        try:
            first = Cable(dock, "bay1", one)
            first.plug()
            told.wait(("bay1", "bay1"))
            told.watcher._events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the least there may be
            first.remove()
            Cable(dock, "bay2", other).plug()
            for number in range(5):
                dock.run("ip", "link", "add", f"some{number}", "type", "veth", "peer", "name", f"peer{number}")
            busy.set()
            told.wait(("bay1", ""), ("bay2", "bay2"))
            assert "looking at all interfaces anew" in caplog.text
        finally:
            busy.set()
            told.watcher.stop()


# --- a hand-in over a link that is pulled


@pytest.fixture
def bay(tmp_path: Path) -> Iterator[BaySite]:
    with networks(2) as nets:
        site = BaySite(tmp_path, nets, megabits=200)
        yield site
        site.close()


def working() -> bool:
    return any(thread.name.startswith("bay-") for thread in threading.enumerate())


@pytest.mark.parametrize("whole", [False, True], ids=["carrier", "interface"])
def test_pulled_out_in_mid_transfer(bay: BaySite, whole: bool) -> None:
    (camera,) = bay.cameras
    made = bay.fill(12 * MIB, 100)
    camera.put_in()
    bay.wait(lambda: bay.office.sent > 4 * MIB)
    camera.pull_out(whole=whole)
    assert bay.wait(lambda: bay.told.faults() == ["camera-lost"]) < AT_ONCE
    assert bay.wait(lambda: not working()) < AT_ONCE
    assert camera.camera.given == []
    camera.open_contact()
    camera.put_in()
    bay.wait(lambda: "done" in bay.told.states())
    assert bay.stored() == made
    assert len(camera.camera.given) == len(made)
    assert bay.office.sent - sum(map(len, bay.office.stored.values())) <= 2.5e6
    assert bay.told.faults() == ["camera-lost"]


def test_pulled_out_between_two_looks_it_is_missed(tmp_path: Path) -> None:
    with networks(2) as nets:
        bay = BaySite(tmp_path, nets, poll_seconds=60)
        (camera,) = bay.cameras
        bay.fill(100)
        bay.office.faults.append(lambda method, path: Fault(500) if method == "PATCH" and "journal" in path else None)
        try:
            camera.put_in()
            bay.wait(lambda: bay.told.faults() == ["office-error"])
            bay.wait(lambda: len(bay.site.spool.device("BWC-0001").segments()) == 1)  # the look is over
            camera.pull_out()
            bay.wait(lambda: not working())
            assert bay.told.faults() == ["office-error", "camera-lost"]
            assert bay.site.handins.dock.presence.bays() == {}
        finally:
            bay.close()


def test_put_in_it_is_worked_with_at_once(tmp_path: Path) -> None:
    with networks(2) as nets:
        bay = BaySite(tmp_path, nets, poll_seconds=60)
        (camera,) = bay.cameras
        bay.fill(100)
        try:
            camera.plug()
            bay.wait(working)  # it looks for a camera whose contact has not closed yet
            camera.close_contact()
            assert bay.wait(lambda: "done" in bay.told.states()) < AT_ONCE
            camera.pull_out()
            bay.wait(lambda: not working())
            assert bay.told.faults() == []  # it was empty: nothing is wrong
        finally:
            bay.close()


def test_a_loose_link_comes_and_goes_while_the_contact_stays_closed(bay: BaySite) -> None:
    (camera,) = bay.cameras
    made = bay.fill(6 * MIB)
    camera.put_in()
    for _ in range(3):
        held = bay.office.sent
        bay.wait(lambda held=held: bay.office.sent > held)  # type: ignore[misc]
        camera.pull_out()
        camera.plug()
    bay.wait(lambda: "done" in bay.told.states())
    assert bay.stored() == made
    assert len([thread for thread in threading.enumerate() if thread.name.startswith("bay-")]) == 1


def test_a_bay_that_waits_for_the_office_ends_with_its_contact(bay: BaySite) -> None:
    (camera,) = bay.cameras
    bay.fill(3 * MIB)
    hangs = threading.Event()

    def hang(method: str, path: str) -> Fault | None:
        if method != "PATCH" or "journal" in path:
            return None
        hangs.set()
        return Fault(act="hang")

    bay.office.faults.append(hang)
    camera.put_in()
    assert hangs.wait(10)
    camera.pull_out()
    assert bay.wait(lambda: not working()) < AT_ONCE
    assert bay.told.faults() == ["camera-lost"], "the office is not to blame"
