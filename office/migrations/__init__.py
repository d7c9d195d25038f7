"""The catalogue's versions: each a file in `versions`, run by Alembic when an older catalogue, or none, is opened.

docs/design/catalogue.md says how the next one is made.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from sqlalchemy import Column, Connection, MetaData, Table, Text, inspect, select

from office.errors import OfficeError

FOLDER: Final = Path(__file__).parent
_VERSION: Final = Table("alembic_version", MetaData(), Column("version_num", Text))
_one = threading.Lock()  # Alembic has one context for the whole process


def known(folder: Path = FOLDER) -> list[str]:
    """Of the catalogue, that this program knows; the last is its own."""
    return sorted(path.name[1:5] for path in (folder / "versions").glob("m[0-9][0-9][0-9][0-9]_*.py"))


def is_of_today(db: Connection, folder: Path = FOLDER) -> bool:
    """Whether the tables are this program's. Raises `OfficeError` ("catalogue-version") if it does not know them."""
    ours, found = known(folder), version(db)
    if found is None and inspect(db).get_table_names():
        raise OfficeError(
            "catalogue-version", f"{_place(db)}: has tables of another program, or of one before version 0001: move it "
            "away, it is rebuilt",
        )  # fmt: skip
    if found is not None and found not in ours:
        raise OfficeError(
            "catalogue-version", f"{_place(db)}: is of version {found}, and this program knows {ours[-1]} at most: "
            "install the newer program again, or move it away, it is rebuilt",
        )  # fmt: skip
    return found == ours[-1]


def version(db: Connection) -> str | None:
    """Of the tables that are there; None: there are none, or none of ours."""
    if not inspect(db).has_table(_VERSION.name):
        return None
    return db.scalar(select(_VERSION.c.version_num))


def upgrade(db: Connection, folder: Path = FOLDER) -> None:
    """Bring the tables to this program's version, within the caller's transaction."""
    from alembic import command  # noqa: PLC0415 - takes longer to load than most catalogues to open

    with _one:
        configured = configuration(folder)
        configured.attributes["connection"] = db
        command.upgrade(configured, "head")


def configuration(folder: Path = FOLDER):  # type: ignore[no-untyped-def] # noqa: ANN201 - its library is loaded late
    """As Alembic takes it."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    configured = Config()
    configured.set_main_option("script_location", str(folder).replace("%", "%%"))
    configured.set_main_option("path_separator", "os")
    configured.set_main_option("file_template", "m%%(rev)s_%%(slug)s")
    return configured


def _place(db: Connection) -> str:
    return db.engine.url.render_as_string()
