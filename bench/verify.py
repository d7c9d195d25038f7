"""How fast evidence is verified: `bodycam verify` over a recording, without a key and with the office's identity.

Against what no verifier can leave out: `sha256sum` over the same files plus one ECDSA verification for each journal
line in a bare loop; with an identity, `age -d` into `sha256sum` besides. In turns in the same run, on one core.

    scripts/bench verify [--minutes N] [--rounds N] [--folder DIR]

A camera-day is eight hours of 1080p30 at 8 Mbit/s. This machine is not a Pi.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from _measured import lacks, measure
from _recorded import RATE, make_clip, make_owner, record
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from evidence import jose, pki
from runtime.disk import PosixDisk

DAY_MINUTES = 8 * 60
NAMES = {
    "verify": "bodycam verify, without a key",
    "floor": "sha256sum + bare ECDSA",
    "verify opened": "bodycam verify --identity",
    "floor opened": "sha256sum + bare ECDSA + age -d | sha256sum",
}


def main() -> int:
    """Measure, print a table and, as the last line, the same as JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench verify", description=__doc__)
    parser.add_argument("--minutes", type=int, default=5, help="of recording (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    told = parser.parse_args()
    if lacks("ffmpeg", "sha256sum", "age"):
        return os.EX_UNAVAILABLE
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(dir=told.folder, prefix="bench-verify-") as name:
        scratch, owner = Path(name), make_owner()
        evidence = scratch / "evidence"
        evidence.mkdir()
        record(make_clip(scratch), owner, told.minutes, PosixDisk(evidence))
        root, identity = scratch / "root.pem", scratch / "identity.txt"
        root.write_bytes(pki.to_pem(owner.root))
        identity.write_text(owner.identity + "\n")
        identity.chmod(0o600)
        ways: dict[str, Callable[[], None]] = {
            "verify": lambda: verify(evidence, root),
            "floor": lambda: floor(evidence, owner.chain[0]),
            "verify opened": lambda: verify(evidence, root, "--identity", str(identity)),
            "floor opened": lambda: floor(evidence, owner.chain[0], identity),
        }
        report(measure(ways, told.rounds), told.minutes)
    return 0


def verify(evidence: Path, root: Path, *more: str) -> None:
    """The product's command, as anybody would call it."""
    command = [sys.executable, "-m", "bodycam", "verify", str(evidence), "--trust", str(root), "--whole", "--json"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    if not found["ok"] or any(s["verdict"] != "intact" for r in found["recordings"] for s in r["segments"]):
        raise SystemExit(f"the bench's own recording is not sound: {found['findings'][:3]}")


def floor(evidence: Path, session: x509.Certificate, identity: Path | None = None) -> None:
    """Hash every file once; verify every line once; with an identity, decrypt and hash what is inside."""
    files = sorted(str(path) for path in evidence.rglob("*") if path.is_file())
    subprocess.run(["sha256sum", *files], check=True, stdout=subprocess.DEVNULL)
    key, algorithm = pki.public_key(session), ec.ECDSA(hashes.SHA256())
    for path in sorted((evidence / "journal").iterdir()):
        for line in path.read_bytes().splitlines():
            signed, _, signature = line.rpartition(b".")
            raw = jose.unb64(signature)
            halves = (int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
            key.verify(utils.encode_dss_signature(*halves), signed, algorithm)
    for path in sorted((evidence / "segments").rglob("*.age")) if identity else ():
        with subprocess.Popen(["age", "-d", "-i", str(identity), str(path)], stdout=subprocess.PIPE) as age:
            subprocess.run(["sha256sum"], stdin=age.stdout, check=True, stdout=subprocess.DEVNULL)


def report(measured: dict[str, list[float]], minutes: int) -> None:
    """A table for people, a line of JSON for programs."""
    median = {name: statistics.median(values) for name, values in measured.items()}
    days = {name: minutes / DAY_MINUTES * 60 / seconds for name, seconds in median.items()}
    print(f"1080p{RATE} at 8 Mbit/s, {minutes} min, {len(measured['verify'])} turns, one core; not on a Pi")
    print(f"{'way':<48}{'CPU s':>10}{'camera-days a minute':>24}")
    for name, seconds in median.items():
        print(f"{NAMES[name]:<48}{seconds:>10.2f}{days[name]:>24.2f}")
    ratios = {
        mine: statistics.median(own / least for own, least in zip(measured[mine], measured[theirs], strict=True))
        for mine, theirs in (("verify", "floor"), ("verify opened", "floor opened"))
    }
    for name, ratio in ratios.items():
        print(f"{NAMES[name]} / its floor: {ratio:.2f}")
    figures = {
        "bench": "verify",
        "on_a_pi": False,
        "minutes": minutes,
        "cpu_seconds": {name: round(value, 3) for name, value in median.items()},
        "camera_days_a_minute": {name: round(value, 3) for name, value in days.items()},
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    raise SystemExit(main())
