"""A long recording at real speed, with a sound card that is off: is anything lost, and does sound stay with picture?

    scripts/bench long_run [--minutes N] [--ppm N] [--folder DIR]

The camera's own program runs over simulated hardware. The lens shows a wall with a number in each picture; in the room
a chirp sounds every few seconds, at times that the room's diary tells. Afterwards each segment is decrypted by `age`
with the office's key and decoded by FFmpeg, each by itself. Pictures and the lens's log give the recording's time line:
where a chirp is found on it, against when it was to be heard, tells how far sound and picture are apart.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from hw_sim import control, room
from hw_sim import world as worlds
from hw_sim.deliveries import read_deliveries
from hw_sim.demo import stage as stages
from hw_sim.demo.programs import DemoError, Program, await_room, command, foreign
from hw_sim.demo.stage import Stage
from hw_sim.scene import read_number

RATE = 48_000
PATIENCE_SECONDS = 60.0
CHIRP_SECONDS = 5.0  # between two
AWAY_MS, GROWTH_MIB = 40.0, 4.0  # the most that is allowed
NEAR = RATE // 4  # samples around its time in which a chirp is looked for
LEAST_MATCH = 0.5  # correlation with the chirp itself, 1 if nothing else is heard
METERED_CAMERA = Path(__file__).with_name("_metered_camera.py")


@dataclass
class Film:
    """What the decoded segments show, in order. Times are the recording's own, as the files tell them."""

    pictures: list[tuple[int, int, int | None]] = field(default_factory=list)  # segment, µs, number in the picture
    blocks: list[tuple[int, int, int]] = field(
        default_factory=list
    )  # segment, start and length in samples of 1/48000 s
    sound: list[NDArray[np.int16]] = field(default_factory=list)


def main() -> int:
    """Record, look, print the figures and, as the last line, the same as JSON; 0 if every check held."""
    parser = argparse.ArgumentParser(prog="scripts/bench long_run", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="to record (default 30)")
    parser.add_argument("--ppm", type=float, default=100.0, help="how much too fast the sound card runs (default 100)")
    parser.add_argument("--folder", type=Path, help="a new folder, which is kept (default: a temporary one)")
    told = parser.parse_args()
    with contextlib.ExitStack() as stack:
        scratch = told.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-long-run-"))
        world = stages.make_world("drawn", "silence", muted=False, snr_db=None, ppm=told.ppm, card_bytes=None)
        try:
            stage = stages.build(Path(scratch) / "stage", world)
            record(stage, told.minutes * 60)
            figures = {
                "bench": "long_run",
                "on_a_pi": False,
                "minutes": told.minutes,
                "ppm": told.ppm,
                **measure(stage),
            }
        except (DemoError, control.ControlError) as error:
            sys.stderr.write(f"scripts/bench: {error}\n")
            return 1
    return report(figures)


