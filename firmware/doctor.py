"""`bodycam camera doctor`: what is wrong with this camera, and what to do. It takes nothing away from one that runs.

It asks each device that can be asked beside a running camera. Pictures and sound themselves are judged by the camera's
own check before use (rule 10).
"""

from __future__ import annotations

import json
import logging
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import pki, records
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.records import Record
from firmware import drivers
from firmware import identity as identities
from firmware.clock_discipline import trusted
from firmware.config import CameraConfig
from firmware.evidence_key import file_key
from firmware.hal.linux_board import LinuxBoard
from firmware.hal.ports import Clock, DriverError
from firmware.health import HeatJudge, StorageLimits
from firmware.identity import Identity
from runtime import bundle, checks, config, doctor, tls
from runtime.config import ConfigError
from runtime.doctor import Check, Checks, Patient, bad, each, mind, well
from runtime.keys import CredentialError, load_certificates
from runtime.token import TokenConfig, TokenKey

_UNIT = "bodycam-camera"
_LIBRARIES = ("av", "cryptography", "cv2", "gpiozero", "numpy", "picamera2", "pyaudio", "sdnotify")
_FACTS = frozenset(
    {"alert", "armed", "boot", "clock_set", "docked", "fault", "gap", "heartbeat", "self_check", "shutdown"}
)
_RECENT = 500
_PROMISED_HOURS = 2.0  # that a card must still hold
_SECONDS = 2.0


def main(argv: Sequence[str]) -> int:
    """Run `bodycam camera doctor`; returns the exit status."""
    return doctor.run("camera", argv, _patient)


def _patient(path: Path) -> Patient:
    """The camera of this `camera.toml`."""
    logging.disable(logging.CRITICAL)  # what it says, the checks say
    try:
        settings = config.load(path, CameraConfig)
    except ConfigError as error:
        said = ("按 docs/configuration.md 改正", "see docs/configuration.md")
        return Patient(_UNIT, [bad("configuration", "配置文件不能用", str(error), *said)], {}, list)
    return Patient(_UNIT, _checks(settings), _facts(settings), partial(_secrets, settings))


def _checks(settings: CameraConfig) -> Checks:
    certs, keys = settings.credentials / "certs", settings.credentials / "keys"
    roots = certs / "root.pem"
    names = (*_LIBRARIES, "smbus2") if settings.battery else _LIBRARIES
    examinations = [
        partial(checks.libraries, names, "camera"),
        partial(checks.certificate, certs / "camera.pem", keys / "camera.key.pem", roots, Role.CAMERA),
        partial(checks.certificate, certs / "evidence.pem", None, roots, Role.EVIDENCE),
        partial(_evidence_key, settings),
        partial(_enrolled, settings),
        partial(checks.time_zone),
        partial(checks.disk, settings.data, _needed(settings)),
        partial(_board, settings),
        partial(_sound, settings),
        partial(_gauge, settings),
        partial(_receiver, settings),
        partial(_held, settings),
        partial(_dock_link, settings),
    ]
    yield from each(*examinations)


def _evidence_key(settings: CameraConfig) -> Checks:
    """Whether the key that the evidence certificate names is here and signs. A token is asked once, as by a boot."""
    public = pki.public_key(load_certificates(settings.credentials / "certs" / "evidence.pem")[0])
    try:
        guarded = _signs_by_token(settings.token, public) if settings.token else _signs_by_file(settings, public)
    except CredentialError as error:
        yield bad("evidence-key", "证据密钥不能签名，录像将标为未签名", str(error), "检查密钥卡，或重新发证", "")
        return
    if guarded:
        yield well("evidence-key", "证据密钥在密钥卡内，可签名", "the evidence key is in its token, and signs")
    else:
        yield well("evidence-key", "证据密钥可签名（可导出）", "the evidence key signs; it is extractable")


