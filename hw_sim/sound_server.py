"""A private, headless PulseAudio whose two devices are pipes: the sound card of the simulated camera.

What the camera plays comes out of `speaker.fifo`, what is written into `mic.fifo` is what the camera hears. Both are
paced by the process at our end, so our end is the sound card's clock: PulseAudio pulls and pushes as fast as we do.
Everything lies in a short folder of its own under the temporary folder, because a UNIX socket's path ends at 107 bytes
and `PULSE_SERVER` ends at a space; the world folder points there with the symbolic link `sound`.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from hw_sim.control import ControlError

# One page is not enough: PulseAudio writes into a pipe that has a free page, and would find one only when we have read
# everything, which leaves holes in the sound. Two pages are 85 ms.
_SPEAKER_PIPE = 2 * mmap.PAGESIZE
_MIC_PIPE = 1 << 16  # PulseAudio empties it at once; its size is for the blocks made up for after a delay
_REFILL_SECONDS = 0.02
_START_SECONDS = 10.0
_PREFIX = "bodycam-room-"

_MICROPHONE = "module-pipe-source source_name=mic file={folder}/mic.fifo format=s16le rate=48000 channels=1"
_OTHER_SOURCE = "module-sine-source source_name=other rate=48000 frequency=1000"  # sounds like nothing in any room
_SERVER_SCRIPT = f"""\
.fail
load-module module-pipe-sink sink_name=speaker file={{folder}}/speaker.fifo format=s16le rate=48000 channels=1
load-module {_MICROPHONE}
set-default-sink speaker
set-default-source mic
load-module module-native-protocol-unix socket={{folder}}/native auth-anonymous=1 auth-cookie-enabled=no
"""
# PortAudio asserts that not every configured device can be opened, so one that cannot stands at the end.
_ALSA_CONFIG = """\
pcm.sim-microphone { type pulse device mic hint { show on description "simulated microphone" } }
pcm.sim-loudspeaker { type pulse device speaker hint { show on description "simulated loudspeaker" } }
pcm.sim-absent { type hw card 31 hint { show on description "never opens" } }
"""


class SoundServer:
    """One PulseAudio, its folder and our ends of its pipes."""

    def __init__(self, world: Path) -> None:
        """Make the folder and the link `sound` in `world`. Raises ControlError if a live room owns the link."""
        self._link = world / "sound"
        _remove_stale(self._link)
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._link.symlink_to(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._speaker = -1
        self._mic = -1
        self._flowing = False
        self._suspended = False
        self._lock = (self.folder / "lock").open("w")  # held as long as this process lives
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.folder / "asound.conf").write_text(_ALSA_CONFIG)
        (self.folder / "server.pa").write_text(_SERVER_SCRIPT.format(folder=self.folder))

    @property
    def pid(self) -> int | None:
        """Process id of the running server, None when it is down."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the server and return when the devices can be opened. Raises ControlError."""
        for name in ("native", "speaker.fifo", "mic.fifo"):  # what a killed server leaves; PulseAudio refuses old pipes
            (self.folder / name).unlink(missing_ok=True)
        command = ["pulseaudio", "-n", "-F", str(self.folder / "server.pa"), "--daemonize=no", "--exit-idle-time=-1"]
        command += [
            "--use-pid-file=no",
            "--disable-shm=yes",
            "--high-priority=no",
            "--realtime=no",
            "--log-level=error",
        ]
        try:
            # The kernel ends the server with us, even if we are killed.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],
                env=os.environ | _environment(self.folder),
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError as error:
            raise ControlError("setpriv is missing: install util-linux") from error
        self._await_socket(self._process)
        try:
            self._open_pipes()
        except OSError as error:
            self.kill()
            raise ControlError(f"pulseaudio ended at once ({error}): see its message above") from error

    def _open_pipes(self) -> None:
        self._speaker = os.open(self.folder / "speaker.fifo", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self._speaker, fcntl.F_SETPIPE_SZ, _SPEAKER_PIPE)
        self._open_microphone()

    def _open_microphone(self) -> None:
        self._mic = os.open(self.folder / "mic.fifo", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self._mic, fcntl.F_SETPIPE_SZ, _MIC_PIPE)

    def _await_socket(self, process: subprocess.Popen[bytes]) -> None:
        # The socket is made by the last line of the script, when the devices are there.
        deadline = time.monotonic() + _START_SECONDS
        while not (self.folder / "native").exists():
            status = process.poll()
            if status is not None or time.monotonic() > deadline:
                self.kill()
                why = "did not get ready" if status is None else f"ended with status {status}"
                raise ControlError(f"pulseaudio {why}: is the package pulseaudio installed? See its message above")
            time.sleep(0.002)

    def alive(self) -> bool:
        """Whether the server runs; notices when it was killed by somebody else."""
        if self._process and self._process.poll() is not None:
            self.kill()
        return self._process is not None

    def read(self, size: int) -> bytes:
        """Take up to `size` bytes that the camera has played; empty when it plays nothing."""
        data = self._read_now(size)
        # In the middle of a sound PulseAudio gets the time to fill the pipe again: blocks made up for have no holes.
        while self._flowing and len(data) < size and select.select([self._speaker], [], [], _REFILL_SECONDS)[0]:
            more = self._read_now(size - len(data))
            if not more:
                break
            data += more
        self._flowing = len(data) == size
        return data

    def _read_now(self, size: int) -> bytes:
        try:
            return os.read(self._speaker, size)
        except BlockingIOError:
            return b""

    def write(self, pcm: bytes) -> None:
        """Let the microphone hear `pcm`. While it is suspended or unplugged, that is lost."""
        if self._suspended or self._mic < 0:
            return
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._mic, pcm)

    def suspend_microphone(self, on: bool) -> None:
        """Stop or resume the microphone as PulseAudio's own tools do. Raises ControlError."""
        self._order("suspend-source", "mic", "1" if on else "0")
        self._suspended = on

    def unplug_microphone(self) -> None:
        """Take the microphone's source away: PulseAudio moves who listens to the other source. Raises ControlError."""
        self._order("load-module", *_OTHER_SOURCE.split())
        self._order("set-default-source", "other")
        self._order("unload-module", "module-pipe-source")
        os.close(self._mic)
        self._mic = -1

    def plug_microphone(self) -> None:
        """Give the microphone's source back. PulseAudio moves nobody who asked for another one. Raises ControlError."""
        self._order("load-module", *_MICROPHONE.format(folder=self.folder).split())
        self._open_microphone()
        self._order("set-default-source", "mic")
        self._order("unload-module", "module-sine-source")

    def _order(self, *words: str) -> None:
        environment = os.environ | _environment(self.folder)
        done = subprocess.run(["pactl", *words], env=environment, capture_output=True, check=False)
        if done.returncode:
            raise ControlError(f"pactl {words[0]} failed: {done.stderr.decode().strip()}")

    def kill(self) -> None:
        """End the server at once, as if the sound card had been pulled out. Idempotent."""
        self._end(terminate=False)

    def close(self) -> None:
        """End the server in order and remove its folder and link."""
        self._end(terminate=True)
        self._link.unlink(missing_ok=True)
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, *, terminate: bool) -> None:
        process, self._process = self._process, None
        if process:
            if terminate:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(2)
            process.kill()
            process.wait()
        for fd in (self._speaker, self._mic):
            if fd >= 0:
                os.close(fd)
        self._speaker = self._mic = -1
        self._suspended = False


def environment(world: Path) -> dict[str, str]:
    """Return the variables a process needs so that PortAudio sees the room of `world` and nothing else.

    Raises ControlError if no room runs there.
    """
    try:
        return _environment((world / "sound").readlink())
    except OSError as error:
        raise ControlError(f"no room runs in {world}: start it with: bodycam sim room {world}") from error


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PULSE_SERVER": f"unix:{folder}/native",
        "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
    }


def _remove_stale(link: Path) -> None:
    """Remove what a room that was killed has left behind; refuse if one is alive."""
    if not link.is_symlink():
        return
    folder = link.readlink()
    with contextlib.suppress(FileNotFoundError), (folder / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ControlError(f"a room already runs in {link.parent}: end it first") from error
    link.unlink()
    if folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
