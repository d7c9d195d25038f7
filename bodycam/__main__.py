"""The one command. Each sub-command is a program of its own, imported when it is called and not before."""

from __future__ import annotations

import argparse
import importlib
import os
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

EX_UNAVAILABLE = 69
"""Exit status when a package that the program needs is not installed (sysexits.h)."""
_INTERRUPTED = 130  # 128 + SIGINT, as shells tell it
_BROKEN_PIPE = 141  # 128 + SIGPIPE
_STDOUT = 1


@dataclass(frozen=True, slots=True)
class _Program:
    main: str  # "module:function"; the function takes the arguments and returns the exit status
    extra: str  # what of this distribution its machine installs; empty: the base
    summary: str


_PROGRAMS = {
    "camera": _Program("firmware.main:main", "camera", "执法记录仪 the recorder, on a camera"),
    "dock": _Program("syncd.main:main", "dock", "采集站 empties cameras and delivers to the office"),
    "office": _Program("office.main:main", "office", "档案库 receives, keeps, lists and exports recordings"),
    "provision": _Program("provisioning.main:main", "provision", "发证 agency, keys, certificates, configuration"),
    "sim": _Program("hw_sim.main:main", "sim", "仿真 the hardware simulated, and the demonstration"),
    "verify": _Program("bodycam.verify:main", "", "验真 what a recording proves, and what it does not"),
    "version": _Program("bodycam.version:main", "", "版本 this program's version"),
}
_PARTS = {  # programs of their own under the name of another
    ("sim", "camera"): _Program("bodycam.sim_camera:main", "sim", ""),  # it needs the product's, which hw_sim may not
    ("sim", "docked"): _Program("bodycam.sim_docked:main", "sim", ""),
    ("office", "keyd"): _Program("office.keyd_main:main", "office", ""),  # it has keys, and loads no server and no SQL
}


def main(argv: list[str] | None = None) -> int:
    """Run the program that `argv` names and return its exit status; `argv` is without the command's own name.

    A package that is not installed is told in one line (status 69). Any other unexpected exception passes through:
    its traceback is worth more than a guess.
    """
    options = _parser().parse_args(argv)
    name, arguments = options.program, options.arguments
    program = _PROGRAMS[name]
    if arguments and (name, arguments[0]) in _PARTS:
        program, arguments = _PARTS[name, arguments[0]], arguments[1:]
    try:
        status = _load(program.main)(arguments)
        sys.stdout.flush()
    except ImportError as error:
        advice = _advice(program, error)
        if advice is None:
            raise
        sys.stderr.write(f"bodycam {name}: {advice}\n")
        return EX_UNAVAILABLE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        if not _reader_left():
            raise
        return _BROKEN_PIPE
    return status


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, _PROGRAMS))
    parser = argparse.ArgumentParser(
        prog="bodycam",
        usage="bodycam PROGRAM [ARGUMENTS...]",
        description="执法记录仪：从按下快门到归档，每一步都可验证。\n"
        "A body-worn recorder whose evidence proves itself, from shutter to shelf.",
        epilog="programs:\n"
        + "".join(f"  {name:{width}}  {program.summary}\n" for name, program in _PROGRAMS.items())
        + "\n各程序的说明 help of each:  bodycam PROGRAM --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("program", choices=_PROGRAMS, metavar="PROGRAM", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _load(target: str) -> Callable[[list[str]], int]:
    module, function = target.split(":")
    return cast("Callable[[list[str]], int]", getattr(importlib.import_module(module), function))


def _advice(program: _Program, error: ImportError) -> str | None:
    """What to install, or None if the fault is ours: a module of this distribution that is not there."""
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if package in {target.main.partition(".")[0] for target in _PROGRAMS.values()} | {"evidence", "runtime"}:
            return None
        if package == "libcamera":  # belongs to the system, not to pip
            return "needs libcamera's Python module: sudo apt-get install python3-libcamera"
        distribution = f"bodycam[{program.extra}]" if program.extra else "bodycam"
        return f"needs the package {package}, which is not installed: pip install '{distribution}'"
    if "shared object file" in str(error):
        return f"a system library is missing ({error}): run scripts/setup {program.extra}"
    return None


def _reader_left() -> bool:
    """Whether the broken pipe is standard output; if so, point it elsewhere, or Python complains again at exit."""
    pipe = select.poll()
    pipe.register(_STDOUT, 0)
    if not pipe.poll(0):  # errors and hang-ups are told unasked
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)
    return True


if __name__ == "__main__":
    sys.exit(main())
