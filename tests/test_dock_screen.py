"""The screen at the dock and the metrics: what they show, to whom, and that it can be read in a real browser."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from syncd import page
from syncd.listener import Listener, Shown
from syncd.metrics import CONTENT_TYPE, exposition
from syncd.status import BayStatus, DockStatus, SpoolStatus, State, Waiting
from syncd.words import REASONS, STATES, WAITING

pytestmark = pytest.mark.net

GIB = 1024**3


def dock(*bays: BayStatus, office: str | None = None) -> DockStatus:
    spool = SpoolStatus(3 * GIB, 64 * GIB, 9 * GIB, (Waiting("BWC-0003", 12, GIB),))
    return DockStatus("DOCK-1", 1_800_000_000_000, 1.0, "0.1.0", bays, spool, office, None, 17, 1_800_000_060_000)


def bay(name: str, state: State, code: str | None = None) -> BayStatus:
    if state in {"empty", "connecting"}:
        return BayStatus(name, state, "off" if state == "empty" else "amber")
    lamp = {"handing_in": "amber", "waiting": "amber", "done": "green"}.get(state, "red")
    left = 1234 if state == "handing_in" else None
    due = 1_800_003_600_000
    return BayStatus(name, state, lamp, f"BWC-{name:0>4}", 4 * GIB, GIB, 80, 20, 9 << 20, left, due, code)  # type: ignore[arg-type]


@contextlib.contextmanager
def listening(status: DockStatus, extra: str = "") -> Iterator[Listener]:
    shown = page.pages(lambda: status)
    kind, script = shown["/screen.js"]()
    shown["/screen.js"] = lambda: (kind, script + extra.encode())
    listener = Listener(("127.0.0.1", 0), shown, loopback=True)
    yield listener
    listener.close()


def ask(listener: Listener, path: str, method: str = "GET", host: str | None = None) -> tuple[int, str, dict[str, str]]:
    link = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=5)
    with contextlib.closing(link):
        link.request(method, path, headers={"Host": host or f"127.0.0.1:{listener.port}"})
        answer = link.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())


def test_the_screen_shows_each_bay_and_takes_nothing_from_outside() -> None:
    bays = [bay(str(number), state) for number, state in enumerate(get_args(State), 1)]
    with listening(dock(*bays, office="office-lost")) as listener:
        status, text, headers = ask(listener, "/")
        assert status == 200
        assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["screen.css", "screen.js"]
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert set(re.findall(r"(?:style|script|connect)-src ([^;]*)", policy)) == {"'self'"}
        tiles = ask(listener, "/bays")[1]
        assert len(re.findall("<section", tiles)) == len(bays)
        for one in bays:
            tile = tiles.split("<section")[int(one.name)]
            assert f'class="bay {one.lamp}"' in tile
            assert STATES[one.state].zh in tile
            assert one.camera is None or one.camera in tile
        assert "21<small>分 min" in tiles, "1,234 s are 21 minutes"
        assert REASONS["office-lost"].zh in tiles
        for asset in ("/screen.css", "/screen.js"):
            assert "//" not in ask(listener, asset)[1].replace("// ", ""), "an address elsewhere"


def test_only_this_machine_and_only_what_is_there() -> None:
    with listening(dock(bay("1", "done"))) as listener:
        assert ask(listener, "/bays", host="evil.example:80")[0] == 421, "a name that was bent to this machine"
        assert ask(listener, "/bays", host=f"localhost:{listener.port}")[0] == 200
        assert ask(listener, "/bays", host=f"[::1]:{listener.port}")[0] == 200
        assert [ask(listener, path)[0] for path in ("/status.json", "/../syncd", "/screen.html", "/bays?x")] == [
            404
        ] * 4
        assert [ask(listener, "/", method)[0] for method in ("POST", "PUT", "DELETE")] == [501] * 3


def test_those_who_only_hold_connections_are_cut_off_and_keep_nobody_out() -> None:
    with listening(dock(bay("1", "done"))) as listener, contextlib.ExitStack() as held:
        for _ in range(8):
            held.enter_context(socket.create_connection(("127.0.0.1", listener.port))).sendall(b"GET / HT")
        assert ask(listener, "/bays")[0] == 200
        for _ in range(20):
            held.enter_context(socket.create_connection(("127.0.0.1", listener.port)))
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(listener, "/bays")


def test_a_name_is_text() -> None:
    assert "<script>" not in page.bays(dock(bay("<script>", "done")))


def test_columns_fill_the_screen() -> None:
    assert [page.columns_for(count) for count in (1, 2, 4, 6, 8, 12, 20, 25)] == [1, 2, 3, 3, 3, 4, 5, 6]


# --- metrics


def test_prometheus_own_parser_reads_every_figure() -> None:
    status = dock(bay("1", "handing_in"), bay("2", "empty"), bay('od"d\\\n', "fault", "camera-lost"))
    text = exposition(status, status.utc_ms).decode()
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert len(found) == len(re.findall("# TYPE", text))
    states = {(one.labels["bay"], one.labels["state"]): one.value for one in found["bodycam_dock_bay_state"].samples}
    assert states["1", "handing_in"] == 1
    assert states["1", "done"] == 0
    assert states['od"d\\\n', "fault"] == 1
    assert {one.labels["camera"] for one in found["bodycam_dock_camera_bytes"].samples} == {"BWC-0001", 'BWC-od"d\\\n'}
    assert found["bodycam_dock_camera_due_seconds"].samples[0].value == 3600
    assert found["bodycam_dock_certificate_end_seconds"].samples[0].value == 1_800_000_060
    assert found["bodycam_dock_spool_waiting_segments"].samples[0].value == 12
    labels = {name for family in found.values() for one in family.samples for name in one.labels}
    assert labels <= {"bay", "camera", "code", "dock", "state", "version"}
    assert "version=0.0.4" in CONTENT_TYPE


# --- in a browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MILLIMETRES = 477 / 1920  # of a pixel, on a screen of 21.5 inches: the least that docs/dock.md asks for with 20 bays
READABLE = 7.0  # height of a character in mm that is read without effort from two metres
MEASURE = """
setInterval(() => {
  const high = (one) => parseFloat(getComputedStyle(one).fontSize);
  const sizes = (what) => [...document.querySelectorAll(what)].map(high);
  const over = [...document.querySelectorAll(".bay *:not(progress), footer")].filter((one) => {
    const tile = one.closest(".bay") ?? document.body, edge = tile.getBoundingClientRect();
    const range = document.createRange();
    range.selectNodeContents(one);
    const box = range.getBoundingClientRect();
    return one.textContent && (box.right > edge.right + 1 || box.bottom > edge.bottom + 1 || box.left < edge.left - 1);
  });
  document.body.dataset.seen = JSON.stringify({
    bays: document.querySelectorAll(".bay").length,
    over: over.map((one) => one.outerHTML.slice(0, 200)),
    sizes: ["header b", "header i", "strong", ".left", ".reason"].map((what) => Math.min(...sizes(what))),
    bar: Math.min(...[...document.querySelectorAll("progress")].map((one) => one.offsetHeight)),
    silent: document.getElementById("silent").hidden === false,
  });
}, 200);
"""


def browse(port: int, size: str, tmp: Path) -> dict[str, object]:
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--user-data-dir={tmp}", f"--window-size={size}", "--virtual-time-budget=6000", "--dump-dom"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True, timeout=120
    )
    found = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert found, done.stdout[:2000]
    seen: dict[str, object] = json.loads(found[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">"))
    return seen


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize(("count", "size"), [(20, "1920,1080"), (20, "1280,800"), (8, "1280,800"), (1, "1024,600")])
def test_all_of_it_can_be_read(count: int, size: str, tmp_path: Path) -> None:
    codes = list(REASONS)
    first = [bay("1", "handing_in"), bay("2", "done"), bay("3", "empty"), bay("4", "connecting")][:count]
    for start in range(0, len(codes) if count > 4 else 1, max(1, count - 4)):
        some = [
            bay(str(number), "waiting" if code in WAITING else "fault", code)
            for number, code in enumerate(codes[start : start + count - len(first)], 5)
        ]
        with listening(dock(*first, *some, office="office-lost"), MEASURE) as listener:
            seen = browse(listener.port, size, tmp_path)
        assert seen["bays"] == len(first) + len(some)
        assert seen["over"] == []
        if size == "1920,1080":
            assert all(isinstance(size, float | int) and size * MILLIMETRES >= READABLE for size in seen["sizes"])  # type: ignore[attr-defined]
            assert seen["bar"] * MILLIMETRES > 4  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_dock_that_has_died_is_told_and_not_its_last_word(tmp_path: Path) -> None:
    shown: dict[str, Shown] = page.pages(lambda: dock(bay("1", "done")))
    kind, script = shown["/screen.js"]()
    shown["/screen.js"] = lambda: (kind, script + MEASURE.encode())
    del shown["/bays"]
    listener = Listener(("127.0.0.1", 0), shown, loopback=True)
    with contextlib.closing(listener):
        assert browse(listener.port, "1920,1080", tmp_path)["silent"] is True
