"""The camera's prompts on the host's own loudspeaker, one after another."""

from __future__ import annotations

import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from pathlib import Path

from hw_sim.acoustics import FULL_SCALE, RATE, load

_PLAYERS = {
    "paplay": ["paplay", "--raw", f"--rate={RATE}", "--channels=1", "--format=s16le"],
    "aplay": ["aplay", "-q", "-t", "raw", "-f", "S16_LE", "-r", str(RATE), "-c", "1", "-"],
}
_PLAY_SECONDS = 30.0


def find_player() -> Sequence[str] | None:
    """The command that plays 48 kHz mono from its standard input, None if this machine has none."""
    return next((command for name, command in _PLAYERS.items() if shutil.which(name)), None)


class Aloud:
    """Plays prompts with `player` from a thread of its own; `tell` gets one line, in that thread, if it fails."""

    def __init__(self, player: Sequence[str], tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._player = player
        threading.Thread(target=self._play_for_ever, name="aloud", daemon=True).start()

    def say(self, key: str) -> None:
        """Play a prompt after those that are waiting."""
        self._waiting.put(key)

    def _play_for_ever(self) -> None:
        while True:
            self._play(self._waiting.get())

    def _play(self, key: str) -> None:
        with as_file(files("firmware.voice") / "prompts" / "zh" / f"{key}.flac") as path:
            pcm = _pcm(path)
        try:
            done = subprocess.run(self._player, input=pcm, capture_output=True, check=False, timeout=_PLAY_SECONDS)
        except subprocess.TimeoutExpired:
            self._tell("不能放声：主机的声音不动  not aloud: the host's sound stands still")
            return
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip().splitlines() or ["?"]
            self._tell(f"不能放声 not aloud: {words[-1]}")


def _pcm(path: Path) -> bytes:
    return load(path, 0.0).clip(-FULL_SCALE, FULL_SCALE - 1).astype("<i2").tobytes() if path.exists() else b""
