"""What `[notify]` in office.toml says: who is told of what waits, by mail and webhook (docs/configuration.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from runtime.config import Between, Matches

_Address = Annotated[str, Matches(r"[^\s@<>,;]+@[^\s@<>,;]+")]


@dataclass(frozen=True, slots=True)
class MailConfig:
    """A mail server of the bureau's own network."""

    host: str
    sender: _Address
    to: tuple[_Address, ...]
    port: Annotated[int, Between(1, 65_535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    roots: Path | None = None  # PEM: whose certificate the server has; None: as the machine trusts
    user: str | None = None
    password_file: Path | None = None  # its one line; for its owner only

    def __post_init__(self) -> None:
        if not self.to:
            raise ValueError("to: name at least one address")
        if (self.user is None) is not (self.password_file is None):
            raise ValueError("user and password_file go together")
        if self.user is not None and self.security == "none":
            raise ValueError("security: a password is sent over starttls or tls only")


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """A program of the bureau that takes notices, signed as standardwebhooks.com describes."""

    address: Annotated[str, Matches(r"https?://\S+")]
    secret_file: Path  # `whsec_` and Base64, or any other line; for its owner only
    roots: Path | None = None


@dataclass(frozen=True, slots=True)
class NotifyConfig:
    """Channels, each used if it is there."""

    mail: MailConfig | None = None
    webhook: WebhookConfig | None = None
    look_seconds: Annotated[int, Between(1, 3600)] = 60
