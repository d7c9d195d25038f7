"""Inspection (rule 26): announced, drawn, judged, closed, each an act in the log (docs/spec/inspection.md).

An inspector announces a period, a share, and the SHA-256 of a nonce that only he knows. The office answers with what
can be drawn, its SHA-256 in the same leaf. The log's root with this leaf is one that nobody could have known; with the
nonce, which is then told, it gives the seed. Neither the office nor the inspector can choose what is drawn.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from evidence import shape
from office import custody, draw, entry, facts, inspection_acts, worklists
from office.archive import Archive
from office.catalogue import utc, utc_now
from office.deadlines import State
from office.draw import Unit
from office.duties import deadlines
from office.errors import OfficeError
from office.facts import Fact
from office.inspection_acts import VERDICTS
from office.words import QUESTIONS
from office.worklists import Ledger
from runtime.disk import make_folder, write_once

MOST: Final = 2_000  # items of a sample, which stands in one leaf
_NONCE: Final = re.compile(r"[\x21-\x7e]{8,128}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be inspected: a period that is over, a share in thousandths, and how many of a section at least."""

    since: datetime
    until: datetime
    permille: int = 100
    least: int = 1

    def __post_init__(self) -> None:
        if not self.since < self.until:
            raise entry.wrong("时间 period", "结束应晚于开始 it ends after it begins")
        if self.until > datetime.now(UTC):
            raise OfficeError("inspection-early", "检查期间尚未结束 the period is not over: nothing can be drawn", 409)
        if not 1 <= self.permille <= 1000 or not 1 <= self.least <= 100:  # noqa: PLR2004 - bounds of a form
            raise entry.wrong("比例 share", "应为 1 至 1000 千分之一；最少 1 至 100 份")


def announce(archive: Archive, by: str, plan: Plan, commitment: str | None = None) -> tuple[int, str | None]:
    """Announce an inspection; its leaf, and the nonce if the office is to make it (which the leaf then says).

    Raises `OfficeError`: "inspection-empty", "entry".
    """
    nonce = None if commitment else secrets.token_hex(16)
    commitment = commitment or draw.commitment(nonce or "")
    if not shape.SHA256(commitment):
        raise entry.wrong("承诺值 commitment", "应为64位十六进制 a SHA-256 in hexadecimal")
    text = draw.frame(_units(_ledger(archive, plan.since, plan.until)))
    if not text:
        raise OfficeError("inspection-empty", "该期间无可抽查内容 the period has nothing to be drawn", 409)
    name = hashlib.sha256(text.encode()).hexdigest()
    _keep(archive, name, text)
    with archive.book.turn() as turn:
        leaf = turn.enter(
            "inspection-announced", by=by, since=utc(plan.since), until=utc(plan.until), permille=plan.permille,
            least=plan.least, commitment=commitment, nonce_by="office" if nonce else "inspector", frame=name,
            size=text.count("\n"),
        )  # fmt: skip
    return leaf, nonce


def draw_sample(archive: Archive, by: str, inspection: int, nonce: str) -> dict[str, list[str]]:
    """Draw, by the nonce that was hidden until now; what was drawn, by section.

    Raises `OfficeError`: "inspection-unknown", "nonce", "drawn", "frame-changed".
    """
    nonce = nonce.strip()
    with archive.book.turn() as turn:
        row = inspection_acts.one(turn.db, inspection)
        if row["drawn"]:
            raise OfficeError("drawn", "已抽取，不得重抽 it was drawn: nothing is drawn twice", 409)
        if not _NONCE.fullmatch(nonce) or draw.commitment(nonce) != row["commitment"]:
            raise OfficeError("nonce", "随机数与承诺值不符 this is not the nonce that was announced", 400)
        units = draw.read_frame(read_frame(archive, row))
        root = archive.log.root(inspection + 1)
        seed = draw.seed(root, nonce)
        sample = draw.draw(units, seed, row["permille"], row["least"])
        if sum(map(len, sample.values())) > MOST:
            raise OfficeError("inspection-large", f"抽取超过{MOST}份：缩短期间或降低比例 draw less", 409)
        turn.enter(
            "inspection-drawn", by=by, inspection=inspection, nonce=nonce, log_size=inspection + 1, root=root.hex(),
            seed=seed, sample=sample,
        )  # fmt: skip
    return sample


