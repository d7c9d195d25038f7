"""The world folder, its commands and its control socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hw_sim import control, main
from hw_sim import world as worlds
from hw_sim.world import BatteryWorld, BoardWorld, ClockWorld, DiskWorld, GnssWorld, LensWorld, RoomWorld, World
from runtime.config import ConfigError


def test_a_world_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "人群.mp4").touch()
    world = World(
        LensWorld("人群.mp4"),
        RoomWorld("tone", noise_dbfs=-30.5, loudspeaker_muted=True, sound_card_ppm=-100.0),
        ClockWorld(rtc=False, rtc_offset_ms=-86_400_000),
        DiskWorld(limit_bytes=1 << 20),
        BatteryWorld(percent=3.5, charging=True),
        GnssWorld(receiver=True, port=2950, fix=False),
        BoardWorld(celsius=80.0, card_wear_percent=90.0),
    )
    worlds.create(tmp_path, world)
    assert worlds.load(tmp_path) == world
    worlds.create(tmp_path / "plain")
    assert worlds.load(tmp_path / "plain") == World()
    assert worlds.scene(tmp_path) == str(tmp_path / "人群.mp4")
    assert worlds.scene(tmp_path / "plain") == "drawn"
    with pytest.raises(FileExistsError):
        worlds.create(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[lens]\nscene = 'gone.mp4'", r"lens\.scene: .*gone\.mp4 does not exist"),
        ("[room]\nsound = 'gone.wav'", r"room\.sound: .*gone\.wav does not exist"),
        ("[room]\nsound_card_ppm = 900.0", r"room\.sound_card_ppm: .*at most 200"),
        ("[room]\nvolume = 3", r"room\.volume: unknown key"),
        ("[battery]\npercent = 101.0", r"battery\.percent: .*at most 100"),
        ("[gnss]\nreceiver = 1", r"gnss\.receiver: expected true or false"),
        ("[disk]\nlimit_bytes = true", r"disk\.limit_bytes: expected a whole number"),
        ("[lens", "is not TOML"),
    ],
)
def test_a_wrong_world_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "world.toml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        worlds.load(tmp_path)


def test_each_power_on_is_another_boot(tmp_path: Path) -> None:
    first = worlds.power_on(tmp_path)
    assert worlds.power(tmp_path) == first
    second = worlds.power_on(tmp_path)
    assert second.kernel_boot != first.kernel_boot
    assert second.power_on_boottime_ns > first.power_on_boottime_ns
    (tmp_path / "power.json").write_text("{}")
    with pytest.raises(ConfigError, match="switch the power on again"):
        worlds.power(tmp_path)


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A folder whose path alone is longer than a socket's address may be."""
    folder = tmp_path / ("深" * 40) / ("x" * 60)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def served(deep: Path) -> Iterator[Path]:
    arrived = threading.Barrier(2)

    def meet(_: dict[str, Any]) -> None:
        arrived.wait(5)

    def add(request: dict[str, Any]) -> dict[str, Any]:
        return {"sum": request["a"] + request["b"]}

    stop = control.serve(deep / "control.sock", {"add": add, "meet": meet})
    yield deep / "control.sock"
    stop()


def test_questions_and_answers(served: Path) -> None:
    assert control.ask(served, {"do": "add", "a": 1, "b": 2}) == {"sum": 3}
    with pytest.raises(control.ControlError, match="KeyError: 'b'"):
        control.ask(served, {"do": "add", "a": 1})
    for wrong in ({"do": "fly"}, {}):
        with pytest.raises(control.ControlError, match="one of add, meet"):
            control.ask(served, wrong)


def test_two_can_ask_at_once(served: Path) -> None:
    other = threading.Thread(target=control.ask, args=(served, {"do": "meet"}))
    other.start()
    assert control.ask(served, {"do": "meet"}) == {}
    other.join(5)
    assert not other.is_alive()


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(control.ControlError, match="is the simulated part running"):
        control.ask(tmp_path / "control.sock", {"do": "add"})
    stop = control.serve(tmp_path / "control.sock", {})
    stop()
    assert not (tmp_path / "control.sock").exists()
    with pytest.raises(control.ControlError, match="nobody answers"):
        control.ask(tmp_path / "missing" / "control.sock", {})


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "world"
    assert main.main(["world", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'world.toml'}\n"
    first = worlds.power(folder)
    assert main.main(["power", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == worlds.power(folder).kernel_boot != first.kernel_boot
    stop = control.serve(folder / "control.sock", {"echo": lambda request: request})
    assert main.main(["ask", str(folder), '{"do": "echo", "text": "好"}']) == 0
    assert json.loads(capsys.readouterr().out) == {"text": "好"}
    stop()
    assert main.main(["ask", str(folder), '{"do": "echo"}']) == 1
    assert main.main(["world", str(folder)]) == 1
    assert main.main(["power", str(tmp_path / "none")]) == 78
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert all(line.startswith("bodycam sim ") for line in errors)
