"""What the writer's path costs: mux, two hashes, age, signed journal, durable writes.

Against (a) the programs one would pipe together and (b) the bare primitives in one process, on the same encoded input,
in turns in the same run. CPU is user + system, children included; waiting for the disk is not CPU.

    scripts/bench capture [--minutes N] [--rounds N] [--folder DIR] [--profile]

This machine is not a Pi.
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import json
import os
import pstats
import secrets
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from _measured import children, lacks
from _recorded import FRAGMENT_MS, RATE, SEGMENT_SECONDS, Clip, make_clip, make_owner, record, repeated, run
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from evidence import age
from runtime.disk import AppendFile, PosixDisk

GOALS = {"programs": ("ours, not durable", "programs", 0.33), "primitives": ("ours", "primitives", 1.3)}
NAMES = {
    "ours": "our writer path",
    "ours, unsigned": "our writer path, no signatures in the video",
    "ours, not durable": "our writer path, nothing made durable",
    "programs": "ffmpeg + sha256sum (both) + age, not durable",
    "primitives": "bare primitives in one process",
}


def main() -> int:
    """Measure, print a table and, as the last line, the same as JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench capture", description=__doc__)
    parser.add_argument("--minutes", type=int, default=5, help="of video in each turn (default 5)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--profile", action="store_true", help="show where our path spends its time instead")
    told = parser.parse_args()
    if lacks("ffmpeg", "sha256sum", "age"):
        return os.EX_UNAVAILABLE
    with tempfile.TemporaryDirectory(dir=told.folder, prefix="bench-capture-") as scratch:
        clip = make_clip(Path(scratch))
        if told.profile:
            profile(lambda folder: ours(clip, folder, told.minutes), Path(scratch))
            return 0
        measured = measure(clip, Path(scratch), told.minutes, told.rounds)
    report(measured, told.minutes, told.rounds)
    return 0


class _NotDurable(PosixDisk):
    """Syncs nothing, as programs in a pipe do not."""

    def create(self, path: str) -> AppendFile:
        file = super().create(path)
        file.sync = lambda: None  # type: ignore[method-assign]
        return file


def ours_not_durable(clip: Clip, folder: Path, minutes: int) -> float:
    """The product's path without the two syncs of each fragment: what can be held against programs that never sync."""
    return ours(clip, folder, minutes, _NotDurable(folder))


def ours(clip: Clip, folder: Path, minutes: int, disk: PosixDisk | None = None) -> float:
    """The product's own path, from encoded pictures to durable, signed, encrypted segments."""
    return record(clip, make_owner(), minutes, disk or PosixDisk(folder))


def ours_unsigned(clip: Clip, folder: Path, minutes: int) -> float:
    """The product's path without signatures inside the video: the difference is what they cost."""
    return record(clip, make_owner(), minutes, PosixDisk(folder), media_signing=False)


def programs(clip: Clip, folder: Path, minutes: int) -> float:
    """The same input through ffmpeg, sha256sum and age, each a process of its own, as a script would do it."""
    recipients = [age.recipient_of(age.generate_identity()) for _ in range(2)]
    options = [word for recipient in recipients for word in ("-r", recipient)]
    before = children()
    run(
        "ffmpeg", "-v", "error", "-stream_loop", str(minutes - 1), "-i", str(clip.path), "-c", "copy", "-strict", "-2",
        "-f", "segment", "-segment_time", str(SEGMENT_SECONDS), "-segment_format_options",
        "strict=experimental:movflags=frag_keyframe+empty_moov+default_base_moof", str(folder / "%05d.mp4"),
    )  # fmt: skip
    for path in sorted(folder.glob("*.mp4")):
        run("sha256sum", str(path))
        run("age", *options, "-o", f"{path}.age", str(path))
        run("sha256sum", f"{path}.age")
    return children() - before


