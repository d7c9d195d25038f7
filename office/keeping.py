"""Commands that keep the office's holdings safe: the catalogue made again, backups, and their drill."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from office.alone import alone
from office.archive import Archive
from office.config import OfficeConfig

_MEGABYTE = 1_000_000


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> list[argparse.ArgumentParser]:
    """Add these commands; the caller adds what all of the office's commands take."""
    rebuild = commands.add_parser("rebuild", help="重建目录 the catalogue again, from store and log (office stopped)")
    rebuild.set_defaults(command=_rebuild)
    backup = commands.add_parser("backup", help="备份 a consistent copy of all that is kept, while the office runs")
    backup.add_argument("folder", type=Path, metavar="DIR", help="where backups lie, each in a folder of its own")
    backup.add_argument("--index-only", action="store_true", help="without the segments, which are only listed")
    backup.set_defaults(command=_backup)
    restore = commands.add_parser("restore", help="恢复 an office out of a backup; office stopped")
    restore.add_argument("folder", type=Path, metavar="BACKUP", help="one backup's folder")
    restore.add_argument("--drill", action="store_true", help="演练 restore beside the office, prove it, throw it away")
    restore.set_defaults(command=_restore)
    for command in (backup, restore):
        command.add_argument("--by", metavar="NAME", default=getpass.getuser(), help="经办人 (default: the login name)")
    return [rebuild, backup, restore]


def _rebuild(config: OfficeConfig, _: argparse.Namespace) -> int:
    from office.rebuild import rebuild  # noqa: PLC0415 - only where it is needed

    started = time.monotonic()
    with alone(config.data), contextlib.closing(Archive(config)) as archive:
        rows = rebuild(archive)
    sys.stdout.write(f"目录已重建 rebuilt: {sum(rows.values())} rows, {time.monotonic() - started:.1f} s\n")
    return os.EX_OK


def _backup(config: OfficeConfig, options: argparse.Namespace) -> int:
    from office.backup import backup  # noqa: PLC0415 - as above

    with contextlib.closing(Archive(config)) as archive:
        made = backup(archive, options.folder, options.by, whole=not options.index_only)
    lines = [
        f"已备份 backed up: {made.folder}",
        f"文件 files: {made.files}，新复制 copied {made.copied / _MEGABYTE:.1f} MB，沿用 as before {made.linked}",
        f"日志 log: {made.about.leaves} 条 entries",
        f"用时 took: {made.seconds:.1f} s，其间日志暂停 the log held up {made.held_up:.2f} s",
        *([] if made.about.whole else ["未含录像文件 without the segments: keep a second copy of them"]),
        f"演练 drill: bodycam office restore {made.folder} --drill",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return os.EX_OK


def _restore(config: OfficeConfig, options: argparse.Namespace) -> int:
    sys.stdout.write("\n".join(_restored(config, options)) + "\n")
    return os.EX_OK


def _restored(config: OfficeConfig, options: argparse.Namespace) -> Iterator[str]:
    from office.restore import drill, restore  # noqa: PLC0415 - as above

    if options.drill:
        done = drill(config, options.folder, options.by)
        yield f"演练成功 the drill has passed: {options.folder}"
    else:
        with alone(config.data):
            done = restore(config, options.folder, options.by)
        yield f"已恢复 restored: {config.data}"
    yield f"备份时间 made: {done.about.made}，日志 log: {done.about.leaves} 条 entries"
    yield f"文件 files: {done.files}，{done.size / _MEGABYTE:.1f} MB，逐一核对 each checked: {done.copying:.1f} s"
    yield f"目录 catalogue: {sum(done.rows.values())} rows，重建 rebuilt: {done.rebuilding:.1f} s"
    yield f"回执 receipts: {done.receipts}，逐一核验 each proven: {done.proving:.1f} s"
    if done.lacking:
        yield f"缺录像文件 segments to be put back from their second copy: {done.lacking}，见 see segments.sha256"
