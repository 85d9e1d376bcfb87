"""The drawn picture: strip readable, text inked, flash at the full second, bars in motion."""

import pytest

from airclass.ingest.test_pattern import timecode
from airclass.ingest.test_pattern.picture import WHITE, PatternPicture
from airclass.ingest.test_pattern.timecode import Timecode

MOMENT_MS = 1_795_464_435_123


class Canvas:
    """Planes in plain memory, and a reader of the luma plane."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.y = bytearray(width * height)
        self.u = bytearray(width * height // 4)
        self.v = bytearray(width * height // 4)
        planes = [memoryview(plane) for plane in (self.y, self.u, self.v)]
        self.picture = PatternPicture(planes, width, height)

    def luma(self, x: int, y: int) -> float:
        return self.y[y * self.width + x]

    def read(self) -> Timecode | None:
        return timecode.decode(self.luma, left=0, top=0, width=self.width, height=self.height)

    def band(self, start: float, end: float) -> bytes:
        return bytes(self.y[int(start * self.height) * self.width : int(end * self.height) * self.width])


@pytest.mark.parametrize(("width", "height"), [(320, 180), (640, 360), (1280, 720), (848, 478)])
def test_strip_is_readable_at_every_size(width: int, height: int) -> None:
    canvas = Canvas(width, height)
    for frame in range(3):
        canvas.picture.draw(Timecode(MOMENT_MS + frame, frame))
        assert canvas.read() == Timecode(MOMENT_MS + frame, frame)
    assert len(canvas.y) == width * height


def test_text_changes_with_the_time() -> None:
    canvas = Canvas(640, 360)
    canvas.picture.draw(Timecode(MOMENT_MS, 1))
    first = canvas.band(0.1, 0.3)
    canvas.picture.draw(Timecode(MOMENT_MS + 1, 2))
    assert canvas.band(0.1, 0.3) != first
    assert first.count(WHITE) > 640 * 360 // 50


def test_flash_lasts_a_tenth_of_each_second() -> None:
    canvas = Canvas(640, 360)
    lit = []
    for ms in range(0, 1000, 50):
        canvas.picture.draw(Timecode(ms, ms))
        lit.append(canvas.luma(320, 3) == WHITE)
    assert lit == [True, True] + [False] * 18


def test_bars_move_and_keep_their_colours() -> None:
    canvas = Canvas(640, 360)
    canvas.picture.draw(Timecode(0, 1))
    before, colours = canvas.band(0.85, 1.0), sorted(canvas.u)
    canvas.picture.draw(Timecode(0, 2))
    assert canvas.band(0.85, 1.0) != before
    assert sorted(canvas.u) == colours
