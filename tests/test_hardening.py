"""What programs that look for weak TLS, and slow strangers, find at the three ports that listen."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from evidence.pki import Role
from tests.builders import present_agency
from tests.dock_camera import DockedCamera
from tests.office_kit import OfficeKit, running

pytestmark = [pytest.mark.net, pytest.mark.slow]
CIPHERS = {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    tmp, agency = tmp_path_factory.mktemp("hardening"), present_agency()
    camera = DockedCamera(tmp / "camera", agency, agency.issue(Role.SIGNER, "OFFICE-1").certificate)
    camera.port.start()
    with running(OfficeKit(tmp / "office", agency)) as office:
        yield {"camera": camera.port.address[1], "office": office.port, "broker": office.broker_port}
    camera.port.stop()


@pytest.mark.parametrize("name", ["camera", "office", "broker"])
def test_a_scanner_finds_tls_1_3_alone(ports: dict[str, int], tmp_path: Path, name: str) -> None:
    if shutil.which("sslscan") is None:
        pytest.skip("sslscan is not installed")
    report = tmp_path / "scan.xml"
    command = ["sslscan", "--no-colour", "--show-client-cas", f"--xml={report}", f"127.0.0.1:{ports[name]}"]
    # Who is refused is cut, and a scanner that writes on must not die of that.
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, restore_signals=False)
    (found,) = ET.parse(report).getroot().findall("ssltest")  # noqa: S314 - our own scanner's
    enabled = {
        f"{one.get('type')}{one.get('version')}" for one in found.findall("protocol") if one.get("enabled") == "1"
    }
    assert enabled == {"tls1.3"}, done.stdout
    assert {one.get("cipher") for one in found.findall("cipher")} <= CIPHERS, done.stdout
    assert [one for one in found.findall("heartbleed") if one.get("vulnerable") == "1"] == []
    assert [one for one in found.findall("compression") if one.get("supported") == "1"] == []


@pytest.mark.parametrize("version", ["-ssl3", "-tls1", "-tls1_1", "-tls1_2"])
def test_openssl_reaches_no_older_version(ports: dict[str, int], version: str) -> None:
    for port in ports.values():
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", version]
        done = subprocess.run(command, input="", capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode != 0
        assert "Cipher is TLS" not in done.stdout


def test_who_connects_and_says_nothing_is_cut(ports: dict[str, int]) -> None:
    """The broker's patience is mosquitto's own."""
    for name in ("camera", "office"):
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", ports[name]), 120) as silent:
            silent.sendall(b"\x16\x03\x01")  # the beginning of a handshake
            while silent.recv(1):
                pass
        assert time.monotonic() - began < 75
