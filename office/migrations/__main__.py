"""`python -m office.migrations WHAT`: write the next version of the catalogue, from the modules' tables.

For developers, from the project's folder; read what was written, then run `ruff format`.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

from alembic import command
from sqlalchemy import create_engine

import office
from office.migrations import configuration, known, upgrade


def load_all() -> None:
    """Load every module of the office, so that all tables are known."""
    for module in pkgutil.walk_packages(office.__path__, "office."):
        if not module.name.startswith("office.migrations."):
            importlib.import_module(module.name)


def main(what: str) -> None:
    """Compare the tables with what the versions so far make, and write the difference."""
    load_all()
    with create_engine("sqlite://").connect() as db:
        if known():
            upgrade(db)
        configured = configuration()
        configured.attributes["connection"] = db
        number = int(max(known(), default="0")) + 1
        command.revision(configured, what, autogenerate=True, rev_id=f"{number:04d}")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and one argument
        sys.exit("python -m office.migrations WHAT: what changes, in a few words")
    main(sys.argv[1])
