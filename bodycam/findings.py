"""What the verifier found, for people: officers, keepers, prosecutors, defenders (docs/spec/evidence.md §7.4 and §7.5).

First what was done, then where in the film, then the step of the specification that tells it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evidence.finding import Attack, Finding, Footage

VERDICTS = {
    "intact": "完整",
    "truncated": "截断",
    "altered": "篡改",
    "missing": "缺失",
    "foreign": "外来",
    "unaccounted": "无从查证",
    "unsigned": "未签名",
    "unknown version": "版本不识",
    "released": "已交档案库",
    "torn": "断行",
    "simulated": "仿真",
    "unlisted": "无记录",
    "contradicted": "时间不符",
    "revoked": "证书已吊销",
    "expired": "证书已过期",
}
MEDIA_SIGNING = {
    "valid": "有效",
    "incomplete": "末尾未签",
    "missing": "缺帧",
    "invalid": "无效",
    "absent": "没有",
}
_STEPS = {
    1: "格式 form",
    2: "密钥 key",
    3: "签名 signature",
    4: "链位 place",
    5: "断行 torn tails",
    6: "引用 reference",
    7: "分段 segment",
    8: "录像 recording",
    9: "字节 bytes",
    10: "档案库 office",
    11: "尾部 tail",
    12: "内容 inside",
    13: "外来 strangers",
}
"""Names of the specification's steps."""
ATTACKS = {
    Attack.EDITED: "签名之后被改动 changed after it was signed",
    Attack.CUT_SHORT: "已签名的末尾被截去，断电不会造成 its signed end was cut off, which no loss of power does",
    Attack.APPENDED: "末尾被添加 something was added behind its end",
    Attack.DELETED: "被删除 deleted",
    Attack.INSERTED: "被放入，记录中没有 put in: no record names it",
    Attack.UNDECLARED: "断电所留或被改动，尚不能分辨 left by a loss of power or changed: cannot be told yet",
    Attack.REORDERED: "次序被调换 put in another order",
    Attack.REPLAYED: "旧内容被再次使用 something old brought again",
    Attack.SWAPPED: "与另一部录像或分段调换 swapped with another recording or segment",
    Attack.EXCHANGED: "整份文件被替换 exchanged as a whole for another file",
    Attack.SWAPPED_SOUND: "画面仍为签名时的画面，声音被更换 the pictures are those that were signed, the sound is not",
    Attack.RECIPIENTS: "可解密者被增加或更换 encrypted to others than the camera did",
    Attack.OTHER_CAMERA: "属于另一台记录仪 belongs to another camera",
    Attack.OTHER_AGENCY: "密钥不属于本机关 a key that is not of this agency",
    Attack.WRONG_ROLE: "有证书的密钥越权签名 signed by a certified key that may not sign this",
    Attack.LINK_KEY: "只有联网密钥担保，记录密钥遗失或被冒用 only the link key stands behind it: lost, or stolen",
    Attack.REVOKED_KEY: "密钥已吊销，无从证明在此之前 by a revoked key, and nothing proves that it was before",
    Attack.UNCERTIFIED: "没有任何密钥担保，任何人都可能制作 no key stands behind it: anybody may have made it",
    Attack.FORGED_KEY: "由另一密钥签名 signed by another key",
    Attack.FALSE_ARCHIVE: "并非本机关档案库所签 not signed by the agency's archive",
    Attack.ALGORITHM_CONFUSION: "签名算法被更换 another algorithm of signature was put in",
    Attack.PASSED_OFF: "以另一种文书冒充 a document of another kind passed off as this",
    Attack.DOWNGRADED: "格式版本被更换 another version of the format was put in",
    Attack.FORK: "同一记录仪有两份互相矛盾的记录 two records of one camera contradict each other",
    Attack.BACKDATED: "时间被改动 the time was changed",
    Attack.CONTRADICTION: "签名有效的记录互相矛盾 records with valid signatures contradict each other",
    Attack.TIME_HOLE: "有一段时间无任何记录说明 a time of which no record tells",
}
"""What each attack is, for people."""
_SECONDS = 60


def told(title: str, found: Sequence[Finding]) -> Iterator[str]:
    """Lines about findings or notes; none without any."""
    if found:
        yield ""
        yield f"{title}："
    for finding in found:
        if finding.attack is not None:
            yield f"  {ATTACKS[finding.attack]} [{finding.attack}]"
            yield from _place(finding)
        word = f"{VERDICTS[finding.verdict]} {finding.verdict}"
        indent = "  " if finding.attack is None else "    "
        yield f"{indent}步骤 step {finding.step} {_STEPS[finding.step]}  {word}  {finding.where}：{finding.message}"


def _place(finding: Finding) -> Iterator[str]:
    """Which recording, segment and seconds it is about, if that can be told."""
    if finding.recording is None:
        return
    words = [f"录像 recording {finding.recording}"]
    if finding.segment is not None:
        words.append(f"分段 segment {finding.segment:05d}")
    if finding.footage is not None:
        words += _seconds(finding.footage)
    yield f"    {'，'.join(words)}"


def _seconds(footage: Footage) -> list[str]:
    if footage.to_ms is None:
        return [
            f"片中 in the film {clock(footage.from_ms)} 起 onwards",
            f"自称 claimed {footage.claimed_from} 起 onwards",
        ]
    return [
        f"片中 in the film {clock(footage.from_ms)}–{clock(footage.to_ms)}",
        f"自称 claimed {footage.claimed_from}–{footage.claimed_to}",
    ]


def clock(ms: int) -> str:
    """A time in a film as players show it."""
    seconds, rest = divmod(ms, 1000)
    minutes, second = divmod(seconds, _SECONDS)
    hour, minute = divmod(minutes, _SECONDS)
    return f"{hour}:{minute:02d}:{second:02d}.{rest:03d}"
