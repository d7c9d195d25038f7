"""Cables cut and programs killed, again and again, while a camera is emptied; what must hold afterwards (issue 5).

    python -m tests.dock_campaign [--cuts 200] [--kills 50] [--seed S] [--megabytes 8] [--folder DIR]

Each blow falls while one segment is on its way: at a random byte, at 1 %, 50 % and 99.9 % of it, when the archive has
all bytes and no receipt is made, when the receipt is made and nobody was told, when the dock has it and the camera has
not, and when the camera has given the segment up and the dock has not heard. Cuts take the cables to camera, archive
and broker; kills (SIGKILL) camera port, dock, archive, broker, so many of each. One line says what came of it; the
status is 0 only if all held.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from evidence import pki, records
from evidence.verify import Verifier
from runtime.folder import DiskFolder
from tests.dock_yard import BROKER, CAMERA, DEVICE, DOCK, OFFICE, PROGRAMS, Key, Yard
from tests.relay import DOWN, UP, Trigger

CUT_BYTES, KILL_BYTES = 2_500_000, 4_000_000  # that may be sent again on a cable (DESIGN.md)
_SECONDS = 120.0  # after which a segment that has not come counts as lost
_AWAY_SECONDS = 0.05
_MOMENTS = ("random", "1%", "50%", "99.9%", "uploaded", "received", "given", "released")


@dataclass(frozen=True)
class Blow:
    """`victim`: a cable, "cut camera", or a program, "kill dock"."""

    victim: str
    moment: str
    cable: str  # on which bytes are counted, for moments that are a share of the segment

    def __str__(self) -> str:
        return f"{self.victim}, {self.moment} on the cable to the {self.cable}"


@dataclass
class Outcome:
    """What came of all blows."""

    blows: int = 0
    again: dict[str, int] = field(default_factory=dict)  # most bytes sent again on one cable, by victim
    failures: list[str] = field(default_factory=list)

    def note(self, blow: Blow, again: int, limit: int) -> None:
        self.blows += 1
        self.again[blow.victim] = max(self.again.get(blow.victim, 0), again)
        if again > limit:
            self.failures.append(f"{blow}: {again} bytes were sent again")


def plan(cuts: int, kills: int, seed: int) -> list[Blow]:
    """So many cuts, and kills of each program; every moment gets its share of each."""
    chance = random.Random(seed)
    cables = [CAMERA, OFFICE, CAMERA, OFFICE, BROKER]
    victims = [f"cut {cables[number % len(cables)]}" for number in range(cuts)]
    victims += [f"kill {program}" for program in PROGRAMS for _ in range(kills)]
    turns: dict[str, Iterator[str]] = {}

    def moment(victim: str) -> str:
        if victim not in turns:
            turns[victim] = _forever(chance)
        return next(turns[victim])

    blows = [Blow(victim, moment(victim), chance.choice([CAMERA, OFFICE])) for victim in victims]
    chance.shuffle(blows)
    return blows


def _forever(chance: random.Random) -> Iterator[str]:
    while True:
        yield from chance.sample(_MOMENTS, len(_MOMENTS))


class Campaign:
    """Blows against one yard."""

    def __init__(self, yard: Yard, seed: int) -> None:
        self.yard = yard
        self.outcome = Outcome()
        self._chance = random.Random(seed)
        self._made: dict[Key, str] = {}  # SHA-256 of each segment

    def strike(self, blow: Blow | None) -> None:
        """Let a segment come in under a blow; None: undisturbed."""
        yard = self.yard
        before = {name: dict(cable.passed) for name, cable in yard.cables.items()}
        struck = threading.Event()
        yard.revive()  # whom the blow before killed in the last moment
        yard.cables[CAMERA].hold()
        key = yard.record(1)
        data = yard.at_camera(key).read_bytes()
        self._made[key] = hashlib.sha256(data).hexdigest()
        if blow is None:
            struck.set()
        else:
            self._arm(blow, key, len(data), before, lambda: self._act(blow.victim, struck))
        yard.cables[CAMERA].flow()
        self._await(key, struck, blow)
        up = yard.cables[OFFICE].passed[UP] - before[OFFICE][UP]
        down = yard.cables[CAMERA].passed[DOWN] - before[CAMERA][DOWN]
        if blow is not None:
            limit = CUT_BYTES if blow.victim.startswith("cut") else KILL_BYTES
            self.outcome.note(blow, max(up, down) - len(data), limit)

    def _arm(self, blow: Blow, key: Key, size: int, before: dict[str, dict[str, int]], act: Callable[[], None]) -> None:
        yard = self.yard
        shares = {"random": self._chance.random(), "1%": 0.01, "50%": 0.5, "99.9%": 0.999}
        if blow.moment in shares:
            way = DOWN if blow.cable == CAMERA else UP
            at = before[blow.cable][way] + int(shares[blow.moment] * size)
            yard.cables[blow.cable].trigger = Trigger(way, at, act)
        elif blow.moment == "uploaded":
            threading.Thread(target=self._when_uploaded, args=(key, size, act)).start()
        elif blow.moment == "received":  # the archive's answer to the last byte
            ready = yard.receipt_at(OFFICE, key).exists
            yard.cables[OFFICE].trigger = Trigger(DOWN, 0, act, ready)
        elif blow.moment == "given":  # the dock turns to the camera with it
            ready = yard.receipt_at(DOCK, key).exists
            yard.cables[CAMERA].trigger = Trigger(UP, 0, act, ready)
        else:  # the camera answers that it has taken it
            yard.cables[CAMERA].trigger = Trigger(DOWN, 0, act, lambda: not yard.at_camera(key).exists())

    def _when_uploaded(self, key: Key, size: int, act: Callable[[], None]) -> None:
        end = time.monotonic() + _SECONDS
        while self.yard.staged() < size and not self.yard.at_office(key).exists() and time.monotonic() < end:
            time.sleep(0.0005)
        act()

    def _act(self, victim: str, struck: threading.Event) -> None:
        what, name = victim.split()
        if what == "kill":
            self.yard.kill(name)
        else:
            cable = self.yard.cables[name]
            cable.cut()
            threading.Timer(_AWAY_SECONDS, cable.plug).start()
        struck.set()

    def _await(self, key: Key, struck: threading.Event, blow: Blow | None) -> None:
        yard, end = self.yard, time.monotonic() + _SECONDS
        while True:
            if struck.is_set():
                yard.revive()
            yard.note_events()
            gone = not yard.at_camera(key).exists()
            if gone and not yard.at_office(key).exists():
                self._fail(f"{blow}: {key} was released before the archive had it")
            if gone and struck.is_set():
                return
            if time.monotonic() > end:
                told = "nothing was struck" if not struck.is_set() else "it never came"
                raise SystemExit(f"{blow}: {key}: {told}\n{(yard.folder / 'dock.log').read_text()[-3000:]}")
            time.sleep(0.01)

    def _fail(self, text: str) -> None:
        if text not in self.outcome.failures:
            self.outcome.failures.append(text)

    # --- afterwards

    def judge(self) -> Outcome:
        """Look whether all is there, once, and as it was made."""
        yard = self.yard
        self._settle()
        store = yard.office.data / "store" / DEVICE
        held = {
            (path.parent.name, int(path.name.partition(".")[0])): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in store.glob("segments/*/*.mp4.age")
        }
        if held != self._made:
            self._fail(f"the archive holds {len(held)} segments, {len(self._made)} were made, or bytes differ")
        own = yard.office.data / "quarantine" / "cameras"  # an archive of its own: its books are there, and no evidence
        books = {path for path in own.glob("*") if path.is_file()} | set(own.glob("log/*"))
        for name in ("staging", "quarantine"):
            left = [path for path in (yard.office.data / name).rglob("*") if path.is_file() and path not in books]
            if left:
                self._fail(f"left in {name}: {left}")
        self._judge_log()
        for path in yard.journal():
            if (store / "journal" / path.name).read_bytes() != path.read_bytes():
                self._fail(f"the archive's copy of journal file {path.name} is another")
        self._judge_events()
        roots = pki.parse_certificates(yard.office.roots.read_bytes())
        report = Verifier(DiskFolder(self._with_certificates(store)), roots, yard.identity).run()
        verdicts = {verdict.verdict for verdict in report.segments.values()}
        if not report.ok or verdicts != {"intact"} or set(report.receipts) != set(self._made):
            told = report.findings[:3]
            self._fail(f"the verifier says {verdicts}, {len(report.receipts)} receipts, {told}")
        return self.outcome

    def _with_certificates(self, store: Path) -> Path:
        """What the archive holds of the camera, and whose word the receipts are."""
        folder, signer = self.yard.folder / "judged", self.yard.office.signer
        shutil.copytree(store, folder, copy_function=os.link)
        (folder / "certs").mkdir()
        (folder / "certs" / "signer.pem").write_bytes(pki.to_pem(signer.certificate, *signer.above))
        return folder

    def _settle(self) -> None:
        """Wait until the journal's last line is at the archive and no event waits."""
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            self.yard.revive()
            copies = [self.yard.office.data / "store" / DEVICE / "journal" / p.name for p in self.yard.journal()]
            sizes = [path.stat().st_size if path.exists() else 0 for path in copies]
            if sizes == [path.stat().st_size for path in self.yard.journal()] and self.yard.note_events() == 0:
                return
            time.sleep(0.05)
        self._fail(f"{self.yard.note_events()} events still wait, journals at {sizes}")

    def _judge_log(self) -> None:
        leaves = [
            json.loads(line) for line in (self.yard.office.data / "log" / "leaves.jsonl").read_bytes().splitlines()
        ]
        taken = [(leaf["recording"], leaf["segment"]) for leaf in leaves if leaf["act"] == "ingest"]
        if sorted(taken) != sorted(self._made):
            self._fail(f"{len(taken)} ingests in the log for {len(self._made)} segments")

    def _judge_events(self) -> None:
        events = {event["id"] for event in self.yard.events()}
        lines = {records.line_sha256(line) for path in self.yard.journal() for line in path.read_bytes().splitlines()}
        lost = (lines | self.yard.told) - events
        if lost:
            self._fail(f"{len(lost)} of {len(lines | self.yard.told)} events were lost")


