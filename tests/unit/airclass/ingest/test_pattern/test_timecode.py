"""The strip of blocks: what is drawn is what is read, scaled, dimmed or noisy; anything else is None."""

from hypothesis import given
from hypothesis import strategies as st

from airclass.ingest.test_pattern import timecode
from airclass.ingest.test_pattern.timecode import Timecode

stamps = st.builds(Timecode, st.integers(0, 2**48 - 1), st.integers(0, timecode.FRAME_NUMBERS - 1))


def image(stamp: Timecode, width: int, height: int, dark: int = 16, bright: int = 235) -> bytearray:
    """Return RGBA pixels of a picture that shows only the strip."""
    cells = timecode.encode(stamp)
    pixels = bytearray([dark, dark, dark, 255]) * (width * height)
    for y in range(height):
        row = (y / height - timecode.TOP) / (timecode.BOTTOM - timecode.TOP) * timecode.ROWS
        for x in range(width):
            column = (x / width - timecode.LEFT) / (timecode.RIGHT - timecode.LEFT) * timecode.COLUMNS
            if 0 <= row < timecode.ROWS and 0 <= column < timecode.COLUMNS and cells[int(row)][int(column)]:
                at = (y * width + x) * 4
                pixels[at : at + 3] = bytes([bright]) * 3
    return pixels


def test_crc_is_the_published_one() -> None:
    assert timecode.crc16(b"123456789") == 0x29B1


@given(stamps)
def test_what_is_encoded_is_decoded(stamp: Timecode) -> None:
    cells = timecode.encode(stamp)

    def luma(x: int, y: int) -> float:
        row = (y / 2400 - timecode.TOP) / (timecode.BOTTOM - timecode.TOP) * timecode.ROWS
        column = (x / 2400 - timecode.LEFT) / (timecode.RIGHT - timecode.LEFT) * timecode.COLUMNS
        return 255.0 * cells[int(row)][int(column)]

    assert timecode.decode(luma, left=0, top=0, width=2400, height=2400) == stamp


def test_a_phone_sized_dim_screenshot_with_a_page_around_is_read() -> None:
    stamp = Timecode(1_795_464_435_123, 54_321)
    width, height = 358, 201
    small = image(stamp, width, height, dark=60, bright=130)
    page = bytearray([255] * (390 * 300 * 4))
    for y in range(height):
        at = ((y + 40) * 390 + 16) * 4
        page[at : at + width * 4] = small[y * width * 4 : (y + 1) * width * 4]
    assert timecode.decode_rgb(page, (390, 300), box=(16, 40, width, height)) == stamp


def test_frame_numbers_wrap() -> None:
    pixels = image(Timecode(5, timecode.FRAME_NUMBERS + 7), 240, 100)
    assert timecode.decode_rgb(pixels, (240, 100)) == Timecode(5, 7)


def test_one_wrong_block_is_noticed() -> None:
    cells = timecode.encode(Timecode(1_795_464_435_123, 1))
    cells[1][3] = not cells[1][3]

    def luma(x: int, y: int) -> float:
        row = (y / 1000 - timecode.TOP) / (timecode.BOTTOM - timecode.TOP) * timecode.ROWS
        column = (x / 1000 - timecode.LEFT) / (timecode.RIGHT - timecode.LEFT) * timecode.COLUMNS
        return 255.0 * cells[int(row)][int(column)]

    assert timecode.decode(luma, left=0, top=0, width=1000, height=1000) is None


def test_a_black_picture_and_stripes_say_nothing() -> None:
    assert timecode.decode_rgb(bytes(240 * 100 * 3), (240, 100), channels=3) is None
    assert timecode.decode_rgb(bytes([0, 0, 0, 255, 255, 255] * 120 * 100), (240, 100), channels=3) is None
