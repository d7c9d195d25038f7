"""`bodycam dock doctor`: what is wrong with this dock, and what to do. It disturbs no dock that is running."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from evidence import pki
from evidence.pki import Role
from runtime import bundle, checks, config, doctor, tls
from runtime.config import ConfigError
from runtime.doctor import Check, Checks, Patient, bad, each, mind, well
from runtime.keys import load_certificates
from runtime.outbox import OutboxError, waiting
from syncd import status
from syncd.config import OUTBOX, DockConfig, split_address
from syncd.office import Signers
from syncd.spool import Spool
from syncd.status import SpoolStatus
from syncd.table import amount
from syncd.words import reason

_UNIT = "bodycam-dock"
_LIBRARIES = ("cryptography", "paho.mqtt.client", "sdnotify")
_FULL = 0.9  # of the spool
_IPV6 = Path("/proc/net/if_inet6")
_INTERFACES = Path("/sys/class/net")


def main(argv: Sequence[str]) -> int:
    """Run `bodycam dock doctor`; returns the exit status."""
    return doctor.run("dock", argv, _patient)


def _patient(path: Path) -> Patient:
    """The dock of this `dock.toml`."""
    logging.disable(logging.WARNING)  # what it says, the checks say
    try:
        settings = config.load(path, DockConfig)
    except ConfigError as error:
        return Patient(_UNIT, [_unread(error)], {}, list)
    return Patient(
        _UNIT,
        _checks(settings),
        _facts(settings),
        partial(bundle.secret_files, settings),
    )


def _unread(error: ConfigError) -> Check:
    return bad(
        "configuration", "配置文件不能用", str(error), "按 docs/configuration.md 改正", "see docs/configuration.md"
    )


def _checks(settings: DockConfig) -> Checks:
    netlink = any(bay.port for bay in settings.bays)
    ours = (settings.certificate, settings.key, settings.roots)
    examinations = [
        partial(checks.libraries, (*_LIBRARIES, "pyroute2") if netlink else _LIBRARIES, "dock"),
        partial(checks.certificate, *ours, Role.DOCK),
        partial(_signers, settings),
        partial(checks.time_zone),
        partial(_reach, settings),
        partial(checks.disk, settings.spool if settings.spool.exists() else settings.spool.parent),
        partial(_spool, settings),
        partial(_ports, settings),
        partial(_running, settings),
    ]
    yield from each(*examinations)


def _signers(settings: DockConfig) -> Checks:
    Signers(load_certificates(settings.signers), load_certificates(settings.roots))
    yield well("signers", "档案库签名证书可用", "the office's signers are known")


def _reach(settings: DockConfig) -> Checks:
    context = tls.client_context(settings.certificate, settings.key, settings.roots)
    yield from checks.office(split_address(settings.office), context)
    name = pki.role_and_id(load_certificates(settings.certificate)[0])[1]
    yield from checks.broker(split_address(settings.broker), context, f"dock/{name}/doctor")


def _spool(settings: DockConfig) -> Checks:
    if not settings.spool.exists():
        return  # the dock makes it when it first runs
    spool = SpoolStatus.of(Spool(settings.spool, settings.spool_bytes))
    waits = sum(one.bytes for one in spool.waiting)
    if spool.limit_bytes and waits > _FULL * spool.limit_bytes:
        yield bad(
            "spool-full",
            f"暂存区将满：{amount(waits)} 待送档案库",
            f"{amount(waits)} wait for the office",
            "先恢复档案库连接，勿取走记录仪",
            "bring the office back; leave cameras in",
        )
    elif spool.waiting:
        yield mind(
            "spool-waiting",
            f"暂存区有 {amount(waits)} 待送档案库",
            f"{amount(waits)} wait for the office",
            "档案库恢复后自动送出",
            "goes out by itself once the office is there",
        )
    else:
        yield well("spool", "暂存区无待送数据", "nothing waits in the spool")
    try:
        events = waiting(settings.spool / OUTBOX)
    except OutboxError as error:
        yield bad("outbox", "消息队列损坏", str(error), "移走 outbox.sqlite", "move outbox.sqlite away")
        return
    yield well("outbox", f"消息 {events} 条待送", f"{events} events wait")


def _ports(settings: DockConfig) -> Checks:
    named = {bay.port: name for name, bay in settings.named_bays.items() if bay.port}
    if not named:
        return
    if not _IPV6.exists():
        yield bad("ipv6", "系统未启用 IPv6", "this machine has no IPv6", "在内核参数中启用", "enable it in the kernel")
    connected = [named[port] for port in _connected() if port in named]
    text = "、".join(connected) or "无"
    yield well("bays", f"有接触的采集口：{text}", f"bays in contact: {', '.join(connected) or 'none'}")


def _connected() -> Iterable[str]:
    """Interfaces and USB ports that have a link, as the kernel names them."""
    for interface in sorted(_INTERFACES.iterdir()):
        try:
            carrier = (interface / "carrier").read_text("ascii").strip() == "1"
        except OSError:  # it is down
            continue
        if carrier:
            yield interface.name
            yield (interface / "device").resolve().name.partition(":")[0]


def _running(settings: DockConfig) -> Checks:
    told = status.read(settings.spool)
    if told is None or not told.fresh():
        yield bad(
            "dock-stopped",
            "采集站程序未运行",
            "the dock does not run",
            f"systemctl start {_UNIT}，再看其日志",
            f"systemctl start {_UNIT}, and look at its log",
        )
        return
    yield well("dock", f"采集站程序运行中，版本 {told.version}", f"the dock runs, version {told.version}")
    if told.broker_trouble:
        yield bad(
            "messages",
            "消息送不出",
            told.broker_trouble,
            "见上面消息服务一项",
            "see the line of the broker",
        )
    for bay in told.bays:
        if bay.code:
            words = reason(bay.code)
            make = bad if bay.lamp == "red" else mind
            who = bay.camera or "—"
            yield make(bay.code, f"采集口 {bay.name}（{who}）", f"bay {bay.name} ({who})", words.zh, words.en)


def _facts(settings: DockConfig) -> dict[str, Callable[[], bytes]]:
    return {
        "configuration.json": partial(bundle.described, settings),
        "status.json": partial(_last_word, settings),
        "spool.txt": partial(bundle.listing, settings.spool),
        "certificates.txt": partial(_certificates, settings),
    }


def _last_word(settings: DockConfig) -> bytes:
    told = status.read(settings.spool)
    return json.dumps(status.plain(told) if told else None, ensure_ascii=False, indent=1).encode()


def _certificates(settings: DockConfig) -> bytes:
    lines = [
        f"{path.name}: {'/'.join(pki.role_and_id(one))}, {one.not_valid_before_utc} to {one.not_valid_after_utc}"
        for path in (settings.certificate, settings.roots, settings.signers)
        for one in load_certificates(path)
    ]
    return "\n".join(lines).encode()
