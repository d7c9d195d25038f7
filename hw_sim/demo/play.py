"""What happens in the demonstration: a shift of one camera, from the first press to the shelf."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hw_sim import control, forgetful_fs, room
from hw_sim import world as worlds
from hw_sim.demo import stage as stages
from hw_sim.demo.programs import DemoError, Program, await_room
from hw_sim.demo.stage import Stage

_START_SECONDS = 30.0
_DIALOGUE_SECONDS = 40.0
_HAND_IN_SECONDS = 60.0
_NOTICE_ATTEMPTS = 2
_OFF_SECONDS = 1.5  # how long the camera is without power

Say = Callable[[str], None]


@dataclass(slots=True)
class Played:
    """What the play saw, told by the programs' own logs."""

    notices_missed: int = 0
    hand_in_seconds: float = 0.0
    off_seconds: float = 0.0


class Play:
    """One run. `seconds`: how long to record, the dialogue included."""

    def __init__(self, stage: Stage, answer: Path, seconds: float, seed: int, say: Say) -> None:
        self._stage = stage
        self._answer = answer
        self._seconds = seconds
        self._seed = seed
        self._say = say
        self._starts = 0
        self.played = Played()

    def run(self) -> Played:
        """Everything in order; whatever was started is ended again."""
        with contextlib.ExitStack() as stack:
            office = self._start(
                stack, "office", ["office", "run", "--config", str(self._stage.office / "office.toml")]
            )
            office.message("ready", _START_SECONDS)
            dock = self._start(stack, "dock", ["dock", "run", "--config", str(self._stage.dock / "dock.toml")])
            dock.message("ready", _START_SECONDS)
            self._power_on()
            sound = self._start(stack, "room", ["sim", "room", str(self._stage.world)])
            await_room(self._stage.world, sound, _START_SECONDS)
            self._first_half()
            self._second_half()
        return self.played

    def _first_half(self) -> None:
        with self._card() as card, self._camera() as camera:
            camera.message("self-check", _START_SECONDS)
            self._say("自检完成，按下录像键  self-check done; record pressed")
            began = time.monotonic()
            self._press(stages.RECORD_PIN, 0.2)
            self._hear_notice(camera)
            self._pass(began + self._seconds * 0.4)
            self._say("断电：进程被杀，未落盘的数据丢失  power cut: process killed, unsynced data gone")
            camera.kill()
            card.cut_power("bytes", self._seed)
        cut = time.monotonic()
        self._pass(cut + _OFF_SECONDS)
        self._power_on()
        self.played.off_seconds = time.monotonic() - cut

    def _second_half(self) -> None:
        with self._card(), self._camera() as camera:
            camera.message("phase", _START_SECONDS, phase="recording")
            began = time.monotonic()
            self._say("重新上电，自动恢复录像  power is back; recording again by itself")
            self._hear_notice(camera)
            self._explain(camera)
            self._pass(began + self._seconds * 0.6)
            self._say("长按两次，结束记录  held twice: the recording ends")
            self._press(stages.RECORD_PIN, 1.8)
            camera.message("said", _DIALOGUE_SECONDS, prompt="hold_again_to_end")
            self._press(stages.RECORD_PIN, 1.8)
            camera.message("say", _DIALOGUE_SECONDS, prompt="recording_ended")
            self._hand_in(camera)
            self._pin(stages.DOCK_PIN, None)
            camera.message("phase", _START_SECONDS, phase="armed")
            status = camera.stop()
            if status:
                raise DemoError(f"the camera ended with status {status}; see {camera.log}")

    def _hear_notice(self, camera: Program) -> None:
        while True:
            fact = camera.message("notice", _DIALOGUE_SECONDS)
            if fact["heard"]:
                self._say(f"麦克风听到告知语（相关度 {fact['score']}）  the notice was heard in the microphone's sound")
                return
            self.played.notices_missed += 1
            self._say("没有听到告知语  the notice was not heard")
            if self.played.notices_missed >= _NOTICE_ATTEMPTS:
                raise DemoError("告知语未被麦克风听到：请检查扬声器  the notice was not heard: check the loudspeaker")

    def _explain(self, camera: Program) -> None:
        camera.message("say", _DIALOGUE_SECONDS, prompt="ask_reason")
        self._say("设备询问中断原因，按住标记键回答  the reason is asked; answered with the button held")
        camera.message("said", _DIALOGUE_SECONDS, prompt="ask_reason")
        self._pin(stages.MARK_PIN, 0)
        played = room.ask(self._stage.world, "play", file=str(self._answer))
        self._pass(time.monotonic() + float(played["seconds"]) + 0.3)
        self._pin(stages.MARK_PIN, None)
        camera.message("say", _DIALOGUE_SECONDS, prompt="reason_kept")

    def _hand_in(self, camera: Program) -> None:
        self._say("放入采集站，自动移交  put into the dock; it hands in by itself")
        began = time.monotonic()
        self._pin(stages.DOCK_PIN, 0)
        camera.message("say", _HAND_IN_SECONDS, prompt="handed_in")
        self.played.hand_in_seconds = time.monotonic() - began
        self._say(f"移交完成，用时 {self.played.hand_in_seconds:.1f} 秒  handed in")

    def _start(self, stack: contextlib.ExitStack, name: str, arguments: list[str]) -> Program:
        program = Program(name, arguments, self._stage.logs, {})
        stack.callback(program.stop)
        return program

    @contextlib.contextmanager
    def _camera(self) -> Iterator[Program]:
        self._starts += 1
        program = Program(f"camera-{self._starts}", self._stage.camera_program, self._stage.logs, {})
        try:
            yield program
        finally:
            program.stop()

    @contextlib.contextmanager
    def _card(self) -> Iterator[forgetful_fs.MountedDisk]:
        limit = worlds.load(self._stage.world).disk.limit_bytes
        with forgetful_fs.mount(self._stage.card, self._stage.mounted_card, limit) as card:
            yield card
            if card.process.poll() is None:
                card.shut_down()

    def _power_on(self) -> None:
        worlds.power_on(self._stage.world)

    def _pin(self, pin: int, level: int | None) -> None:
        control.ask(self._stage.world / "control.sock", {"do": "pin", "pin": pin, "level": level})

    def _press(self, pin: int, seconds: float) -> None:
        control.ask(self._stage.world / "control.sock", {"do": "press", "pin": pin, "seconds": seconds})

    def _pass(self, until: float) -> None:
        time.sleep(max(0.0, until - time.monotonic()))
