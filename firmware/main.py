"""`bodycam camera`: builds the recorder from its configuration and runs it until it is told to stop.

`bodycam camera doctor` is a command of its own, in `firmware.doctor`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import importlib.metadata
import logging
import os
import resource
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evidence import age, sealed
from evidence.documents import Configuration
from evidence.records import Chain, Stamp
from firmware import drivers
from firmware import identity as identities
from firmware.capture import media_signer, recovery
from firmware.capture.journal_writer import JournalWriter
from firmware.capture.part import Format
from firmware.capture.recovery import Recovered
from firmware.capture.ring import Ring
from firmware.capture.vocabulary import HandedIn, Quit
from firmware.capture.writer import Run, Writer
from firmware.config import CameraConfig
from firmware.dock_port import DockPort
from firmware.equipment import Hardware, Parts
from firmware.evidence_key import Certified, EvidenceKey
from firmware.hal.picamera2_video import VideoConfig
from firmware.hal.ports import Clock, DriverError
from firmware.handin import HandIn
from firmware.identity import Identity, Session
from firmware.media import Media
from firmware.papers import Papers
from firmware.runner import Runner
from firmware.speaker import Speaker
from firmware.voice.prompts import PromptError
from runtime import config, log, tls
from runtime.config import ConfigError
from runtime.disk import PosixDisk, make_folder, write_once
from runtime.keys import CredentialError
from runtime.revoked_file import RevokedFile
from runtime.service import Service

_log = logging.getLogger(__name__)

_SOUND_BYTES_PER_SECOND = 65_000  # 48 kHz, 16 bit, as FLAC has it of speech and street
_LINE_BYTES = 900


def main(argv: Sequence[str]) -> int:
    """Run the camera; returns an exit status of docs/exit-status.md."""
    if list(argv[:1]) == ["doctor"]:
        from firmware import doctor  # noqa: PLC0415 - nothing of it is needed to record

        return doctor.main(argv[1:])
    parser = argparse.ArgumentParser(
        prog="bodycam camera",
        description="执法记录仪 the recorder",
        epilog="体检 what is wrong with a camera: bodycam camera doctor --help",
    )
    parser.add_argument("--config", type=Path, required=True, help="camera.toml")
    arguments = parser.parse_args(argv)
    log.setup("camera")
    try:
        run(config.load(arguments.config, CameraConfig))
    except (ConfigError, CredentialError, tls.PeerError) as error:
        return _fail(error, error.exit_status)
    except (DriverError, PromptError) as error:
        return _fail(error, os.EX_UNAVAILABLE)
    except OSError as error:
        return _fail(error, os.EX_IOERR)
    return 0


def run(settings: CameraConfig) -> None:
    """Build everything, record until SIGTERM or SIGINT, stop cleanly."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # keys of open segments must not land in a core file
    service = Service()
    identity = identities.load(settings.credentials)
    clock = drivers.clock(settings, identity.configuration)
    disk = PosixDisk(settings.data)
    _publish_signers(settings)
    found = recovery.recover(disk)
    session = identities.new_session()
    evidence_key = EvidenceKey(identity, session, settings.token)
    evidence_key.start()  # it may take its time: recording waits for nothing
    hardware = drivers.hardware(settings, identity, clock)
    with contextlib.ExitStack() as ending:
        ending.callback(evidence_key.stop)
        runner = _assemble(settings, identity, session, evidence_key, hardware, disk, found, service.alive, ending)
        _on_stop(service, runner)
        service.ready(device=identity.device, boot=session.boot)
        runner.run()
    if runner.renewed and not service.stopping.is_set():
        _log.info("begun anew with the configuration that the dock brought")
        logging.shutdown()
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - this very program, from its first line