def record(stage: Stage, seconds: float) -> None:
    """Run the camera in its room, with a chirp now and then."""
    worlds.power_on(stage.world)
    chirp_file = stage.root / "chirp.wav"
    with wave.open(str(chirp_file), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(chirp().astype("<i2").tobytes())
    camera_program = [sys.executable, str(METERED_CAMERA), str(meter_file(stage)), str(stage.world)]
    with contextlib.ExitStack() as stack:
        sound = Program("room", ["sim", "room", str(stage.world)], stage.logs, {})
        stack.callback(sound.stop)
        await_room(stage.world, sound, PATIENCE_SECONDS)
        camera = Program("camera", [str(stage.camera / "camera.toml")], stage.logs, {}, camera_program)
        stack.callback(camera.stop)
        camera.alerts_end_it = False
        camera.message("self-check", PATIENCE_SECONDS)
        control.ask(stage.world / "control.sock", {"do": "press", "pin": stages.RECORD_PIN, "seconds": 0.2})
        camera.message("notice", PATIENCE_SECONDS, heard=True)
        begun = time.monotonic()
        for number in itertools.count():
            # Not in step with blocks, pictures or segments.
            time.sleep(max(0.0, begun + number * CHIRP_SECONDS + number * 0.0137 % 1 - time.monotonic()))
            if time.monotonic() - begun > seconds:
                break
            if not camera.running:
                raise DemoError(f"the camera ended; see {camera.log}")
            room.ask(stage.world, "play", file=str(chirp_file))
        status = camera.stop()
        if status:
            raise DemoError(f"the camera ended with status {status}")


def chirp() -> NDArray[np.float64]:
    """50 ms from 1 to 5 kHz: its place in a sound is found to the sample."""
    at = np.arange(RATE // 20) / RATE
    return 8_000 * np.sin(2 * np.pi * (1_000 * at + 40_000 * at**2)) * np.hanning(at.size)


def meter_file(stage: Stage) -> Path:
    """Where the metered camera writes."""
    return stage.root / "meter.jsonl"


def measure(stage: Stage) -> dict[str, Any]:
    """Every figure, and whether the verifier is content."""
    film = watch(stage)
    exposures = read_deliveries(stage.world / "deliveries.jsonl")
    sensor_ns = {exposure.source: exposure.sensor_ns for exposure in exposures if exposure.source is not None}
    zeros = [sensor_ns[number] - us * 1_000 for _, us, number in film.pictures if number in sensor_ns]
    zero_ns = round(statistics.median(zeros))
    first_ns, last_ns = (zero_ns + film.pictures[at][1] * 1_000 for at in (0, -1))
    missed = sum(e.n is None and first_ns < e.sensor_ns < last_ns for e in exposures)
    return {
        "verified": verified(stage),
        "picture": {**continuity(film), "not_delivered_by_the_lens": missed},
        "picture_off_ms": round(max(abs(zero - zero_ns) for zero in zeros) / 1e6, 3),
        "sound": sound_continuity(film),
        "sound_off": apart(stage, film, zero_ns),
        **consumption(stage, zero_ns),
    }


def verified(stage: Stage) -> bool:
    """Whether the product's own verifier finds nothing, the office's key at hand."""
    trust, identity = stage.root_certificate, stage.office / "keys" / "office.age"
    order = ["verify", str(stage.mounted_card), "--trust", str(trust), "--identity", str(identity), "--json"]
    return command(order, check=False).returncode == 0


def watch(stage: Stage) -> Film:
    """Decrypt and decode each segment by itself."""
    film = Film()
    identity = str(stage.office / "keys" / "office.age")
    plain = stage.root / "segment.mp4"
    for number, path in enumerate(sorted((stage.mounted_card / "segments").rglob("*.age"))):
        done = foreign(["age", "-d", "-i", identity, "-o", str(plain), str(path)])
        if done.returncode:
            raise DemoError(f"age cannot decrypt {path}: {done.stderr.decode().strip()}")
        with av.open(str(plain)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode():
                if isinstance(frame, av.VideoFrame):
                    film.pictures.append((number, us_of(frame), read_number(luma(frame))))
                elif isinstance(frame, av.AudioFrame):
                    start = round((frame.pts or 0) * (frame.time_base or 0) * RATE)
                    film.blocks.append((number, start, frame.samples))
                    film.sound.append(frame.to_ndarray()[0].astype(np.int16))
    return film


def us_of(frame: av.VideoFrame) -> int:
    """When a picture was taken, on the recording's time line."""
    return round((frame.pts or 0) * (frame.time_base or 0) * 1_000_000)


def luma(frame: Any) -> NDArray[np.uint8]:
    """The picture without its colours."""
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


def continuity(film: Film) -> dict[str, int]:
    """Pictures lost and doubled by their numbers, at the boundaries between segments and elsewhere."""
    found = dict.fromkeys(("lost_at_boundaries", "doubled_at_boundaries", "lost_inside", "doubled_inside"), 0)
    known = [(segment, number) for segment, _, number in film.pictures if number is not None]
    for (before, number), (after, following) in itertools.pairwise(known):
        where = "inside" if before == after else "at_boundaries"
        found[f"lost_{where}"] += max(0, following - number - 1)
        found[f"doubled_{where}"] += following <= number
    segments = film.pictures[-1][0] + 1
    return {
        "pictures": len(film.pictures),
        "segments": segments,
        "unreadable": len(film.pictures) - len(known),
        **found,
    }


def sound_continuity(film: Film) -> dict[str, int]:
    """Holes and overlaps between blocks, whose lengths on the time line follow the boot clock by one sample."""
    steps = [following - start - length for (_, start, length), (_, following, _) in itertools.pairwise(film.blocks)]
    return {"blocks": len(film.blocks), "holes_or_overlaps": sum(abs(step) > 1 for step in steps)}


def apart(stage: Stage, film: Film, zero_ns: int) -> dict[str, Any]:
    """How far each chirp stands from where it belongs, in ms; later than the picture is positive."""
    starts = np.array([start for _, start, _ in film.blocks])
    sound = np.concatenate(film.sound).astype(np.float64)
    power_on_ns = worlds.power(stage.world).power_on_boottime_ns
    lines = map(json.loads, (stage.world / "room.jsonl").read_text("utf-8").splitlines())
    told = [line["boottime_ns"] - power_on_ns - zero_ns for line in lines if line["event"] == "clip_started"]
    found: list[tuple[float, float]] = []  # s since the first picture, ms
    for at_ns in told:
        block = int(np.searchsorted(starts, at_ns * RATE / 1e9, "right")) - 1
        near = 2_400 * block + round(at_ns * RATE / 1e9) - int(starts[block])
        sample = find_chirp(sound, near)
        if sample is not None:
            seconds = (int(starts[sample // 2_400]) + sample % 2_400) / RATE
            found.append((seconds, (seconds - at_ns / 1e9) * 1e3))
    first = [ms for seconds, ms in found if seconds < found[0][0] + 60]
    last = [ms for seconds, ms in found if seconds > found[-1][0] - 60]
    return {
        "chirps": len(told),
        "found": len(found),
        "first_minute_ms": round(statistics.median(first), 2),
        "last_minute_ms": round(statistics.median(last), 2),
        "least_ms": round(min(ms for _, ms in found), 2),
        "most_ms": round(max(ms for _, ms in found), 2),
    }


def find_chirp(sound: NDArray[np.float64], near: int) -> int | None:
    """The sample in which a chirp begins, near another one."""
    wanted, start = chirp(), max(0, near - NEAR)
    match = np.correlate(sound[start : near + NEAR + wanted.size], wanted, "valid") / np.dot(wanted, wanted)
    best = int(np.argmax(match))
    return start + best if match[best] > LEAST_MATCH else None


def consumption(stage: Stage, zero_ns: int) -> dict[str, Any]:
    """Memory after the first minute and at the end; CPU in between, as parts of one core."""
    from_ns = zero_ns + worlds.power(stage.world).power_on_boottime_ns + 60 * 10**9
    meter = [json.loads(line) for line in meter_file(stage).read_text("ascii").splitlines()]
    lines = [line for line in meter if line["boottime_ns"] > from_ns] or meter
    first, last = lines[0], lines[-1]
    seconds = (last["boottime_ns"] - first["boottime_ns"]) / 1e9

    def percent(key: str) -> float:
        spent: float = last[key] - first[key]
        return round(100 * spent / seconds, 2) if seconds else 0.0

    def mib(key: str, some: list[dict[str, Any]]) -> float:
        return round(statistics.median(line[key] for line in some) / 1024, 2)

    return {
        "resident_mib": {
            "camera_first": mib("camera_kib", lines[:10]),
            "camera_last": mib("camera_kib", lines[-10:]),
            "sound_streams_first": mib("streams_kib", lines[:10]),
            "sound_streams_last": mib("streams_kib", lines[-10:]),
        },
        "cpu_percent_of_a_core": {
            "encoder": percent("encoder_s"),
            "simulated_lens": percent("lens_s"),
            "sound_streams": percent("streams_s"),
            "camera_beside_them": round(percent("camera_s") - percent("encoder_s") - percent("lens_s"), 2),
        },
    }


def verdicts(figures: dict[str, Any]) -> Iterator[tuple[str, bool, str]]:
    """What has to hold: name, whether it does, what was seen."""
    picture, sound, off, memory = (figures[key] for key in ("picture", "sound", "sound_off", "resident_mib"))
    yield "verified", figures["verified"], "the verifier finds nothing"
    wrong = picture["lost_at_boundaries"] + picture["doubled_at_boundaries"]
    yield (
        "times",
        figures["picture_off_ms"] <= 1,
        f"a picture stands {figures['picture_off_ms']} ms off its own at most",
    )
    yield "boundaries", wrong == 0, f"{wrong} pictures lost or doubled at {picture['segments'] - 1} of them"
    wrong = picture["lost_inside"] + picture["doubled_inside"] + picture["unreadable"]
    undelivered = f"the lens itself could not deliver {picture['not_delivered_by_the_lens']} more"
    yield "inside", wrong == 0, f"{wrong} lost, doubled or unreadable of {picture['pictures']} pictures; {undelivered}"
    wrong = sound["holes_or_overlaps"]
    yield "sound", wrong == 0, f"{wrong} holes or overlaps between {sound['blocks']} blocks"
    worst = max(abs(off["least_ms"]), abs(off["most_ms"]))
    seen = (
        f"sound after picture by {off['first_minute_ms']} ms in the first minute, {off['last_minute_ms']} in the last, "
    )
    seen += f"{off['least_ms']} to {off['most_ms']} in all ({off['found']} of {off['chirps']} chirps found)"
    yield "together", worst <= AWAY_MS and off["found"] == off["chirps"], seen
    growth = sum(memory[f"{what}_last"] - memory[f"{what}_first"] for what in ("camera", "sound_streams"))
    seen = f"{memory['camera_first']} MiB after the first minute, {memory['camera_last']} at the end, lens and encoder "
    seen += f"included; sound streams {memory['sound_streams_first']} and {memory['sound_streams_last']}"
    yield "memory", growth <= GROWTH_MIB, seen


def report(figures: dict[str, Any]) -> int:
    """A line for each figure, and JSON."""
    print(f"{figures['minutes']:g} min at real speed, sound card {figures['ppm']:+g} ppm, 720p25; not on a Pi")
    held = {}
    for name, ok, seen in verdicts(figures):
        held[name] = ok
        print(f"{'ok ' if ok else 'NOT'}  {name:<11} {seen}")
    cpu = figures["cpu_percent_of_a_core"]
    print(
        f"     cpu         {cpu['camera_beside_them']} % of a core, beside {cpu['encoder']} % for the encoder, "
        f"{cpu['simulated_lens']} % for the simulated lens, {cpu['sound_streams']} % for the sound streams"
    )
    print(json.dumps({**figures, "held": held, "ok": all(held.values())}))
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
