#!/usr/bin/env python3
"""Runs one target under atheris, in a process of its own: `python -m tests.fuzz` starts it.

libFuzzer ends the process by itself, so whoever starts it cleans up. To merge inputs it starts
itself again: therefore it can be executed.
"""

from __future__ import annotations

import logging
import os
import sys

import atheris

from tests.fuzz.mutate import mutated

INSTRUMENTED = ["evidence", "runtime", "firmware", "syncd", "office", "hw_sim", "tomllib"]


def main(argv: list[str]) -> None:
    """`argv`: the program's name and what libFuzzer takes. The environment names the target."""
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.table import TARGETS  # noqa: PLC0415 - what is imported here is instrumented
    run = TARGETS[os.environ["FUZZ_TARGET"]]

    def change(data: bytes, limit: int, seed: int) -> bytes:
        return bytes(atheris.Mutate(data, limit)) if seed % 2 else mutated(data, seed)[:limit]

    def once(data: bytes) -> None:
        run(data)

    logging.disable()  # a program tells of each hostile request
    atheris.Setup(argv, once, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
