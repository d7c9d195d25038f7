"""`bodycam verify`: what an evidence folder proves, and what it does not (docs/spec/evidence.md §7 and §8)."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from cryptography import x509

from bodycam import findings, times
from evidence import age, pki, report, revocation, segment_check, tail
from evidence.account import RecordingAccount, SegmentAccount
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.report import Head, Report
from evidence.revocation import RevocationList
from evidence.verify import Verifier
from runtime.folder import DiskFolder

_UNSOUND = 1
_SUMMARY = "验真：证据能证明什么、不能证明什么 what a recording proves, and what it does not"
_STORES = {"none": "无证书", "extractable": "文件，可导出", "token": "硬件内"}


class _UsageError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def main(argv: Sequence[str]) -> int:
    """Verify a folder and say so; returns an exit status of docs/exit-status.md."""
    try:
        options = _parser().parse_args(argv)
        found = _verify(options)
    except _UsageError as error:
        sys.stderr.write(f"bodycam verify: {error}\n")
        return error.status
    except OSError as error:
        sys.stderr.write(f"bodycam verify: {report.printable(str(error.filename))}: {error.strerror}\n")
        return os.EX_NOINPUT
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without Chinese must not hide the findings
    if options.json:
        sys.stdout.write(json.dumps(report.to_json(found), ensure_ascii=False, indent=1) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _told(found))
    return os.EX_OK if found.ok else _UNSOUND


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(os.EX_USAGE, f"{message}; see bodycam verify --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="bodycam verify", description=_SUMMARY)
    parser.add_argument("path", type=Path, metavar="PATH", help="证据目录 folder of a camera, a dock or an export")
    parser.add_argument(
        "--trust", type=Path, required=True, metavar="CA.pem", help="信任锚 the agency's root, got by another way"
    )
    parser.add_argument(
        "--crl", type=Path, action="append", metavar="FILE", help="吊销列表 revocation list; may be given again"
    )
    parser.add_argument(
        "--stamp-trust", type=Path, metavar="TSA.pem", help="外部时间戳机构的根证书 roots of time-stamp authorities"
    )
    parser.add_argument("--identity", type=Path, metavar="KEYFILE", help="解密私钥 age identity: also look inside")
    parser.add_argument(
        "--recording", action="append", metavar="ID", help="只验此录像 only this recording; may be given again"
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="须完整 nothing may be elsewhere: for an export, which must hold the footage",
    )
    parser.add_argument(
        "--head",
        action="append",
        metavar="SEQ:SHA256",
        help="别处所存末端 a head of this camera that somebody else holds, as verify prints it of another copy",
    )
    parser.add_argument("--json", action="store_true", help="机器可读输出 output for programs")
    return parser


def _verify(options: argparse.Namespace) -> Report:
    if not options.path.is_dir():
        raise _UsageError(os.EX_NOINPUT, f"{options.path}: there is no such folder; name the one that holds journal/")
    roots = _roots(options.trust)
    identity = _identity(options.identity) if options.identity else None
    heads = [_head(text) for text in options.head or ()]
    authorities = _authorities(options.stamp_trust) if options.stamp_trust else []
    found = Verifier(
        DiskFolder(options.path),
        roots,
        identity,
        options.recording,
        whole=options.whole,
        heads=heads,
        authorities=authorities,
        revocations=[one for path in options.crl or () for one in _lists(path)],
    ).run()
    known = ", ".join(found.account.recordings) or "none"
    if absent := set(options.recording or ()) - found.account.recordings.keys():
        raise _UsageError(os.EX_USAGE, f"no recording {min(absent)} in this journal; it has {known}")
    return found


def _roots(path: Path) -> list[x509.Certificate]:
    try:
        roots = pki.parse_certificates(path.read_bytes())
        roles = {pki.role_and_id(root)[0] for root in roots}
    except EvidenceError as error:
        raise _UsageError(os.EX_NOINPUT, f"{path}: {error.message}") from error
    if roles != {Role.ROOT}:
        raise _UsageError(os.EX_NOINPUT, f"{path}: holds other certificates than the agency's root; give only that")
    return roots


def _lists(path: Path) -> list[RevocationList]:
    try:
        return revocation.parse_lists(path.read_bytes())
    except EvidenceError as error:
        raise _UsageError(os.EX_NOINPUT, f"{path}: {error.message}") from error


def _authorities(path: Path) -> list[x509.Certificate]:
    try:
        return pki.parse_certificates(path.read_bytes())
    except EvidenceError as error:
        raise _UsageError(os.EX_NOINPUT, f"{path}: {error.message}") from error


def _identity(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if len(keys) != 1:
        raise _UsageError(os.EX_NOINPUT, f"{path}: one line AGE-SECRET-KEY-1… is expected")
    try:
        age.recipient_of(keys[0])
    except EvidenceError as error:
        raise _UsageError(os.EX_NOINPUT, f"{path}: {error.message}") from error
    return keys[0]


def _head(text: str) -> Head:
    try:
        return tail.parse_head(text)
    except EvidenceError as error:
        raise _UsageError(os.EX_USAGE, f"--head {report.printable(text)}: {error.message}") from error


# --- for people ------------------------------------------------------------------------------------------------------


def _told(found: Report) -> Iterator[str]:
    recordings = found.recordings()
    said = "未发现问题 nothing found wrong" if found.ok else f"发现 {len(found.findings)} 处问题 findings"
    deep = "含解密检查 decrypted as well" if found.opened else "未解密 not decrypted"
    yield f"{found.device or '?'}：{said}；录像 {len(recordings)} 部 recordings；{deep}"
    yield from _lacking(found)
    yield from _heads(found)
    for recording in recordings:
        yield ""
        yield from _recording(found, recording)
    yield from (times.stamped(size, stamp) for size, stamp in sorted(found.stamps.items()))
    yield from findings.told("问题 findings", found.findings)
    yield from findings.told("说明 notes", found.notes)


_HEADS = {
    tail.SAME: "与此处相同 the same here",
    tail.FORK: "此处不同，有两份互相矛盾的记录 another one here: a fork",
    tail.DELETED: "此处没有，末尾被删除 not here: the end was deleted",
    tail.UNPROVEN: "此处查证不到那里 behind what is proven here",
}


def _heads(found: Report) -> Iterator[str]:
    """The last record here, to be held against another copy with `--head`, and those that were given."""
    if (own := found.reader.head) is not None:
        yield f"末端 head：{own[0]}:{own[1]}"
    for head in found.heads:
        yield f"别处所存末端 head held elsewhere：{head.seq}:{head.sha256}  {_HEADS[head.found]}"


def _lacking(found: Report) -> Iterator[str]:
    """What must not be read past: a receipt stands for these segments, and nobody can look at them here."""
    yield from _cuts(found)
    if released := [key for key, said in found.segments.items() if said.verdict == segment_check.RELEASED]:
        yield (
            f"注意 attention：{len(found.segments)} 个分段中有 {len(released)} 个不在此，仅有档案库回执 "
            f"{len(released)} of {len(found.segments)} segments are not here, only the office's receipts for them"
        )
    if going := [recording.id for recording in found.recordings() if recording.ended is None]:
        yield f"注意 attention：记录到此为止时录像未结束 recording not ended where the records end：{', '.join(going)}"


def _cuts(found: Report) -> Iterator[str]:
    """Cut by a loss of power, as the camera itself tells, is told apart from cut by somebody."""
    said = [word for one in found.recordings() for s in one.segments.values() if (word := report.cut_by(found, s))]
    taken, untold = said.count("tampering"), said.count("unaccounted")
    if explained := len(said) - taken - untold:
        yield f"截断 cut：{explained} 个分段因中断，有签名记录说明 segments by interruptions, as signed records tell"
    if untold:
        yield f"注意 attention：{untold} 个分段截断，此处记录未说明原因 segments cut, and no record here tells why"
    if taken:
        yield f"注意 attention：{taken} 个分段在签名之后被截短或取走 segments cut or taken away after they were signed"


def _recording(found: Report, recording: RecordingAccount) -> Iterator[str]:
    told = report.to_json_recording(found, recording)
    key, time = told["key"], told["time"]
    seconds = told["recorded_ms"] / 1000
    yield f"录像 recording {recording.id}：{seconds:.1f} s，{told['frames']} 帧 frames，{told['parts']} 段 parts，" + (
        "已结束 ended" if told["ended"] else "未结束 not ended"
    )
    yield f"  密钥 key：{'有证书 certified' if key['certified'] else '无证书 not certified'}（{_STORES[key['store']]}）"
    if revoked := key["revoked"]:
        yield f"    {revoked['certificate']} 自此不可信 not believed since {revoked['since']}（{revoked['reason']}）"
    bound = "未知 unknown" if time["error_ms"] is None else f"±{time['error_ms']} ms"
    yield f"  时间 time：自称 claimed {time['claimed']}（{time['source']}，{bound}）"
    yield f"    不早于 not before {time['not_before'] or '—'}，不晚于 not after {time['not_after'] or '—'}"
    for gap in told["gaps"]:
        most = "?" if gap["max_ms"] is None else gap["max_ms"]
        yield f"  中断 gap：{gap['cause']}，第 {gap['after_part']} 段之后 after part，{gap['min_ms']}–{most} ms"
    for index, segment in sorted(recording.segments.items()):
        yield _segment(found, segment)
        yield f"         {times.told(found.times[recording.id, index])}"
    if stills := told["stills"]:
        yield f"  快照 stills：{len(stills)}"
    for still in stills:
        yield f"    {still['segment']:05d}  {still['claimed']}  {still['size']} B  {still['sha256']}"


def _segment(found: Report, segment: SegmentAccount) -> str:
    verdict = found.segments[segment.recording, segment.index]
    handed = "有回执 receipt" if (segment.recording, segment.index) in found.receipts else "—"
    word = f"{findings.VERDICTS[verdict.verdict]} {verdict.verdict}"
    if (cause := report.cut_by(found, segment)) is not None:
        word += f"（{cause}）"
    signed = verdict.media_signing
    inside = (
        ""
        if signed is None
        else f"  视频内签名 in the video：{findings.MEDIA_SIGNING[signed.verdict]} {signed.verdict}"
    )
    return f"  {segment.index:05d}  {word}  {len(segment.fragments)} 片 fragments  {handed}  {verdict.message}{inside}"
