"""The two screens that lie over the panel: the menu of faults, and the help."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from hw_sim.panel import faults
from hw_sim.panel.faults import Active, Fault
from hw_sim.panel.views import Key
from hw_sim.panel.words import column


class FaultMenu(ModalScreen[Fault | None]):
    """Choose a fault to begin, or one that is on to end it. Gives None if nothing is chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f,q", "dismiss(None)"),
        Binding("left", "app.focus_previous"),
        Binding("right", "app.focus_next"),
    ]

    def __init__(self, active: Active, *, has_card: bool) -> None:
        super().__init__()
        self._active = active
        self._columns = [(title, column) for title, column in faults.COLUMNS if has_card or column is not faults.CARD]
        self._faults = {fault.key: fault for _, column in self._columns for fault in column}

    def compose(self) -> ComposeResult:
        """A list for each part of the world, side by side."""
        with Vertical(classes="sheet", id="menu") as sheet:
            sheet.border_title = "故障 faults"
            sheet.border_subtitle = "↑↓←→ 选择 choose  Enter 开或关 on or off  Esc 返回 back"
            with Grid():
                for title, entries in self._columns:
                    with Vertical():
                        yield Static(title, classes="heading")
                        yield OptionList(*(Option(self._label(fault), id=fault.key) for fault in entries))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """It is chosen."""
        self.dismiss(self._faults[str(event.option_id)])

    def _label(self, fault: Fault) -> Text:
        on = fault in self._active
        return Text.assemble(
            ("● " if on else "  ", "bold yellow"),
            (column(fault.chinese, 11), "bold yellow" if on else ""),
            (fault.english, "dim"),
            no_wrap=True,
            overflow="ellipsis",
        )


class Help(ModalScreen[None]):
    """What each key does, at length."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss(None)")]

    def __init__(self, keys: list[Key]) -> None:
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        """One line a key."""
        with Vertical(classes="sheet", id="help") as sheet:
            sheet.border_title = "帮助 help"
            sheet.border_subtitle = "Esc 返回 back"
            lines = [
                Text.assemble((column(key.key, 8), "bold"), column(key.chinese, 36), (key.english, "dim"))
                for key in self._keys
            ]
            yield Static(Text("\n").join(lines))
