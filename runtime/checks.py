"""Checks that several doctors have: libraries, certificate, clock, disk, office and broker."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

from evidence import pki
from evidence.errors import EvidenceError
from evidence.pki import Role
from runtime import probe
from runtime.doctor import Check, Checks, bad, mind, well
from runtime.keys import CredentialError, exposure, load_certificates, load_key
from runtime.probe import ProbeError

_CHINA = timedelta(hours=8)
_LEAST_BYTES = 1024**3
_ENDING_DAYS = 30
_CLOCK_OFF_SECONDS, _CLOCK_BAD_SECONDS = 3.0, 60.0


def libraries(names: Sequence[str], extra: str) -> Checks:
    """Whether each can be imported."""
    missing = []
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            missing.append(f"{name} ({error})")
    if missing:
        yield bad(
            "library-missing",
            f"缺少程序库：{'、'.join(missing)}",
            "libraries are missing",
            f"运行 scripts/setup {extra}",
            f"run scripts/setup {extra}",
        )
    else:
        yield well("libraries", "程序库齐全", "all libraries are there")


def certificate(chain: Path, key: Path | None, roots: Path, role: Role, now: datetime | None = None) -> Checks:
    """Whether the certificate is this agency's, of its role, for its key, and how long it is valid still.

    `key`: None if it is not a file.
    """
    now = now or datetime.now(UTC)
    try:
        leaf, *above = load_certificates(chain)
        trusted = load_certificates(roots)
        private = load_key(key) if key is not None else None
    except CredentialError as error:
        yield bad("credential", f"证书或密钥读不出：{error}", "a credential cannot be read", "重新发证", "provision it")
        return
    if key is not None:
        yield from _key_file(key)
    if private is not None and pki.public_key(leaf) != private.public_key():
        yield bad("certificate-key", f"证书与密钥不配对：{chain}", "the key is another's", "重新发证", "provision it")
    try:
        found = pki.validate_chain(leaf, above, trusted, role=role, at=None)
    except EvidenceError as error:
        yield _untrusted(chain, error)
        return
    yield _dated(role, found.id, found.not_before, found.not_after, now)


def _key_file(key: Path) -> Checks:
    if (wrong := exposure(key)) is not None:
        yield mind("key-readable", f"密钥文件权限过宽：{key}", wrong, f"chmod 600 {key}", "")


def _untrusted(chain: Path, error: EvidenceError) -> Check:
    if error.code == "chain-untrusted":
        return bad(
            "certificate-agency",
            f"证书不是本单位签发的：{chain}",
            "the certificate is of another agency",
            "核对 roots，或重新发证",
            "check roots, or provision it",
        )
    return bad(f"{error.code}", f"证书不能用：{chain}", error.message, "重新发证", "provision it")


def _dated(role: Role, name: str, first: datetime, last: datetime, now: datetime) -> Check:
    if now < first:
        return bad(
            "certificate-early",
            f"证书 {role}/{name} 自 {first:%Y-%m-%d %H:%M} UTC 起才有效",
            "the certificate is not valid yet",
            "先查本机时钟",
            "look at this machine's clock first",
        )
    if now > last:
        return bad(
            "certificate-ended",
            f"证书 {role}/{name} 已于 {last:%Y-%m-%d} 到期",
            f"the certificate ended on {last:%Y-%m-%d}",
            "先查本机时钟，再续发证书",
            "look at this machine's clock, then renew it",
        )
    days = (last - now).days
    if last - now < min(timedelta(days=_ENDING_DAYS), (last - first) / 3):
        return mind(
            "certificate-ending",
            f"证书 {role}/{name} 还有 {days} 天到期",
            f"the certificate ends in {days} days",
            "续发证书",
            "renew it",
        )
    return well("certificate", f"证书 {role}/{name} 有效，还有 {days} 天", f"the certificate is valid for {days} days")


def time_zone(offset: timedelta | None = None) -> Checks:
    """Times are shown in the machine's zone; all of China has one."""
    offset = datetime.now().astimezone().utcoffset() if offset is None else offset
    if offset == _CHINA:
        yield well("time-zone", "时区为北京时间", "the time zone is UTC+8")
    else:
        yield mind(
            "time-zone",
            f"时区不是北京时间（UTC 差 {offset}）",
            "the time zone is not UTC+8",
            "timedatectl set-timezone Asia/Shanghai",
            "timedatectl set-timezone Asia/Shanghai",
        )


