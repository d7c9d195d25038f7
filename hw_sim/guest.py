"""A real kernel on a virtual disk: QEMU without KVM, killed as hard as a power cut.

The kernel is a package of the machine's own configured sources, unpacked and never installed. The guest's programs are
the machine's own: its whole file system is the guest's, read-only over 9P. The guest runs one shell script in it, with
the virtual disk mounted at /mnt, and turns itself off when the script ends.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NEEDED = {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static", "mkfs.ext4": "e2fsprogs",
          "debugfs": "e2fsprogs", "dpkg-deb": "dpkg", "apt-get": "apt"}  # fmt: skip
_KERNEL = "linux-image-amd64"
_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "9pnet_virtio", "9p")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_BOOT_SECONDS = 300.0
_INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for module in {modules}; do /bin/busybox insmod /modules/$module || echo "no $module"; done
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 host /host
/bin/busybox mount -t ext4 /dev/vda /host/mnt
/bin/busybox mount -t proc proc /host/proc
/bin/busybox mount -t devtmpfs dev /host/dev
for word in $(/bin/busybox cat /proc/cmdline); do case $word in guest.script=*) script=${{word#*=}};; esac; done
/bin/busybox chroot /host /bin/sh "$script"
/bin/busybox umount /host/mnt
/bin/busybox poweroff -f
"""


class GuestError(Exception):
    """The guest cannot be made or does not run; the text says what to do."""


@dataclass(frozen=True)
class Kernel:
    """What QEMU starts: a kernel, and the first file system with the modules it needs."""

    image: Path
    initrd: Path


def missing() -> str:
    """What must be installed before a guest can run; empty if nothing is."""
    packages = sorted({package for program, package in NEEDED.items() if shutil.which(program) is None})
    return f"install: sudo apt-get install --no-install-recommends {' '.join(packages)}" if packages else ""


def kernel(cache: Path) -> Kernel:
    """Have a kernel in `cache`, where it stays for the next time. Raises GuestError."""
    lacking = missing()
    if lacking:
        raise GuestError(lacking)
    package = _newest_kernel()
    folder = cache / package
    made = Kernel(folder / "vmlinuz", folder / "initrd")
    if not made.initrd.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _unpack(package, folder)
    return made


def _newest_kernel() -> str:
    """The package on which the distribution's kernel package depends."""
    told = _run("apt-cache", "depends", "--important", _KERNEL).decode()
    for line in told.splitlines():
        if match := re.search(r"Depends: (linux-image-[0-9]\S*)", line):
            return match[1]
    raise GuestError(f"apt knows no {_KERNEL}; run: sudo apt-get update (this needs Debian on x86-64)")


def _unpack(package: str, folder: Path) -> None:
    _run("apt-get", "-q", "download", package, cwd=folder)
    (archive,) = folder.glob("*.deb")
    _run("dpkg-deb", "-x", archive.name, "package", cwd=folder)
    (image,) = (folder / "package" / "boot").glob("vmlinuz-*")
    image.replace(folder / "vmlinuz")
    _make_initrd(folder)
    archive.unlink()
    shutil.rmtree(folder / "package")


def _make_initrd(folder: Path) -> None:
    tree = folder / "tree"
    for name in ("bin", "modules", "host", "proc", "dev"):
        (tree / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "busybox", tree / "bin" / "busybox")
    modules = _with_dependencies(folder / "package")
    for module in modules:
        shutil.copy(module, tree / "modules")
    init = tree / "init"
    init.write_text(_INIT.format(modules=" ".join(module.name for module in modules)))
    init.chmod(0o755)
    names = "\n".join(path.relative_to(tree).as_posix() for path in sorted(tree.rglob("*")))
    archive = _run("busybox", "cpio", "-o", "-H", "newc", cwd=tree, given=names.encode())
    (folder / "initrd.new").write_bytes(archive)
    (folder / "initrd.new").replace(folder / "initrd")
    shutil.rmtree(tree)


