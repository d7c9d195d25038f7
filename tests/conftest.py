"""Fixtures of more than one module: an agency of today, and its office's signer. A module may have its own instead."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evidence.pki import Role
from tests import postgres_kit
from tests.agency import Agency, Holder
from tests.builders import present_agency

if TYPE_CHECKING:  # an office's libraries are loaded for those tests that have one
    from tests.casework_kit import Unit
    from tests.lived_in import LivedIn


@pytest.fixture(scope="module")
def agency() -> Agency:
    return present_agency()


@pytest.fixture(scope="module")
def signer(agency: Agency) -> Holder:
    return agency.issue(Role.SIGNER, "OFFICE-1")


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_kit.Server]:
    with postgres_kit.serving() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request: pytest.FixtureRequest) -> str | None:
    """What `office.toml` says of the catalogue's database: nothing, or the address of an empty one on PostgreSQL."""
    if request.param == "sqlite":
        return None
    server: postgres_kit.Server = request.getfixturevalue("postgres")
    return server.create()


@pytest.fixture
def unit(tmp_path: Path, agency: Agency) -> Iterator[Unit]:
    """An office for case work, in which nothing has been done."""
    from tests.casework_kit import Unit  # noqa: PLC0415 - as above

    unit = Unit(tmp_path, agency)
    yield unit
    with contextlib.suppress(Exception):
        unit.archive.close()


@pytest.fixture(scope="module")
def worked_in(tmp_path_factory: pytest.TempPathFactory, agency: Agency) -> LivedIn:
    """An office that has been worked in, stopped: to be copied."""
    from tests.lived_in import LivedIn  # noqa: PLC0415 - as above

    made = LivedIn(tmp_path_factory.mktemp("office"), agency)
    made.live()
    made.stop()
    return made
