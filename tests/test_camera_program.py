"""The camera's program as a process, with faults below the real libraries; its evidence is verified afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evidence import pki, records
from evidence.account import RecordingAccount
from evidence.report import Report
from evidence.verify import Verifier
from hw_sim import control, room
from hw_sim import world as worlds
from hw_sim.demo import stage as stages
from hw_sim.demo.programs import Program, command
from hw_sim.demo.stage import Stage
from runtime.folder import DiskFolder

pytestmark = [pytest.mark.sound, pytest.mark.net]

PATIENCE = 30.0
RED_PIN = "6"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A provisioned camera in a world with a drawn scene and a room."""
    world = stages.make_world("drawn", "silence", muted=False, snr_db=None, ppm=0.0, card_bytes=None)
    built = stages.build(tmp_path / "stage", world)
    worlds.power_on(built.world)
    sound = Program("room", ["sim", "room", str(built.world)], built.logs, {})
    try:
        until(lambda: room.answers(built.world))
        yield built
    finally:
        sound.stop()


@contextlib.contextmanager
def camera(stage: Stage, name: str = "camera") -> Iterator[Program]:
    program = Program(name, stage.camera_program, stage.logs, {})
    try:
        program.alerts_end_it = False
        program.message("phase", PATIENCE)
        yield program
    finally:
        program.stop()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def order(stage: Stage, do: str, **what: Any) -> dict[str, Any]:
    return control.ask(stage.world / "control.sock", {"do": do, **what})


def verified(stage: Stage) -> Report:
    roots = pki.parse_certificates(stage.root_certificate.read_bytes())
    identity = next(
        line for line in (stage.office / "keys" / "office.age").read_text().splitlines() if line.startswith("AGE-")
    )
    return Verifier(DiskFolder(stage.mounted_card), roots, identity).run()


def only(report: Report) -> RecordingAccount:
    (recording,) = report.account.recordings.values()
    return recording


def kinds(stage: Stage, kind: str) -> list[dict[str, Any]]:
    found = []
    for file in sorted((stage.mounted_card / "journal").iterdir()):
        lines = file.read_bytes().splitlines()
        found += [dict(r.body) for r in map(records.parse, lines) if r.kind == kind]
    return found


def press(stage: Stage) -> None:
    order(stage, "press", pin=stages.RECORD_PIN, seconds=0.1)


def test_a_hanging_lens_and_a_killed_sound_server_degrade_and_come_back(stage: Stage) -> None:
    with camera(stage) as program:
        press(stage)
        program.message("phase", PATIENCE, phase="recording")
        program.message("notice", PATIENCE, heard=True)
        order(stage, "lens_fault", kind="hang")
        program.message("phase", PATIENCE, phase="degraded")
        until(lambda: any(f["frames"] == 0 < f["samples"] for f in kinds(stage, "fragment")))
        order(stage, "lens_fault", kind="none")
        program.message("phase", PATIENCE, phase="recording")
        room.ask(stage.world, "kill_server")
        program.message("phase", PATIENCE, phase="degraded")
        until(lambda: any(f["samples"] == 0 < f["frames"] for f in kinds(stage, "fragment")))
        for level in (0, 1, 0):  # the panel understands what the recorder asks for: the red lamp blinks
            until(lambda level=level: order(stage, "lamps")["lamps"][RED_PIN] == level)  # type: ignore[misc]
        room.ask(stage.world, "start_server")
        program.message("phase", PATIENCE, phase="recording")
        assert program.stop() == 0
    report = verified(stage)
    assert report.ok, report.findings
    recording = only(report)
    assert recording.ended is not None
    assert len(recording.parts) == 1  # losing one of picture and sound never stops the other
    assert {"camera_stall", "microphone_lost"} <= {fault["where"] for fault in kinds(stage, "fault")}
    assert kinds(stage, "shutdown") == [{"clean": True}]


