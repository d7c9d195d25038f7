"""FLAC: a packet a block, nothing held back, and what another program decodes is what went in."""

from __future__ import annotations

import hashlib
import subprocess

import numpy as np
import pytest

from firmware.hal.flac import FlacEncoder

BLOCKS = 40


def _sound() -> list[bytes]:
    rng = np.random.default_rng(1)
    loud = rng.integers(-32768, 32768, (BLOCKS, 2400))
    loud[::4] = 0  # silence takes another path in the encoder
    loud[1::4] = np.sin(np.arange(2400) / 20) * 9000
    return [block.astype("<i2").tobytes() for block in loud]


def test_each_block_is_answered_by_its_own_frame() -> None:
    encoder = FlacEncoder()
    for number, block in enumerate(_sound()):
        packet = encoder.encode(block)
        assert packet[:2] == b"\xff\xf8"  # a frame begins, of a fixed block size
        assert packet[4] == number  # frame number, UTF-8 coded


def test_another_program_decodes_what_went_in() -> None:
    encoder = FlacEncoder()
    blocks = _sound()
    packets = [encoder.encode(block) for block in blocks]
    header = b"fLaC" + b"\x80" + len(encoder.config).to_bytes(3, "big") + encoder.config
    command = ["ffmpeg", "-v", "error", "-f", "flac", "-i", "-", "-f", "s16le", "-"]
    done = subprocess.run(command, input=header + b"".join(packets), capture_output=True, check=True)
    assert not done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(b"".join(blocks)).digest()


def test_streaminfo_is_known_before_the_first_block() -> None:
    encoder = FlacEncoder()
    before = encoder.config
    assert len(before) == 34
    assert int.from_bytes(before[0:2], "big") == int.from_bytes(before[2:4], "big") == 2400
    assert int.from_bytes(before[10:13], "big") >> 4 == 48_000
    encoder.encode(bytes(4800))
    assert encoder.config == before


@pytest.mark.parametrize("size", [0, 4798, 4799, 4802])
def test_a_part_of_a_block_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="4800 bytes"):
        FlacEncoder().encode(bytes(size))
