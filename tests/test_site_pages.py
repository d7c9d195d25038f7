"""Overview, list and detail: what the catalogue has, in the words of this field; news of the overview as they come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from office.person import Role
from office.site.sessions import COOKIE
from tests.chromium import chromium
from tests.cinema import Cinema, showing

pytestmark = pytest.mark.net


@pytest.fixture(scope="module")
def cinema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cinema]:
    with showing(tmp_path_factory.mktemp("office")) as opened:
        yield opened


def test_the_list_tells_what_was_recorded_and_narrows(cinema: Cinema) -> None:
    keeper = cinema.site.browser("li", Role.KEEPER)
    found = keeper.json("/recordings")["recordings"]
    assert {(one["device"], one["recording"]) for one in found} == {*cinema.recordings}
    assert {(one["complete"], one["gaps"], one["unexplained"], one["recorded_ms"]) for one in found} == {
        (True, 1, 0, 16_000)
    }
    told = {
        "device=BWC-0002": 1, "state=gaps": 2, "state=unexplained": 0, "state=incomplete": 0, "state=complete": 2,
        "activity=case": 0, "from=2020-01-01": 2, "to=2020-01-01": 0, "page=2": 0,
    }  # fmt: skip
    assert {query: len(keeper.json(f"/recordings?{query}")["recordings"]) for query in told} == told
    assert keeper.get("/recordings?state=all").status == 422
    assert "断电" not in keeper.get("/recordings").text


def test_a_recordings_page_tells_gaps_markers_and_files(cinema: Cinema) -> None:
    keeper = cinema.site.browser("li", Role.KEEPER)
    device, recording = cinema.recordings[0]
    page = keeper.get(f"/recordings/{device}/{recording}").text
    for words in ("断电", "已口头说明", "告知语", "快照", "标记", "4/4"):
        assert words in page
    assert "开始观看" not in page, "nobody has approved that the keeper watches"
    assert keeper.get(f"/recordings/{device}/{recording[:-1]}7").status == 404


def test_a_technician_has_no_recordings(cinema: Cinema) -> None:
    technician = cinema.site.browser("qian", Role.TECHNICIAN)
    assert "/recordings" not in technician.get("/").text
    assert technician.get("/recordings").status == 403


@pytest.mark.long
def test_the_overview_changes_as_docks_and_cameras_do(cinema: Cinema) -> None:
    keeper = cinema.site.browser("li", Role.KEEPER)
    catalogue = cinema.site.archive.catalogue
    with chromium() as tabs:
        tab = tabs()
        assert keeper.token is not None
        tab.cookie(cinema.site.address, COOKIE, keeper.token)
        tab.open(f"{cinema.site.address}/")
        tab.wait("document.getElementById('live-state').textContent === '实时更新中'")
        assert "DOCK-07" not in tab.run("document.body.innerText")
        catalogue.set_presence("DOCK-07", online=True)
        catalogue.set_bay("DOCK-07", "B1", "BWC-0001", online=True)
        tab.wait("document.querySelector('.bays')?.innerText.includes('BWC-0001')")
        assert "DOCK-07" in tab.run("document.body.innerText")
        assert tab.complaints() == []
