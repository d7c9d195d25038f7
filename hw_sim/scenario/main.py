"""`bodycam sim run`: plays scenarios, and says what came of them."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from hw_sim.demo.programs import DemoError
from hw_sim.scenario import plan, report
from hw_sim.scenario.judge import Finding, judge
from hw_sim.scenario.plan import Scenario
from hw_sim.scenario.shift import play
from hw_sim.scenario.site import ShiftError

_EX_CANTCREAT = os.EX_CANTCREAT


def main(argv: list[str]) -> int:
    """Play what is named; 0 only if everything came as expected. Raises ConfigError."""
    parser = _parser()
    options = parser.parse_args(argv)
    shipped = plan.shipped()
    if options.list:
        for name, path in shipped.items():
            sys.stdout.write(f"{name:32}  {plan.load(path).setting.title}\n")
        return 0
    if options.all == bool(options.scenario):
        parser.error("name scenarios, or --all")
    paths = list(shipped.values()) if options.all else [shipped.get(name, Path(name)) for name in options.scenario]
    scenarios = [plan.load(path) for path in paths]  # all, before the first is played
    out = options.out or Path(tempfile.mkdtemp(prefix="bodycam-shifts-"))
    if out.exists() and any(out.iterdir()):
        sys.stderr.write(f"bodycam sim run: --out: {out} is not an empty folder; name a new one\n")
        return _EX_CANTCREAT
    results = [(scenario, _run(scenario, out.absolute() / scenario.setting.name)) for scenario in scenarios]
    if len(results) > 1:
        sys.stdout.write(_table(results))
    sys.stdout.write(f"  {out}\n")
    return 0 if all(ok for _, ok in results) else 1


def _run(scenario: Scenario, folder: Path) -> bool:
    setting = scenario.setting
    _say(f"{setting.name}  {setting.title}")
    folder.mkdir(parents=True)
    try:
        played = play(scenario, folder / "work", _say)
    except (DemoError, ShiftError) as error:  # before anything could be played
        sys.stdout.write(
            f"{setting.name}  {setting.title}\n" + report.lines([Finding("准备 stage", ok=False, seen=str(error))])
        )
        return False
    findings = judge(played)
    facts = report.write(played, findings, folder)
    verdict = "符合预期 as expected" if facts["ok"] else "不符合预期 not as expected"
    sys.stdout.write(f"{setting.name}  {setting.title}\n{report.lines(findings)}  {verdict}\n")
    sys.stdout.flush()
    return bool(facts["ok"])


def _table(results: list[tuple[Scenario, bool]]) -> str:
    rows = [
        f"  {'✓' if ok else '✗'} {scenario.setting.name:32}  "
        f"{'、'.join(map(str, scenario.setting.rules)) or '-':10}  {scenario.setting.title}"
        for scenario, ok in results
    ]
    good = sum(ok for _, ok in results)
    return "\n".join(["", *rows, f"  {good} / {len(results)} 符合预期 as expected", ""])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bodycam sim run", description="演练：按脚本演一个班次，并检查结果 play a shift and check what comes of it"
    )
    parser.add_argument("scenario", nargs="*", help="a scenario's file, or the name of one that is shipped")
    parser.add_argument("--all", action="store_true", help="every scenario that is shipped")
    parser.add_argument("--list", action="store_true", help="name those that are shipped")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="a new or empty folder for reports (default: a temporary one)"
    )
    return parser


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
    sys.stderr.flush()
