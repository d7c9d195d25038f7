"""The one error of provisioning."""

from __future__ import annotations


class ProvisioningError(Exception):
    """A step cannot be done. `exit_status` stands in docs/exit-status.md; the text says what to do."""

    def __init__(self, exit_status: int, message: str) -> None:
        super().__init__(message)
        self.exit_status = exit_status
