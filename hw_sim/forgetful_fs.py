"""A disk that forgets: what was not synced is gone when its process is killed. Mounted through FUSE.

`mount` is for tests and scenarios, `main` for the command `bodycam sim disk`. SIGKILL is a power cut, SIGTERM an
orderly shutdown. The control socket (`hw_sim.control`) takes

- `{"do": "rules", "rules": [{"op": "fsync", "match": "*.age", "errno": "EIO", "delay_ms": 0, "count": 1}]}`:
  a failing, slow or read-only card; `op` is one of `forgetful_ops.OPERATIONS`, paths start with `/`; what a failed
  fsync should have written is lost for good, although the next fsync succeeds. Or the program is killed just there:
  `{"op": "write", "match": "/journal/*", "record": "gap", "skip": 0, "kill": "after"}` (see `forgetful_ops.Rule`);
- `{"do": "limit", "bytes": N}`: a card of that size, `null` for the size of the disk below;
- `{"do": "cut", "keep": "none" | "bytes" | "sectors", "seed": N}`: a power cut in the middle of writing;
- `{"do": "status"}`: bytes used, the limit, and how many operations there were to which a rule can apply.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw_sim import control
from hw_sim.forgetful_ops import Operations, Rules
from hw_sim.forgetful_tree import Keep, Tree

READY_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1


class DiskError(Exception):
    """The forgetful disk cannot be mounted or unmounted; the text says what to do."""


@dataclass(frozen=True)
class MountedDisk:
    """A mounted forgetful disk: programs use `point`, `store` holds what would survive a power cut."""

    store: Path
    point: Path
    control: Path
    process: subprocess.Popen[bytes]

    def set_rules(self, *rules: Mapping[str, Any]) -> None:
        """Put these rules, and no others, in force (see the module's text)."""
        control.ask(self.control, {"do": "rules", "rules": rules})

    def set_limit(self, size: int | None) -> None:
        """Make it a card of `size` bytes."""
        control.ask(self.control, {"do": "limit", "bytes": size})

    def cut_power(self, keep: Keep = "none", seed: int = 0) -> None:
        """Lose what was not synced; `keep` lets a random part of it survive. The disk is unmounted after it."""
        if keep == "none":
            self.process.kill()
        else:
            with contextlib.suppress(control.ControlError):  # it dies before it can answer
                control.ask(self.control, {"do": "cut", "keep": keep, "seed": seed})
        self.process.wait(READY_SECONDS)
        unmount(self.point)

    def shut_down(self) -> None:
        """Unmount in order; everything becomes durable."""
        self.process.terminate()
        self.process.wait(READY_SECONDS)
        unmount(self.point)


@contextlib.contextmanager
def mount(store: Path, point: Path, limit: int | None = None, orders: Path | None = None) -> Iterator[MountedDisk]:
    """Mount `store` at `point` from a process of its own; cuts its power at the end if nobody has. Raises DiskError.

    `orders`: a world's file in which what the card is ordered is noted.
    """
    socket = store.with_name(f"{store.name}.control")
    command = [sys.executable, "-m", __name__, str(store), str(point), "--control", str(socket)]
    if limit is not None:
        command += ["--limit-bytes", str(limit)]
    if orders is not None:
        command += ["--orders", str(orders)]
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path})
    try:
        _wait_until_ready(process)
        yield MountedDisk(store, point, socket, process)
    finally:
        process.kill()
        process.wait(READY_SECONDS)
        if process.stdout:
            process.stdout.close()
        unmount(point)
        socket.unlink(missing_ok=True)


def _wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    if process.stdout is None:
        raise DiskError("the forgetful disk was started without a pipe for its ready line")
    if not select.select([process.stdout], [], [], READY_SECONDS)[0] or not process.stdout.readline():
        raise DiskError("the forgetful disk did not start; its own message stands above")


def unmount(point: Path) -> None:
    """Unmount `point`, also when its process was killed. Does nothing if nothing is mounted there. Raises DiskError."""
    if not _is_mounted(point):
        return
    tool = shutil.which("fusermount3") or shutil.which("fusermount")
    attempts = [[tool, "-u", str(point)], [tool, "-u", "-z", str(point)]] if tool else []
    for attempt in [*attempts, ["umount", "-l", str(point)]]:
        subprocess.run(attempt, check=False, capture_output=True)
        if not _is_mounted(point):
            return
    raise DiskError(f"{point} stays mounted; close what uses it, then run: fusermount -u -z {point}")