def run(folder: Path, blows: list[Blow], megabytes: int, seed: int) -> Outcome:
    """All blows, one after another."""
    yard = Yard(folder, megabytes * 8_000)
    try:
        yard.start()
        campaign = Campaign(yard, seed)
        campaign.strike(None)
        for number, blow in enumerate(blows, 1):
            campaign.strike(blow)
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{number}/{len(blows)}")
        return campaign.judge()
    finally:
        yard.stop()


def main() -> int:
    """Run it; one line."""
    parser = argparse.ArgumentParser(prog="python -m tests.dock_campaign", description=__doc__)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--kills", type=int, default=50, help="of each program")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--megabytes", type=int, default=8, help="of a segment (default 8)")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    told = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=told.folder, prefix="dock-campaign-") as name:
        outcome = run(Path(name), plan(told.cuts, told.kills, told.seed), told.megabytes, told.seed)
    again = ", ".join(f"{victim} {most / 1e6:.2f}" for victim, most in sorted(outcome.again.items()))
    verdict = "; ".join(outcome.failures) or "all held"
    sys.stdout.write(
        f"{outcome.blows} blows (seed {told.seed}) in {time.monotonic() - began:.0f} s; "
        f"most sent again on a cable, MB: {again}; {verdict}\n"
    )
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
