"""tus 1.0 (creation, creation-defer-length), the rules of it: headers in, decisions out. No IO.

The upload's address names what it carries, so it is deterministic and creating it again is the same act:
`/v1/uploads/<DEVICE>/journal/<file>` and `/v1/uploads/<DEVICE>/<recording>/<segment>`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from evidence import shape
from office.errors import OfficeError

VERSION = "1.0.0"
BASE = "/v1/uploads"
CONTENT_TYPE = "application/offset+octet-stream"
SERVER_HEADERS = {"Tus-Version": VERSION, "Tus-Extension": "creation,creation-defer-length"}
_LENGTH_LIMIT = 8 * 1024**3  # bytes: 60 s at a gigabit a second
_JOURNAL_FILES = 100_000_000
_SEGMENTS = 1_000_000


@dataclass(frozen=True, slots=True)
class JournalUpload:
    """A camera's journal file, which grows over many hand-ins."""

    device: str
    file: int

    @property
    def path(self) -> str:
        """Path of its address."""
        return f"{BASE}/{self.device}/journal/{self.file}"


@dataclass(frozen=True, slots=True)
class SegmentUpload:
    """One segment's ciphertext."""

    device: str
    recording: str
    segment: int

    @property
    def path(self) -> str:
        """Path of its address."""
        return f"{BASE}/{self.device}/{self.recording}/{self.segment}"


Upload = JournalUpload | SegmentUpload


def upload_at(device: str, group: str, number: str) -> Upload:
    """The upload of an address's last three parts. Raises `OfficeError` ("upload-unknown")."""
    try:
        if group == "journal":
            return _journal(device, number)
        return _segment(device, group, number)
    except OfficeError as error:
        raise OfficeError("upload-unknown", "there is no such upload: create it first", 404) from error


def check_version(headers: Mapping[str, str]) -> None:
    """Every request but OPTIONS tells the protocol's version."""
    if headers.get("tus-resumable") != VERSION:
        raise OfficeError("tus-version", f"send Tus-Resumable: {VERSION}", 412)


def creation(headers: Mapping[str, str]) -> tuple[Upload, int | None]:
    """What a POST wants to upload, and its length; None: deferred, as it must be for a journal."""
    check_version(headers)
    metadata = parse_metadata(headers.get("upload-metadata", ""))
    kind = metadata.get("kind")
    names = {"journal": {"kind", "device", "file"}, "segment": {"kind", "device", "recording", "segment"}}
    if kind not in names or metadata.keys() != names[kind]:
        raise OfficeError(
            "upload-metadata", "Upload-Metadata names kind, device and file, or recording and segment", 400
        )
    length, deferred = headers.get("upload-length"), headers.get("upload-defer-length")
    if kind == "journal":
        if length is not None or deferred != "1":
            raise OfficeError("upload-length", "a journal grows: send Upload-Defer-Length: 1, no Upload-Length", 400)
        return _journal(metadata["device"], metadata["file"]), None
    if length is None or deferred is not None:
        raise OfficeError("upload-length", "a segment's length is known: send Upload-Length", 400)
    upload = _segment(metadata["device"], metadata["recording"], metadata["segment"])
    return upload, _number(length, _LENGTH_LIMIT, "Upload-Length")


def check_patch(headers: Mapping[str, str], offset: int, length: int | None) -> None:
    """Whether a PATCH goes on at the durable offset and stays within the length. Raises `OfficeError`."""
    check_version(headers)
    if headers.get("content-type") != CONTENT_TYPE:
        raise OfficeError("content-type", f"send Content-Type: {CONTENT_TYPE}", 415)
    told = _number(headers.get("upload-offset", ""), 2**63, "Upload-Offset")
    if told != offset:
        raise OfficeError("offset-mismatch", f"the upload stands at {offset}, not at {told}: ask by HEAD", 409)
    body = headers.get("content-length")
    if body is not None and length is not None and _number(body, 2**63, "Content-Length") > length - offset:
        raise OfficeError("too-long", f"only {length - offset} bytes are missing", 413)


def parse_metadata(text: str) -> dict[str, str]:
    """`Upload-Metadata`: pairs of a name and a value in base64. Raises `OfficeError`."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, encoded = pair.partition(" ")
        try:
            value = base64.b64decode(encoded.encode("ascii"), validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise OfficeError("upload-metadata", f"Upload-Metadata: {name} is not base64 of UTF-8", 400) from error
        if not name or name in found:
            raise OfficeError("upload-metadata", f"Upload-Metadata has an empty name, or {name!r} twice", 400)
        found[name] = value
    return found


def _journal(device: str, file: str) -> JournalUpload:
    return JournalUpload(_device(device), _number(file, _JOURNAL_FILES - 1, "file"))


def _segment(device: str, recording: str, segment: str) -> SegmentUpload:
    if not shape.recording_id(recording):
        raise OfficeError("upload-metadata", "recording is not a recording's id", 400)
    return SegmentUpload(_device(device), recording, _number(segment, _SEGMENTS - 1, "segment"))


def _device(text: str) -> str:
    if not shape.identifier(text):
        raise OfficeError("upload-metadata", "device is not a device's id", 400)
    return text


def _number(text: str, limit: int, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and str(int(text)) == text):  # noqa: PLR2004 - of 2^63
        raise OfficeError("number", f"{name} is not a whole number", 400)
    if int(text) > limit:
        raise OfficeError("number", f"{name} is more than {limit}", 400)
    return int(text)
