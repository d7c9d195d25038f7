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

from firmware.hal.overlay import Caption, Overlay, OverlayConfig, Situation
from firmware.hal.ports import DriverError, Fix
from tests.lens_kit import UTC_AT_POWER_ON_MS

BEIJING = timezone(timedelta(hours=8))
WIDTH, HEIGHT, STRIDE = 640, 360, 704
UNIT = "承德县应急管理局执法大队"
TEXT = Caption("BWC-0001", "012345", UNIT, zone=BEIJING)
PLACE = Fix(0, 40.76812, 118.15367, 350.0, 17.1, 1.5, None, None)
UNTRUSTED = Situation(clock_trusted=False, fix=PLACE)


def captions(situation: Situation, unit: str = UNIT) -> Caption:
    return Caption("BWC-0001", "012345", unit, lambda: situation, receiver=True, zone=BEIJING)


def picture(luma: int = 90, chroma: int = 60) -> NDArray[np.uint8]:
    frame = np.full((HEIGHT * 3 // 2, STRIDE), luma, np.uint8)
    frame[HEIGHT:] = chroma
    return frame


def drawn(text: str, font: Path | None = None) -> NDArray[np.uint8]:
    frame = picture()
    Overlay(OverlayConfig(WIDTH, HEIGHT, font=font), lambda _: text)(frame, 0)
    return frame


def test_the_caption_names_date_time_zone_device_officer_and_unit() -> None:
    assert TEXT(UTC_AT_POWER_ON_MS + 999) == f"2026-11-24 14:23:09 +08:00  BWC-0001  012345\n{UNIT}"


def test_the_caption_without_a_zone_is_in_the_devices_own() -> None:
    text = Caption("D", "1", "U")(UTC_AT_POWER_ON_MS)
    assert re.fullmatch(r"2026-11-2\d \d\d:\d\d:09 [+-]\d\d:\d\d  D  1\nU", text)


@pytest.mark.parametrize(
    ("fix", "place"),
    [
        (PLACE, "40.76812°N 118.15367°E ±17 m"),
        (Fix(0, -5.5, -8.25, None, None, None, None, None), "05.50000°S 008.25000°W"),
        (None, "未定位 no position"),
    ],
)
def test_the_caption_tells_the_place_where_there_is_a_receiver(fix: Fix | None, place: str) -> None:
    assert captions(Situation(fix=fix))(0).splitlines()[1] == f"{UNIT}  {place}"


def test_the_caption_says_when_the_clock_is_not_to_be_trusted() -> None:
    first, second = (captions(Situation(trusted, PLACE))(0).splitlines() for trusted in (True, False))
    assert second == [f"{first[0]}  时间未校准 clock untrusted", first[1]]


def test_only_the_strip_is_touched_and_its_colour_is_neutral() -> None:
    frame = picture()
    Overlay(OverlayConfig(WIDTH, HEIGHT), TEXT)(frame, UTC_AT_POWER_ON_MS)
    rows, columns = np.nonzero(frame[:HEIGHT] != 90)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    assert 0 < top < bottom < HEIGHT // 7
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


def test_what_comes_and_goes_moves_nothing() -> None:
    """The clock's mark and the place stand at the ends of their lines; the strip is never narrower than before."""
    situation = Situation()

    def now() -> Situation:
        return situation

    text = Caption("BWC-0001", "012345", UNIT, now, receiver=True)
    overlay = Overlay(OverlayConfig(WIDTH, HEIGHT), lambda _: text(0))
    frames = []
    for second, told in enumerate((Situation(), Situation(fix=PLACE), UNTRUSTED, Situation())):
        situation = told
        frames.append(picture())
        overlay(frames[-1], second * 1000)
    starts = np.stack(frames)[:, :HEIGHT, : WIDTH // 4]  # date and time; the unit
    assert (starts == starts[0]).all()
    inked = [np.nonzero((frame[:HEIGHT] != 90).any(axis=0))[0].max() for frame in frames]
    assert inked == sorted(inked)
    assert inked[0] < inked[2] == inked[3]


def test_chinese_is_drawn_and_a_character_of_no_font_is_refused() -> None:
    assert not np.array_equal(drawn("王"), drawn("?"))
    for text in (captions(Situation()), TEXT):
        Overlay(OverlayConfig(WIDTH, HEIGHT), text, text.samples())
    rare = captions(Situation(), "执法🚀大队")
    with pytest.raises(DriverError, match="overlay: no font for 🚀; name a font file"):
        Overlay(OverlayConfig(WIDTH, HEIGHT), rare, rare.samples())


def test_every_character_of_gb2312_is_drawn() -> None:
    hanzi = bytes(byte for high in range(0xB0, 0xF8) for low in range(0xA1, 0xFF) for byte in (high, low))
    text = hanzi.decode("gb2312", errors="ignore")
    assert len(text) == 6763
    Overlay(OverlayConfig(WIDTH, HEIGHT), lambda _: "", [text])


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 720), (640, 360)])
def test_the_longest_text_is_set_smaller_and_never_cut(width: int, height: int) -> None:
    """32 characters of unit name (GA/T 947), the clock untrusted, a bad fix: all of it stands in the picture."""
    unit = "河北省承德市承德县应急管理局安全生产监察执法大队第三中队巡查组"
    text = captions(Situation(clock_trusted=False, fix=Fix(0, -40.7, -118.1, None, 1898.0, None, None, None)), unit)
    frame = np.full((height * 3 // 2, width), 90, np.uint8)
    Overlay(OverlayConfig(width, height), text, text.samples())(frame, UTC_AT_POWER_ON_MS)
    rows, columns = np.nonzero(frame[:height] != 90)
    right = columns.max() + 1
    assert width * 0.9 < right <= width
    beneath = frame[(rows.min() + rows.max()) // 2 : rows.max(), :right]
    edge = beneath.shape[0] // 5
    assert (beneath[:, -edge:] == 16).all()  # paper after the last character
    assert (beneath[:, -4 * edge : -edge] == 235).any()


def test_a_font_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match=r"nofont\.ttf is not a font"):
        Overlay(OverlayConfig(WIDTH, HEIGHT, font=tmp_path / "nofont.ttf"), TEXT)


def test_it_costs_a_fraction_of_drawing_the_text_each_time() -> None:
    frame = np.full((1080 * 3 // 2, 1920), 90, np.uint8)
    text = captions(UNTRUSTED)
    overlay = Overlay(OverlayConfig(1920, 1080), text, text.samples())
    lines = text(UTC_AT_POWER_ON_MS).splitlines()
    face = cv2.FontFace("sans")

    def fastest(draw: object) -> float:
        assert callable(draw)
        times = []
        for frame_number in range(100):
            begun = time.perf_counter()
            draw(frame_number)
            times.append(time.perf_counter() - begun)
        return min(times)

    ours = fastest(lambda n: overlay(frame, UTC_AT_POWER_ON_MS + n * 10))
    each_time = fastest(lambda _: [cv2.putText(frame, line, (30, 60), (235,), face, 36, 600) for line in lines])
    assert ours < each_time / 10
