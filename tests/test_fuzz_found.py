"""What hostile bytes once brought about, each by its name."""

from __future__ import annotations

import io
import json
import re
import struct
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from evidence import boxes, jose, mp4, pki, records
from evidence.account import Account
from evidence.agreement import disagreements
from evidence.documents import Receipt
from evidence.errors import EvidenceError
from evidence.fragment_check import FragmentCheck, PartClock
from evidence.join import Joiner, PartSource
from evidence.journal import JournalReader
from evidence.verify import Verifier
from firmware.capture.journal_writer import torn_tail
from firmware.capture.recovery import recover
from firmware.config import CameraConfig
from firmware.hal.gpsd_positioning import GnssConfig, GpsdPositioning
from firmware.hal.linux_clock import LinuxClock, LinuxClockConfig
from hw_sim.scenario.plan import Expect
from runtime import config, token
from runtime.config import ConfigError
from runtime.token import TokenError
from syncd.office import Signers
from tests.evidence_builder import Camera, MemoryFolder
from tests.evidence_keys import AGENCY
from tests.evidence_media import BLOCKS, media_fragment, media_init
from tests.fuzz.program_targets import _Connection
from tests.fuzz.signed import document_of, folder, line_of, payloads, vector
from tests.fuzz.table import SEEDS, TARGETS
from tests.memory_disk import MemoryDisk
from tests.test_fuzz import peak


def refused(code: str, parse: Any, *arguments: Any) -> None:
    with pytest.raises(EvidenceError) as caught:
        parse(*arguments)
    assert caught.value.code == code


def boot(**changed: Any) -> bytes:
    """The vectors' first line with another body."""
    told = json.loads(payloads()[0])
    return line_of(json.dumps({**told, "body": {**told["body"], **changed}}).encode())


# --- evidence


def test_a_voucher_without_certificates_is_refused() -> None:
    text = boot(chain=[], voucher={"chain": [], "jws": ""})
    refused("shape", JournalReader([AGENCY.root]).feed, 0, text + b"\n")


def test_a_journal_file_of_a_huge_number_costs_nothing() -> None:
    """Its name is anybody's; all numbers before it were once written down, four gigabytes of them."""
    number = 99_999_999
    text = boot(file=number, torn=[]) + b"\n"
    refused("chain-broken", JournalReader([AGENCY.root]).feed, number, text)
    assert peak("spoiled-folder", b"r0400000journal/99999999.jws") < 8 << 20


def test_a_film_does_not_begin_after_the_end_of_time() -> None:
    late = bytearray(media_fragment(0, 0, 0))
    struct.pack_into(">Q", late, next(boxes.fragments(bytes(late))).runs[0].tfdt_at, 2**64 - 1)
    joiner = Joiner([media_init(), media_init()])
    list(joiner.part(PartSource(1, [media_init() + media_fragment(0, 0, 0)])))
    refused("mp4-box", lambda: list(joiner.part(PartSource(2, [media_init() + bytes(late)]))))


def test_a_fragment_without_room_for_its_number_is_refused() -> None:
    whole = media_fragment(0, 0, 0)
    track = whole[whole.index(b"traf") - 4 :]
    traf = track[: int.from_bytes(track[:4], "big")]
    (fragment,) = boxes.fragments(whole)
    sound = mp4.box(b"mdat", whole[fragment.runs[0].samples[0][0] : fragment.end])
    good = mp4.box(b"moof", mp4.box(b"mfhd", bytes(8)), traf)
    assert len(list(boxes.fragments(good + sound))) == 1
    refused(
        "mp4-box", lambda: list(boxes.fragments(mp4.box(b"moof", mp4.box(b"mfhd"), mp4.box(b"free"), traf) + sound))
    )


def test_a_track_without_pictures_does_not_begin_with_one() -> None:
    whole = media_fragment(0, 0, 0)
    moof = whole.index(b"moof") - 4
    (fragment,) = boxes.fragments(whole)
    empty = bytearray(whole)
    at = whole.index(b"trun") - 4  # of the pictures
    size = int.from_bytes(whole[at : at + 4], "big")
    struct.pack_into(">I4sIIi", empty, at, 20, b"trun", 0x000701, 0, 0)
    struct.pack_into(">I4s", empty, at + 20, size - 20, b"free")
    assert moof == fragment.start
    (hollow,) = boxes.fragments(bytes(empty))
    told = {"frames": 0, "samples": BLOCKS * mp4.BLOCK, "starts_with_idr": False, "from_ns": 0, "to_ns": 0}
    FragmentCheck(bytes(empty), PartClock(0, 0, 0)).check(0, hollow, told)


