"""The table of all that people can do on the page: one row gives the route, who may, the form and its description.

    ACTIONS = (
        Action("hold", "POST", "/recordings/{device}/{recording}/hold", Text("证据保全", "Legal hold"),
               KEEPERS, _hold, fields=(DEVICE, RECORDING, Field("reason", Text("事由", "Reason"), "lines"))),
    )

What a role may not do is absent from its pages, and refused.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, urlencode

from starlette.responses import Response

from office.person import Person, Role
from office.site.fields import Field
from office.site.text import Text

if TYPE_CHECKING:
    from office.site.call import Call

Handler = Callable[["Call"], Response | Awaitable[Response]]
"""A plain function runs in a thread of its own, a coroutine function on the loop."""

ANYONE: Final = None
"""For `Action.roles`: also who is not logged in."""
STAFF: Final = frozenset(Role)
"""For `Action.roles`: everybody who is logged in and has any role."""
FORM_LIMIT: Final = 64 * 1024  # bytes of a form
_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Action:
    """One thing that people can do.

    `name` is unique, stable, and the operation's id in the description; it is also what refusals are logged under.
    `menu`: the place in the main menu of those who may, if it has one (GET without parameters in its path).
    `answers`: the media type of what comes back if it is no page.
    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    title: Text
    roles: frozenset[Role] | None
    handler: Handler
    fields: tuple[Field, ...] = ()
    menu: int | None = None
    answers: str | None = None
    body_limit: int = FORM_LIMIT

    @cached_property
    def parameters(self) -> frozenset[str]:
        """Names of the fields that stand in the path."""
        return frozenset(_PARAMETER.findall(self.path))

    @property
    def inputs(self) -> Iterator[Field]:
        """The fields that do not."""
        return (field for field in self.fields if field.name not in self.parameters)

    def allows(self, person: Person | None) -> bool:
        """Whether this person may."""
        return self.roles is None or (person is not None and bool(self.roles & person.roles))

    def address(self, **values: Any) -> str:
        """Its path, with a query of the values that do not stand in it. None is left out."""
        path = _PARAMETER.sub(lambda found: quote(str(values[found[1]]), safe=""), self.path)
        rest = {name: value for name, value in values.items() if name not in self.parameters and value is not None}
        return f"{path}?{urlencode(rest, doseq=True)}" if rest else path


class Table:
    """All actions, by name. Building it checks that the table is sound. Raises ValueError."""

    def __init__(self, actions: Iterable[Action]) -> None:
        self._by_name: dict[str, Action] = {}
        places: set[tuple[str, str]] = set()
        for action in actions:
            place = (action.method, _PARAMETER.sub("{}", action.path))
            if action.name in self._by_name or place in places:
                raise ValueError(f"{action.name} ({action.method} {action.path}) stands in the table twice")
            if missing := action.parameters - {field.name for field in action.fields}:
                raise ValueError(f"{action.name}: no field for {missing} of its path")
            self._by_name[action.name] = action
            places.add(place)

    def __iter__(self) -> Iterator[Action]:
        """In the order of their naming."""
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> Action:
        return self._by_name[name]

    def menu(self, person: Person | None) -> list[Action]:
        """The main menu of a person."""
        found = [action for action in self if action.menu is not None and action.allows(person)]
        return sorted(found, key=lambda action: action.menu or 0)


def by_path(actions: Iterable[Action]) -> Mapping[str, list[Action]]:
    """The actions of each path."""
    found: dict[str, list[Action]] = {}
    for action in actions:
        found.setdefault(action.path, []).append(action)
    return found
