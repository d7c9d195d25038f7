"""One camera, two bays: whoever saw it first may notice late that it has gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence.jose import Json
from syncd.bay import Bay
from syncd.errors import AwayError
from syncd.presence import Presence
from tests.agency import Agency, Holder
from tests.dock_site import Site
from tests.tus_office import Fault


@pytest.fixture
def site(tmp_path: Path, agency: Agency, signer: Holder) -> Iterator[Site]:
    site = Site(tmp_path, agency, signer)
    yield site
    site.close()


def test_who_notices_late_takes_no_other_camera_out_of_the_bay() -> None:
    told: list[Json] = []
    presence = Presence(lambda _bay, state: told.append(state))
    first = presence.came("left", "BWC-0001", ("::1", 1))
    second = presence.came("left", "BWC-0002", ("::1", 2))
    presence.gone(first)
    assert presence.bays() == {"left": "BWC-0002"}
    assert [state["camera"] for state in told] == ["BWC-0001", "BWC-0002"]
    presence.gone(second)
    assert presence.where("BWC-0002") is None
    assert told[-1]["camera"] is None


@pytest.mark.net
def test_a_camera_that_has_changed_bays_is_not_missed_at_the_first(site: Site) -> None:
    site.record(100)
    site.office.faults.append(lambda method, path: Fault(422) if method == "PATCH" and "journal" not in path else None)
    site.bay.work()
    other = Bay(site.handins, site.dial(site.camera), site.dial_office(), "2")
    other.work()
    site.bay.cut(lambda: AwayError("camera", "lost", "pulled out"))
    site.bay.close()
    assert "camera-lost" not in site.told.faults()
    assert site.handins.dock.presence.where("BWC-0001") == ("2", site.camera.port.address)
    other.cut(lambda: AwayError("camera", "lost", "pulled out"))
    other.close()
    assert site.told.faults()[-1] == "camera-lost"