@pytest.mark.parametrize("size", [3, 65_536])
def test_parameter_sets_fit_their_box(size: int) -> None:
    for sps, pps in ((b"g" * size, b"h"), (b"g" * 9, b"h" * size * (size > 3))):
        refused("h264-unit", mp4.init, mp4.VideoConfig(sps, pps, 320, 240), None, 0)


def test_a_sound_track_without_its_configuration_is_no_part_without_tracks() -> None:
    refused("flac-config", mp4.init, None, b"", 0)


def test_more_stills_than_a_segment_may_hold_are_not_looked_for_one_by_one() -> None:
    camera = Camera()
    camera.boot()
    camera.record("M", stop=False)
    account = Account()
    still = next(record for record in camera.records if record.kind == "still")
    for record in camera.records:
        account.add(record)
    assert not list(disagreements(account))
    for _ in range(1_000):
        account.add(still)
    (finding,) = disagreements(account)
    assert (finding.step, finding.verdict) == (7, "altered")


def test_receipts_by_many_keys_do_not_look_at_each_certificate_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are anybody's who writes into a folder: a hundred thousand of the one were read for each of the other."""
    files = dict(folder())
    for number in range(50):
        text = jose.sign(b"{}", AGENCY.key("signer"), Receipt.TYP, f"{number:064x}", deterministic=True)
        files[f"receipts/bfe3b5b1-1/{number:05d}.jws"] = text.encode()
    looked: list[object] = []
    key_id = pki.key_id

    def counted(key: Any) -> str:
        looked.append(key)
        return key_id(key)

    monkeypatch.setattr(pki, "key_id", counted)
    Verifier(MemoryFolder(files), [AGENCY.root]).run()
    assert len(looked) < 25


# --- camera


def test_a_camera_starts_though_the_opening_of_its_open_recording_rotted() -> None:
    camera = Camera()
    camera.boot()
    camera.record("S", stop=False)
    first = camera.boot_id
    camera.boot()
    disk = MemoryDisk()
    for path, content in camera.files.items():
        file = disk.create(path)
        file.append(b"?" + content[1:] if path == records.journal_path(0) else content)
        file.sync()
    found = recover(disk).recording
    assert found is not None
    assert found.reach.kernel_boot == first  # nobody knows it: it is on no clock but its own


def test_a_camera_starts_though_the_beginning_of_a_part_rotted() -> None:
    camera = Camera()
    camera.boot()
    camera.record("TT", stop=False)
    disk = MemoryDisk()
    for path, content in camera.files.items():
        rotted = {records.journal_path(1): "recording_started", records.journal_path(2): "gap"}.get(path)
        lines = content.splitlines(keepends=True) if rotted else [content]
        kept = [b"?" + line[1:] if rotted and records.parse(line[:-1]).kind == rotted else line for line in lines]
        file = disk.create(path)
        file.append(b"".join(kept))
        file.sync()
    found = recover(disk).recording
    assert found is not None
    assert [gap.reach.part for gap in found.owed] == [1]  # the last part before it that is known of


