"""The office's acts: the log first, then the catalogue; made again from the log; one at a time over all processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, func, insert, select

from office.book import Book
from office.database import METADATA, Database, sqlite_url
from office.log import Log

_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.fixture(scope="module")
def marks() -> Iterator[Table]:
    table = Table("marks", METADATA, Column("leaf_index", Integer, primary_key=True), Column("text", Text))
    yield table
    METADATA.remove(table)


def _book(folder: Path, marks: Table) -> tuple[Book, Database, Log]:
    def enter(db: Connection, index: int, leaf: Mapping[str, Any]) -> None:
        db.execute(insert(marks).values(leaf_index=index, text=leaf["text"]))

    log = Log(folder / "log", "bodycam/TEST/OFFICE-1", _KEY)
    database = Database(sqlite_url(folder / "catalogue.sqlite"))
    marks.create(database.engine, checkfirst=True)  # as a version of the catalogue would
    return Book(folder, log, database, {"mark": enter}), database, log


def _rows(database: Database, table: Table) -> list[tuple[int, str]]:
    with database.read() as db:
        return [(row.leaf_index, row.text) for row in db.execute(select(table).order_by(table.c.leaf_index))]


def test_the_catalogue_is_made_again_from_the_log(tmp_path: Path, marks: Table) -> None:
    book, database, log = _book(tmp_path, marks)
    with book.turn() as turn:
        turn.enter("mark", by="zhang", text="one")
        log.append({"act": "other"})  # by another part of the office
        turn.enter("mark", by="zhang", text="two")
    there = _rows(database, marks)
    assert there == [(0, "one"), (2, "two")]
    database.close()
    (tmp_path / "catalogue.sqlite").unlink()
    log.close()
    book, database, log = _book(tmp_path, marks)
    book.catch_up()
    assert _rows(database, marks) == there


def test_what_was_logged_before_a_cut_is_entered_afterwards(tmp_path: Path, marks: Table) -> None:
    book, database, _ = _book(tmp_path, marks)

    def cut() -> None:
        with book.turn() as turn:
            turn.enter("mark", by="zhang", text="one")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut()
    assert _rows(database, marks) == []
    book.catch_up()
    book.catch_up()
    assert _rows(database, marks) == [(0, "one")]


def _work(folder: Path, times: int) -> None:
    table = Table("marks", MetaData(), Column("leaf_index", Integer, primary_key=True), Column("text", Text))
    book, _, _ = _book(folder, table)
    for _ in range(times):
        with book.turn() as turn:
            known = turn.db.execute(select(func.count()).select_from(table)).scalar()
            turn.enter("mark", by="zhang", text=str(known))


def test_of_several_processes_each_sees_what_the_one_before_did(tmp_path: Path, marks: Table) -> None:
    _, database, _ = _book(tmp_path, marks)
    workers = [multiprocessing.get_context("spawn").Process(target=_work, args=(tmp_path, 10)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert [text for _, text in _rows(database, marks)] == [str(number) for number in range(20)]
