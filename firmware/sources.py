"""Picture and sound: started, watched, and started again; what becomes of them is told to the recorder.

Called from the runner's loop. Losing one of the two never stops the other, not even at the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from firmware.capture.state import State
from firmware.capture.vocabulary import Event, PictureBlind, SourceBack, SourceLost
from firmware.hal.ports import DriverError, Look, Microphone, SourceFault, VideoSource
from firmware.worker import Worker

_RETRY_SECONDS = 5.0
_REST_SECONDS = 30.0
_PICTURE_CAUSES = frozenset({"camera_stall", "camera_lost", "encoder_stall"})
_NAMED: Final = frozenset({"microphone_silent", "microphone_moved"})  # what a prompt of that name says
_SOUND_CAUSE: Final = "microphone_lost"  # of the gap, whatever was found out, should the picture be lost as well


class Sources:
    """`put` takes frames, blocks and faults from the drivers' threads; `step`, `after` and `fault` are the loop's.

    Whether picture and sound are there is the recorder's to remember: `state` asks it.
    """

    def __init__(
        self, video: VideoSource, microphone: Microphone, put: Callable[[Any], None], look: Callable[[Look], None],
        state: Callable[[], State], step: Callable[[Event], None], after: Callable[[float, Callable[[], None]], None],
        fault: Callable[[str, str], None], reviver: Worker,
    ) -> None:  # fmt: skip
        self._video = video
        self._microphone = microphone
        self._put = put
        self._look = look
        self._state = state
        self._step = step
        self._after = after
        self._fault = fault
        self._reviver = reviver
        self._rests = False  # a frozen camera was started again a moment ago
        self.awake = {"picture": False, "sound": False}  # whether anything has come from it in this boot

    def start(self) -> None:
        """Start both."""
        self._start_microphone()
        try:
            self._start_video()
        except DriverError as error:
            self.failed(SourceFault("camera_lost", str(error)))  # which goes on trying

    def came(self, *, picture: bool) -> None:
        """A frame or a block of sound has come."""
        self.awake["picture" if picture else "sound"] = True
        state = self._state()
        if not (state.picture if picture else state.sound):
            self._step(SourceBack(picture=picture))

    def failed(self, fault: SourceFault) -> None:
        """A driver has told a fault."""
        self._fault(fault.cause, fault.detail)
        if fault.cause in _PICTURE_CAUSES and self._state().picture:
            self._step(SourceLost(picture=True, cause=fault.cause))
            self._after(_RETRY_SECONDS, self._revive)
        elif fault.cause in {_SOUND_CAUSE, *_NAMED} and self._state().sound:
            prompt = fault.cause if fault.cause in _NAMED else None
            self._step(SourceLost(picture=False, cause=_SOUND_CAUSE, prompt=prompt))

    def blind(self, cause: str | None) -> None:
        """Pictures come and show nothing. A camera whose picture stands still is started again."""
        if cause is not None:
            self._fault(cause, "pictures come and show nothing")
        if cause == "camera_frozen" and not self._rests:
            self._rests = True  # a picture that freezes again and again is not helped by that
            self._after(_REST_SECONDS, self._rested)
            self.restart()
        self._step(PictureBlind(cause))

    def _rested(self) -> None:
        self._rests = False

    def restart(self) -> None:
        """Stop the camera and start it, in a thread that may hang with it."""
        self._reviver.do(self._video.stop)
        self._reviver.do(self._start_video)

    def _revive(self) -> None:
        """A camera that does not come back by itself is started again and again."""
        if not self._state().picture:
            self.restart()
            self._after(2 * _RETRY_SECONDS, self._revive)

    def _start_video(self) -> None:
        self._video.start(self._put, self._put, self._look)

    def _start_microphone(self) -> None:
        """Once started, the microphone's driver comes back by itself."""
        try:
            self._microphone.start(self._put, self._put)
        except DriverError as error:
            self.failed(SourceFault("microphone_lost", str(error)))
            self._after(_RETRY_SECONDS, self._start_microphone)
