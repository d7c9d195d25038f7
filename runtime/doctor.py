"""Checks that say in one line what is wrong and what to do, for `bodycam dock doctor` and `bodycam camera doctor`."""

from __future__ import annotations

import argparse
import enum
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from runtime import bundle
from runtime.bundle import BundleError

WRONG = 1
"""Exit status if something is wrong; what is only to be minded leaves it 0."""

Advice = tuple[str, str]
"""Chinese, English; the latter empty where what was found says it already."""


class Level(enum.Enum):
    """How bad it is; its value is the mark at the beginning of the line."""

    WELL = "✓"
    MIND = "!"
    BAD = "✗"


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found. `code` is stable; `does` says what to do."""

    code: str
    level: Level
    zh: str
    en: str
    does: Advice | None = None

    def line(self) -> str:
        """One line, Chinese first."""
        does = self.does or ("", "")
        zh = "。".join(filter(None, (self.zh, does[0])))
        en = ": ".join(filter(None, (self.en, does[1])))
        return f"{self.level.value} {zh} | {en} [{self.code}]".replace("\n", " ")


Checks = Iterator[Check]


def well(code: str, zh: str, en: str) -> Check:
    """Nothing is wrong."""
    return Check(code, Level.WELL, zh, en)


def mind(code: str, zh: str, en: str, *does: str) -> Check:
    """It works, and will not for ever. `does`: what to do, in Chinese and in English."""
    return Check(code, Level.MIND, zh, en, (does[0], does[1]))


def bad(code: str, zh: str, en: str, *does: str) -> Check:
    """It does not work. As `mind`."""
    return Check(code, Level.BAD, zh, en, (does[0], does[1]))


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined: its systemd unit, and what a bundle holds of it, asked for only when one is made."""

    unit: str
    checks: Iterable[Check]
    facts: Mapping[str, Callable[[], bytes]]  # by name in the bundle
    secrets: Callable[[], Iterable[Path]]


def run(program: str, argv: Sequence[str], patient: Callable[[Path], Patient]) -> int:
    """Print each line as it is found, pack the bundle if one is asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog=f"bodycam {program} doctor", description="体检 what is wrong, and what to do")
    parser.add_argument("--config", type=Path, required=True, metavar=f"{program}.toml")
    parser.add_argument("--bundle", type=Path, metavar="FILE.tar.gz", help="打包 logs, versions and facts, no secrets")
    parser.add_argument("--log", type=Path, action="append", default=[], metavar="FILE", help="日志 another log for it")
    options = parser.parse_args(argv)
    examined, checks = patient(options.config), []
    for check in examined.checks:
        checks.append(check)
        sys.stdout.write(check.line() + "\n")
        sys.stdout.flush()
    if options.bundle:
        lines = "".join(check.line() + "\n" for check in checks).encode()
        facts = {"doctor.txt": lines, **{name: _told(fact) for name, fact in examined.facts.items()}}
        try:
            bundle.pack(options.bundle, examined.unit, options.log, facts, examined.secrets())
        except BundleError as error:
            sys.stderr.write(f"bodycam {program} doctor: {error}\n")
            return error.exit_status
        sys.stdout.write(f"已打包 packed: {options.bundle}\n")
    return WRONG if any(check.level is Level.BAD for check in checks) else os.EX_OK


def _told(fact: Callable[[], bytes]) -> bytes:
    """A fact, or why there is none: a bundle is asked for when something is broken."""
    try:
        return fact()
    except Exception as error:  # noqa: BLE001 - as above
        return f"<{type(error).__name__}: {error}>".encode()


def each(*examinations: partial[Checks]) -> Checks:
    """All of them, whatever one of them runs into."""
    for examination in examinations:
        try:
            yield from examination()
        except Exception as error:  # noqa: BLE001 - a doctor that faints helps nobody
            name = examination.func.__name__.strip("_")
            yield bad(
                "doctor-error",
                f"此项未能检查（{name}）",
                f"{name} could not be checked ({type(error).__name__}: {error})",
                "请连同 --bundle 上报",
                "report it with --bundle",
            )