def test_a_killed_program_resumes_with_an_exact_gap_on_the_same_clock(stage: Stage) -> None:
    with camera(stage) as program:
        press(stage)
        program.message("notice", PATIENCE, heard=True)
        program.kill()
    with camera(stage, "camera-again") as program:
        program.message("say", PATIENCE, prompt="ask_reason")
        assert program.stop() == 0
    report = verified(stage)
    assert report.ok, report.findings
    recording = only(report)
    (gap,) = recording.gaps
    assert gap.body["cause"] == "crash"
    assert gap.body["same_clock"]
    assert gap.body["min_ms"] == gap.body["max_ms"] == (gap.body["first_ns"] - gap.body["last_ns"]) // 1_000_000
    assert [reason.body["basis"] for reason in recording.reasons] == ["unanswered"]  # it was stopped before an answer


def test_without_its_evidence_key_the_camera_records_and_says_unsigned(stage: Stage) -> None:
    (stage.camera / "keys" / "evidence.key.pem").unlink()
    with camera(stage) as program:
        program.message("say", PATIENCE, prompt="key_fault")
        press(stage)
        program.message("notice", PATIENCE, heard=True)
        assert program.stop() == 0
    report = verified(stage)
    assert not report.ok
    assert {verdict.verdict for verdict in report.segments.values()} == {"unsigned"}


def test_nothing_listens_while_the_camera_is_worn(stage: Stage) -> None:
    def listening() -> str:
        return subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True).stdout

    with camera(stage) as program:
        program.message("self-check", PATIENCE)
        assert f":{stage.camera_port}" not in listening()
        order(stage, "pin", pin=stages.DOCK_PIN, level=0)
        program.message("phase", PATIENCE, phase="docked")
        until(lambda: f":{stage.camera_port}" in listening())
        order(stage, "pin", pin=stages.DOCK_PIN, level=None)
        program.message("phase", PATIENCE, phase="armed")
        until(lambda: f":{stage.camera_port}" not in listening())


@pytest.mark.slow
def test_a_docked_camera_begins_anew_with_the_configuration_that_the_dock_brought(stage: Stage) -> None:
    settings = ["--office", str(stage.office), "--out", str(stage.root / "answer"), "--officer", "000777"]
    command(["provision", "configure", stages.CAMERA, *settings])
    with contextlib.ExitStack() as ending:
        for name in ("office", "dock"):
            arguments = [name, "run", "--config", str(stage.root / name / f"{name}.toml")]
            program = Program(name, arguments, stage.logs, {})
            ending.callback(program.stop)
            program.message("ready", PATIENCE)
        with camera(stage) as worn:
            order(stage, "pin", pin=stages.DOCK_PIN, level=0)
            worn.message("configuration taken", PATIENCE)
            worn.message("begun anew with the configuration that the dock brought", PATIENCE)
            worn.message("phase", PATIENCE, phase="armed")
            order(stage, "pin", pin=stages.DOCK_PIN, level=0)  # a simulated contact ends with the program that felt it
            worn.message("phase", PATIENCE, phase="docked")
            until(lambda: len(kinds(stage, "boot")) == 2)
            assert worn.stop() == 0
    was, now = (boot["configuration"] for boot in kinds(stage, "boot"))
    held = (stage.camera / "config.jws").read_text().strip()
    assert now == hashlib.sha256(held.encode()).hexdigest() != was
    assert verified(stage).ok


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        (("microphone = ", "microphone = 'no-such'\n# "), os.EX_UNAVAILABLE, "no input device is called 'no-such'"),
        (("width = 1280", "width = 1280\nfrobnicate = 1"), os.EX_CONFIG, "video.frobnicate: unknown key"),
        (('credentials = "."', 'credentials = "nowhere"'), os.EX_NOINPUT, "provision this device"),
    ],
)
def test_a_wrong_configuration_is_one_clear_line(stage: Stage, change: tuple[str, str], status: int, says: str) -> None:
    config = stage.camera / "camera.toml"
    config.write_text(config.read_text().replace(*change, 1))
    command = [
        sys.executable,
        "-m",
        "bodycam",
        "sim",
        "camera",
        "--world",
        str(stage.world),
        "--",
        "--config",
        str(config),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads((stage.world / "power.json").read_text())["kernel_boot"]
