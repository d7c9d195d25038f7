"""The dock's figures for Prometheus (text exposition format 0.0.4). Of people and places nothing: ids only.

By hand: the client library would bring a registry of its own, and everything to be told is in one `DockStatus`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, get_args

from syncd.status import BayStatus, DockStatus, State

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_Sample = tuple[dict[str, str], float]
_Metric = tuple[str, str, str, Iterable[_Sample]]


def exposition(status: DockStatus, now_ms: int) -> bytes:
    """Write all figures. `now_ms`: UTC."""
    return "".join(line + "\n" for metric in _metrics(status, now_ms) for line in _lines(*metric)).encode()


def _lines(name: str, kind: str, text: str, samples: Iterable[_Sample]) -> Iterator[str]:
    full = f"bodycam_dock_{name}"
    yield f"# HELP {full} {text}"
    yield f"# TYPE {full} {kind}"
    for labels, value in samples:
        told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{full}{{{told}}} {value}" if told else f"{full} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _metrics(status: DockStatus, now_ms: int) -> Iterator[_Metric]:
    bays, spool = status.bays, status.spool
    docked = [bay for bay in bays if bay.camera]
    yield "info", "gauge", "Which dock, and its program.", [({"dock": status.dock, "version": status.version}, 1)]
    states = [({"bay": bay.name, "state": state}, int(bay.state == state)) for bay in bays for state in get_args(State)]
    yield "bay_state", "gauge", "1 for the state that a bay is in.", states
    came = [(_of(bay), bay.bytes_total) for bay in docked]
    yield "camera_bytes", "gauge", "Ciphertext that the camera came with.", came
    left = [(_of(bay), bay.bytes_total - bay.bytes_done) for bay in docked]
    yield "camera_bytes_left", "gauge", "Of that, still on it alone.", left
    rates = [(_of(bay), bay.bytes_per_second) for bay in docked]
    yield "camera_bytes_per_second", "gauge", "How fast it leaves.", rates
    due = [(_of(bay), (bay.due_ms - now_ms) / 1000) for bay in docked if bay.due_ms]
    yield "camera_due_seconds", "gauge", "Until the first time limit of what is not handed in; below 0: over.", due
    yield "read_bytes_total", "counter", "Bytes read from cameras.", [({}, status.read_bytes)]
    yield "segments_total", "counter", "Segments that the office has given a receipt for.", [({}, status.segments)]
    faults = [({"code": code}, count) for code, count in sorted(status.faults.items())]
    yield "faults_total", "counter", "Faults told, by code.", faults
    yield "spool_bytes", "gauge", "Ciphertext in the spool.", [({}, spool.used_bytes)]
    yield "spool_limit_bytes", "gauge", "Its bound.", [({}, spool.limit_bytes)]
    yield "disk_free_bytes", "gauge", "Left on the spool's disk.", [({}, spool.disk_free_bytes)]
    waiting = [({"camera": one.camera}, one.segments) for one in spool.waiting]
    yield "spool_waiting_segments", "gauge", "Segments in the spool that wait for the office.", waiting
    yield "office_up", "gauge", "0 while the office cannot be worked with.", [({}, int(status.office_code is None))]
    yield "broker_up", "gauge", "0 while events do not get through.", [({}, int(status.broker_trouble is None))]
    yield "outbox_events", "gauge", "Events that nobody has acknowledged.", [({}, status.outbox_events)]
    end = status.certificate_end_ms / 1000
    yield "certificate_end_seconds", "gauge", "UTC at which the dock's certificate ends, since 1970.", [({}, end)]


def _of(bay: BayStatus) -> dict[str, str]:
    return {"bay": bay.name, "camera": bay.camera or ""}
