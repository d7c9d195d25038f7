"""A real Chromium, told what to do over its DevTools protocol; a client of ours, since that needs no library."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import secrets
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

PROGRAM = "/usr/bin/chromium"
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--ignore-certificate-errors",
    "--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0", "--hide-scrollbars",
)  # fmt: skip


class Tab:
    """One page of the browser."""

    def __init__(self, address: str, domains: Sequence[str] = ("Page", "Runtime", "Network", "Log")) -> None:
        host, _, path = address.removeprefix("ws://").partition("/")
        name, _, port = host.partition(":")
        self._link = socket.create_connection((name, int(port)), timeout=30)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        lines = ("Host: " + host, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: " + key,
                 "Sec-WebSocket-Version: 13")  # fmt: skip
        self._link.sendall("\r\n".join([f"GET /{path} HTTP/1.1", *lines, "", ""]).encode())
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._link.recv(4096)
        self._buffer = self._buffer.partition(b"\r\n\r\n")[2]
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        for domain in domains:
            self.do(f"{domain}.enable")

    def close(self) -> None:
        self._link.close()

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; what it answers."""
        number = next(self._numbers)
        self._send(json.dumps({"id": number, "method": method, "params": parameters}).encode())
        while True:
            message = json.loads(self._receive())
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])
            if "method" in message:
                self.events.append(message)

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        told = self.do("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, script: str, seconds: float = 20) -> Any:
        """Ask until it is true; its value."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"{script}: {self.run('document.body.innerText')}"
        return value

    def open(self, address: str) -> None:
        """Go there; return when it has loaded."""
        self.do("Page.navigate", url=address)
        self.wait(f"location.href.startsWith({json.dumps(address)}) && document.readyState === 'complete'")

    def cookie(self, address: str, name: str, value: str) -> None:
        self.do("Network.setCookie", url=address, name=name, value=value, secure=True, httpOnly=True, path="/")

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def press(self, key: str, code: int) -> None:
        """A key, by its name and the number that keyboards of PCs have for it."""
        for kind in ("rawKeyDown", "keyUp"):
            self.do("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def size(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.do("Emulation.setEmulatedMedia", features=[feature])

    def picture(self, path: Path, *, whole: bool = True) -> None:
        told = self.do("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))

    def requests(self, part: str) -> list[Mapping[str, Any]]:
        """Requests so far whose address holds this text."""
        sent = [event["params"]["request"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [request for request in sent if part in request["url"]]

    def complaints(self) -> list[str]:
        """What the browser objected to: scripts that failed, policies that were broken."""
        found = [
            event["params"] for event in self.events if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")
        ]
        return [json.dumps(one) for one in found]

    def _send(self, data: bytes) -> None:
        mask = os.urandom(4)
        head = b"\x81"
        if len(data) < 126:
            head += bytes([0x80 | len(data)])
        elif len(data) < 1 << 16:
            head += b"\xfe" + struct.pack(">H", len(data))
        else:
            head += b"\xff" + struct.pack(">Q", len(data))
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
        self._link.sendall(head + mask + masked)

    def _receive(self) -> bytes:
        whole = b""
        while True:
            first, second = self._take(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", self._take(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", self._take(8))
            data = self._take(size)
            if first & 0x0F in (0, 1):
                whole += data
                if first & 0x80:
                    return whole

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            more = self._link.recv(1 << 20)
            assert more, "the browser has gone"
            self._buffer += more
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


class NewTab(Protocol):
    """Opens a tab."""

    def __call__(self, *, alone: bool = False) -> Tab: ...


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[NewTab]:
    """Run the browser with a profile of its own; opens tabs, each `alone` as another person's would be."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        if not Path(PROGRAM).exists():
            pytest.skip(f"{PROGRAM} is not installed: scripts/setup browser")
        command = [PROGRAM, *_FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        tabs: list[Tab] = []
        assert process.stderr is not None
        try:
            told = next(line for line in process.stderr if "DevTools listening" in line)
            whole = Tab("ws://" + told.partition("ws://")[2].strip(), ())
            tabs.append(whole)
            port = told.split("127.0.0.1:")[1].split("/")[0]

            def tab(*, alone: bool = False) -> Tab:
                context = (
                    {"browserContextId": whole.do("Target.createBrowserContext")["browserContextId"]} if alone else {}
                )
                target = whole.do("Target.createTarget", url="about:blank", **context)["targetId"]
                tabs.append(Tab(f"ws://127.0.0.1:{port}/devtools/page/{target}"))
                return tabs[-1]

            yield tab
        finally:
            for one in tabs:
                one.close()
            process.terminate()
            process.wait(20)
            process.stderr.close()
