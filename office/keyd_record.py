"""Whether what keyd gave fits the office's log: for audits, without IO.

keyd's record is a file that only keyd writes; the log is the office's. Each file key that was given belongs to a
viewing that the log tells of, and the log has still the state that keyd saw when it gave the key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from evidence import shape
from evidence.errors import EvidenceError
from evidence.merkle import Tree

_CLOCKS = timedelta(minutes=2)
_LINE = {
    "at": shape.utc,
    "viewer": shape.text,
    "device": shape.identifier,
    "recording": shape.recording_id,
    "segment": shape.number(0, 99_999),
    "request": shape.number(),
    "registered": shape.number(),
    "header": shape.SHA256,
    "log_size": shape.number(1),
    "log_root": shape.SHA256,
}


def compare(given: Sequence[dict[str, Any]], leaves: Sequence[dict[str, Any]], tree: Tree) -> list[str]:
    """What does not fit, a line each, which begins with a code.

    "record-form": no line of keyd's; "log-forked": the log does not continue the state that keyd saw;
    "registration-missing": the log's leaf is none, or of another viewing; "viewing-missing": no viewing by this person
    was going on.
    """
    viewings = _viewings(leaves)
    found = []
    for number, line in enumerate(given, 1):
        try:
            told = shape.require("line of keyd's record", line, _LINE)
        except EvidenceError as error:
            found.append(f"record-form: line {number}: {error.message}")
            continue
        found += [f"{code}: line {number}: {told['viewer']}, {told['recording']}/{told['segment']} at {told['at']}"
                  for code in _against(told, leaves, tree, viewings)]  # fmt: skip
    return found


def _against(told: dict[str, Any], leaves: Sequence[dict[str, Any]], tree: Tree, viewings: _Viewings) -> Iterable[str]:
    if told["log_size"] > tree.size or tree.root(told["log_size"]).hex() != told["log_root"]:
        yield "log-forked"
    leaf = leaves[told["registered"]] if told["registered"] < len(leaves) else {}
    names = ("device", "recording", "request")
    if leaf.get("act") != "view-registered" or any(leaf.get(name) != told[name] for name in names):
        yield "registration-missing"
    at = datetime.fromisoformat(told["at"])
    spans = viewings.get((told["request"], told["viewer"]), ())
    if not any(begin - _CLOCKS <= at <= end + _CLOCKS for begin, end in spans):
        yield "viewing-missing"


_Viewings = dict[tuple[int, str], list[tuple[datetime, datetime]]]


def _viewings(leaves: Sequence[dict[str, Any]]) -> _Viewings:
    """From when to when somebody watched, by request and viewer; what was not ended goes on to the end of time."""
    ends = {leaf["viewing"]: leaf["at"] for leaf in leaves if leaf.get("act") == "viewing-over"}
    found: _Viewings = {}
    for index, leaf in enumerate(leaves):
        if leaf.get("act") == "viewing":
            end = ends.get(index, "9999-12-31T00:00:00.000Z")
            span = (datetime.fromisoformat(leaf["at"]), datetime.fromisoformat(end))
            found.setdefault((leaf["request"], leaf["by"]), []).append(span)
    return found
