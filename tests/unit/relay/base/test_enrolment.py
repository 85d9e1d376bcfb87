"""Join links, join tokens and node keys as text."""

from __future__ import annotations

import pytest

from relay.base.enrolment import (
    TOKEN_ID_BYTES,
    TOKEN_SECRET_BYTES,
    NodeKey,
    make_join_token,
    read_join_link,
    read_join_token,
    read_node_key,
)
from relay.base.errors import ConfigError

ENTROPY = bytes(range(TOKEN_ID_BYTES + TOKEN_SECRET_BYTES))


def test_a_token_reads_as_it_was_made() -> None:
    text, token = make_join_token(ENTROPY)
    assert text.startswith("000102030405-")
    assert (token.id, token.signer, len(token.key)) == ("000102030405", "#000102030405", 32)
    assert read_join_token(text) == token
    assert token.key.hex() not in text
    assert make_join_token(ENTROPY[::-1])[1].key != token.key


def test_a_link_names_the_master_and_the_token() -> None:
    text, token = make_join_token(ENTROPY)
    assert read_join_link(f"http://192.168.1.10:8000#{text}") == ("http://192.168.1.10:8000", token)
    assert read_join_link(f"https://a.example/class/#{text}") == ("https://a.example/class", token)


@pytest.mark.parametrize(
    "link", ["", "http://m:8000", "http://m:8000#", "http://m:8000#abc", "ftp://m#x", "m:8000#x", "http://#x"]
)
def test_a_link_that_is_not_whole_is_refused(link: str) -> None:
    with pytest.raises(ConfigError, match="airclass node add"):
        read_join_link(link)


def test_a_key_reads_as_it_was_written() -> None:
    key = NodeKey("slave-1", bytes(range(32)))
    assert read_node_key(key.as_text() + "\n") == key


@pytest.mark.parametrize("text", ["", "slave-1", "slave-1:", "slave-1:zz", f"a b:{'0' * 64}", f":{'0' * 64}"])
def test_a_key_that_is_not_whole_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="NODE_KEY"):
        read_node_key(text)
