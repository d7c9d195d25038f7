"""`bodycam sim demo` (scripts/demo): the main job from shutter to shelf, checked by programs that we did not write."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from importlib.resources import as_file, files
from pathlib import Path

from hw_sim.control import ControlError
from hw_sim.demo import checks, report, stage
from hw_sim.demo.play import Play
from hw_sim.demo.programs import DemoError
from hw_sim.forgetful_fs import DiskError
from runtime.config import ConfigError

_SHORTEST_SECONDS = 20


def main(argv: list[str]) -> int:
    """Run the demonstration; 0 only if every check held."""
    options = _parser().parse_args(argv)
    media = files("hw_sim") / "media"
    with as_file(media) as folder:
        video = (options.video or folder / "street.mp4").absolute()
        speech = (options.speech or folder / "speech_arrival.flac").absolute()
        try:
            _look_at_inputs(video, speech, options.out)
            return _run(options, video, speech, folder / "answer_battery.flac")
        except (DemoError, ConfigError, ControlError, DiskError) as error:
            _say(f"演示中断  the demonstration failed: {error}")
            return int(getattr(error, "exit_status", 1))


def _run(options: argparse.Namespace, video: Path, speech: Path, answer: Path) -> int:
    out: Path = options.out.absolute() if options.out else Path(tempfile.mkdtemp(prefix="bodycam-demo-"))
    out.mkdir(parents=True, exist_ok=True)
    world = stage.make_world(
        "drawn" if options.drawn else str(video),
        str(speech),
        muted=options.mute,
        snr_db=options.snr,
        ppm=options.ppm,
        card_bytes=options.card_mb * 1_000_000 if options.card_mb else None,
    )
    began = time.monotonic()
    try:
        _say("发证：局、办公室、采集站、记录仪  provisioning agency, office, dock, camera")
        built = stage.build(out / "work", world)
        played = Play(built, answer, options.seconds, options.seed, _say).run()
        _say("导出并验真  export and verification")
        facts = report.collect(built, out, played, checks.run(built, out))
        facts["took_seconds"] = round(time.monotonic() - began, 1)
        report.write(facts, out / "report.json")
    except (DemoError, ConfigError, ControlError, DiskError, OSError) as error:
        _leave_evidence(out / "work" / "card", out)
        if isinstance(error, OSError):
            raise DemoError(f"{error.strerror or error}: {error.filename or out}", os.EX_IOERR) from error
        raise
    sys.stdout.write(report.table(facts, out))
    return 0 if facts["ok"] else 1


def _look_at_inputs(video: Path, speech: Path, out: Path | None) -> None:
    for path, option in ((video, "--video"), (speech, "--speech")):
        if not path.is_file():
            raise DemoError(f"{option}: {path} does not exist; give a file that ffmpeg can read", 66)
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DemoError(f"--out: {out} is not an empty folder; name a new one", 73)
    for program in ("setpriv", "ffmpeg", "age", "jose", "openssl", "mosquitto", "pulseaudio"):
        if shutil.which(program) is None:
            raise DemoError(f"{program} is not installed; run scripts/setup demo", 69)


def _leave_evidence(card: Path, out: Path) -> None:
    """After a failure: whatever evidence was made is named, file by file; with none, nothing half-made stays."""
    held = sorted(path for path in card.rglob("*") if path.suffix in {".age", ".jws"})
    if not held:
        shutil.rmtree(out)
        return
    _say(f"已产生的证据保留在  evidence that was made stays in {card}")
    for path in held:
        _say(f"  {path.relative_to(card)}  {path.stat().st_size} bytes")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="演示：从按下快门到归档  the main job, from shutter to shelf"
    )
    parser.add_argument(
        "--video", type=Path, metavar="FILE", help="what the lens sees (default: a clip that is shipped)"
    )
    parser.add_argument("--drawn", action="store_true", help="the lens sees a drawn scene with a number in each frame")
    parser.add_argument("--speech", type=Path, metavar="FILE", help="what is said in the room")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="a new or empty folder (default: one in the temporary folder)"
    )
    parser.add_argument("--seconds", type=_seconds, default=40, metavar="N", help="how long to record (default: 40)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="what the power cut leaves of unsynced data")
    parser.add_argument(
        "--snr", type=float, metavar="DB", help="notice against noise at the microphone (default: no noise)"
    )
    parser.add_argument("--mute", action="store_true", help="break the loudspeaker: the notice must be missed")
    parser.add_argument("--ppm", type=float, default=0.0, metavar="N", help="how much the sound card's clock is off")
    parser.add_argument(
        "--card-mb", type=int, metavar="N", help="size of the camera's card (default: that of the disk)"
    )
    return parser


def _seconds(text: str) -> int:
    value = int(text)
    if value < _SHORTEST_SECONDS:
        raise argparse.ArgumentTypeError(f"at least {_SHORTEST_SECONDS}: notice, question and answer take so long")
    return value


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
    sys.stderr.flush()
