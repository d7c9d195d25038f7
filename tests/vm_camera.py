"""Runs inside the guest: the unchanged capture writer, journal and recovery over ext4, on time that goes step by step.

It tells over the console each line that is durable ("durable SEQ SHA256") and how far pictures were given ("given NS").
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from pathlib import Path

from evidence import pki, records
from firmware.capture.state import Phase
from runtime.disk import PosixDisk
from runtime.keys import load_key
from tests.agency import Holder
from tests.camera_rig import BootClock, Camera, Owner, World


def tell(text: str) -> None:
    sys.stdout.write(f"@{text}\n")
    sys.stdout.flush()


def bring(owner: Owner, folder: Path) -> None:
    """Put into `folder` what a guest needs to be this owner's camera."""
    folder.mkdir()
    owner.evidence.write(folder, "evidence")
    (folder / "identity").write_text(owner.identity)


def owner_from(folder: Path) -> Owner:
    owner = object.__new__(Owner)  # without an agency: that is the machine's outside
    leaf, *above = pki.parse_certificates((folder / "evidence.pem").read_bytes())
    owner.evidence = Holder(leaf, load_key(folder / "evidence.key.pem"), above)
    owner.identity = (folder / "identity").read_text()
    return owner


def main(keys: str, data: str, now_ns: str, seed: str) -> None:
    if os.environ["SYNCS"] == "0":
        os.fdatasync = os.fsync = lambda fd: None  # noqa: ARG005 - named as the real ones
    world = World(now_ns=int(now_ns))
    camera = Camera(owner_from(Path(keys)), PosixDisk(Path(data)), world, BootClock(world))
    tell("durable {} {}".format(*camera.journal.head()))
    camera.journal.on_durable = lambda _, line: tell(f"durable {records.parse(line).seq} {_sha256(line)}")
    tell(f"recording {camera.cut.id if camera.cut else '-'}")
    if seed == "finish":
        finish(camera)
    else:
        record(camera, world, random.Random(seed))


def record(camera: Camera, world: World, chance: random.Random) -> None:
    """Record until somebody takes the power away."""
    while True:
        if camera.state.phase is Phase.ARMED:
            camera.press()
        for _ in range(chance.randint(3, 90)):
            camera.deliver()
            camera.settle()
            tell(f"given {world.now_ns}")
        match chance.randrange(4):
            case 0:
                camera.take_still()
            case 1:
                camera.end()


def finish(camera: Camera) -> None:
    camera.run(1.2)
    if camera.state.phase is not Phase.ARMED:
        camera.end()
    camera.run(0.2)
    camera.quit()
    tell("finished")


def _sha256(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:])
