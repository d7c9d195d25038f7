"""What other modules put onto the page of a recording: a panel each, for whom it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from office.person import Role
from office.site.call import Call


@dataclass(frozen=True, slots=True)
class Panel:
    """A card on the page of a recording. `data(call, device, recording)`: for its template; None: no card today."""

    template: str
    roles: frozenset[Role]
    data: Callable[[Call, str, str], Mapping[str, Any] | None]
