"""The report of a shift: `report.json` for programs (docs/scenarios.md names its keys), lines for people, a picture."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hw_sim.scenario import timeline
from hw_sim.scenario.facts import Fact
from hw_sim.scenario.judge import Finding
from hw_sim.scenario.lanes import Bar, lanes
from hw_sim.scenario.shift import Played

KIND = "real time, simulated hardware"


def collect(played: Played, findings: list[Finding]) -> dict[str, Any]:
    """Put the facts together."""
    setting = played.scenario.setting
    return {
        "version": 1,
        "ok": all(finding.ok for finding in findings),
        "name": setting.name,
        "title": setting.title,
        "rules": list(setting.rules),
        "kind": KIND,
        "began": datetime.fromtimestamp(played.began_utc, UTC).isoformat(timespec="milliseconds"),
        "seconds": played.second(played.ended_ns),
        "steps": [
            {
                "from": played.second(done.from_ns),
                "to": played.second(done.to_ns),
                "actor": done.step.actor,
                "action": done.step.action,
                **({"name": done.step.name} if done.step.name else {}),
                "arguments": dict(done.step.arguments),
            }
            for done in played.done
        ],
        "expectations": [asdict(finding) for finding in findings],
        "recordings": played.verdict["recordings"],
        "recorded": {
            lane.title: [_span(played, bar) for bar in lane.bars]
            for lane in lanes(played)
            if lane.title.startswith(("画面", "声音", "中断"))
        },
        "prompts": [_told(played, fact, "prompt") for fact in _named(played, "say")],
        "alerts": [_told(played, fact, "what", "detail") for fact in _named(played, "alert")],
        "faults": [_told(played, fact, "where", "what") for fact in _named(played, "fault")],
        "phases": [_told(played, fact, "phase") for fact in _named(played, "phase")],
        "journal": dict(Counter(fact.members["kind"] for fact in _named(played, "record"))),
        "notices": _records(played, "notice"),
        "gaps": _records(played, "gap"),
        "reasons": _records(played, "gap_reason"),
        "self_checks": _records(played, "self_check"),
        "verdict": {
            "ok": played.verified,
            "findings": played.verdict["findings"],
            "notes": played.verdict.get("notes", []),
            "segments": dict(
                Counter(s["verdict"] for recording in played.verdict["recordings"] for s in recording["segments"])
            ),
        },
        "camera_exit_status": played.exit_status,
        "folder": str(played.stage.root),
    }


def write(played: Played, findings: list[Finding], folder: Path) -> dict[str, Any]:
    """Write report.json and timeline.svg into `folder`; returns the facts."""
    facts = collect(played, findings)
    text = json.dumps(facts, ensure_ascii=False, indent=1)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "timeline.svg").write_text(timeline.svg(played, findings), encoding="utf-8")
    return facts


def lines(findings: list[Finding]) -> str:
    """The findings for people."""
    return "".join(f"  {'✓' if finding.ok else '✗'} {finding.what}  ({finding.seen})\n" for finding in findings)


def _named(played: Played, name: str) -> list[Fact]:
    return [fact for fact in played.facts if fact.name == name]


def _told(played: Played, fact: Fact, *members: str) -> dict[str, Any]:
    return {"at": played.second(fact.at_ns), **{member: fact.members.get(member) for member in members}}


def _records(played: Played, kind: str) -> list[dict[str, Any]]:
    return [
        {"at": played.second(fact.at_ns), **fact.members}
        for fact in _named(played, "record")
        if fact.members["kind"] == kind
    ]


def _span(played: Played, bar: Bar) -> dict[str, Any]:
    return {"from": played.second(bar.from_ns), "to": played.second(bar.to_ns), "label": bar.label}
