"""What has to hold after the demonstration, asked of programs that this project did not write wherever one exists."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw_sim.demo import pictures
from hw_sim.demo.programs import DemoError, command, foreign
from hw_sim.demo.stage import Stage

_LINES_CHECKED = 12  # of each journal file; jose is a process for each


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold: a stable name, what it says to people, and what was seen."""

    name: str
    what: str
    ok: bool
    seen: str


@dataclass(slots=True)
class Checked:
    """All checks, and the verifier's own words on the export."""

    checks: list[Check]
    verdict: dict[str, Any]
    recording: dict[str, Any]
    frames: pictures.Frames


def run(stage: Stage, out: Path) -> Checked:
    """Export, verify, and ask the others."""
    recording = _only_recording(stage)
    export = out / "export"
    identity = stage.office / "keys" / "office.age"
    config = ["--config", str(stage.office / "office.toml")]
    order = ["--out", str(export), "--identity", str(identity), "--by", "王五", "--reason", "演示 demonstration"]
    command(["office", "export", recording["recording"], *config, *order])
    for name in ("recording.mp4", "journal.jsonl"):
        (export / name).replace(out / name)
    trust = out / "trust.pem"
    trust.write_bytes(stage.root_certificate.read_bytes())
    places = {
        "verify_export": (
            "导出件验真 the export verifies, decrypted",
            export,
            ["--whole", "--identity", str(identity)],
        ),
        "verify_spool": (
            "采集站验真 the dock's spool verifies, without any key",
            stage.dock / "spool" / "BWC-0001",
            [],
        ),
        "verify_camera": ("记录仪验真 the camera's card verifies", stage.card, []),
    }
    checks, verdicts = [], {}
    for name, (what, folder, more) in places.items():
        done = command(["verify", str(folder), "--trust", str(trust), "--json", *more], check=False)
        verdicts[name] = json.loads(done.stdout) if done.stdout.startswith("{") else {}
        findings = verdicts[name].get("findings", [{"message": done.stderr.strip()}])
        checks.append(
            Check(name, what, done.returncode == 0, "; ".join(f["message"] for f in findings) or "0 findings")
        )
    frames = pictures.look(stage, out, export)
    sessions = stage.root / "sessions"
    sessions.mkdir()
    checks += [
        _all_received(verdicts["verify_export"]),
        _all_released(stage),
        _decodes(out / "recording.mp4"),
        _age_opens(verdicts["verify_export"], export, identity),
        _jose_verifies(export, sessions),
        _openssl_verifies(stage, export, trust, sessions),
        *frames.checks(Check),
    ]
    return Checked(checks, verdicts["verify_export"], recording, frames)


def _only_recording(stage: Stage) -> dict[str, Any]:
    listed = json.loads(command(["office", "list", "--json", "--config", str(stage.office / "office.toml")]).stdout)
    if len(listed["recordings"]) != 1:
        raise DemoError(f"the office holds {len(listed['recordings'])} recordings instead of one")
    found: dict[str, Any] = listed["recordings"][0]
    return found


def _segments(verdict: dict[str, Any]) -> list[dict[str, Any]]:
    return [segment for recording in verdict.get("recordings", []) for segment in recording["segments"]]


def _all_received(verdict: dict[str, Any]) -> Check:
    segments = _segments(verdict)
    held = sum(segment["receipt"] for segment in segments)
    ok = bool(segments) and held == len(segments)
    return Check("receipts", "每个文件都有回执 a receipt for each segment", ok, f"{held} of {len(segments)}")


def _all_released(stage: Stage) -> Check:
    left = list((stage.card / "segments").rglob("*.age"))
    return Check("released", "记录仪已清空 the camera gave up what was received", not left, f"{len(left)} files left")


