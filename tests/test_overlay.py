"""The overlay on the picture's own memory."""

from __future__ import annotations

import re
import time
from datetime import timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from firmware.hal.overlay import Overlay, OverlayConfig, caption
from firmware.hal.ports import DriverError
from tests.lens_kit import UTC_AT_POWER_ON_MS

BEIJING = timezone(timedelta(hours=8))
WIDTH, HEIGHT, STRIDE = 640, 360, 704
TEXT = caption("BWC-0001", "012345", BEIJING)
needs_font_face = pytest.mark.skipif(not hasattr(cv2, "FontFace"), reason="OpenCV 4 draws ASCII only")


def picture(luma: int = 90, chroma: int = 60) -> NDArray[np.uint8]:
    frame = np.full((HEIGHT * 3 // 2, STRIDE), luma, np.uint8)
    frame[HEIGHT:] = chroma
    return frame


def drawn(text: str, font: Path | None = None) -> NDArray[np.uint8]:
    frame = picture()
    Overlay(OverlayConfig(WIDTH, HEIGHT, font=font), lambda _: text)(frame, 0)
    return frame


def test_the_caption_names_date_time_zone_device_and_officer() -> None:
    assert TEXT(UTC_AT_POWER_ON_MS + 999) == "2026-11-24 14:23:09 +08:00  BWC-0001  012345"


def test_the_caption_without_a_zone_is_in_the_devices_own() -> None:
    assert re.fullmatch(r"2026-11-2\d \d\d:\d\d:09 [+-]\d\d:\d\d  D  1", caption("D", "1")(UTC_AT_POWER_ON_MS))


def test_only_the_strip_is_touched_and_its_colour_is_neutral() -> None:
    frame = picture()
    Overlay(OverlayConfig(WIDTH, HEIGHT), TEXT)(frame, UTC_AT_POWER_ON_MS)
    rows, columns = np.nonzero(frame[:HEIGHT] != 90)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    assert 0 < top < bottom < HEIGHT // 8
    assert 0 < left < right < WIDTH
    for chroma in frame[HEIGHT:].reshape(2, HEIGHT // 2, STRIDE // 2):
        assert (chroma[top // 2 : bottom // 2, left // 2 : right // 2] == 128).all()
        assert np.count_nonzero(chroma != 60) == (bottom - top) * (right - left) // 4
    strip = frame[top:bottom, left:right]
    assert strip.min() == 16
    assert strip.max() == 235


def test_a_new_second_changes_its_digit_and_nothing_else() -> None:
    overlay = Overlay(OverlayConfig(WIDTH, HEIGHT), TEXT)
    before, same, after = picture(), picture(), picture()
    overlay(before, UTC_AT_POWER_ON_MS)
    overlay(same, UTC_AT_POWER_ON_MS + 999)
    overlay(after, UTC_AT_POWER_ON_MS - 1000)
    assert np.array_equal(before, same)
    _, columns = np.nonzero(before != after)
    assert 0 < columns.max() - columns.min() < HEIGHT // 30


def test_different_texts_look_different() -> None:
    texts = [f"{digit}" for digit in "0123456789"] + ["BWC-0001", "BWC-0002"]
    assert len({drawn(text).tobytes() for text in texts}) == len(texts)


def test_a_text_wider_than_the_picture_is_cut_at_its_edge() -> None:
    frame = drawn("W" * 200)
    assert (frame[:HEIGHT, WIDTH:] == 90).all()
    assert (frame[: HEIGHT // 8, WIDTH - 2 : WIDTH] != 90).any()


@needs_font_face
def test_chinese_is_drawn_and_a_character_of_no_font_is_refused() -> None:
    Overlay(OverlayConfig(WIDTH, HEIGHT), lambda _: "警员 王小明 012345").check(0)
    assert not np.array_equal(drawn("王"), drawn("?"))
    with pytest.raises(DriverError, match="no font for 🚀"):
        Overlay(OverlayConfig(WIDTH, HEIGHT), lambda _: "BWC 🚀").check(0)


@needs_font_face
def test_a_font_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match=r"nofont\.ttf is not a font"):
        Overlay(OverlayConfig(WIDTH, HEIGHT, font=tmp_path / "nofont.ttf"), TEXT)


def test_without_font_faces_ascii_is_drawn_and_a_font_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "FontFace", raising=False)
    assert not np.array_equal(drawn("BWC-0001"), drawn("BWC-0002"))
    with pytest.raises(DriverError, match="cannot read"):
        drawn("x", Path("some.ttf"))


def test_it_costs_a_fraction_of_drawing_the_text_each_time() -> None:
    frame = np.full((1080 * 3 // 2, 1920), 90, np.uint8)
    overlay = Overlay(OverlayConfig(1920, 1080), TEXT)
    text = TEXT(UTC_AT_POWER_ON_MS)

    def fastest(draw: object) -> float:
        assert callable(draw)
        times = []
        for frame_number in range(100):
            begun = time.perf_counter()
            draw(frame_number)
            times.append(time.perf_counter() - begun)
        return min(times)

    ours = fastest(lambda n: overlay(frame, UTC_AT_POWER_ON_MS + n * 10))
    each_time = fastest(lambda _: cv2.putText(frame, text, (30, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 235, 2))
    assert ours < each_time / 3
