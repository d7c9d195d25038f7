"""What `office.toml` says (docs/configuration.md, §Office)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from office.notify_config import NotifyConfig
from runtime.config import Between, Matches

_Port = Annotated[int, Between(0, 65_535)]


@dataclass(frozen=True, slots=True)
class OidcConfig:
    """A provider that says who somebody is. `page`: the page's own address; `claim`: which member is the account."""

    issuer: Annotated[str, Matches(r"https://\S+")]
    client: str
    secret_file: Path
    page: Annotated[str, Matches(r"https://\S+")]
    claim: str = "preferred_username"
    roots: Path | None = None  # PEM; None: the machine's own


@dataclass(frozen=True, slots=True)
class KeydConfig:
    """`folder`: keyd's own. `peer`: the user whose processes get an answer; None: keyd's own user."""

    folder: Path
    socket: Path
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where files stand: in a folder, or in a bucket with S3 Object Lock."""

    folder: Path | None = None
    bucket: Annotated[str, Matches("[a-z0-9.-]{3,63}")] | None = None
    prefix: Annotated[str, Matches("([a-zA-Z0-9_.-]+/)*")] = ""  # of all names in the bucket
    endpoint: Annotated[str, Matches(r"https?://\S+")] | None = None
    region: str = "us-east-1"
    credentials: Path | None = None  # of the form of ~/.aws/credentials, section [default]
    roots: Path | None = None  # PEM: who the endpoint's certificate is from

    def __post_init__(self) -> None:
        if (self.folder is None) == (self.bucket is None):
            raise ValueError("either folder or bucket is told")


@dataclass(frozen=True, slots=True)
class RetentionClass:
    """A class of recordings by how long they are kept."""

    name: Annotated[str, Matches(".{1,32}")]
    years: Annotated[int, Between(2, 60)] | None = None  # from the recording's end; none: for good


@dataclass(frozen=True, slots=True)
class OfficeConfig:
    """The office's own id is that of its certificate; the agency's is that of the root. Relative paths: see `load`."""

    data: Path  # folder of store, staging, log, catalogue, broker
    roots: Path  # PEM of the agency's roots
    certificate: Path  # PEM chain of role `office`, leaf first
    key: Path
    signer_certificate: Path  # PEM chain of role `signer`, leaf first
    signer_key: Path
    log_key: Path  # PEM, Ed25519
    database: Annotated[str, Matches(r"postgresql\+pg8000://\S+")] | None = None  # of the catalogue; None: a file
    cameras: Path | None = None  # the register of cameras; without it every camera of the agency is taken in
    address: str = "127.0.0.1"
    port: _Port = 8443  # 0: any free one, told when ready
    broker_address: str = "127.0.0.1"
    broker_port: Annotated[int, Between(1, 65_535)] = 8883
    retention_years: Annotated[int, Between(2, 60)] = 2  # rule 20
    retention_classes: tuple[RetentionClass, ...] = (
        RetentionClass("10年", 10),
        RetentionClass("30年", 30),
        RetentionClass("永久"),
    )
    store: Place | None = None  # of segments, in a bucket; none: <data>/store
    second: Place | None = None  # where each file has its second copy
    scrub_bytes_per_second: Annotated[int, Between(0, 1 << 40)] = 8 << 20  # 0: only by command
    clock_error_ms: Annotated[int, Between(0, 60_000)] = 1_000  # bound of this machine's UTC, put in time anchors
    stamp_address: Annotated[str, Matches(r"https?://\S+")] | None = None  # of an RFC 3161 authority
    stamp_roots: Path | None = None  # PEM: whose stamps from there count
    stamp_certificate: Path | None = (
        None  # PEM chain of role `stamp`: the agency's own authority, if no address is given
    )
    stamp_key: Path | None = None
    stamp_seconds: Annotated[int, Between(1, 86_400)] = 300  # between two stamps of a log that grows
    desks: tuple[Annotated[str, Matches("[A-Z0-9-]{3,32}")], ...] = ()  # who of role `desk` may read and command
    time_zone: str = "Asia/Shanghai"  # of the county: where a day ends (rule 19)
    warn_hours: Annotated[int, Between(0, 24)] = 4  # before a deadline
    notify: NotifyConfig | None = None  # without it nobody is told by mail or webhook
    page_address: str | None = None  # where people's browsers come to (HTTPS); without it there is no page
    page_port: _Port = 8444  # 0: any free one, told when ready
    page_certificate: Path | None = None  # PEM chain of an authority that people's browsers trust, leaf first
    page_key: Path | None = None
    oidc: OidcConfig | None = None  # besides accounts of the office's own
    keyd: KeydConfig | None = None  # without it nobody can watch
    stall_seconds: Annotated[int, Between(1, 600)] = 60  # an upload that brings nothing for so long is cut

    def __post_init__(self) -> None:
        if self.page_address is not None and (self.page_certificate is None or self.page_key is None):
            raise ValueError("page_address: page_certificate and page_key are needed with it")
        try:
            self.zone  # noqa: B018 - asked for its error
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"time_zone: {self.time_zone!r} is unknown here: install tzdata, or correct it") from error

    @property
    def zone(self) -> ZoneInfo:
        """The county's time zone."""
        return ZoneInfo(self.time_zone)
