"""The panel's keys: for the bar at the bottom, and at length for the help."""

from __future__ import annotations

from hw_sim.panel.views import Key

HELP = [
    Key("r", "录像键短按：开始；录制中选执法类别", "record button: start; choose the activity"),
    Key("R", "录像键长按：长按两次结束", "record button held 2 s: twice ends"),
    Key("e", "录像键连按两次", "record button twice"),
    Key("m", "标记键短按：标记并拍快照", "marker button: mark with a still"),
    Key("M", "标记键长按：只录音，或静音模式", "marker button held 2 s: sound only, or quiet"),
    Key("n", "标记键连按两次：播报设备状态", "marker button twice: status spoken"),
    Key("a", "按住标记键回答中断原因", "answer the question, marker button held"),
    Key("A", "不按键直接回答", "answer without a button"),
    Key("d", "入座采集站，或取出", "into the dock, or out of it"),
    Key("p", "断电（未落盘的数据丢失）或上电", "cut the power (unsynced data is lost), or on"),
    Key("s", "正常停止程序，或启动", "stop the program in order, or start it"),
    Key("f", "故障菜单：镜头、声音、存储卡、定位", "faults: lens, sound, card, position"),
    Key("w", "把做过的操作存成脚本", "save what was done as a scenario"),
    Key("↑ ↓", "选择电量、温度、存储、时钟", "choose battery, heat, storage, clock"),
    Key("← →", "调节", "change it"),
    Key("PgUp", "往回看日志", "scroll the journal back"),
    Key("q", "退出，所有程序随之结束", "quit; every program ends with it"),
]


def bar(*, docked: bool, powered: bool, running: bool) -> list[Key]:
    """What the bar says now."""
    return [
        Key("r", "录像", "rec"),
        Key("R", "长按", "hold"),
        Key("e", "双击", "twice"),
        Key("m", "标记", "mark"),
        Key("M", "长按", "hold"),
        Key("n", "双击", "twice"),
        Key("a", "回答", "reply"),
        Key("d", "取出", "take") if docked else Key("d", "入座", "dock"),
        Key("p", "断电", "cut") if powered else Key("p", "上电", "power"),
        Key("s", "停止", "stop") if running else Key("s", "启动", "start"),
        Key("f", "故障", "fault"),
        Key("w", "存盘", "save"),
        Key("?", "帮助", "help"),
        Key("q", "退出", "quit"),
    ]
