"""What the verifier says is wrong: the step that found it, the verdict, the attack that it looks like, and where.

An attack is named for what bytes can tell. Where they cannot tell two attacks apart, both have one name, and the
specification (§7.5) says what else may have been done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from evidence import jose


class Attack(StrEnum):
    """The closed list of specification §7.5, where each is explained."""

    EDITED = "edited"
    CUT_SHORT = "cut-short"
    APPENDED = "appended"
    DELETED = "deleted"
    INSERTED = "inserted"
    UNDECLARED = "undeclared"
    REORDERED = "reordered"
    REPLAYED = "replayed"
    SWAPPED = "swapped"
    EXCHANGED = "exchanged"
    SWAPPED_SOUND = "swapped-sound"
    RECIPIENTS = "recipients"
    OTHER_CAMERA = "other-camera"
    OTHER_AGENCY = "other-agency"
    WRONG_ROLE = "wrong-role"
    LINK_KEY = "link-key"
    REVOKED_KEY = "revoked-key"
    UNCERTIFIED = "uncertified"
    FORGED_KEY = "forged-key"
    FALSE_ARCHIVE = "false-archive"
    ALGORITHM_CONFUSION = "algorithm-confusion"
    PASSED_OFF = "passed-off"
    DOWNGRADED = "downgraded"
    FORK = "fork"
    BACKDATED = "backdated"
    CONTRADICTION = "contradiction"
    TIME_HOLE = "time-hole"


@dataclass(frozen=True, slots=True)
class Footage:
    """Seconds of a recording that a finding is about.

    `from_ms`, `to_ms` count attested footage only, as a player does that leaves gaps out; `claimed_from`, `claimed_to`
    are what the camera's clock said. An end of None: everything from there on.
    """

    from_ms: int
    to_ms: int | None
    claimed_from: str
    claimed_to: str | None

    def to_json(self) -> jose.Json:
        """As in the verifier's JSON output."""
        return {
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
            "claimed_from": self.claimed_from,
            "claimed_to": self.claimed_to,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an inspector must know: a finding, which names an attack, or a note, which names none.

    `step` is the specification's; `verdict` the word for it; `where` and `message` are for people.
    """

    step: int
    verdict: str
    where: str
    message: str
    attack: Attack | None = None
    recording: str | None = None
    segment: int | None = None
    footage: Footage | None = None

    def to_json(self) -> jose.Json:
        """As in the verifier's JSON output."""
        return {
            "step": self.step,
            "verdict": self.verdict,
            "attack": None if self.attack is None else str(self.attack),
            "where": self.where,
            "message": self.message,
            "recording": self.recording,
            "segment": self.segment,
            "footage": None if self.footage is None else self.footage.to_json(),
        }