def _decodes(video: Path) -> Check:
    done = foreign(["ffmpeg", "-v", "error", "-i", str(video), "-f", "null", "-"])
    ok = done.returncode == 0 and not done.stderr
    return Check(
        "ffmpeg", "ffmpeg 解码无误 ffmpeg decodes it without an error line", ok, _first_line(done.stderr) or "no error"
    )


def _age_opens(verdict: dict[str, Any], export: Path, identity: Path) -> Check:
    closed = opened = 0
    for recording in verdict.get("recordings", []):
        for segment in recording["segments"]:
            path = export / "segments" / recording["recording"] / f"{segment['segment']:05d}.mp4.age"
            closed += segment["verdict"] == "intact"
            opened += segment["verdict"] == "intact" and _opens(path, identity)
    ok = opened == closed > 0
    return Check("age", "age 可解密每个完整文件 age opens each closed segment", ok, f"{opened} of {closed}")


def _opens(path: Path, identity: Path) -> bool:
    return foreign(["age", "-d", "-i", str(identity), "-o", "/dev/null", str(path)]).returncode == 0


def _jose_verifies(export: Path, keys: Path) -> Check:
    """Lines of each file, just as they stand, with the session key that the file's opening names."""
    chosen: list[tuple[bytes, Path]] = []
    for file in sorted((export / "journal").iterdir()):
        lines = file.read_bytes().rpartition(b"\n")[0].split(b"\n")
        key = keys / f"{file.stem}.jwk"
        key.write_text(json.dumps(_session_jwk(_opening(lines[0]))), encoding="ascii")
        chosen += [(line, key) for line in lines[:: max(1, len(lines) // _LINES_CHECKED)]]
    good = sum(_jose(line, key) for line, key in chosen)
    return Check(
        "jose", "jose 验证日志签名 jose verifies journal lines", good == len(chosen), f"{good} of {len(chosen)}"
    )


def _jose(line: bytes, key: Path) -> bool:
    return foreign(["jose", "jws", "ver", "-i-", "-k", str(key), "-O", "/dev/null"], input=line).returncode == 0


def _opening(line: bytes) -> dict[str, Any]:
    """Body of a file's first line."""
    body: dict[str, Any] = json.loads(base64.urlsafe_b64decode(line.split(b".")[1] + b"=="))["body"]
    return body


def _session_jwk(body: dict[str, Any]) -> dict[str, Any]:
    point = base64.urlsafe_b64decode(body["session_key"] + "==")[-64:]  # the end of a P-256 SubjectPublicKeyInfo
    x, y = (base64.urlsafe_b64encode(half).rstrip(b"=").decode() for half in (point[:32], point[32:]))
    return {"kty": "EC", "crv": "P-256", "alg": "ES256", "x": x, "y": y}


def _openssl_verifies(stage: Stage, export: Path, trust: Path, sessions: Path) -> Check:
    chains = [path for folder in (stage.office, stage.dock, stage.camera) for path in (folder / "certs").glob("*.pem")]
    chains = [path for path in chains if path.name != "root.pem"] + _session_chains(export, sessions)
    arguments = ["openssl", "verify", "-x509_strict", "-CAfile", str(trust), "-untrusted"]
    good = sum(foreign([*arguments, str(path), str(path)]).returncode == 0 for path in chains)
    return Check(
        "openssl", "openssl 验证证书链 openssl accepts each chain", good == len(chains), f"{good} of {len(chains)}"
    )


def _session_chains(export: Path, folder: Path) -> list[Path]:
    written = []
    for file in sorted((export / "journal").iterdir()):
        path = folder / f"{file.stem}.pem"
        chain = _opening(file.read_bytes().partition(b"\n")[0])["chain"]
        path.write_text("".join(map(_pem, chain)), encoding="ascii")
        written.append(path)
    return written


def _pem(text: str) -> str:
    der = base64.urlsafe_b64decode(text + "==")
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"


def _first_line(text: bytes) -> str:
    return text.decode("utf-8", "replace").strip().partition("\n")[0]