def _assemble(
    settings: CameraConfig,
    identity: Identity,
    session: Session,
    evidence_key: EvidenceKey,
    hardware: Hardware,
    disk: PosixDisk,
    found: Recovered,
    alive: Callable[[], None],
    ending: contextlib.ExitStack,
) -> Runner:
    from firmware.hal.flac import FlacEncoder  # noqa: PLC0415 - drivers bring their libraries when they are built
    from firmware.hal.pyaudio_sound import PyAudioLoudspeaker  # noqa: PLC0415
    from firmware.voice import prompts  # noqa: PLC0415

    clock, told = hardware.clock, identity.configuration

    def stamp() -> Stamp:
        utc = clock.utc()
        return Stamp(clock.boot_ns(), utc.ms, utc.source, utc.error_ms)

    def utc_ms(boot_ns: int) -> int:
        return clock.utc().ms - (clock.boot_ns() - boot_ns) // 1_000_000

    late: list[Runner] = []  # the runner is built last, and its parts report to it
    chain = Chain(identity.device, session.boot, session.key, session.kid, seq=found.seq, prev=found.prev)
    opening, key_store = evidence_key.opening(clock.kernel_boot)
    journal = JournalWriter(disk, chain, opening, stamp, found.next_file, list(found.torn))
    handin = HandIn(disk, journal, identity, clock, lambda: late[0].post(HandedIn()), lambda: late[0].find())  # noqa: PLW0108 - the runner is not there yet
    writer = Writer(
        disk,
        journal,
        told.recipients,
        reserve_bytes=settings.reserve_bytes,
        make_room=handin.make_room,
        on_failure=lambda error: late[0].storage_failed(error),  # noqa: PLW0108 - the runner is not there yet
        on_fault=lambda *fault: late[0].failed(*fault),  # noqa: PLW0108
    )
    encoder = FlacEncoder()
    video = settings.video
    form = Format(
        video.width,
        video.height,
        1_000_000_000 // video.frames_per_second,
        told.fragment_ms * 1_000_000,
        told.segment_seconds * 1_000_000_000,
        encoder.config,
    )
    loudspeaker = PyAudioLoudspeaker(settings.sound.loudspeaker)
    speaker = Speaker(
        loudspeaker,
        clock,
        lambda *said: late[0].said(*said),  # noqa: PLW0108
        lambda *fault: late[0].failed(*fault),  # noqa: PLW0108
        lambda count: late[0].buzz(count),  # noqa: PLW0108
    )
    spoken = prompts.load(replacements=settings.sound.prompts)
    context = tls.server_context(
        settings.credentials / "certs" / "camera.pem",
        settings.credentials / "keys" / "camera.key.pem",
        settings.credentials / "certs" / "root.pem",
        check_dates=clock.utc().source != "none",
    )
    address = (settings.dock_port.address, settings.dock_port.port)
    revoked = RevokedFile(settings.credentials / "certs" / "revoked.pem", identity.roots)
    papers = Papers(
        identity,
        session,
        lambda: journal.opening.chain,
        revoked,
        context,
        lambda: late[0].configured(),  # noqa: PLW0108
        lambda: late[0].fitness(),  # noqa: PLW0108
    )
    ring = Ring(told.pre_event_seconds, told.pre_event_bytes)
    signer = media_signer.signer(session.key, opening.chain, _software(), identity.device)
    media = Media(ring, encoder, form, writer, utc_ms, lambda *fault: late[0].failed(*fault), signer)  # noqa: PLW0108
    parts = Parts(
        hardware,
        disk,
        journal,
        writer,
        media,
        speaker,
        handin,
        DockPort(handin, disk, context, address, papers),
        spoken,
        found.recording,
        told,
        settings.confirm_seconds,
        sealed.seal("assigned", _assignment(told), told.recipients),
        len(found.torn),
        settings.reserve_bytes,
        settings.reminders,
        _planned_bytes_per_second(video, told),
    )
    runner = Runner(parts, alive)
    late.append(runner)
    seen = {
        "video": dict(hardware.video.describe()),
        "microphone": dict(hardware.microphone.describe()),
        "loudspeaker": dict(loudspeaker.describe()),
        "panel": dict(hardware.panel.describe()),
        "board": dict(hardware.board.describe()),
        **({"battery": dict(hardware.battery.describe())} if hardware.battery else {}),
        **({"receiver": dict(hardware.receiver.describe())} if hardware.receiver else {}),
        "replaced_prompts": prompts.replaced(spoken),
    }
    _send_alerts(settings, journal, clock, runner, ending)
    journal.boot(_boot_members(identity, key_store, seen))

    def certify(late: Certified) -> None:
        journal.certify(late.chain, late.key_store)
        media.sign_by(media_signer.signer(session.key, late.chain, _software(), identity.device))

    evidence_key.follow(lambda late: writer.submit(Run(lambda: certify(late))), runner.failed)
    return runner


def _send_alerts(
    settings: CameraConfig, journal: JournalWriter, clock: Clock, runner: Runner, ending: contextlib.ExitStack
) -> None:
    told, certs = settings.alerts, settings.credentials / "certs"
    if told is None:
        return  # radio silence
    from firmware.alerts import Alerts  # noqa: PLC0415 - a silent camera needs no MQTT

    key = settings.credentials / "keys" / "camera.key.pem"
    dated = clock.utc().source != "none"
    context = tls.client_context(certs / "camera.pem", key, certs / "root.pem", check_dates=dated)
    alerts = Alerts(journal, told.queue, (told.host, told.port), context, runner.failed)
    journal.on_durable = alerts.offer
    alerts.start()
    ending.callback(alerts.stop)


def _planned_bytes_per_second(video: VideoConfig, told: Configuration) -> float:
    """Picture, lossless sound, half a cipher chunk of padding in each fragment, and its line in the journal."""
    each_fragment = age.CHUNK / 2 + _LINE_BYTES
    return video.bitrate_bps / 8 + _SOUND_BYTES_PER_SECOND + each_fragment * 1000 / told.fragment_ms


def _assignment(told: Configuration) -> dict[str, str]:
    return {"officer_number": told.officer_number, "officer_name": told.officer_name, "unit": told.unit}


def _boot_members(identity: Identity, key_store: str, seen: dict[str, dict[str, str]]) -> dict[str, Any]:
    told = [text for driver in seen.values() for text in driver.values()]
    return {
        "software": _software(),
        "configuration": hashlib.sha256(identity.configuration_text.encode()).hexdigest(),
        "key_store": key_store,
        "hardware": seen,
        # Told by the libraries below the drivers, so that no simulated run can pass for a real one by mistake.
        "simulated": any(text.startswith(("sim-", "/sim/")) for text in told),
    }


def _software() -> str:
    return importlib.metadata.version("bodycam")


def _publish_signers(settings: CameraConfig) -> None:
    """The evidence folder carries the certificate of its office, so that its receipts can be verified from it alone."""
    source = settings.credentials / "certs" / "signer.pem"
    text = source.read_bytes()
    target = settings.data / "certs" / f"signer-{hashlib.sha256(text).hexdigest()[:16]}.pem"
    make_folder(target.parent)
    if target.exists() and target.read_bytes() != text:
        target.unlink()  # a cut kept it from being written whole
    if not target.exists():
        write_once(target, text)


def _on_stop(service: Service, runner: Runner) -> None:
    def wait() -> None:
        service.stopping.wait()
        runner.post(Quit())

    threading.Thread(target=wait, name="stop", daemon=True).start()


def _fail(error: Exception, status: int) -> int:
    sys.stderr.write(f"bodycam camera: {error}\n")
    return status
