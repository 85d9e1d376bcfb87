"""The machine-readable clock in the synthetic teacher's picture: a strip of black and white blocks.

Layout, version 1. The strip is a grid of 24 columns and 4 rows, white = 1, black = 0, on a black
surround. Relative to the visible picture it spans x from 0.05 to 0.95 and y from 0.50 to 0.74. Read
row by row, left to right, most significant bit first, it holds 12 bytes:

    bytes 0–5    Unix time in milliseconds when the frame was drawn, big-endian
    bytes 6–8    frame number since the teacher started to publish, big-endian, modulo 2**24
    byte  9      0xA5, the mark: at least one block is white and one is black
    bytes 10–11  CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF) of bytes 0–9, big-endian

To read: average the middle half of each block, take half way between the darkest and the brightest
block as the threshold, rebuild the 12 bytes, check mark and CRC. In JavaScript, draw the video onto a
canvas, average red, green and blue, and combine the time as `high * 2**32 + low`. This module draws
no pixels and reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = 24
ROWS = 4
LEFT, RIGHT = 0.05, 0.95
TOP, BOTTOM = 0.50, 0.74
MARK = 0xA5
FRAME_NUMBERS = 1 << 24
MIN_CONTRAST = 40
_SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Timecode:
    """One reading: Unix time in milliseconds and frame number (modulo 2**24)."""

    unix_ms: int
    frame: int


def crc16(data: bytes) -> int:
    """Return CRC-16/CCITT-FALSE of the data."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc


def encode(stamp: Timecode) -> list[list[bool]]:
    """Return the strip: 4 rows of 24 blocks, True is white."""
    head = stamp.unix_ms.to_bytes(6) + (stamp.frame % FRAME_NUMBERS).to_bytes(3) + bytes([MARK])
    data = head + crc16(head).to_bytes(2)
    bits = [bool(byte >> shift & 1) for byte in data for shift in range(7, -1, -1)]
    return [bits[row * COLUMNS : (row + 1) * COLUMNS] for row in range(ROWS)]


def decode(
    luma: Callable[[int, int], float], *, left: float, top: float, width: float, height: float
) -> Timecode | None:
    """Return what the strip says, or None when it cannot be read with certainty.

    `luma(x, y)` is the brightness (0 to 255) of a pixel; left, top, width and height (pixels) are the
    box of the *picture* in it, without letter-box bars.
    """
    cell_w = width * (RIGHT - LEFT) / COLUMNS
    cell_h = height * (BOTTOM - TOP) / ROWS
    levels = []
    for row in range(ROWS):
        for column in range(COLUMNS):
            x0 = left + width * LEFT + column * cell_w
            y0 = top + height * TOP + row * cell_h
            levels.append(_average(luma, x0, y0, cell_w, cell_h))
    dark, bright = min(levels), max(levels)
    if bright - dark < MIN_CONTRAST:
        return None
    threshold = (dark + bright) / 2
    number = 0
    for level in levels:
        number = number << 1 | (level > threshold)
    data = number.to_bytes(COLUMNS * ROWS // 8)
    if data[9] != MARK or int.from_bytes(data[10:]) != crc16(data[:10]):
        return None
    return Timecode(int.from_bytes(data[:6]), int.from_bytes(data[6:9]))


def _average(luma: Callable[[int, int], float], x0: float, y0: float, width: float, height: float) -> float:
    steps = [0.25 + 0.5 * (i + 0.5) / _SAMPLES for i in range(_SAMPLES)]
    total = sum(luma(int(x0 + fx * width), int(y0 + fy * height)) for fy in steps for fx in steps)
    return total / _SAMPLES**2


def decode_rgb(
    pixels: bytes | bytearray | memoryview,
    size: tuple[int, int],
    *,
    channels: int = 4,
    box: tuple[float, float, float, float] | None = None,
) -> Timecode | None:
    """Read packed RGB or RGBA rows (a canvas' ImageData, a decoded screenshot) of `size` pixels.

    `box` is (left, top, width, height) of the picture in pixels; without it the image is the picture.
    """
    width, height = size
    left, top, box_w, box_h = box or (0, 0, width, height)

    def luma(x: int, y: int) -> float:
        at = (min(max(y, 0), height - 1) * width + min(max(x, 0), width - 1)) * channels
        return (pixels[at] + pixels[at + 1] + pixels[at + 2]) / 3

    return decode(luma, left=left, top=top, width=box_w, height=box_h)
