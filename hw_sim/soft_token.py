"""A PKCS#11 token without the hardware: SoftHSM behind a module that can be slow, hang, crash or be gone.

Everything above the module is real: python-pkcs11, the process of its own, the PIN. SoftHSM takes the place of the
chip, and `slow_token.c` between them the chip's temper.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.token import TokenConfig

PIN, LABEL, KEY = "271828", "evidence", "BWC-0001"
_PLACES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so", "/usr/lib/pkcs11/libsofthsm2.so")


@dataclass(frozen=True, slots=True)
class SoftToken:
    """A token whose objects are below `folder`. `environment` must be that of the processes that use it."""

    folder: Path

    @property
    def config(self) -> TokenConfig:
        """How a camera names it."""
        return TokenConfig(self.folder / "slow_token.so", LABEL, KEY, self.folder / "pin", timeout_seconds=3.0)

    @property
    def toml(self) -> str:
        """The same as a table of `camera.toml`."""
        told = self.config
        return (
            f'[token]\nmodule = "{told.module}"\nlabel = "{told.label}"\nkey = "{told.key}"\n'
            f'pin_file = "{told.pin_file}"\ntimeout_seconds = {told.timeout_seconds}\n'
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """What SoftHSM and the module read."""
        return {
            "SOFTHSM2_CONF": str(self.folder / "softhsm2.conf"),
            "SIM_TOKEN_MODULE": str(module()),
            "SIM_TOKEN_FAULT": str(self.folder / "fault"),
        }

    def fault(self, what: str | None) -> None:
        """From the next signature on: "slow MS", "hang", "crash", "gone"; None: none."""
        path = self.folder / "fault"
        if what is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(what, encoding="ascii")

    def remove(self) -> None:
        """Pull it out."""
        self._move("objects", "pulled")

    def put_back(self) -> None:
        """Put it in again."""
        self._move("pulled", "objects")

    def _move(self, source: str, target: str) -> None:
        (self.folder / target).mkdir(exist_ok=True)
        for token in (self.folder / source).iterdir():
            token.rename(self.folder / target / token.name)


def make(folder: Path) -> SoftToken:
    """Make an empty token. Needs gcc and SoftHSM."""
    token = SoftToken(folder)
    (folder / "objects").mkdir(parents=True)
    settings = f"directories.tokendir = {folder / 'objects'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    (folder / "softhsm2.conf").write_text(settings, encoding="utf-8")
    (folder / "pin").write_text(PIN + "\n", encoding="ascii")
    (folder / "pin").chmod(0o600)
    source = Path(__file__).with_name("slow_token.c")
    _run("gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(token.config.module), str(source), "-ldl")
    initialise = ("--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", PIN)
    _run("softhsm2-util", *initialise, environment=token.environment)
    return token


def module() -> Path:
    """Where this distribution puts SoftHSM. Raises FileNotFoundError."""
    for place in _PLACES:
        for path in Path("/").glob(place[1:]):
            return path
    raise FileNotFoundError("SoftHSM is not installed: apt install softhsm2")


def _run(*command: str, environment: Mapping[str, str] | None = None) -> None:
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **(environment or {})})
