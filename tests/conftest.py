"""Fixtures of more than one module: an agency of today, and its office's signer. A module may have its own instead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evidence.pki import Role
from tests import postgres_kit
from tests.agency import Agency, Holder
from tests.builders import present_agency


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