def primitives(clip: Clip, folder: Path, minutes: int) -> float:
    """Only what cannot be left out: hash, encrypt, hash, write, make durable; sign, write, make durable."""
    key, cipher = ec.generate_private_key(ec.SECP256R1()), ChaCha20Poly1305(secrets.token_bytes(32))
    algorithm = ec.ECDSA(hashes.SHA256())
    pieces = list(half_seconds(clip))
    before = time.process_time()
    fd, lines = -1, os.open(folder / "lines", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    for index, data in enumerate(repeated(pieces, minutes)):
        if index % (SEGMENT_SECONDS * 1000 // FRAGMENT_MS) == 0:
            if fd >= 0:
                os.close(fd)
            fd = os.open(folder / f"{index:05d}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            plain, sealed, counter = hashlib.sha256(), hashlib.sha256(), 0
        plain.update(data)
        view = memoryview(data)
        out = bytearray(len(data) + 16 * -(-len(data) // age.CHUNK))
        target = memoryview(out)
        for start in range(0, len(data), age.CHUNK):
            piece = view[start : start + age.CHUNK]
            cipher.encrypt_into(counter.to_bytes(12, "big"), piece, None, target[: len(piece) + 16])
            target = target[len(piece) + 16 :]
            counter += 1
        sealed.update(out)
        os.write(fd, out)
        os.fdatasync(fd)
        line = plain.digest() + sealed.digest() + bytes(700)
        os.write(lines, line + key.sign(line, algorithm))
        os.fdatasync(lines)
    os.close(fd)
    os.close(lines)
    return time.process_time() - before


def half_seconds(clip: Clip) -> Iterator[bytes]:
    """The clip's bytes in half-second pieces: what any fragment holds at least."""
    step, blocks = RATE * FRAGMENT_MS // 1000, FRAGMENT_MS // 50
    for number, start in enumerate(range(0, len(clip.frames), step)):
        frames = [data for data, _ in clip.frames[start : start + step]]
        yield b"".join(frames + clip.packets[number * blocks : (number + 1) * blocks])


def measure(clip: Clip, scratch: Path, minutes: int, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each way, in turns, so that a busy machine is busy for all of them."""
    ways: dict[str, Callable[[Clip, Path, int], float]] = {
        "ours": ours, "ours, unsigned": ours_unsigned, "primitives": primitives,
        "ours, not durable": ours_not_durable, "programs": programs,
    }  # fmt: skip
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            folder = scratch / f"{name}-{turn}"
            folder.mkdir()
            seconds = way(clip, folder, minutes)
            shutil.rmtree(folder)
            if turn:  # the first turn warms caches
                measured[name].append(seconds)
    return measured


def report(measured: dict[str, list[float]], minutes: int, rounds: int) -> None:
    """A table for people, a line of JSON for programs."""
    hour = 60 / minutes
    median = {name: statistics.median(values) * hour for name, values in measured.items()}
    print(f"1080p{RATE} at 8 Mbit/s with FLAC, {minutes} min a turn, {rounds} turns; not on a Pi")
    print(f"{'way':<48}{'CPU s per hour':>16}{'least':>8}{'most':>8}")
    for name, values in measured.items():
        low, high = min(values) * hour, max(values) * hour
        print(f"{NAMES[name]:<48}{median[name]:>16.2f}{low:>8.2f}{high:>8.2f}")
    ratios = {}
    for goal, (mine, theirs, most) in GOALS.items():
        # Each turn's own ratio: what disturbs the machine disturbs both sides of it.
        pairs = zip(measured[mine], measured[theirs], strict=True)
        ratios[goal] = statistics.median(own / other for own, other in pairs)
        verdict = "reached" if ratios[goal] <= most else "NOT reached"
        print(f"{mine} / {theirs:<{45 - len(mine)}}{ratios[goal]:>16.2f}   goal <= {most}: {verdict}")
    figures = {
        "bench": "capture",
        "on_a_pi": False,
        "minutes": minutes,
        "rounds": rounds,
        "cpu_seconds_per_hour": {name: round(value, 3) for name, value in median.items()},
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "goals": {name: most for name, (_, _, most) in GOALS.items()},
        "reached": {name: ratios[name] <= most for name, (_, _, most) in GOALS.items()},
    }
    print(json.dumps(figures))


def profile(way: Callable[[Path], float], scratch: Path) -> None:
    """Where the time goes."""
    folder = scratch / "profile"
    folder.mkdir()
    profiler = cProfile.Profile()
    profiler.runcall(way, folder)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    raise SystemExit(main())
