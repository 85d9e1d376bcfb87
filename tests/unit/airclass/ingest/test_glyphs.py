"""Every glyph is 5 by 7, has ink (but the blank) and differs from every other."""

from airclass.ingest import glyphs


def test_shapes_are_whole_and_distinct() -> None:
    for char in glyphs.ROWS:
        shape = glyphs.rows(char)
        assert len(shape) == glyphs.HEIGHT
        assert {len(row) for row in shape} == {glyphs.WIDTH}
        assert ("#" in "".join(shape)) is (char != " ")
    assert len({tuple(shape) for shape in glyphs.ROWS.values()}) == len(glyphs.ROWS)
