"""Who acts in the office: an account with its roles, as sessions and pages know it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a person is in the rules; one may have several, and still acts in one of them only for each viewing."""

    OFFICER = "officer"  # 执法人员
    SECTION_HEAD = "section_head"  # 科室负责人
    KEEPER = "keeper"  # 保管员
    DIRECTOR = "director"  # 办公室主任
    CASE_LEADER = "case_leader"  # 办案负责人
    INSPECTOR = "inspector"  # 督察、检查员
    TECHNICIAN = "technician"  # 技术员


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who is logged in. `account` names the person in the log, `name` on pages."""

    account: str
    name: str
    roles: frozenset[Role]
    section: str | None = None
