"""keyd's own record against the office's log: who changes either is found by the other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evidence.checkpoint import Checkpoint
from evidence.merkle import Tree, leaf_hash
from evidence.note import read_verifier_key
from office.keyd_record import compare
from tests.people_kit import DEVICE, RECORDING, Town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def line(town: Town) -> dict[str, Any]:
    """What keyd notes of a file key, while somebody watches."""
    request, _ = town.registered()
    town.viewing.begin(request, by="zhang")
    leaves = _leaves(town)
    registered = next(n for n, leaf in enumerate(leaves) if leaf["act"] == "view-registered")
    size, note = town.log.state()
    root = Checkpoint.read(note, *read_verifier_key(town.log.verifier_key)).root
    return {
        "at": leaves[-1]["at"], "viewer": "zhang", "device": DEVICE, "recording": RECORDING, "segment": 0,
        "request": request, "registered": registered, "header": "0" * 64, "log_size": size, "log_root": root.hex(),
    }  # fmt: skip


def _lines(town: Town) -> list[bytes]:
    return (town.folder / "log" / "leaves.jsonl").read_bytes().splitlines()


def _leaves(town: Town) -> list[dict[str, Any]]:
    return [json.loads(one) for one in _lines(town)]


def _told(town: Town, line: dict[str, Any], lines: list[bytes] | None = None) -> list[str]:
    whole = _lines(town) if lines is None else lines
    found = compare([line], [json.loads(one) for one in whole], Tree(map(leaf_hash, whole)))
    return [one.partition(":")[0] for one in found]


def test_what_was_given_while_somebody_watched_fits(town: Town, line: dict[str, Any]) -> None:
    assert _told(town, line) == []


@pytest.mark.parametrize(
    ("changed", "codes"),
    [
        ({"viewer": "sun"}, ["viewing-missing"]),
        ({"at": "2026-01-01T00:00:00.000Z"}, ["viewing-missing"]),
        ({"recording": "9f9f9f9f-2"}, ["registration-missing"]),
        ({"registered": 0}, ["registration-missing"]),
        ({"registered": 10**6}, ["registration-missing"]),
        ({"log_root": "0" * 64}, ["log-forked"]),
        ({"log_size": 10**6}, ["log-forked"]),
        ({"extra": 1}, ["record-form"]),
    ],
)
def test_what_does_not_fit_is_named(
    town: Town, line: dict[str, Any], changed: dict[str, Any], codes: list[str]
) -> None:
    assert _told(town, {**line, **changed}) == codes


def test_a_log_that_was_restored_without_the_viewing_is_found(town: Town, line: dict[str, Any]) -> None:
    """Who puts back an older log, or writes another one, has keyd's record against him."""
    lines = _lines(town)
    assert "log-forked" in _told(town, line, lines[: line["log_size"] - 1])
    edited = [one.replace(b'"reason":"', b'"reason":"x') for one in lines]
    assert "log-forked" in _told(town, line, edited)
