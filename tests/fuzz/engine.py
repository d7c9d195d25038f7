"""Runs one target under atheris, in a process of its own: `python -m tests.fuzz` starts it.

libFuzzer ends the process by itself, so whoever starts it cleans up.
"""

from __future__ import annotations

import sys

import atheris

from tests.fuzz.mutate import mutated

INSTRUMENTED = ["evidence", "runtime", "firmware", "syncd", "office", "hw_sim", "tomllib"]


def main(argv: list[str]) -> None:
    """`argv`: the program's name, the target's, and what libFuzzer takes."""
    program, name, *options = argv
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.table import TARGETS  # noqa: PLC0415 - what is imported here is instrumented
    run = TARGETS[name]

    def change(data: bytes, limit: int, seed: int) -> bytes:
        return bytes(atheris.Mutate(data, limit)) if seed % 2 else mutated(data, seed)[:limit]

    def once(data: bytes) -> None:
        run(data)

    atheris.Setup([program, *options], once, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
