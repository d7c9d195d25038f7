"""While worn nothing listens; while docked, one port on the dock's link and nowhere else. Looked at from outside."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from evidence.pki import Role
from firmware.config import CameraConfig
from firmware.hal.ports import Control
from hw_sim.dock_link import CAMERA_ADDRESS, Cable, Network
from runtime import config, tls
from syncd.camera import Camera
from tests.bay_site import CAMERA_PORT, DockableCamera, networks
from tests.builders import present_agency
from tests.camera_rig import Owner
from tests.dock_camera import DockedCamera
from tests.runner_rig import Rig

pytestmark = [pytest.mark.net, pytest.mark.long]

PORT_OF_LINK = f"{CAMERA_ADDRESS}%usb0", CAMERA_PORT


def address(network: Network, interface: str, where: str) -> None:
    """Give an interface its address, at once."""
    network.run("ip", "link", "set", interface, "up")
    network.run("ip", "addr", "replace", where, "dev", interface, *(["nodad"] if ":" in where else []))


def scan(network: Network, interface: str) -> list[int]:
    """Every TCP port at the camera's address that answers anything but "nobody here"."""
    found = []
    with network.entered():
        scope = socket.if_nametoindex(interface)
        for port in range(1, 65536):
            with socket.socket(socket.AF_INET6) as probe:
                probe.settimeout(2)
                if probe.connect_ex((CAMERA_ADDRESS, port, 0, scope)) != errno.ECONNREFUSED:
                    found.append(port)
    return found


def sockets(network: Network) -> list[str]:
    """What is bound in this network, TCP, UDP and raw: local addresses as the kernel writes them."""
    found = []
    with network.entered():
        for name in ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6"):
            lines = Path(f"/proc/thread-self/net/{name}").read_text().splitlines()[1:]
            found += [f"{name} {line.split()[1]}" for line in lines]
    return found


def test_nothing_listens_while_worn() -> None:
    owner = Owner()
    with networks(2) as (dock, worn):
        cable = Cable(dock, "bay1", worn)
        cable.plug()
        address(dock, "bay1", "fe80::2/64")
        rig = Rig(owner)
        rig.port._wanted = PORT_OF_LINK
        try:
            with worn.entered():  # all its threads are started here, and stay here
                rig.start()
            assert sockets(worn) == []
            rig.panel.press(Control.DOCKED, rig.clock.boot_ns())
            rig.wait(lambda: bool(sockets(worn)))
            assert sockets(worn) == [f"tcp6 000080FE000000000000000001000000:{CAMERA_PORT:04X}"]
            rig.panel.press(Control.UNDOCKED, rig.clock.boot_ns())
            rig.wait(lambda: sockets(worn) == [])
            assert scan(dock, "bay1") == []
        finally:
            rig.stop()


def test_while_docked_it_answers_on_the_dock_link_alone(tmp_path: Path) -> None:
    agency = present_agency()
    signer = agency.issue(Role.SIGNER, "OFFICE-1")
    with networks(3) as (dock, network, elsewhere):
        camera = DockedCamera(tmp_path, agency, signer.certificate, address=PORT_OF_LINK)
        docked = DockableCamera(dock, network, 1, camera, None)
        elsewhere.run(*f"ip link add far0 type veth peer name wlan0 netns {network.path}".split())
        for net, interface, where in (
            (network, "wlan0", "192.0.2.1/24"),
            (network, "wlan0", "2001:db8::1/64"),
            (elsewhere, "far0", "192.0.2.2/24"),
            (elsewhere, "far0", "2001:db8::2/64"),
            (elsewhere, "far0", "fe80::2/64"),
        ):
            address(net, interface, where)
        docked.put_in()
        address(dock, "bay1", "fe80::2/64")
        try:
            chain, key = agency.issue(Role.DOCK, "DOCK-1").write(tmp_path, "dock")
            context = tls.client_context(chain, key, tmp_path / "roots.pem")
            with dock.entered():
                there = Camera((f"{CAMERA_ADDRESS}%bay1", CAMERA_PORT), context)
                assert there.connect() == "BWC-0001"
                there.close()
            # The strongest neighbour: he knows the address, and sends for it to the camera's other interface.
            mac = network.run("ip", "-oneline", "link", "show", "wlan0").split("link/ether ")[1].split()[0]
            elsewhere.run(*f"ip -6 neigh replace {CAMERA_ADDRESS} lladdr {mac} dev far0".split())
            with network.entered():
                reachable = socket.create_server(("::", 9), family=socket.AF_INET6, dualstack_ipv6=True)
            with reachable, elsewhere.entered():
                for host in ("192.0.2.1", "2001:db8::1"):
                    socket.create_connection((host, 9), 5).close()  # the network itself lets everything through
                for host in ("192.0.2.1", "2001:db8::1", f"{CAMERA_ADDRESS}%far0"):
                    with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
                        socket.create_connection((host, CAMERA_PORT), 1)
        finally:
            docked.open_contact()


def test_a_dock_port_that_others_could_reach_is_not_configured(tmp_path: Path) -> None:
    for where in ("0.0.0.0", "::", "192.0.2.1", "fe80::1", "2001:db8::1%usb0"):  # noqa: S104 - it must be refused
        path = tmp_path / "camera.toml"
        path.write_text(f'[dock_port]\naddress = "{where}"\n')
        with pytest.raises(config.ConfigError, match=r"dock_port\.address"):
            config.load(path, CameraConfig)
