"""The demonstration's report: `report.json` for programs (docs/demo.md names its keys) and a table for people."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hw_sim.demo.checks import Checked
from hw_sim.demo.play import Played
from hw_sim.demo.stage import Stage

Facts = dict[str, Any]


def collect(stage: Stage, out: Path, played: Played, checked: Checked) -> Facts:
    """Put the facts together."""
    records = [json.loads(line) for line in (out / "journal.jsonl").read_text("utf-8").splitlines()]
    bodies = {kind: [r["body"] for r in records if r["kind"] == kind] for kind in {r["kind"] for r in records}}
    told = checked.verdict["recordings"][0]
    notices = bodies.get("notice", [])
    checks = [asdict(check) for check in checked.checks]
    checks.append(_check("notice", "告知语被麦克风听到 the notice was heard at each start", *_notices(notices, told)))
    reasons = [reason["basis"] for reason in bodies.get("gap_reason", [])]
    checks.append(
        _check("reason", "中断原因已说明 the reason of the gap was given", reasons == ["button_held"], str(reasons))
    )
    checks.append(
        _check("gap", "断电在中断界限之内 the gap's bounds hold the cut", *_bounds(bodies.get("gap", []), played))
    )
    return {
        "version": 1,
        "ok": all(check["ok"] for check in checks),
        "device": checked.verdict["device"],
        "recording": told["recording"],
        "seconds_recorded": told["recorded_ms"] / 1000,
        "parts": told["parts"],
        "gaps": bodies.get("gap", []),
        "seconds_without_power": round(played.off_seconds, 3),
        "fragments": len(bodies.get("fragment", [])),
        "segments": len(told["segments"]),
        "verdicts": dict(Counter(segment["verdict"] for segment in told["segments"])),
        "frames": {
            "delivered": checked.frames.delivered,
            "missed": checked.frames.missed,
            "encoded": checked.frames.encoded,
            "dropped": checked.frames.dropped,
            "decoded": checked.frames.decoded,
        },
        "notices": notices,
        "receipts": sum(segment["receipt"] for segment in told["segments"]),
        "hand_in_seconds": round(played.hand_in_seconds, 2),
        "simulated": any(body["simulated"] for body in bodies["boot"]),
        "time": told["time"],
        "checks": checks,
        "folder": str(stage.root),
    }


def write(facts: Facts, path: Path) -> None:
    """Write report.json."""
    path.write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def table(facts: Facts, out: Path) -> str:
    """The report for people."""
    frames = facts["frames"]
    gaps = [_gap(gap) for gap in facts["gaps"]] or ["无 none"]
    rows = [
        ("录像 recording", f"{facts['recording']}（仿真 simulated）" if facts["simulated"] else facts["recording"]),
        ("已录时长 recorded", f"{facts['seconds_recorded']:.2f} s，{facts['parts']} 段 parts"),
        *(("中断 gap", gap) for gap in gaps),
        ("片段 fragments", f"{facts['fragments']}，{facts['segments']} 个文件 segments"),
        ("画面 frames", " / ".join(f"{frames[k]} {k}" for k in ("delivered", "encoded", "dropped", "decoded"))),
        ("移交用时 hand-in", f"{facts['hand_in_seconds']:.1f} s，{facts['receipts']} 份回执 receipts"),
        ("验真 verdicts", "，".join(f"{count} {verdict}" for verdict, count in facts["verdicts"].items())),
        ("总用时 took", f"{facts['took_seconds']:.0f} s"),
    ]
    width = max(_width(name) for name, _ in rows)
    lines = ["", *(f"  {_pad(name, width)}  {value}" for name, value in rows), ""]
    lines += [f"  {'✓' if check['ok'] else '✗'} {check['what']}  ({check['seen']})" for check in facts["checks"]]
    verdict = "全部成立 every check held" if facts["ok"] else "有检查未通过 a check failed"
    return "\n".join([*lines, "", f"  {verdict}", f"  {out}", ""])


def _notices(notices: list[Facts], told: Facts) -> tuple[bool, str]:
    heard = sum(notice["heard"] for notice in notices)
    return heard == told["parts"] and heard > 0, f"{heard} of {told['parts']} starts"


def _bounds(gaps: list[Facts], played: Played) -> tuple[bool, str]:
    """One gap, caused by the cut; its greatest length is at least the time without power."""
    cut = played.off_seconds * 1000
    ok = len(gaps) == 1 and gaps[0]["cause"] == "power_cut" and (gaps[0]["max_ms"] or cut) >= cut
    return ok, f"{len(gaps)} gap, {played.off_seconds:.2f} s without power"


def _check(name: str, what: str, ok: bool, seen: str) -> Facts:
    return {"name": name, "what": what, "ok": ok, "seen": seen}


def _gap(gap: Facts) -> str:
    most = "未知 unknown" if gap["max_ms"] is None else f"{gap['max_ms'] / 1000:.2f} s"
    return f"{gap['cause']}：{gap['min_ms'] / 1000:.2f} s … {most}"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
