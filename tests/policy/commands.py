"""The commands that the documents tell readers to type, found in their text."""

from __future__ import annotations

import re
import shlex
import textwrap
from dataclasses import dataclass

from tests.policy.tree import texts

PLACES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "benchmarks/README.md", ".env.example")
BLOCK = re.compile(r"^(<!-- run -->\n)? *```(\w*)\n(.*?)^ *```", re.M | re.S)
SHELLS = {"sh", "bash"}
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
CRON = re.compile(r"^(?:[\d*/,-]+ ){5}")
# Blocks that hold no commands of an operator: what was typed in a run, and notations.
NO_SHELL = {"", "console", "mermaid", "nft"}
COMMAND = re.compile(r"^(?:sudo )?(?:airclass|make|python -m|docker compose|\S*deploy/\S+\.sh)(?: |$)")
NO_COMMAND = re.compile(r"airclass|make|airclass \w+ token|.*(…|\*).*")  # a noun, a key's label, a pattern


@dataclass(frozen=True)
class Block:
    """A fenced block of shell; `runs`: it is marked as one that a test runs."""

    where: str
    text: str
    runs: bool


def blocks() -> list[Block]:
    """Return every block of commands."""
    return [
        Block(name, textwrap.dedent(match[3]), match[1] is not None)
        for name, text in texts(*PLACES)
        for match in BLOCK.finditer(text)
        if match[2] in SHELLS
    ]


def commands() -> list[tuple[str, list[str]]]:
    """Return (document, words) of every command in blocks of shell, cron lines and code spans."""
    found = [(block.where, words) for block in blocks() for words in split(block.text)]
    for name, text in texts(*PLACES):
        rest = BLOCK.sub(lambda m: m[3] if not m[2] else "", text)
        lines = [CRON.sub("", line) for line in rest.splitlines() if CRON.match(line)]
        lines += [
            span for span in SPAN.findall(rest) if COMMAND.match(span) and not NO_COMMAND.fullmatch(span)
        ]
        found += [(name, words) for line in lines for words in split(line)]
    return found


def split(text: str) -> list[list[str]]:
    """Return the words of each simple command of a piece of shell, without sudo and settings."""
    found: list[list[str]] = []
    text = re.sub(r"<[^<>\n]*>", "PLACEHOLDER", text.replace("\\\n", " "))
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();|&")
        lexer.whitespace_split = True
        words: list[str] = []
        for token in [*lexer, ";"]:
            if set(token) <= set("();|&"):
                if plain := _plain(words):
                    found.append(plain)
                words = []
            else:
                words.append(token)
    return found


def _plain(words: list[str]) -> list[str]:
    """Drop what stands before the program: sudo, and settings such as VIEWERS=3."""
    while words and (words[0] == "sudo" or re.match(r"[A-Z][A-Z0-9_]*=", words[0])):
        words = words[1:]
    for n, word in enumerate(words):
        if re.match(r"\d?>", word):  # where the output goes to
            return words[:n]
    return words
