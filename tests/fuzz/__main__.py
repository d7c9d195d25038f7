"""Fuzzes parsers, guided by coverage: `python -m tests.fuzz TARGET... [--runs N | --seconds T] [--seed S] [--keep]`.

Ends with 0 if every input was taken or refused as it should be, within memory and time; otherwise it prints the input
that was not, and keeps it. Give that file instead of a target's name after it, `TARGET --input FILE`, to see it again.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.table import SEEDS, TARGETS, inputs
from tests.fuzz.target import CORPUS, ROOT

MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there has a name of its own; a sync costs nothing
MEMORY_MB = 1024
HANG_SECONDS = 60
KEPT_BYTES = 12_288
"""Of a target's corpus in the repository; the smallest inputs are kept."""

Options = Sequence[str]


def available() -> bool:
    """Whether atheris is installed: it has wheels for CPython 3.11 to 3.13 on x86_64 Linux, nowhere else."""
    return importlib.util.find_spec("atheris") is not None


def fuzz(name: str, length: str, seed: int, *, keep: bool = False) -> bool:
    """Run one target for a `length`, which is an option of libFuzzer's; whether all held."""
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as work:
        first, grown = Path(work, "seeds"), Path(work, "grown")
        for folder in (first, grown):
            folder.mkdir()
        for data in inputs(name):
            _save(first, data)
        limits = [f"-rss_limit_mb={MEMORY_MB}", f"-timeout={HANG_SECONDS}", f"-artifact_prefix={work}/"]
        status = _engine(name, work, [length, f"-seed={seed}", *limits, str(grown), str(first)])
        found = [path for kind in ("crash", "timeout", "oom") for path in Path(work).glob(f"{kind}-*")]
        for path in found:
            kept = Path(f"fuzz-{name}-{path.name}")
            kept.write_bytes(path.read_bytes())
            sys.stderr.write(f"{name}: kept as {kept}: {path.read_bytes()[:500]!r}\n")
        if keep and not status:
            _keep(name, work, [first, grown])
        return not status and not found


def _engine(name: str, work: str, options: Options) -> int:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {
        **os.environ,
        "TMPDIR": work,
        "PYTHONPATH": str(ROOT),
        "PATH": path,
        "FUZZ_TARGET": name,
        "TZ": "Asia/Shanghai",
    }
    command = [sys.executable, "-m", "tests.fuzz.engine", *options]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def _keep(name: str, work: str, grown: Sequence[Path]) -> None:
    """Put the smallest set of inputs that covers the same into the repository, within bounds."""
    least = Path(work, "least")
    least.mkdir()
    if _engine(name, work, ["-merge=1", str(least), *map(str, grown)]):
        return
    left = KEPT_BYTES
    target = CORPUS / name
    target.mkdir(exist_ok=True)
    for old in target.iterdir():
        old.unlink()
    for data in sorted((path.read_bytes() for path in least.iterdir()), key=len):
        if len(data) <= left and data not in SEEDS[name]():
            left -= len(data)
            _save(target, data)


def _save(folder: Path, data: bytes) -> None:
    (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="+", metavar="TARGET", choices=[*TARGETS, "all"])
    parser.add_argument("--runs", type=int, default=10_000, help="for each target")
    parser.add_argument("--seconds", type=int, help="for each target, in place of --runs")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    parser.add_argument("--keep", action="store_true", help="take what covers new ground into the repository")
    parser.add_argument("--input", type=Path, help="give this file to the target, once")
    told = parser.parse_args(argv)
    names = list(TARGETS) if "all" in told.targets else told.targets
    if told.input is not None:
        TARGETS[names[0]](told.input.read_bytes())
        return 0
    if not available():
        parser.error(
            "atheris is not installed: it has no wheel for this Python or machine; pip install 'bodycam[fuzz]'"
        )
    length = f"-runs={told.runs}" if told.seconds is None else f"-max_total_time={told.seconds}"
    print(f"seed {told.seed}, {length} for each of {len(names)} targets", flush=True)  # noqa: T201 - a command
    bad = [name for name in names if not fuzz(name, length, told.seed, keep=told.keep)]
    print(f"failed: {', '.join(bad)}" if bad else "all held")  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
