"""The rules of tus, without a server."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from office import tus
from office.errors import OfficeError
from office.tus import JournalUpload, SegmentUpload

SEGMENT = SegmentUpload("BWC-0001", "0123abcd-17", 3)
JOURNAL = JournalUpload("BWC-0001", 0)


def _metadata(**pairs: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in pairs.items())


def _creation(length: str | None = "100", **changes: str) -> dict[str, str]:
    pairs = {"kind": "segment", "device": "BWC-0001", "recording": "0123abcd-17", "segment": "3"} | changes
    size = {} if length is None else {"upload-length": length}
    return {"tus-resumable": "1.0.0", "upload-metadata": _metadata(**pairs), **size}


def _patch(**changes: str) -> dict[str, str]:
    told = {"tus-resumable": "1.0.0", "content-type": tus.CONTENT_TYPE, "upload-offset": "40", "content-length": "60"}
    return told | {name.replace("_", "-"): value for name, value in changes.items()}


def test_an_address_names_what_it_carries() -> None:
    for upload in (SEGMENT, JOURNAL):
        assert tus.upload_at(*upload.path.removeprefix(tus.BASE + "/").split("/")) == upload


def test_a_segment_is_created_with_its_length() -> None:
    assert tus.creation(_creation()) == (SEGMENT, 100)


def test_a_journal_is_created_without_one() -> None:
    metadata = _metadata(kind="journal", device="BWC-0001", file="0")
    headers = {"tus-resumable": "1.0.0", "upload-metadata": metadata, "upload-defer-length": "1"}
    assert tus.creation(headers) == (JOURNAL, None)
    with pytest.raises(OfficeError, match="upload-length"):
        tus.creation({**headers, "upload-length": "10"})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 412),
        (_creation() | {"tus-resumable": "0.2.2"}, 412),
        (_creation(length=None), 400),
        (_creation(length="-1"), 400),
        (_creation(length="1e9"), 400),
        (_creation(length="01"), 400),
        (_creation(length=str(2**62)), 400),
        (_creation(kind="still"), 400),
        (_creation(device="../etc"), 400),
        (_creation(device="bwc"), 400),
        (_creation(recording="x"), 400),
        (_creation(segment="1000000"), 400),
        (_creation(extra="1"), 400),
        (_creation() | {"upload-metadata": "kind ***"}, 400),
        (_creation() | {"upload-metadata": _metadata(kind="segment") + "," + _metadata(kind="segment")}, 400),
    ],
)
def test_a_wrong_creation_is_refused(headers: dict[str, str], status: int) -> None:
    with pytest.raises(OfficeError) as refused:
        tus.creation(headers)
    assert refused.value.status == status


def test_a_patch_goes_on_at_the_offset() -> None:
    tus.check_patch(_patch(), 40, 100)
    tus.check_patch(_patch(content_length="999999"), 40, None)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (_patch(tus_resumable="2"), 412, "tus-version"),
        (_patch(content_type="text/plain"), 415, "content-type"),
        (_patch(upload_offset="39"), 409, "offset-mismatch"),
        (_patch(upload_offset="41"), 409, "offset-mismatch"),
        (_patch(upload_offset="four"), 400, "number"),
        (_patch(content_length="61"), 413, "too-long"),
    ],
)
def test_a_wrong_patch_is_refused(headers: dict[str, str], status: int, code: str) -> None:
    with pytest.raises(OfficeError) as refused:
        tus.check_patch(headers, 40, 100)
    assert (refused.value.status, refused.value.code) == (status, code)


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=30))
def test_whatever_the_address_there_is_one_error(device: str, group: str, number: str) -> None:
    with contextlib.suppress(OfficeError):
        assert tus.upload_at(device, group, number).path == f"{tus.BASE}/{device}/{group}/{number}"


@given(st.text(max_size=200))
def test_whatever_the_metadata_there_is_one_error(text: str) -> None:
    with contextlib.suppress(OfficeError):
        assert "" not in tus.parse_metadata(text)
