"""The house rules that no linter knows: who imports whom, what must not be named, what every script and lock owes."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("bodycam", "evidence", "runtime", "firmware", "syncd", "office", "provisioning", "hw_sim")
SCRIPTS = [*sorted(path for path in (ROOT / "scripts").iterdir() if not path.suffix), ROOT / ".ci" / "run"]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))
LINT_IMPORTS = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def run(*command: str | Path, cwd: Path = ROOT, code: int = 0) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def tracked_files() -> list[Path]:
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def readable(path: Path) -> str:
    """The file's text; empty for pictures, sound and other binaries."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def findings(pattern: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in tracked_files()
        for number, line in enumerate(readable(path).splitlines(), 1)
        if re.search(pattern, line)
    ]


# --- Imports ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the packages that a test may spoil."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_go_one_way() -> None:
    run(sys.executable, "-c", LINT_IMPORTS)


@pytest.mark.parametrize(
    ("module", "imported", "contract"),
    [
        ("evidence/spoiled.py", "runtime", "evidence knows only itself"),
        ("runtime/spoiled.py", "firmware", "runtime knows only evidence"),
        ("syncd/spoiled.py", "office", "programs do not know each other"),
        ("firmware/spoiled.py", "hw_sim", "programs do not know each other"),
        ("firmware/capture/spoiled.py", "firmware.hal.spoiled_driver", "capture knows the ports, never a driver"),
        ("hw_sim/spoiled.py", "bodycam", "nobody imports the command"),
    ],
)
def test_an_import_against_the_contract_is_caught(copy: Path, module: str, imported: str, contract: str) -> None:
    (copy / "firmware" / "hal" / "spoiled_driver.py").touch()
    (copy / module).write_text(f"import {imported}\n", encoding="utf-8")
    assert f"{contract} BROKEN" in run(sys.executable, "-c", LINT_IMPORTS, cwd=copy, code=1)


def test_modules_stay_short() -> None:
    lengths = {path.relative_to(ROOT): readable(path).count("\n") for path in tracked_files() if path.suffix == ".py"}
    assert {path: lines for path, lines in lengths.items() if lines >= 400} == {}


# --- What must not be named ------------------------------------------------------------------------------------------


def test_no_file_names_a_package_index() -> None:
    assert findings(r"pypi\.org|pythonhosted\.org|piwheels\.org|[-]-(extra-)?index-url|[-]-find-links") == []


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    foreign = r"(?<![\w.$}])/(home|root|work|Users)/\w|\.\./shared\b"
    assert findings(rf"{foreign}|{re.escape(str(ROOT))}/") == []


def test_every_test_that_threats_and_rules_name_is_there() -> None:
    """A claim is as good as its test: `docs/design/threats.md` and `docs/rules.md` link each to one."""
    for page in (ROOT / "docs" / "design" / "threats.md", ROOT / "docs" / "rules.md"):
        named = re.findall(r"`(?:tests/)?(test_[a-z_]+)(\*?)\.py(?:::(\*|test_[a-z0-9_]+))?`", page.read_text("utf-8"))
        assert len(named) > 20, page
        for module, star, function in named:
            files = list((ROOT / "tests").glob(f"{module}{star}.py"))
            assert files, f"{page.name}: {module}{star}.py"
            if function.startswith("test_"):
                assert f"def {function}(" in files[0].read_text("utf-8"), f"{page.name}: {module}.py::{function}"


def test_no_fact_of_a_log_has_a_name_that_logging_keeps_for_itself() -> None:
    """`extra={"thread": ...}` raises KeyError as it is logged, which may be in the very moment of a fault."""
    kept = "|".join({*logging.makeLogRecord({}).__dict__, "message", "asctime"})
    clash = re.compile(rf'extra=\{{[^}}]*"({kept})":')
    modules = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    assert len(modules) > 100
    assert not [path.name for path in modules if clash.search(path.read_text("utf-8"))]


# --- Locks and scripts -----------------------------------------------------------------------------------------------


