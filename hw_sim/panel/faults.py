"""What can be made to go wrong around the camera, as orders to the simulated parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Request = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of the menu.

    `undo` ends it; without one it happens once. Of a `group`, one is on at a time.
    """

    key: str
    chinese: str
    english: str
    target: str  # camera, room or card: `rig.order`
    do: Request
    undo: Request | None = None
    group: str = ""

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.chinese} {self.english}"


def _lens(kind: str, chinese: str) -> Fault:
    request = {"do": "lens_fault", "kind": kind}
    return Fault(f"lens-{kind}", chinese, kind, "camera", request, {"do": "lens_fault", "kind": "none"}, "lens")


def _room(key: str, chinese: str, english: str, do: Request, undo: Request | None = None) -> Fault:
    return Fault(key, chinese, english, "room", do, undo)


def _switch(name: str, chinese: str, english: str) -> Fault:
    return _room(name, chinese, english, {"do": name, "on": True}, {"do": name, "on": False})


def _card(key: str, chinese: str, english: str, *rules: Request) -> Fault:
    return Fault(key, chinese, english, "card", {"do": "rules", "rules": rules}, {"do": "rules", "rules": []}, "card")


_WRITING = ("create", "write", "truncate", "rename", "unlink", "mkdir", "rmdir")

LENS = (
    _lens("lost", "丢帧"),
    _lens("error", "坏帧"),
    _lens("cancel", "请求取消"),
    _lens("hang", "停住不动"),
    _lens("frozen", "画面定格"),
    _lens("black", "黑屏"),
    _lens("unplugged", "排线脱落"),
    _lens("covered", "被遮挡"),
    _lens("dark", "太暗"),
    _lens("blurred", "模糊"),
    _lens("tilted", "倾斜"),
    _lens("sky", "朝天"),
)
ROOM = (
    _room("kill_server", "声卡拔出", "card pulled", {"do": "kill_server"}, {"do": "start_server"}),
    _switch("suspend_microphone", "麦克风挂起", "mic hangs"),
    _switch("move_microphone", "麦克风改接", "mic moved"),
    _switch("silence_microphone", "麦克风无声", "mic silent"),
    _switch("mute_loudspeaker", "扬声器无声", "speaker off"),
    _room("noise", "现场嘈杂", "−30 dBFS", {"do": "noise", "dbfs": -30}, {"do": "noise"}),
)
CARD = (
    Fault("full", "存满", "full", "card", {"do": "limit", "bytes": 1}, {"do": "limit", "bytes": None}),
    _card("slow", "写入很慢", "sync 2 s", {"op": "fsync", "delay_ms": 2000}),
    _card("eio", "读写错误", "EIO", *({"op": op, "errno": "EIO"} for op in ("write", "fsync"))),
    _card("read_only", "变为只读", "read-only", *({"op": op, "errno": "EROFS"} for op in _WRITING)),
)
SKY = (Fault("no_fix", "失去定位", "no fix", "camera", {"do": "fix", "lost": True}, {"do": "fix", "lost": False}),)
COLUMNS = (("镜头 lens", LENS), ("声音 sound", ROOM), ("存储卡 card", CARD), ("定位 position", SKY))


class Active:
    """Which faults are on. Pure: it tells what to order, and the caller tells what was carried out."""

    def __init__(self) -> None:
        self._on: dict[str, Fault] = {}

    def __contains__(self, fault: Fault) -> bool:
        return fault.key in self._on

    @property
    def names(self) -> list[str]:
        """Names of what is on, in the order in which it began."""
        return [fault.name for fault in self._on.values()]

    def request(self, fault: Fault) -> Request:
        """The order that turns it on, or off if it is on."""
        return fault.undo if fault in self and fault.undo is not None else fault.do

    def toggled(self, fault: Fault) -> None:
        """That order was carried out."""
        if self._on.pop(fault.key, None) is not None or fault.undo is None:
            return
        if fault.group:
            self._on = {key: other for key, other in self._on.items() if other.group != fault.group}
        self._on[fault.key] = fault

    def forget(self, target: str) -> None:
        """That part of the world was made anew: its faults are gone."""
        self._on = {key: fault for key, fault in self._on.items() if fault.target != target}
