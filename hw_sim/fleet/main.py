"""`bodycam sim fleet`: many cameras are put into docks at the end of a shift, to load the office on this machine."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hw_sim.control import ControlError
from hw_sim.demo.programs import DemoError, command
from hw_sim.fleet import clip, site
from hw_sim.fleet.run import Fleet, Outcome

_HOUR = 3600
_CHUNK = 65_552  # bytes that a fragment is padded to, encrypted
_JOURNAL_BYTES = 1_000  # of a fragment
_ROOM = 2 * 1024**3  # bytes to be left free
_BAYS = 20  # of one dock


def main(argv: list[str]) -> int:
    """Run it; 0 only if everything came in and what was looked at verifies."""
    options = _parser().parse_args(argv)
    try:
        root = Path(tempfile.mkdtemp(prefix="bodycam-fleet-", dir=options.folder))
        facts = _run(options, root)
    except (DemoError, ControlError, OSError) as error:
        sys.stderr.write(f"bodycam sim fleet: {error}\n")
        return int(getattr(error, "exit_status", 1))
    text = json.dumps(facts, ensure_ascii=False, indent=1) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    sys.stdout.write(text if options.json else table(facts))
    if not options.keep:
        shutil.rmtree(root)
    return 0 if facts["ok"] else 1


def _run(options: argparse.Namespace, root: Path) -> Mapping[str, Any]:
    seconds = max(1, round(options.hours * _HOUR))
    _look_for_room(options, seconds, root)
    _say(f"发证 provisioning {options.cameras} cameras, {options.docks} docks, below {root}")
    built = site.build(root, options.cameras, options.docks, options.fragment_ms)
    clip.make(options.kilobits).save(root / "clip.json")
    fleet = Fleet(built, root / "clip.json", _say)
    with fleet.running(seconds + _HOUR):
        _say("录制 making the footage")
        trips = fleet.record(seconds)
        _say("归还 putting all in")
        outcome = fleet.empty(trips, options.within_seconds)
        _say("验真 verifying what one of them handed in")
        verified = _verify(built, trips[-1].device)
    return _facts(options, built, outcome, verified)


def _look_for_room(options: argparse.Namespace, seconds: int, root: Path) -> None:
    if options.cameras > options.docks * _BAYS:
        raise DemoError(
            f"{options.cameras} cameras need {-(-options.cameras // _BAYS)} docks of {_BAYS} bays", os.EX_USAGE
        )
    fragments = seconds * 1000 // options.fragment_ms + 1
    each = options.kilobits * 125 * options.fragment_ms // 1000
    size = fragments * (-(-each // _CHUNK) * _CHUNK + _CHUNK + 3 * _JOURNAL_BYTES)
    needed = options.cameras * size + _ROOM
    if shutil.disk_usage(root).free < needed:
        raise DemoError(f"{needed / 1e9:.0f} GB are needed below {root}: fewer hours, cameras, --kilobits, or --folder")


def _verify(built: site.Site, device: str) -> bool:
    """Export one recording and verify it, as the office would."""
    listed = json.loads(command(["office", "list", "--json", "--config", str(built.office_config)]).stdout)
    name = next(one["recording"] for one in listed["recordings"] if one["device"] == device)
    export = built.root / "export"
    order = ["--out", str(export), "--identity", str(built.office / "keys" / "office.age"), "--reason", "sim fleet"]
    command(["office", "export", name, "--config", str(built.office_config), *order])
    trust = [
        "--trust",
        str(built.office / "certs" / "root.pem"),
        "--identity",
        str(built.office / "keys" / "office.age"),
    ]
    verdict = json.loads(command(["verify", str(export), *trust, "--json"], check=False).stdout)
    return bool(verdict["ok"])


def _facts(options: argparse.Namespace, built: site.Site, outcome: Outcome, verified: bool) -> Mapping[str, Any]:
    size = sum(trip.size for trip in outcome.trips)
    segments = sum(trip.segments for trip in outcome.trips)
    rates = [trip.size / 1e6 / (trip.emptied - trip.put_in) for trip in outcome.trips]
    devices = [trip.device for trip in outcome.trips]
    stored = [path for device in devices for path in (built.store / device / "segments").glob("*/*.age")]
    receipts = [path for device in devices for path in (built.store / device / "receipts").glob("*/*.jws")]
    lines = sum(
        path.read_bytes().count(b"\n")
        for device in devices
        for path in (built.store / device / "journal").glob("*.jws")
    )
    whole = len(stored) == len(receipts) == segments and sum(path.stat().st_size for path in stored) == size
    loads = {
        name: {
            "idle_mib": round(load.idle_mib, 1),
            "peak_mib": round(load.peak_mib, 1),
            "cpu_s": round(load.cpu_s, 2),
            "cpu_s_per_gb": round(load.cpu_s / size * 1e9, 2),
        }
        for name, load in outcome.loads.items()
    }
    return {
        "version": 1,
        "ok": whole and verified,
        "kind": "light cameras over real docks and a real office, all on one machine; not on a Pi",
        "cameras": options.cameras,
        "docks": options.docks,
        "hours": options.hours,
        "kilobits": options.kilobits,
        "bytes": size,
        "segments": segments,
        "stored": len(stored),
        "receipts": len(receipts),
        "journal_lines": lines,
        "seconds": round(outcome.seconds, 1),
        "settled_seconds": round(outcome.settled_seconds, 1),
        "mb_per_s": round(size / 1e6 / outcome.seconds, 1),
        "camera_mb_per_s": {"slowest": min(rates), "mean": statistics.mean(rates), "fastest": max(rates)},
        "slowest_to_mean": round(min(rates) / statistics.mean(rates), 3),
        "programs": loads,
        "verified": verified,
        "curve": outcome.curve,
    }


def table(facts: Mapping[str, Any]) -> str:
    """The same for people."""
    rates = facts["camera_mb_per_s"]
    rows = {
        "结果 result": "完好 all in, and it verifies" if facts["ok"] else "失败 NOT all in, or it does not verify",
        "规模 size": f"{facts['cameras']} cameras, {facts['docks']} docks, {facts['hours']} h each",
        "数据 footage": f"{facts['bytes'] / 1e9:.2f} GB, {facts['segments']} segments, {facts['journal_lines']} lines",
        "入库 in the office": f"{facts['stored']} segments, {facts['receipts']} receipts",
        "用时 took": f"{facts['seconds']} s, {facts['mb_per_s']} MB/s; told after {facts['settled_seconds']} s",
        "每台 each camera": ", ".join(f"{name} {rate:.2f}" for name, rate in rates.items()) + " MB/s",
        "最慢比平均 slowest / mean": str(facts["slowest_to_mean"]),
    }
    width = max(map(len, rows))
    lines = [f"{name:<{width}}  {value}" for name, value in rows.items()]
    lines.append(f"{'程序 program':<24}{'MiB idle':>10}{'MiB peak':>10}{'CPU s':>10}{'s per GB':>10}")
    lines += [
        f"{name:<24}{load['idle_mib']:>10}{load['peak_mib']:>10}{load['cpu_s']:>10}{load['cpu_s_per_gb']:>10}"
        for name, load in facts["programs"].items()
    ]
    return "\n".join([*lines, facts["kind"], ""])


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bodycam sim fleet", description="一个单位收班 the end of a shift: many cameras into real docks and office"
    )
    parser.add_argument("--cameras", type=_count, default=20, metavar="N", help="default 20")
    parser.add_argument("--docks", type=_count, default=1, metavar="M", help=f"of at most {_BAYS} bays (default 1)")
    parser.add_argument("--hours", type=float, default=0.05, metavar="H", help="that each has recorded (default 0.05)")
    parser.add_argument("--kilobits", type=_count, default=2000, metavar="N", help="a second of picture (default 2000)")
    parser.add_argument("--fragment-ms", type=_count, default=500, metavar="N", help="of one fragment (default 500)")
    parser.add_argument("--within-seconds", type=float, default=1.0, metavar="S", help="all are put in (default 1)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where to work (default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave everything in that folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the report as JSON")
    parser.add_argument("--json", action="store_true", help="the report as JSON on standard output, instead of a table")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value
