"""`bodycam version`."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version


def main(argv: list[str]) -> int:
    """Print the version of the installed distribution."""
    argparse.ArgumentParser(prog="bodycam version", description="版本 this program's version").parse_args(argv)
    sys.stdout.write(f"bodycam {version('bodycam')}\n")
    return 0