def find(
    archive: Archive, by: str, inspection: int, item: str, question: int, verdict: str, remark: str | None = None
) -> int:
    """Judge one of the three questions on what was drawn; a later finding takes its place, and both stay readable.

    Raises `OfficeError`: "inspection-unknown", "not-drawn", "inspection-closed", "entry".
    """
    entry.one_of("结论 verdict", verdict, VERDICTS)
    if not 1 <= question <= len(QUESTIONS):
        raise entry.wrong("事项 question", f"1–{len(QUESTIONS)}")
    with archive.database.read() as db:
        row = inspection_acts.one(db, inspection)
    known = [one.text for one in known_of(archive, row).get(item, []) if one.question == question]
    with archive.book.turn() as turn:
        _open(inspection_acts.one(turn.db, inspection))
        if item not in {one["item"] for one in inspection_acts.sample(turn.db, inspection)}:
            raise OfficeError("not-drawn", f"{item} 不在抽取之列 was not drawn", 404)
        words = entry.maybe("说明 remark", remark) if verdict == "met" else entry.text("说明 remark", remark)
        return turn.enter(
            "inspection-finding", by=by, inspection=inspection, item=item, question=question, verdict=verdict,
            remark=words, facts=known[:40],
        )  # fmt: skip


def close(archive: Archive, by: str, inspection: int) -> int:
    """Say that all is judged. Raises `OfficeError`: "not-judged", "inspection-closed"."""
    with archive.book.turn() as turn:
        _open(inspection_acts.one(turn.db, inspection))
        found = inspection_acts.findings(turn.db, inspection)
        drawn = [one["item"] for one in inspection_acts.sample(turn.db, inspection)]
        left = [item for item in drawn for question in range(1, 4) if (item, question) not in found]
        if left or not drawn:
            raise OfficeError(
                "not-judged", f"尚有 {len(left)} 项未评 findings are missing, the first of {left[:1]}", 409
            )
        return turn.enter("inspection-closed", by=by, inspection=inspection)


def known_of(archive: Archive, row: Mapping[str, Any]) -> dict[str, list[Fact]]:
    """What the machine knows of all that was drawn in an inspection, by item."""
    since, until = datetime.fromisoformat(row["since"]), datetime.fromisoformat(row["until"])
    ledger = _ledger(archive, since, until)
    config = archive.config
    found = deadlines(
        archive.catalogue, datetime.now(UTC), config.zone, timedelta(hours=config.warn_hours), done_since=since
    )
    hand_in: dict[tuple[str, str], State] = {
        (one.duty.device, one.duty.recording): one.state for one in found if one.duty.recording is not None
    }
    with archive.database.read() as db:
        drawn = inspection_acts.sample(db, row["leaf_index"])
    return {one["item"]: facts.of(one["item"], ledger, hand_in) for one in drawn}


def scores(archive: Archive, inspection: int) -> dict[str, list[int | None]]:
    """Points of each section, of 100: over all, then for each of the three questions."""
    with archive.database.read() as db:
        found = inspection_acts.findings(db, inspection)
        drawn = inspection_acts.sample(db, inspection)
    told: defaultdict[str, list[list[str]]] = defaultdict(lambda: [[] for _ in range(len(QUESTIONS) + 1)])
    for one in drawn:
        section = told[one["section"]]
        for question in range(1, len(QUESTIONS) + 1):
            if (finding := found.get((one["item"], question))) is not None:
                section[question].append(finding["verdict"])
                section[0].append(finding["verdict"])
    return {section: [draw.score(verdicts) for verdicts in columns] for section, columns in told.items()}


def read_frame(archive: Archive, row: Mapping[str, Any]) -> str:
    """What could be drawn, as it was announced. Raises `OfficeError` ("frame-changed")."""
    path = _folder(archive) / f"{row['frame']}.tsv"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OfficeError("frame-changed", f"{path} cannot be read ({error}): restore it") from error
    if hashlib.sha256(data).hexdigest() != row["frame"]:
        raise OfficeError("frame-changed", f"{path} was changed after it was announced: restore it, ask why")
    return data.decode()


def _open(row: Mapping[str, Any]) -> None:
    if row["closed"]:
        raise OfficeError("inspection-closed", "检查已办结 the inspection is closed", 409)


def _ledger(archive: Archive, since: datetime, until: datetime) -> Ledger:
    with archive.database.read() as db:
        return worklists.read(db, since, until, custody.sections(db, until))


def _units(ledger: Ledger) -> list[Unit]:
    """Activities of the period, and recordings that are of no activity."""
    matched = {one.footage.key for one in ledger.matches if one.why.sure}
    now = utc_now()
    own = [Unit(one.section, f"activity/{one.leaf}") for one in ledger.activities if utc(one.ends) <= now]
    loose = [one for one in ledger.recordings if one.key not in matched]
    return own + [Unit(ledger.section(one) or "未定科室", f"recording/{one.name}") for one in loose]


def _folder(archive: Archive) -> Path:
    return archive.config.data / "inspections"


def _keep(archive: Archive, name: str, text: str) -> None:
    make_folder(_folder(archive))
    with contextlib.suppress(FileExistsError):  # the same frame was announced before
        write_once(_folder(archive) / f"{name}.tsv", text.encode(), 0o440)