def _with_dependencies(package: Path) -> list[Path]:
    """The modules in the order in which they can be put in; what is built into the kernel is none."""
    found = {path.stem.replace("-", "_"): path for path in package.rglob("*.ko")}
    order: list[Path] = []

    def need(name: str) -> None:
        path = found.get(name.replace("-", "_"))
        if path is None or path in order:
            return
        told = _DEPENDS.search(path.read_bytes())
        for other in told[1].decode().split(",") if told and told[1] else ():
            need(other)
        order.append(path)

    for name in _MODULES:
        need(name)
    return order


def _run(*command: str, cwd: Path | None = None, given: bytes = b"") -> bytes:
    done = subprocess.run(command, cwd=cwd, input=given, capture_output=True, check=False)
    if done.returncode:
        raise GuestError(f"{' '.join(command[:3])}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def make_disk(path: Path, megabytes: int) -> None:
    """An empty ext4 file system in a file. Raises GuestError."""
    with path.open("xb") as file:
        file.truncate(megabytes << 20)
    _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(path))


def take_out(disk: Path, folder: str, target: Path) -> None:
    """Copy a folder out of a disk that lost its power, by e2fsprogs, on a copy: the disk itself stays as it is."""
    target.mkdir(parents=True)
    copy = target / "disk.img"
    shutil.copy(disk, copy)
    checked = subprocess.run(["e2fsck", "-fy", str(copy)], capture_output=True, check=False)
    if checked.returncode > 1:  # 1: the journal was replayed
        raise GuestError(f"the file system is damaged: {checked.stdout.decode(errors='replace')}")
    _run("debugfs", "-R", f"rdump {folder} {target}", str(copy))
    copy.unlink()


class Guest:
    """A running guest. Its script's lines that begin with "@" are what it tells; the rest is for people, in `log`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._told: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        console = self._process.stdout
        if console is None:
            return
        with self._log.open("ab") as log:
            for line in console:
                log.write(line)
                log.flush()
                if line.startswith(b"@") and line.endswith(b"\n"):
                    self._told.put(line[1:].decode("ascii", "replace").strip())
        self._told.put(None)

    def told(self, seconds: float = _BOOT_SECONDS) -> Iterator[str]:
        """What it tells, as it comes, until it is off. Raises GuestError if it is silent for so long."""
        while True:
            try:
                line = self._told.get(timeout=seconds)
            except queue.Empty:
                raise GuestError(f"the guest was silent for {seconds:.0f} s; see {self._log}") from None
            if line is None:
                return
            yield line

    def tells_within(self, seconds: float) -> Iterator[str]:
        """What it tells from now on for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                line = self._told.get(timeout=left)
            except queue.Empty:
                return
            if line is None:
                return
            yield line

    def kill(self) -> list[str]:
        """Take the power away; what it had told before and was not read yet."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        rest = []
        while (line := self._told.get()) is not None:
            rest.append(line)
        return rest


@contextmanager
def running(kernel: Kernel, disk: Path, script: Path, log: Path, nice: Sequence[str] = ()) -> Iterator[Guest]:
    """Boot a guest with that disk and run the script, which is a file of this machine. Killed at the end if it runs."""
    command = [
        *nice, "qemu-system-x86_64", "-M", "q35,accel=tcg", "-cpu", "max", "-m", "512", "-nodefaults", "-no-reboot",
        "-display", "none", "-serial", "stdio", "-kernel", str(kernel.image), "-initrd", str(kernel.initrd),
        "-append", f"console=ttyS0 quiet panic=-1 mitigations=off guest.script={script}",
        "-drive", f"file={disk},if=virtio,format=raw,cache=writeback,file.locking=off",
        "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
    ]  # fmt: skip
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**os.environ},
    )  # fmt: skip
    guest = Guest(process, log)
    try:
        yield guest
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