def requirements(lock: Path) -> list[str]:
    """One string a requirement, its hashes joined to it."""
    lines = [
        line for line in lock.read_text(encoding="utf-8").splitlines() if line and not line.lstrip().startswith("#")
    ]
    return re.sub(r"\\\n\s+", "", "\n".join(lines)).splitlines()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_pins_by_hash_and_names_no_place(lock: Path) -> None:
    pinned = re.compile(r"[a-z0-9.-]+==\S+( ; .+?)?( --hash=sha256:[0-9a-f]{64}|--hash=sha256:[0-9a-f]{64})+\s*")
    assert requirements(lock)
    assert [line[:80] for line in requirements(lock) if not pinned.fullmatch(line)] == []
    assert "://" not in lock.read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_no_machine_runs_a_version_that_was_not_tested(lock: Path) -> None:
    def pins(path: Path) -> set[str]:
        return {line.split(" ")[0] for line in requirements(path)}

    assert pins(lock) - pins(ROOT / "locks" / "test.txt") == set()


def test_a_dock_installs_no_camera_library() -> None:
    names = {line.split("==")[0] for line in requirements(ROOT / "locks" / "dock.txt")}
    assert names.isdisjoint({"opencv-python-headless", "numpy", "picamera2", "pyaudio", "gpiozero", "av"})


def test_scripts_are_clean() -> None:
    for script in SCRIPTS:
        run("bash", "-n", script)
        assert script.stat().st_mode & 0o111, f"{script} cannot be executed"
    run("shellcheck", *SCRIPTS)


def test_setup_refuses_a_role_it_does_not_know() -> None:
    assert "provision" in run("bash", ROOT / "scripts" / "setup", "kitchen", code=64)


# --- The command -----------------------------------------------------------------------------------------------------

HEAVY = ("cv2", "numpy", "av", "picamera2", "pyaudio", "gpiozero", "starlette", "paho", "cryptography")


def bodycam(*arguments: str, at: Path = ROOT, code: int = 0) -> str:
    return run(sys.executable, "-m", "bodycam", *arguments, cwd=at, code=code)


def test_help_imports_no_program() -> None:
    script = f"""
import sys
from bodycam.__main__ import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
programs = {{name for name in sys.modules if name.endswith(".main")}}
assert not programs | (set({HEAVY}) & set(sys.modules)), programs
"""
    said = run(sys.executable, "-c", script)
    assert "执法记录仪" in said
    assert all(name in said for name in ("camera", "dock", "office", "provision", "sim", "verify", "version"))


def test_an_unknown_program_is_refused() -> None:
    assert "invalid choice" in bodycam("kitchen", code=2)


def spoil(copy: Path, program: str) -> None:
    """Put a small program in the place of the office's."""
    (copy / "office" / "main.py").write_text(program, encoding="utf-8")


def test_a_program_gets_its_arguments_and_gives_its_status(copy: Path) -> None:
    spoil(copy, "def main(argv):\n    print(argv)\n    return 7\n")
    assert "['list', '--help']" in bodycam("office", "list", "--help", at=copy, code=7)


def test_a_missing_package_is_one_line_that_names_the_extra(copy: Path) -> None:
    spoil(copy, "import no_such_package.part\n")
    assert bodycam("office", at=copy, code=69).splitlines() == [
        "bodycam office: needs the package no_such_package, which is not installed: pip install 'bodycam[office]'"
    ]


def test_a_missing_module_of_ours_is_a_fault_and_not_advice(copy: Path) -> None:
    spoil(copy, "import evidence.no_such_module\n")
    assert "Traceback" in bodycam("office", at=copy, code=1)


def test_an_interrupted_program_ends_quietly(copy: Path) -> None:
    spoil(copy, "import os, signal\n\ndef main(argv):\n    os.kill(os.getpid(), signal.SIGINT)\n")
    assert bodycam("office", at=copy, code=130) == ""


def test_a_reader_that_leaves_is_no_fault(copy: Path) -> None:
    spoil(copy, "def main(argv):\n    while True:\n        print('a line')\n")
    pipe = 'set -o pipefail; "$0" -m bodycam office | head -n 1'
    assert run("bash", "-c", pipe, sys.executable, cwd=copy, code=141) == "a line\n"


def test_the_simulated_camera_is_the_cameras_own_program(copy: Path) -> None:
    (copy / "hw_sim" / "camera.py").write_text(
        "def install(world):\n    print('world', world.name)\n", encoding="utf-8"
    )
    (copy / "firmware" / "main.py").write_text("def main(argv):\n    print(argv)\n    return 3\n", encoding="utf-8")
    said = bodycam("sim", "camera", "--world", "here/w.toml", "--", "--config", "c.toml", at=copy, code=3)
    assert said == "world w.toml\n['--config', 'c.toml']\n"
