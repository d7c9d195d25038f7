"""A PostgreSQL server of a test run's own: on a unix socket in a temporary folder, without network and syncs."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tests.office_kit import wait_for

_USER = "office"
_numbers = itertools.count(1)


def program(name: str) -> str:
    """One of the server's programs, wherever the distribution has put it; or the test is skipped."""
    places = [os.environ.get("PATH", os.defpath), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        pytest.skip(f"{name} is not installed: sudo apt-get install postgresql")
    return found


class Server:
    """Runs while `serving`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, database: str) -> str:
        """The address of a database, as `office.toml` takes it."""
        return f"postgresql+pg8000://{_USER}@/{database}?unix_sock={self._folder}/.s.PGSQL.5432"

    def create(self, options: str = "") -> str:
        """The address of a new, empty database."""
        name = f"office{next(_numbers)}"
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as db:
            db.exec_driver_sql(f"CREATE DATABASE {name} {options}")
        engine.dispose()
        return self.url(name)


@contextmanager
def serving() -> Iterator[Server]:
    """Make a server and run it; it refuses to be root, so root lets `nobody` run it."""
    initdb, postgres = program("initdb"), program("postgres")
    guard = [program("setpriv"), "--pdeathsig", "INT", "--"]  # ends it with a test run that is killed
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    who = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    as_who = {"user": who.pw_uid, "group": who.pw_gid} if os.geteuid() == 0 else {}
    try:
        os.chown(folder, who.pw_uid, who.pw_gid)
        subprocess.run(
            [initdb, "--locale=C", "--encoding=UTF8", "--auth=trust", "--no-sync", f"--username={_USER}",
             folder / "data"],
            check=True, capture_output=True, cwd=folder, **as_who,
        )  # type: ignore[call-overload] # fmt: skip
        with (folder / "server.log").open("wb") as log:
            settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB", "-k", str(folder)]
            process = subprocess.Popen(
                [*guard, postgres, "-D", folder / "data", *settings], stderr=log, cwd=folder, **as_who
            )  # type: ignore[call-overload]
        try:
            wait_for(lambda: b"ready to accept" in (folder / "server.log").read_bytes(), 60)
            yield Server(folder)
        finally:
            process.send_signal(2)  # "fast": without waiting for clients
            process.wait(30)
    finally:
        shutil.rmtree(folder)
