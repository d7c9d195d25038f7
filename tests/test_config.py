from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest

from runtime.config import Between, ConfigError, Matches, load


class Encoder(enum.Enum):
    SOFTWARE = "libav"
    HARDWARE = "v4l2"


@dataclass(frozen=True)
class Bay:
    name: Annotated[str, Matches(r"BAY-\d+")]
    port: Annotated[int, Between(1, 65535)]


@dataclass(frozen=True)
class Example:
    folder: Path
    office: Bay
    gain_db: float = 0.0
    quiet: bool = False
    retry_seconds: Annotated[int, Between(low=1)] = 5
    level: Annotated[float | None, Between(0, 1)] = None
    encoder: Encoder = Encoder.SOFTWARE
    sound: Literal["on", "off"] = "on"
    bays: tuple[Bay, ...] = ()
    names: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.quiet and self.gain_db > 0:
            raise ValueError("gain_db must be 0 or less when quiet")


LEAST = 'folder = "evidence"\noffice = {name = "BAY-1", port = 80}\n'
FULL = """
folder = "/srv/证据"
gain_db = -3
quiet = true
retry_seconds = 1
level = 0.5
encoder = "v4l2"
sound = "off"
names = ["a", "b"]
[office]
name = "BAY-1"
port = 65535
[[bays]]
name = "BAY-2"
port = 1
[labels]
unit = "执法大队"
"""


def read(tmp_path: Path, text: str) -> Example:
    path = tmp_path / "example.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, Example)


def test_all_shapes_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, FULL) == Example(
        folder=Path("/srv/证据"),
        office=Bay("BAY-1", 65535),
        gain_db=-3.0,
        quiet=True,
        retry_seconds=1,
        level=0.5,
        encoder=Encoder.HARDWARE,
        sound="off",
        bays=(Bay("BAY-2", 1),),
        names=["a", "b"],
        labels={"unit": "执法大队"},
    )


def test_defaults_and_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Example(tmp_path / "evidence", Bay("BAY-1", 80))
    assert read(tmp_path, LEAST) == expected
    monkeypatch.chdir(tmp_path)
    assert load(Path("example.toml"), Example) == expected
    assert isinstance(expected.gain_db, float)


@dataclass(frozen=True)
class Inner:
    state: Path = Path("clock.json")
    device: Path = Path("/dev/i2c-1")


@dataclass(frozen=True)
class Outer:
    data: Path = Path("data")
    inner: Inner = field(default_factory=Inner)
    other: Inner | None = None


def test_a_path_that_is_not_given_is_taken_from_the_files_folder_too(tmp_path: Path) -> None:
    (tmp_path / "outer.toml").write_text("")
    expected = Outer(tmp_path / "data", Inner(tmp_path / "clock.json", Path("/dev/i2c-1")))
    assert load(tmp_path / "outer.toml", Outer) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "folder: missing; expected a path"),
        ('folder = "e"', "office: missing; expected a table"),
        (LEAST + "segment = 1", "segment: unknown key; expected one of folder, office, gain_db"),
        (LEAST.replace("port", "prot"), "office.prot: unknown key; expected one of name, port"),
        (
            LEAST.replace(", port = 80", ""),
            "office.port: missing; expected a whole number (at least 1 and at most 65535)",
        ),
        (LEAST.replace("80", "0"), "office.port: expected a whole number (at least 1 and at most 65535), found 0"),
        (LEAST.replace("80", "80.0"), "office.port: expected a whole number, found 80.0"),
        (LEAST.replace("80", "true"), "office.port: expected a whole number, found True"),
        (LEAST.replace("BAY-1", "BAY-1x"), r"office.name: expected text (text like BAY-\d+), found 'BAY-1x'"),
        (LEAST.replace('"evidence"', '""'), "folder: expected a path, found ''"),
        (LEAST.replace('"evidence"', "7"), "folder: expected a path, found 7"),
        (LEAST + "gain_db = true", "gain_db: expected a number, found True"),
        (LEAST + "quiet = 1", "quiet: expected true or false, found 1"),
        (LEAST + "retry_seconds = 0", "retry_seconds: expected a whole number (at least 1), found 0"),
        (LEAST + "level = 1.5", "level: expected a number (at least 0 and at most 1), found 1.5"),
        (LEAST + "level = nan", "level: expected a number (at least 0 and at most 1), found nan"),
        (LEAST + 'encoder = "x264"', "encoder: expected one of 'libav', 'v4l2', found 'x264'"),
        (LEAST + "sound = true", "sound: expected one of 'on', 'off', found True"),
        (LEAST + 'names = "a"', "names: expected a list, each text, found 'a'"),
        (LEAST + 'names = ["a", 1]', "names[1]: expected text, found 1"),
        (LEAST + "bays = [{name = 'BAY-1', port = 80}, 3]", "bays[1]: expected a table, found 3"),
        (LEAST + "labels = {unit = 1}", "labels.unit: expected text, found 1"),
        (LEAST + "labels = 1", "labels: expected a table, found 1"),
        (LEAST + "quiet = true\ngain_db = 1", "gain_db must be 0 or less when quiet"),
        ("folder", "is not TOML"),
        (LEAST + LEAST, "is not TOML"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'example.toml'}: ")
    assert said in message
    assert "\n" not in message
    assert caught.value.exit_status == 78


def test_missing_and_undecodable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'folder = "\xe9"')
    for name, said in (("none.toml", "No such file"), ("latin.toml", "is not TOML"), (".", "Is a directory")):
        with pytest.raises(ConfigError, match=said):
            load(tmp_path / name, Example)
