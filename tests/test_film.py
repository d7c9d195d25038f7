"""The virtual MP4 of a part: programs that we did not write read it as they read the exported one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from evidence import age
from office import axis
from office.archive import Archive
from office.config import OfficeConfig
from office.errors import OfficeError
from office.film import Film, Plain
from office.reel import Reels
from office.watching import held_segments, stored
from runtime.config import load
from tests.evidence_media import media
from tests.footage import Camera
from tests.office_kit import OfficeKit, running

pytestmark = pytest.mark.net


@dataclass
class Shelf:
    office: OfficeKit
    camera: Camera
    recording: str
    identity: str


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Two parts: twelve seconds in three segments with a still and a marker, and four seconds after a power cut."""
    office = OfficeKit(tmp_path_factory.mktemp("office"))
    identity = age.generate_identity()
    camera = Camera(office.agency, [age.recipient_of(identity), age.recipient_of(age.generate_identity())])
    recording = camera.start()
    camera.line("notice", recording=recording, attempt=1, heard=True, score_permille=990, from_ns=1, to_ns=2)
    for segment in range(3):
        numbers = range(segment * 8, segment * 8 + 8)
        camera.film(recording, 1, segment, list(numbers), of=24, still=media().still if segment == 1 else b"")
    camera.line("marker", recording=recording, at_ns=camera._part_ns + 5_000_000_000)
    camera.boot()
    camera.start(recording, 2)
    camera.film(recording, 2, 3, list(range(8)), of=24)
    camera.gap(recording, 1)
    camera.end(recording, 2, 4)
    with running(office):
        client = office.client()
        client.hand_in_journal(camera.device, camera.journal)
        for name, data in camera.segments.items():
            assert client.patch(client.segment(camera.device, name, data), 0, data).status == 204
    return Shelf(office, camera, recording, identity)


@pytest.fixture
def archive(shelf: Shelf) -> Iterator[Archive]:
    with closing(Archive(load(shelf.office.config, OfficeConfig))) as opened:
        yield opened


def film_of(archive: Archive, shelf: Shelf, part: int, held: set[int] | None = None) -> Film:
    device, told = shelf.camera.device, Reels(archive).get(shelf.camera.device, shelf.recording)
    plain = Plain(
        lambda segment, start, size: stored(archive, device, shelf.recording, segment, start, size),
        lambda _, header: age.unwrap(age.parse_header(header), shelf.identity),
    )
    return Film(told, told.parts[part], held or held_segments(archive, device, shelf.recording), plain)


def decoded(path: Path) -> str:
    """Hashes of each decoded picture and of the sound, with their times, as ffmpeg has them."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "framehash", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith("#"))


def test_ffmpeg_decodes_it_as_the_exported_film_of_the_part(archive: Archive, shelf: Shelf, tmp_path: Path) -> None:
    key = tmp_path / "office.age"
    key.write_text(shelf.identity + "\n")
    copy = tmp_path / "copy"
    done = shelf.office.call("export", shelf.recording, "--out", str(copy), "--identity", str(key), "--by-part")
    assert done.returncode == 0, done.stderr
    for part in (1, 2):
        film = film_of(archive, shelf, part)
        whole = tmp_path / f"{part}.mp4"
        whole.write_bytes(b"".join(film.read(0, film.size)))
        assert whole.stat().st_size == film.size
        found = decoded(whole)
        assert len(found.splitlines()) > 100
        assert found == decoded(copy / "parts" / f"{part}.mp4")


def test_any_range_is_those_bytes(archive: Archive, shelf: Shelf) -> None:
    film = film_of(archive, shelf, 1)
    whole = b"".join(film.read(0, film.size))
    edges = [0, 1, len(film._header) - 1, len(film._header), *film._starts[1:3], film._starts[3] + 70_000, film.size]
    for start in edges:
        for end in edges:
            assert b"".join(film.read(start, end)) == whole[start : max(end, start)], (start, end)


def test_its_index_lets_players_begin_each_two_seconds(archive: Archive, shelf: Shelf, tmp_path: Path) -> None:
    film = film_of(archive, shelf, 1)
    path = tmp_path / "1.mp4"
    path.write_bytes(b"".join(film.read(0, film.size)))
    command = ["ffprobe", "-v", "trace", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stderr
    assert "type:'sidx'" in told
    packets = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v",
        "-show_entries",
        "packet=pts_time,flags",
        "-of",
        "json",
    ]
    rows = json.loads(subprocess.run([*packets, str(path)], capture_output=True, check=True, timeout=60).stdout)
    times = [float(row["pts_time"]) for row in rows["packets"]]
    assert times[0] == 0.0
    assert times[-1] == pytest.approx(12 - 1 / 24, abs=0.01)


def test_what_is_not_held_is_left_out_and_shown_as_missing(archive: Archive, shelf: Shelf, tmp_path: Path) -> None:
    film = film_of(archive, shelf, 1, {0, 2})
    path = tmp_path / "holed.mp4"
    path.write_bytes(b"".join(film.read(0, film.size)))
    assert len([line for line in decoded(path).splitlines() if line.startswith("0,")]) == 192
    line = axis.lay(Reels(archive).get(shelf.camera.device, shelf.recording), {0, 2, 3})
    missing = [hole for hole in line.holes if hole.cause == "missing"]
    assert [(hole.begin, hole.end) for hole in missing] == [(4.0, 8.0)]
    with pytest.raises(OfficeError, match="film-empty"):
        film_of(archive, shelf, 2, {0})


def test_the_line_has_gaps_markers_stills_and_notices_where_they_were(archive: Archive, shelf: Shelf) -> None:
    line = axis.lay(Reels(archive).get(shelf.camera.device, shelf.recording), {0, 1, 2, 3})
    assert (line.runs[0].part, line.runs[0].begin, line.runs[0].end) == (1, 0.0, 12.0)
    [gap] = line.holes
    assert (gap.cause, gap.reason, gap.begin, gap.open) == ("power_cut", "speech_followed", 12.0, True)
    assert gap.end - gap.begin >= 2.0
    assert line.runs[1].begin == gap.end
    found = {moment.kind: moment.begin for moment in line.moments}
    assert (found["marker"], found["still"], found["notice"]) == (5.0, 4.0, 0.0)
