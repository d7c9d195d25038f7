"""Watching in a real Chromium: picture moves, seeks, sounds; addresses are one session's; gaps show their length."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from office.person import Role
from office.site.sessions import COOKIE
from tests.chromium import Tab, chromium
from tests.cinema import SECONDS, Cinema, showing
from tests.evidence_media import media
from tests.office_kit import wait_for
from tests.site_kit import Browser

pytestmark = pytest.mark.net


@pytest.fixture(scope="module")
def cinema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cinema]:
    with showing(tmp_path_factory.mktemp("office")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def let(cinema: Cinema) -> None:
    """Wang may watch both, and nobody else anything."""
    cinema.viewings.given.clear()
    for device, recording in cinema.recordings:
        cinema.viewings.let("wang", device, recording)


@pytest.fixture(scope="module")
def browser() -> Iterator[Callable[[], Tab]]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def tabs(browser: Callable[[], Tab]) -> Iterator[Callable[[], Tab]]:
    """Tabs that are shut after the test: what plays in them would ask on."""
    opened: list[Tab] = []

    def tab() -> Tab:
        opened.append(browser())
        return opened[-1]

    yield tab
    for one in opened:
        one.do("Page.close")


def shown(cinema: Cinema, tabs: Callable[[], Tab], viewer: Browser, path: str) -> Tab:
    """The player in a browser of its own."""
    tab = tabs()
    tab.size(1366, 768)
    assert viewer.token is not None
    tab.cookie(cinema.site.address, COOKIE, viewer.token)
    tab.open(cinema.site.address + path)
    tab.wait("document.querySelector('video').readyState >= 2")
    return tab


def test_curl_plays_it_by_ranges_and_ffmpeg_reads_it(cinema: Cinema, tmp_path: Path) -> None:
    viewer = cinema.viewer()
    address = cinema.site.address + cinema.film(cinema.begin(viewer, 0))
    curl = ["curl", "-sSk", "-b", f"{COOKIE}={viewer.token}"]
    whole = subprocess.run([*curl, address], check=True, capture_output=True, timeout=30).stdout
    for asked, (start, end) in {
        "0-99": (0, 100),
        "100000-300000": (100_000, 300_001),
        "-50": (len(whole) - 50, None),
    }.items():
        part = subprocess.run(
            [*curl, "-r", asked, "-D", "-", address], check=True, capture_output=True, timeout=30
        ).stdout
        head, _, body = part.partition(b"\r\n\r\n")
        assert b" 206 " in head.splitlines()[0]
        assert body == whole[start:end]
    film = tmp_path / "film.mp4"
    film.write_bytes(whole)
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", film, "-f", "null", "-"], capture_output=True, check=True, timeout=30
    )
    assert done.stderr == b""


def test_ranges_beyond_the_end_and_nonsense(cinema: Cinema) -> None:
    viewer = cinema.viewer()
    film = cinema.film(cinema.begin(viewer, 0))
    assert viewer.get(film, Range="bytes=999999999-").status == 416
    assert viewer.get(film, Range="bytes=5-2").status == 416
    for odd in ("bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6"):
        assert viewer.get(film, Range=odd).status == 200, odd
    head = viewer.request("HEAD", film)
    assert (head.status, head.body, head.headers["accept-ranges"]) == (200, b"", "bytes")


def test_an_address_is_of_one_session_and_dies_with_its_pass(cinema: Cinema) -> None:
    viewer, other = cinema.viewer(), cinema.viewer("zhao")
    path = cinema.begin(viewer, 0)
    film = cinema.film(path)
    assert viewer.get(film, Range="bytes=0-9").status == 206
    cinema.site.refused.clear()
    assert other.get(film).status == 404
    assert other.get(path).status == 404
    assert cinema.site.refused == [("zhao", "film", "play-over"), ("zhao", "watching", "play-over")]
    assert cinema.site.browser().get(film).status == 401
    again = Browser(cinema.site, cinema.site.sessions.log_in("wang", Role.OFFICER))
    cinema.viewings.given.clear()
    assert viewer.get(film).status == 403
    assert again.post("/watch", shown="/".join(cinema.recordings[0])).status == 403


def test_an_approval_that_is_over_ends_what_is_watched(cinema: Cinema) -> None:
    viewer = cinema.viewer()
    cinema.viewings.given.clear()
    given = cinema.viewings.let("wang", *cinema.recordings[0], minutes=0.02)
    film = cinema.film(cinema.begin(viewer, 0))
    wait_for(lambda: datetime.fromisoformat(given.until) < datetime.now(UTC))
    assert viewer.get(film).status == 403
    assert viewer.post("/watch", shown="/".join(cinema.recordings[0])).status == 403


def test_what_is_watched_is_told_from_begin_to_end(cinema: Cinema) -> None:
    viewer = cinema.viewer()
    cinema.viewings.told.clear()
    path = cinema.begin(viewer, 0, 1)
    assert viewer.post(f"{path}/end").status == 303
    assert cinema.viewings.told == [("begin", "wang")] * 2 + [("finish", "wang")] * 2
    assert viewer.get(cinema.film(path)).status == 404


def test_keys_are_asked_for_as_they_are_needed(cinema: Cinema) -> None:
    viewer = cinema.viewer()
    path = cinema.begin(viewer, 0)
    cinema.keys.asked.clear()
    assert viewer.get(cinema.film(path), Range="bytes=0-99").status == 206
    assert cinema.keys.asked == [0]


@pytest.mark.long
def test_the_picture_moves_seeks_and_sounds(cinema: Cinema, tabs: Callable[[], Tab]) -> None:
    viewer = cinema.viewer()
    tab = shown(cinema, tabs, viewer, cinema.begin(viewer, 0))
    assert len(tab.requests("/play/")) <= 4
    assert tab.run("document.querySelector('video').duration") == pytest.approx(SECONDS, abs=0.1)
    frame = """(() => { const v = document.querySelector('video'), c = document.createElement('canvas');
        c.width = 64; c.height = 48; c.getContext('2d').drawImage(v, 0, 0, 64, 48);
        return c.toDataURL(); })()"""
    before = tab.run(frame)
    tab.click("#toggle")
    tab.wait("document.querySelector('video').currentTime > 1.5")
    assert tab.run("document.querySelector('video').webkitAudioDecodedByteCount") > 0
    assert tab.run("document.querySelector('video').webkitDecodedFrameCount") > 10
    assert tab.run(frame) != before
    sent = len(tab.requests("/play/"))
    tab.run("[...document.querySelectorAll('.events [data-at]')].find(b => Math.abs(b.dataset.at - 5) < 0.01).click()")
    tab.wait("!document.querySelector('video').seeking && document.querySelector('video').currentTime >= 5")
    assert len(tab.requests("/play/")) - sent <= 4
    assert tab.run("document.querySelector('.mark').innerText").count("wang") == 6
    assert tab.complaints() == []


@pytest.mark.long
def test_it_goes_on_behind_a_gap_and_says_why(cinema: Cinema, tabs: Callable[[], Tab]) -> None:
    viewer = cinema.viewer()
    tab = shown(cinema, tabs, viewer, cinema.begin(viewer, 0))
    gap = tab.run("document.querySelector('.hole').style.width")
    assert float(gap.rstrip("%")) > 20, "a gap is as long on the line as it was"
    tab.run("document.querySelector('.events .tag').closest('li').querySelector('[data-at]').click()")
    assert "断电" in tab.run("document.querySelector('.cover').textContent")
    tab.click("#toggle")
    tab.wait(
        "document.querySelector('video').getAttribute('src').endsWith('/2') && !document.querySelector('video').paused"
    )
    tab.wait("document.querySelector('video').currentTime > 0.3")
    assert "断电" in tab.run("document.getElementById('said').textContent")


@pytest.mark.long
def test_two_recordings_run_on_one_clock(cinema: Cinema, tabs: Callable[[], Tab]) -> None:
    viewer = cinema.viewer()
    tab = shown(cinema, tabs, viewer, cinema.begin(viewer, 0, 1))
    assert tab.run("document.querySelectorAll('video').length") == 2
    assert tab.run("document.querySelectorAll('.cover')[1].hidden") is False, "the second began three seconds later"
    tab.press("ArrowRight", 39)
    tab.wait("[...document.querySelectorAll('video')].every(v => v.readyState >= 2 && !v.seeking)")
    tab.click("#toggle")
    tab.wait("document.querySelectorAll('video')[1].currentTime > 3")
    apart = tab.run(
        "(() => { const [a, b] = document.querySelectorAll('video'); return a.currentTime - b.currentTime; })()"
    )
    assert apart == pytest.approx(3.0, abs=0.3)
    assert tab.run("[...document.querySelectorAll('video')].map(v => v.muted)") == [False, True]
    assert tab.complaints() == []


@pytest.mark.long
def test_speeds_and_keys(cinema: Cinema, tabs: Callable[[], Tab]) -> None:
    viewer = cinema.viewer()
    tab = shown(cinema, tabs, viewer, cinema.begin(viewer, 0))
    tab.run(
        "(() => { const s = document.getElementById('speed'); s.value = '4'; s.dispatchEvent(new Event('change')); })()"
    )
    assert tab.run("document.querySelector('video').playbackRate") == 4
    for key, code, at in (("ArrowRight", 39, 5), ("ArrowLeft", 37, 0), ("PageUp", 33, None), ("Home", 36, 0)):
        tab.press(key, code)
        now = float(tab.run("document.getElementById('slider').getAttribute('aria-valuenow')"))
        assert at is None or now == pytest.approx(at, abs=0.1)


def test_stills_are_pictures_behind_the_same_door(cinema: Cinema) -> None:
    viewer, other = cinema.viewer(), cinema.viewer("zhao")
    path = cinema.begin(viewer, 0).replace("/watch/", "/play/")
    assert viewer.get(f"{path}/0/still/0").body == media().still
    assert viewer.get(f"{path}/0/still/1").status == 404
    assert other.get(f"{path}/0/still/0").status == 404


def test_a_page_left_open_stays_alive_and_one_left_alone_ends(cinema: Cinema) -> None:
    viewer = cinema.viewer()
    path = cinema.begin(viewer, 0)
    assert viewer.post(f"{path}/alive").status == 200
    assert cinema.site.plays is not None
    play = cinema.site.plays.find(path.rpartition("/")[2], "test-wang")
    play.used -= 3600
    assert viewer.get(cinema.film(path)).status == 404