def test_a_camera_starts_at_once_though_the_opening_of_a_long_file_rotted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its opening was once read again for each line behind it: a file of 16 MiB took minutes."""
    parsed: list[bytes] = []
    parse = jose.parse

    def counted(text: bytes, typ: str) -> jose.Jws:
        parsed.append(text)
        return parse(text, typ)

    monkeypatch.setattr(jose, "parse", counted)
    disk = MemoryDisk()
    file = disk.create(records.journal_path(0))
    file.append(b"?\n" * 500)
    file.sync()
    assert recover(disk).torn == [torn_tail(0, 0, b"?\n" * 500)]
    assert len(parsed) == 1


@pytest.mark.parametrize("changed", [{"error_ms": ""}, {"error_ms": False}, {"boot_ns": 2**70}, {"boot_ns": -(2**70)}])
def test_a_remembered_time_that_no_record_can_carry_counts_as_none(tmp_path: Path, changed: dict[str, Any]) -> None:
    kept = LinuxClockConfig(tmp_path / "clock.json")
    clock = LinuxClock(kept)
    clock.set_utc(1_795_500_000_000, "gnss", 20)
    good = json.loads(kept.state.read_bytes())
    assert LinuxClock(kept).utc().source == "gnss"
    kept.state.write_text(json.dumps({**good, **changed}))
    assert LinuxClock(kept).utc().source == "none"


def test_a_remembered_time_in_lists_in_lists_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "clock.json").write_bytes(b"[" * 9000)
    assert LinuxClock(LinuxClockConfig(tmp_path / "clock.json")).utc().source == "none"


def test_gpsd_in_lists_in_lists_does_not_keep_a_camera_from_starting() -> None:
    driver = GpsdPositioning(GnssConfig(), cast("Any", SimpleNamespace(boot_ns=lambda: 0)))
    with pytest.raises(ValueError, match="lists"):
        driver._take(b"[" * 4000, lambda _: None)


def test_what_is_no_request_is_answered_with_a_status_all_the_same() -> None:
    assert io.BytesIO(_Connection(b"\0\r\n\r\n").answer()).readline() == b"HTTP/1.1 400 Bad Request\r\n"


# --- configuration files


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"a = " + b"[" * 5000, "is not TOML"),
        (b'data = "~nobody-is-called-so/x"', "data: "),
        (b'data = "a\\u0000b"', "zero byte"),
        (b"data = 0x" + b"f" * 5000, "too long to show"),
    ],
)
def test_a_configuration_that_cannot_be_is_told_by_file_and_key(tmp_path: Path, text: bytes, told: str) -> None:
    path = tmp_path / "camera.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=told):
        config.load(path, CameraConfig)


def test_a_whole_number_beyond_every_fraction_is_no_number_of_seconds(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="within: expected a number"):
        config.fill(Expect, {"fact": "a", "within": 10**400}, tmp_path / "a.toml")


# --- dock and office


def test_a_carriage_return_ends_no_line_for_the_dock() -> None:
    """What stood before it was passed over, and the spool then held other bytes than had been verified."""
    second = len(folder()[records.journal_path(0)].partition(b"\n")[0]) + 1
    TARGETS["pulled-journal"](b"i00%05xx\r" % second)


def test_what_the_dock_refuses_has_a_listed_code() -> None:
    refused("certificate-role", Signers, [AGENCY.issuing], [AGENCY.root])
    early = vector("documents")["receipt"]["payload"].replace('"received":"2026', '"received":"2019').encode()
    signers = Signers([AGENCY.signer, AGENCY.issuing], [AGENCY.root])
    refused("chain-dates", signers.receipt, document_of(early, "bodycam-receipt"))


def told(change: bytes, to: bytes) -> None:
    """The story of a hostile camera with an alert, a gap and a notice, catalogued and listed."""
    story = SEEDS["catalogued-journal"]()[-1]
    assert re.search(change, story)
    TARGETS["catalogued-journal"](re.sub(change, to, story))


def test_what_a_camera_alerts_of_commands_no_terminal() -> None:
    told(rb"46 C", rb"\\u001b[2J\\n\\u202e")


def test_a_clock_at_the_end_of_the_calendar_can_be_listed_in_the_east(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        told(rb'"utc": "[^"]*"', b'"utc": "9999-12-31T23:59:59.999Z"')
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("address", ["/nothing?\xff", "/v1/uploads?\xff", "/v1/uploads/a/b/c/d?\xb4"])
def test_an_address_that_is_no_text_is_not_the_offices_fault(address: str) -> None:
    for method in ("GET", "POST", "HEAD"):
        TARGETS["office-request"](f"{method} {address}\nhost: [\n\n".encode("latin-1"))


def test_a_file_of_orders_that_holds_none_keeps_no_dock_from_starting() -> None:
    TARGETS["kept-orders"](b'{"orders": 99999}')


@pytest.mark.parametrize("printed", [b"0\n", b"[]", b'{"points":[4]}', b"\xff\xfe\n", b"{}", b'{"error":7}'])
def test_what_a_tokens_library_prints_is_no_answer(printed: bytes) -> None:
    with pytest.raises(TokenError, match="no answer"):
        token._read("a token", "list", printed, 0)
    good = b'{"destroyed":1}\n'
    assert token._read("a token", "destroy", good + printed, 0) == {"destroyed": 1}, "it prints as it is unloaded, too"