def _signs_by_token(token: TokenConfig, public: ec.EllipticCurvePublicKey) -> bool:
    """Whether the key that signs cannot leave its token. Raises `CredentialError` if none signs."""
    key = TokenKey(token, public)
    key.sign(b"doctor", ec.ECDSA(hashes.SHA256()))
    return key.guarded


def _signs_by_file(settings: CameraConfig, public: ec.EllipticCurvePublicKey) -> bool:
    """As `_signs_by_token`: a file can always leave."""
    file_key(settings.credentials, public)
    return False


def _enrolled(settings: CameraConfig) -> Checks:
    """What only a camera with an assignment of its office has."""
    try:
        identity = identities.load(settings.credentials)
    except CredentialError as error:
        yield bad("enrolment", "未发证，不能录像", str(error), "重新发证", "")
        return
    examinations = [
        partial(_assigned, identity),
        partial(_clock, settings, identity),
        partial(_lens, settings, identity),
        partial(_alerts, settings, identity),
    ]
    yield from each(*examinations)


def _needed(settings: CameraConfig) -> int:
    return settings.reserve_bytes + round(_PROMISED_HOURS * 3600 * settings.video.bitrate_bps / 8)


def _assigned(identity: Identity) -> Checks:
    told = identity.configuration
    if told.assigned:
        yield well("assigned", f"已配发 {identity.device}", f"{identity.device} is assigned")
    else:
        yield mind(
            "unassigned", f"{identity.device} 未配发到人", "nobody's", "由档案库配发", "let the office assign it"
        )


def _clock(settings: CameraConfig, identity: Identity) -> Checks:
    claim = drivers.clock(settings, identity.configuration).utc()
    if trusted(claim):
        yield well("clock", f"时钟可信（来源 {claim.source}）", f"the clock is trusted, by {claim.source}")
        return
    bound = "无" if claim.error_ms is None else f"{claim.error_ms} ms"
    yield mind(
        "clock-untrusted",
        f"时钟未校准（来源 {claim.source}，误差界 {bound}）",
        "the clock is not trusted",
        "放入采集站校时",
        "put it into a dock, which sets it",
    )


def _board(settings: CameraConfig) -> Checks:
    board = LinuxBoard(settings.board)
    wear, celsius = board.card_wear_percent(), board.celsius()
    if wear is None:
        yield well("card-wear", "存储卡不报告磨损", "the card does not tell its wear")
    elif wear >= StorageLimits().worn_percent:
        yield bad("card-worn", f"存储卡寿命已用 {wear:.0f}%", f"the card is worn, {wear:.0f} %", "更换", "replace it")
    else:
        yield well("card-wear", f"存储卡寿命已用 {wear:.0f}%", f"{wear:.0f} % of the card's life is used")
    heat = HeatJudge().take(celsius)
    if heat.level != "ok":
        yield mind("heat", f"温度 {celsius:.0f} ℃", "it is hot", "移到阴凉处", "let it cool")


def _asked(code: str, zh: str, en: str, advice: tuple[str, str], ask: Callable[[], Mapping[str, str]]) -> Check:
    try:
        told = ask()
    except DriverError as error:
        return bad(f"{code}-missing", f"{zh}不可用", str(error), *advice)
    return well(code, f"{zh}：{told['model']}", f"{en} {told['model']}")


def _lens(settings: CameraConfig, identity: Identity) -> Checks:
    from firmware.hal.picamera2_video import Picamera2Video  # noqa: PLC0415 - drivers bring their libraries when built

    clock: Clock = drivers.clock(settings, identity.configuration)
    yield _asked(
        "lens",
        "镜头",
        "lens",
        ("检查排线", ""),
        lambda: Picamera2Video(settings.video, lambda _frame, _utc: None, clock).describe(),
    )


def _sound(settings: CameraConfig) -> Checks:
    from firmware.hal.pyaudio_process import find_device  # noqa: PLC0415 - as above

    sound = settings.sound
    for code, zh, name, capture in (
        ("microphone", "麦克风", sound.microphone, True),
        ("loudspeaker", "扬声器", sound.loudspeaker, False),
    ):
        advice = ("检查连接与 [sound] 名称；录像程序运行时声卡可能被占用", "a running camera may hold it")
        yield _asked(code, zh, code, advice, partial(find_device, name, capture=capture))


