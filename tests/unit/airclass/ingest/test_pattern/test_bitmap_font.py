"""Every glyph is 5 by 7, has ink (but the blank) and differs from every other."""

from airclass.ingest.test_pattern import bitmap_font


def test_shapes_are_whole_and_distinct() -> None:
    for char in bitmap_font.ROWS:
        shape = bitmap_font.rows(char)
        assert len(shape) == bitmap_font.HEIGHT
        assert {len(row) for row in shape} == {bitmap_font.WIDTH}
        assert ("#" in "".join(shape)) is (char != " ")
    assert len({tuple(shape) for shape in bitmap_font.ROWS.values()}) == len(bitmap_font.ROWS)
