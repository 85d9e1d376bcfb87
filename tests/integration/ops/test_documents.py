"""The commands that the documents mark as run are run, all of them in one school on one PC."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import trio

from tests.integration.ops.documents import DOCUMENT, page, play, school, to_run
from tests.policy.commands import COMMAND, SPAN, blocks
from tests.policy.tree import ROOT

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


def test_what_is_kept_is_of_the_commands_that_are_told() -> None:
    """When this fails: python -m tests.integration.ops.documents."""
    kept = re.findall(r"^\$ (.*?)(?:    # exit code \d+)?$", DOCUMENT.read_text(), re.M)
    told = [line for block in to_run() for line in block.text.replace("\\\n", " ").splitlines()]
    assert kept == list(dict.fromkeys(told))


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


def test_korean_guides_are_level_with_the_english_ones() -> None:
    """The same sections in the same order, rows of tables, steps, links and commands."""

    def shape(text: str) -> tuple[list[str], int, int, list[str], set[str]]:
        links = [
            name.partition("#")[0] for name in re.findall(r"\]\((?!http)(?:\.\./)*(?:ko/)?([^)]+)\)", text)
        ]
        pages = [re.sub(r"-(?:en|ko)\.png$", "", name) for name in links]
        return (
            re.findall(r"^(#+) ", text, re.M),
            len(re.findall(r"^\|", text, re.M)),
            len(re.findall(r"^(?:\d+\.|-) ", text, re.M)),
            sorted(pages),
            {span for span in SPAN.findall(text) if COMMAND.match(span)},
        )

    korean = sorted((ROOT / "docs/ko").rglob("*.md"))
    names = {path.relative_to(ROOT / "docs/ko").as_posix() for path in korean}
    assert names >= {
        path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs/runbooks").iterdir()
    }
    for path in korean:
        english = ROOT / "docs" / path.relative_to(ROOT / "docs/ko")
        assert shape(path.read_text()) == shape(english.read_text()), path
