"""Words for people: Chinese first, English second."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from office.person import Role

Language = Literal["zh", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("zh", "en")


class Text(NamedTuple):
    """One wording in both languages."""

    zh: str
    en: str

    def of(self, language: Language) -> str:
        """The wording in that language."""
        return self.zh if language == "zh" else self.en


ROLES: Final = {
    Role.OFFICER: Text("执法人员", "Officer"),
    Role.SECTION_HEAD: Text("科室负责人", "Head of section"),
    Role.KEEPER: Text("保管员", "Keeper"),
    Role.DIRECTOR: Text("办公室主任", "Office director"),
    Role.CASE_LEADER: Text("办案负责人", "Case leader"),
    Role.INSPECTOR: Text("督察检查员", "Inspector"),
    Role.TECHNICIAN: Text("技术员", "Technician"),
}
