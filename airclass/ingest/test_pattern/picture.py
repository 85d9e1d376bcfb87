"""The synthetic teacher's picture: draws clock, frame number, strip and moving bars into YUV planes.

Everything spans the whole width, so that each band is one contiguous piece of memory and a frame
costs a few dozen slice copies. Does not encode, and does not look at the time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airclass.ingest.test_pattern import bitmap_font, timecode

if TYPE_CHECKING:
    from collections.abc import Sequence

BLACK, DIM, WHITE = 16, 40, 235
NEUTRAL = 128
FLASH_MS = 100
BARS_TOP = 0.80
NOISE = 24
SPEED_PX = 4
_BARS = ((200, 128, 128), (170, 44, 142), (140, 156, 44), (120, 72, 58), (90, 184, 198), (70, 100, 212))


class PatternPicture:
    """Writable planes Y, U and V (4:2:0, no padding) that `draw` brings up to date.

    `width` is a multiple of 16, `height` an even number; the planes are kept, not copied.
    """

    def __init__(self, planes: Sequence[memoryview], width: int, height: int) -> None:
        self._y, self._u, self._v = planes
        self._width, self._height = width, height
        self._scale_time = width * 9 // 10 // (12 * (bitmap_font.WIDTH + 1))
        self._scale_date = width * 9 // 10 // (26 * (bitmap_font.WIDTH + 1))
        self._ink = {
            scale: {char: _pixels(char, scale) for char in bitmap_font.ROWS}
            for scale in {self._scale_time, self._scale_date}
        }
        self._cells = _edges(width, timecode.LEFT, timecode.RIGHT, timecode.COLUMNS)
        self._rows = _edges(height, timecode.TOP, timecode.BOTTOM, timecode.ROWS)
        self._bars_y = range(int(height * BARS_TOP) // 2 * 2, height)
        self._bars = _bar_lines(width)
        self._fill()

    def _fill(self) -> None:
        self._y[:] = bytes([DIM]) * len(self._y)
        self._u[:] = bytes([NEUTRAL + 12]) * len(self._u)
        self._v[:] = bytes([NEUTRAL - 8]) * len(self._v)
        margin = self._height * 2 // 100
        self._band(self._rows[0] - margin, self._rows[-1] - self._rows[0] + 2 * margin, BLACK)

    def _band(self, top: int, height: int, level: int) -> None:
        self._lines(top, bytes([level]) * self._width, height)

    def _lines(self, top: int, line: bytes, count: int) -> None:
        self._y[top * self._width : (top + count) * self._width] = line * count

    def draw(self, stamp: timecode.Timecode) -> None:
        """Show this time and frame number; a white band flashes for 100 ms at each full second."""
        moment = datetime.fromtimestamp(stamp.unix_ms / 1000, UTC)
        self._band(0, self._height // 16, WHITE if stamp.unix_ms % 1000 < FLASH_MS else BLACK)
        time = f"{moment:%H:%M:%S}.{stamp.unix_ms % 1000:03d}"
        self._text(self._height * 10 // 100, time, self._scale_time)
        self._text(self._height * 35 // 100, f"{moment:%Y-%m-%d} UTC #{stamp.frame:07d}", self._scale_date)
        self._strip(timecode.encode(stamp))
        self._move(stamp.frame * SPEED_PX)

    def _text(self, top: int, text: str, scale: int) -> None:
        ink = self._ink[scale]
        for row in range(bitmap_font.HEIGHT):
            line = b"".join([ink[char][row] for char in text])
            before = (self._width - len(line)) // 2
            padded = bytes([DIM]) * before + line
            self._lines(top + row * scale, padded.ljust(self._width, bytes([DIM])), scale)

    def _strip(self, strip: list[list[bool]]) -> None:
        widths = [b - a for a, b in zip(self._cells, self._cells[1:], strict=False)]
        for row, cells in enumerate(strip):
            line = bytes([BLACK]) * self._cells[0] + b"".join(
                [bytes([WHITE if white else BLACK]) * w for white, w in zip(cells, widths, strict=True)]
            )
            top = self._rows[row]
            self._lines(top, line.ljust(self._width, bytes([BLACK])), self._rows[row + 1] - top)

    def _move(self, shift: int) -> None:
        width, half = self._width, self._width // 2
        luma, u, v = self._bars
        for y in self._bars_y:
            at = (shift + y * 7) % width
            self._y[y * width : (y + 1) * width] = luma[at : at + width]
        for y in range(self._bars_y.start // 2, self._height // 2):
            at = (shift + y * 14) % width // 2
            self._u[y * half : (y + 1) * half] = u[at : at + half]
            self._v[y * half : (y + 1) * half] = v[at : at + half]


def _edges(size: int, start: float, end: float, count: int) -> list[int]:
    return [round(size * (start + (end - start) * i / count)) for i in range(count + 1)]


def _pixels(char: str, scale: int) -> list[bytes]:
    ink, paper = bytes([WHITE]) * scale, bytes([DIM]) * scale
    return [b"".join([ink if dot == "#" else paper for dot in row + "."]) for row in bitmap_font.rows(char)]


def _bar_lines(width: int) -> tuple[bytes, bytes, bytes]:
    """Return one line of bars twice as wide as the picture, so that any shift is one slice."""
    bars = [_BARS[x * len(_BARS) // width] for x in range(width)]
    luma = bytes(bar[0] + x * x * 2654435761 % 4093 % (2 * NOISE) - NOISE for x, bar in enumerate(bars))
    chroma = bars[::2]
    return luma * 2, bytes(b[1] for b in chroma) * 2, bytes(b[2] for b in chroma) * 2
