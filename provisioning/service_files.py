"""What systemd is to know of a machine's program: a unit, its user; on a camera also the address of its USB gadget."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Final

from provisioning.errors import ProvisioningError
from runtime.keys import replace_file

KINDS: Final = ("camera", "dock", "office")
_NETWORK = "80-bodycam-usb.network"


def write(kind: str, folder: Path, out: Path, command: str) -> list[Path]:
    """Write the files of one kind of machine below `out` (as below /etc); returns where they are.

    `folder`: the device's own, with `<kind>.toml`; `command`: how systemd starts `bodycam`. Raises OSError.
    """
    folder = folder.resolve()
    if folder.is_relative_to("/home") or any(letter.isspace() or letter == "%" for letter in str(folder)):
        raise ProvisioningError(os.EX_USAGE, f"{folder}: a service's folder is outside of /home, without spaces or %")
    files = {
        f"systemd/system/bodycam-{kind}.service": _shipped(f"bodycam-{kind}.service") + _shipped("hardening.conf"),
        "sysusers.d/bodycam.conf": _shipped("bodycam.conf"),
    }
    if kind == "camera":
        files[f"systemd/network/{_NETWORK}"] = _shipped(_NETWORK)
    for name, text in files.items():
        filled = text.replace("@FOLDER@", str(folder)).replace("@BODYCAM@", command)
        replace_file(out / name, filled.encode())
    return [out / name for name in files]


def quoted(word: str) -> str:
    """One word of a command line as systemd reads it: spaces, quotes, its own `%` and `$` stand for themselves."""
    for letter in '\\"':
        word = word.replace(letter, f"\\{letter}")
    return '"' + word.replace("%", "%%").replace("$", "$$") + '"'


def _shipped(name: str) -> str:
    return (resources.files("provisioning") / "units" / name).read_text(encoding="utf-8")
