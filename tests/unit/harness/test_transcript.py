"""What is kept of runs by hand: no tokens, no keys, and no line twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.harness.transcript import brief, clean, keep

if TYPE_CHECKING:
    from pathlib import Path

KEY = "abcdefghijklmnopqrstuvwxyz234567"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


def test_tokens_and_keys_are_left_out() -> None:
    assert clean(f'{{"stream_key": "{KEY}"}} {TOKEN}\n') == '{"stream_key": "(key)"} (token)\n'
    assert clean("a plain line of 0123456789") == "a plain line of 0123456789"


def test_the_last_word_about_each_thing_is_kept_in_each_block() -> None:
    block = """\
```console
$ docker compose up
 Network n Creating
 Container a Creating
 Network n Created
 Container a Started
done
done
```"""
    told = """\
```console
$ docker compose up
 Network n Created
 Container a Started
done
done
```"""
    assert brief(f"{block}\n{block}") == f"{told}\n{told}"


def test_a_transcript_is_written_without_secrets_beside_the_results(tmp_path: Path) -> None:
    path = keep("compose", f"{TOKEN}  \n Container a Creating\n Container a Started", tmp_path / "by-hand")
    assert path == tmp_path / "by-hand" / "compose.md"
    assert path.read_text() == "(token)\n Container a Started\n"
