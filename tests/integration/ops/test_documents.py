"""The commands that the documents mark as run are run, all of them in one school on one PC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.integration.ops.documents import page, play, school, to_run
from tests.policy.commands import blocks

if TYPE_CHECKING:
    from pathlib import Path

WHOLE_S = 150.0


async def test_what_the_documents_say_works(tmp_path: Path) -> None:
    with trio.fail_after(WHOLE_S):
        async with school(tmp_path) as env:
            played = [one for block in to_run() for one in await play(block, tmp_path, env)]
    assert len(played) > 10
    # the doctor warns that this PC has no MediaMTX
    fine = {"airclass doctor": 1}
    failed = [one for one in played if one.ran.code > fine.get(one.command, 0)]
    assert [(one.command, one.ran.code, one.ran.out + one.ran.err) for one in failed] == []
    assert all("Traceback" not in one.ran.err for one in played)
    text = page(played, tmp_path)
    assert str(tmp_path) not in text
    assert "eyJ…" in text
    assert "Master is UP" in text


def test_korean_documents_hold_the_same_blocks() -> None:
    """Comments are in the reader's language; the commands are the same."""

    def commands(where: str) -> list[tuple[bool, list[str]]]:
        return [
            (block.runs, [line.partition("#")[0].strip() for line in block.text.splitlines()])
            for block in blocks()
            if block.where == where
        ]

    korean = {block.where for block in blocks() if block.where.startswith("docs/ko/")}
    assert len(korean) >= 3
    for where in korean:
        assert commands(where) == commands(where.replace("docs/ko/", "docs/"))