def _gauge(settings: CameraConfig) -> Checks:
    if settings.battery is None:
        return
    from firmware.hal.smbus2_battery import Smbus2Battery  # noqa: PLC0415 - as above

    try:
        charge = Smbus2Battery(settings.battery).read()
    except DriverError as error:
        yield bad("gauge-silent", "电量计无应答", str(error), "检查接线与 I2C", "")
        return
    yield well("gauge", f"电量 {charge.percent:.0f}%，{charge.volts:.2f} V", f"battery {charge.percent:.0f} %")


def _receiver(settings: CameraConfig) -> Checks:
    if settings.gnss is None:
        return
    address = (settings.gnss.host, settings.gnss.port)
    try:
        socket.create_connection(address, _SECONDS).close()
    except OSError as error:
        yield bad("receiver-missing", "定位服务 gpsd 连不上", f"gpsd: {error}", "启动 gpsd", "start gpsd")
    else:
        yield well("receiver", "定位服务 gpsd 正常", "gpsd is there")


def _held(settings: CameraConfig) -> Checks:
    segments = len(list(settings.data.glob("segments/*/*.mp4.age")))
    if segments:
        yield mind(
            "held",
            f"机内有 {segments} 段录像",
            f"{segments} segments are on the camera",
            "放入采集站移交；勿更换存储卡",
            "hand them in before anything is repaired; leave the card in",
        )
    else:
        yield well("held", "机内无录像", "no footage is on the camera")


def _dock_link(settings: CameraConfig) -> Checks:
    _, _, interface = settings.dock_port.address.partition("%")
    if not interface or interface in {name for _, name in socket.if_nameindex()}:
        yield well("dock-link", "采集接口就绪", "the link to the dock is there")
    else:
        yield bad(
            "dock-link-missing",
            f"没有网络接口 {interface}，无法移交",
            f"there is no interface {interface}",
            "启用 USB 网络（g_ncm）",
            "enable the USB network gadget (g_ncm)",
        )


def _alerts(settings: CameraConfig, identity: Identity) -> Checks:
    if settings.alerts is None:
        return  # radio silence
    certs, key = settings.credentials / "certs", settings.credentials / "keys" / "camera.key.pem"
    context = tls.client_context(certs / "camera.pem", key, certs / "root.pem")
    address = (settings.alerts.host, settings.alerts.port)
    yield from checks.broker(address, context, f"camera/{identity.device}/doctor")


# --- for a bundle


def _facts(settings: CameraConfig) -> dict[str, Callable[[], bytes]]:
    return {
        "configuration.json": partial(bundle.described, settings),
        "journal.jsonl": lambda: "".join(map(_fact, _recent(settings.data / "journal"))).encode(),
        "segments.txt": partial(bundle.listing, settings.data),
    }


def _recent(folder: Path) -> deque[Record]:
    """The last records. Of people and places they tell nothing: such bodies are sealed, and left out besides."""
    found: deque[Record] = deque(maxlen=_RECENT)
    for path in sorted(folder.glob("*.jws"))[-2:]:
        for line in path.read_bytes().splitlines():
            try:
                record = records.parse(line)
            except EvidenceError:
                continue  # torn
            if record.kind != "fragment":
                found.append(record)
    return found


def _fact(record: Record) -> str:
    told = {
        "seq": record.seq,
        "kind": record.kind,
        "utc_ms": record.clock.utc_ms,
        "source": record.clock.source,
        "boot_ns": record.clock.boot_ns,
        **({"body": record.body} if record.kind in _FACTS else {}),
    }
    return json.dumps(told, ensure_ascii=False, default=dict) + "\n"


def _secrets(settings: CameraConfig) -> list[Path]:
    return [*bundle.secret_files(settings), *(settings.credentials / "keys").glob("*")]