def _is_mounted(point: Path) -> bool:
    wanted = str(point.parent.resolve() / point.name)  # resolving the point itself would touch a dead disk
    with Path("/proc/self/mountinfo").open(encoding="utf-8") as table:
        return any(_unescaped(line.split()[4]) == wanted for line in table)


def _unescaped(path: str) -> str:
    """A path as mountinfo writes it: UTF-8, but for spaces and the like, which are octal escapes."""
    return path.encode().decode("unicode_escape").encode("latin-1").decode()


def main(argv: Sequence[str] | None = None) -> int:
    """Mount a forgetful disk and serve it until SIGTERM, SIGKILL or the end of the parent process."""
    parser = argparse.ArgumentParser(
        prog="bodycam sim disk", description="Mount a disk that forgets what was not synced."
    )
    parser.add_argument("store", type=Path, help="folder that holds what survives a power cut; made if missing")
    parser.add_argument("point", type=Path, help="empty folder to mount at; made if missing")
    parser.add_argument("--control", type=Path, help="UNIX socket for rules and power cuts (default: STORE.control)")
    parser.add_argument("--limit-bytes", type=int, help="size of the card (default: that of the disk below)")
    parser.add_argument("--orders", type=Path, help="orders.jsonl of a world, to note there what is ordered")
    arguments = parser.parse_args(argv)
    note = control.noting(arguments.orders, "card") if arguments.orders else None
    try:
        _serve(arguments.store, arguments.point, arguments.control, arguments.limit_bytes, note)
    except (DiskError, control.ControlError, OSError) as error:
        print(f"bodycam sim disk: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _serve(store: Path, point: Path, socket: Path | None, limit: int | None, note: control.Note | None) -> None:
    _end_with_parent()
    if not Path("/dev/fuse").exists():
        raise DiskError("/dev/fuse is missing; load the kernel's module with: modprobe fuse")
    try:
        import mfusepy  # noqa: PLC0415 - loads the C library, which only this process needs
    except (ImportError, OSError) as error:
        raise DiskError(f"{error}; install the extra `sim` and the system package libfuse2 (or fuse3)") from error
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    store.mkdir(parents=True, exist_ok=True)
    point.mkdir(parents=True, exist_ok=True)

    tree, rules = Tree(store, limit), Rules(lambda: os.kill(mfusepy.fuse_get_context()[2], signal.SIGKILL))
    old_library = mfusepy.fuse_version_major == 2  # noqa: PLR2004
    operations = Operations(
        tree,
        rules,
        owner=lambda: mfusepy.fuse_get_context()[:2],
        on_ready=lambda: print(f"ready {point}", flush=True),  # noqa: T201
        pathless=old_library,
    )

    def cut(request: dict[str, Any]) -> None:
        with operations.guard:
            tree.tear(request.get("keep", "none"), request.get("seed", 0))
            os.kill(os.getpid(), signal.SIGKILL)

    def set_limit(request: dict[str, Any]) -> None:
        tree.limit = request["bytes"]

    stop = control.serve(
        socket or store.with_name(f"{store.name}.control"),
        {
            "rules": lambda request: rules.replace(request["rules"]),
            "limit": set_limit,
            "cut": cut,
            "status": lambda _: {"used": tree.used, "limit": tree.limit, "operations": rules.operations},
        },
        note,
    )
    try:
        # Version 2 of the library splits writes into pages unless told otherwise, and hides unlinked files in names.
        only_old = {"big_writes": True} if old_library else {}
        mfusepy.FUSE(
            operations,
            str(point),
            foreground=True,
            fsname="forgetful",
            default_permissions=True,
            use_ino=True,
            hard_remove=old_library,
            **only_old,
        )
    except RuntimeError as error:
        raise DiskError(f"{point} cannot be mounted; the FUSE library's own message stands above") from error
    finally:
        stop()


def _end_with_parent() -> None:
    """Be told by SIGTERM when the thread that started this process ends: no mount is left behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
