"""`scripts/powercut`: cut the power thousands of times, in process, and say in one line what it cost."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from pathlib import Path

from tests.powercut import campaign
from tests.powercut.campaign import Campaign, Judged
from tests.powercut.report import Report


def main() -> int:
    """Run; 0 if all held, 1 if not."""
    parser = argparse.ArgumentParser(prog="powercut", description=__doc__)
    parser.add_argument("--count", type=int, default=500, metavar="N", help="lives at random, each cut at least once")
    parser.add_argument("--seed", type=int, default=None, help="(default: a new one, which the line tells)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--only", type=int, default=None, metavar="N", help="life N of the seed alone, with its problems"
    )
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the whole report")
    chosen = parser.parse_args()
    seed = secrets.randbelow(1 << 31) if chosen.seed is None else chosen.seed
    report = Report(seed)
    with campaign.quiet():
        script = campaign.script(seed)
        whole = Campaign(seed, len(script) + chosen.count, script)
        for judged in whole.run(chosen.jobs) if chosen.only is None else whole.run(1, [chosen.only]):
            report.add(judged)
            _tell(judged, report, whole.count)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(report.line() + "\n")
    return os.EX_OK if report.held else 1


def _tell(judged: Judged, report: Report, count: int) -> None:
    for number, problem in judged.problems:
        sys.stderr.write(f"life {judged.number} ({judged.what}), invariant {number}: {problem}\n")
    if report.lives % 100 == 0:
        sys.stderr.write(f"{report.lives} of {count} lives\n")


if __name__ == "__main__":
    sys.exit(main())