def disk(folder: Path, needed: int = _LEAST_BYTES) -> Checks:
    """Whether `folder` can be written, and has room for `needed` bytes."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield bad(
            "disk",
            f"目录不可用：{folder}（{error.strerror}）",
            "no such folder",
            "检查磁盘与配置",
            "check disk and configuration",
        )
        return
    trial = folder / f".doctor-{os.getpid()}"
    try:
        trial.write_bytes(b"?")
    except OSError as error:
        yield bad(
            "disk-read-only",
            f"目录写不进：{folder}（{error.strerror}）",
            f"cannot be written ({error.strerror})",
            "检查磁盘是否已满、只读或损坏",
            "see whether the disk is full, read-only or failing",
        )
        return
    finally:
        with contextlib.suppress(OSError):
            trial.unlink()
    if free < needed:
        yield bad(
            "disk-full",
            f"磁盘将满：{folder} 仅余 {free >> 20} MiB",
            f"only {free >> 20} MiB are left",
            "清出空间或更换磁盘",
            "make room, or replace the disk",
        )
    else:
        yield well("disk", f"磁盘余 {free >> 30} GiB", f"{free >> 30} GiB are free")


_ProbeAdvice = dict[str, tuple[str, str, str, str]]
_WHY: _ProbeAdvice = {
    "away": (
        "连不上",
        "cannot be reached",
        "检查网线、地址和对方是否开机",
        "check cable, address, and whether it runs",
    ),
    "foreign": (
        "不是本单位的",
        "is not of this agency",
        "勿用；核对地址与 roots",
        "do not use it; check address and roots",
    ),
    "dates": (
        "证书日期不符",
        "its certificate is not valid now",
        "先查两边时钟，再续发对方证书",
        "check both clocks, then renew it",
    ),
    "role": ("身份不符", "is not who it must be", "核对地址", "check the address"),
    "ours-foreign": ("不认本机证书的单位", "does not know our agency", "重新发证", "provision this device"),
    "ours-ended": ("说本机证书已到期", "says that our certificate has ended", "续发本机证书", "renew our certificate"),
    "ours-revoked": ("说本机证书已吊销", "says that our certificate is revoked", "上报", "report it"),
    "refused": ("拒绝本机", "refuses us", "核对本机是否已登记", "see whether this device is registered"),
    "silent": ("无应答", "does not answer", "查看对方日志", "look at its log"),
}


def broker(address: tuple[str, int], context: ssl.SSLContext, client_id: str) -> Checks:
    """Whether the agency's broker takes us."""
    try:
        probe.mqtt_connects(address, context, client_id)
    except ProbeError as error:
        yield unreached("broker", "消息服务", "the broker", address, error)
    else:
        yield well("broker", "消息服务正常", "the broker takes us")


def office(address: tuple[str, int], context: ssl.SSLContext) -> Checks:
    """Whether the agency's office answers, and whether both clocks agree."""
    try:
        told, took = probe.http_date(address, context, Role.OFFICE, "/v1/health")
    except ProbeError as error:
        yield unreached("office", "档案库", "the office", address, error)
        return
    yield well("office", "档案库正常", "the office answers")
    yield from clock(time.time() - parsedate_to_datetime(told).timestamp(), took)


def clock(off: float, uncertain: float) -> Checks:
    """Judge a clock that is `off` seconds from one that tells whole seconds, asked within `uncertain` seconds."""
    if abs(off) <= _CLOCK_OFF_SECONDS + uncertain:
        yield well("clock", "时钟与档案库一致", "the clock agrees with the office's")
        return
    level = bad if abs(off) > _CLOCK_BAD_SECONDS else mind
    yield level(
        "clock-off",
        f"时钟与档案库相差 {off:+.0f} 秒",
        f"the clock is {off:+.0f} s off the office's",
        "启用 NTP 校时（timedatectl set-ntp true）",
        "let NTP set it (timedatectl set-ntp true)",
    )


def unreached(code: str, zh: str, en: str, address: tuple[str, int], error: ProbeError) -> Check:
    """Why something at `address` cannot be worked with."""
    why = _WHY[error.code]
    host, port = address
    return bad(f"{code}-{error.code}", f"{zh}{why[0]}（{host}:{port}）", f"{en} {why[1]} ({error})", why[2], why[3])
