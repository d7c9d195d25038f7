"""Fixtures of more than one module: an agency of today, and its office's signer. A module may have its own instead."""

from __future__ import annotations

import pytest

from evidence.pki import Role
from tests.agency import Agency, Holder
from tests.builders import present_agency


@pytest.fixture(scope="module")
def agency() -> Agency:
    return present_agency()


@pytest.fixture(scope="module")
def signer(agency: Agency) -> Holder:
    return agency.issue(Role.SIGNER, "OFFICE-1")
