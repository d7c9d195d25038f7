"""The journal of a folder: each file's lines, and what stands behind them (steps 1 to 5 of specification §7)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

from evidence import forgery, records
from evidence.errors import EvidenceError
from evidence.finding import Attack, Finding, Footage
from evidence.office_word import VERDICT_OF
from evidence.report import Report


class JournalCheck:
    """Carries out steps 1 to 5 and tells the report's account what happened.

    `files`: paths by number; `read`: a file's bytes, of a longer one at least one more than asked for.
    """

    def __init__(self, report: Report, files: Mapping[int, str], read: Callable[[str, int], bytes]) -> None:
        self._report = report
        self._files = dict(sorted(files.items()))
        self._read = read
        self._tails: dict[int, bytes] = {}

    def run(self) -> None:
        """All of the steps, up to the first line that does not hold."""
        if not self._files:
            self._report.find(Finding(1, "missing", "journal", "there is no journal here", Attack.DELETED))
        declared = self._declared_torn()
        for file, path in self._files.items():
            data = self._read(path, records.FILE_LIMIT)
            if len(data) > records.FILE_LIMIT:
                self._break(1, "altered", path, "the file is longer than a journal file may be", Attack.APPENDED)
                break
            # A torn tail may hold a whole line, if the disk refused only to make it durable: it is no record.
            if not self._feed(file, data[: declared.get(file, len(data))]):
                break
            self._tails[file] = data[self._report.reader.good_len(file) :]
            if self._tails[file] and file not in declared:
                self._judge_undeclared(file)
        self._compare_torn()
        self._judge_boots()

    def _declared_torn(self) -> dict[int, int]:
        """Where openings say that a torn tail begins, by file; step 5 believes it once the opening verified."""
        declared: dict[int, int] = {}
        for file, path in self._files.items():
            start = self._read(path, records.OPENING_LIMIT)
            try:
                torn = records.parse(start.partition(b"\n")[0]).body.get("torn", [])
            except EvidenceError:
                continue
            declared.update({tail["file"]: tail["offset"] for tail in torn if tail["file"] < file})
        return declared

    def _feed(self, file: int, data: bytes) -> bool:
        """The lines of a file, up to the first bad one; False if there was one."""
        reader, start = self._report.reader, 0
        try:
            while (end := data.find(b"\n", start) + 1) > 0:
                for record in reader.feed(file, data[start:end]):
                    self._report.account.add(record)
                start = end
        except EvidenceError as error:
            after = "the beginning" if reader.head is None else f"record {reader.head[0]}"
            message = f"after {after}: {error.message} ({error.code}); nothing beyond it is proven"
            attack = forgery.of_line(data[start : end - 1], error, reader, self._later(file, data[end:]))
            verdict = VERDICT_OF.get(error.code, "altered")
            self._break(reader.step, verdict, self._files[file], message, attack)
            return False
        return True

    def _later(self, file: int, rest: bytes) -> Iterator[bytes]:
        """The lines behind a bad one: to see whether a record that is not in its place stands elsewhere."""
        yield from rest.split(b"\n")
        for number, path in self._files.items():
            if number > file:
                yield from self._read(path, records.FILE_LIMIT).split(b"\n")

    def _break(self, step: int, verdict: str, where: str, message: str, attack: Attack) -> None:
        """The first line that does not hold: of the recording that was going on, nothing further is proven."""
        self._report.broken = True
        self._report.find(Finding(step, verdict, where, message, attack, *self._report.rest()))

    def _judge_undeclared(self, file: int) -> None:
        path, tail = self._files[file], self._tails[file]
        if file == max(self._files) and b"\n" not in tail:
            message = f"{len(tail)} bytes after the last line: cut by a power loss and not yet declared, or altered"
            self._report.find(Finding(5, "unaccounted", path, message, Attack.UNDECLARED, *self._report.rest()))
        else:
            message = f"{len(tail)} bytes after the last line are declared by nobody"
            self._report.find(Finding(5, "altered", path, message, Attack.APPENDED))

    def _compare_torn(self) -> None:
        """Step 5, once every opening that declares a tail has been verified. A copy need not hold the tail itself.

        Nor need the camera: a tail that a failing disk did not make durable loses its end with the next power cut.
        """
        for file, told in self._report.reader.torn.items():
            where, tail = records.journal_path(file), self._tails.get(file, b"")
            whole = len(tail) == told.length and hashlib.sha256(tail).hexdigest() == told.sha256
            if not whole and len(tail) >= told.length:
                message = "the torn tail is not the one that the next boot declared"
                attack = Attack.APPENDED if len(tail) > told.length else Attack.EDITED
                self._report.find(Finding(5, "altered", where, message, attack))
            else:
                message = f"{told.length} bytes that never became a record, as a later boot declares"
                self._report.note(Finding(5, "torn", where, message))

    def _judge_boots(self) -> None:
        recorded = self._recorded()
        for record in self._report.account.boots:
            where, session = f"boot {record.boot}", self._report.reader.sessions[record.boot]
            if not session.signed:
                attack = Attack.LINK_KEY if session.vouched else Attack.UNCERTIFIED
                message = "no certified evidence key stands behind this boot"
                place = self._place(recorded.get(record.boot, {}))
                self._report.find(Finding(2, "unsigned", where, message, attack, *place))
            if record.body["simulated"]:
                self._report.note(Finding(2, "simulated", where, "the hardware of this boot is simulated"))

    def _recorded(self) -> dict[str, dict[str, list[int]]]:
        """The segments that each boot recorded, by recording."""
        found: dict[str, dict[str, list[int]]] = {}
        for recording in self._report.account.recordings.values():
            for part in recording.parts.values():
                found.setdefault(part.boot, {}).setdefault(recording.id, [])
            for segment in recording.segments.values():
                found[segment.boot][recording.id].append(segment.index)
        return found

    def _place(self, recorded: Mapping[str, list[int]]) -> tuple[str | None, int | None, Footage | None]:
        """What a boot recorded, if that is of one recording."""
        if len(recorded) != 1:
            return None, None, None
        [(name, segments)] = recorded.items()
        if not segments:
            return name, None, None
        timeline = self._report.timeline(self._report.account.recordings[name])
        return name, min(segments), timeline.footage(min(segments), last=max(segments))
