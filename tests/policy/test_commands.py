"""Every command in the documents is one that there is, with flags that it takes."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache

import pytest
import yaml
from cyclopts import CycloptsError, MissingArgumentError

from airclass.cli.app import app
from tests.policy.commands import commands, split
from tests.policy.tree import ROOT

HELP_S = 60.0
SYSTEM = {
    *("apt", "apt-get", "cd", "cp", "git", "openssl", "systemctl", "journalctl", "certbot", "df", "crontab"),
    *("chmod", "nft", "scp", "install", "mkdir", "curl", "sh", "bash", "pytest"),
}
MAKEFILE = (ROOT / "Makefile").read_text()


def problem(words: list[str]) -> str:
    """Return what is wrong with a command, or nothing."""
    program, *rest = words
    if program.endswith("airclass"):
        return airclass(rest)
    if program == "make":
        return make(rest)
    if program.startswith("python") or program.endswith("/python"):
        return python(rest)
    if program == "docker":
        return compose(rest)
    if program.endswith(".sh"):
        return script(program, rest)
    if program.endswith("/pytest"):
        return ""
    return "" if program in SYSTEM else f"{program} is not known to this test"


def airclass(words: list[str]) -> str:
    """Parse the words by the command line itself; nothing is run."""
    if words == ["config"]:
        return ""
    try:
        app.parse_args(words, exit_on_error=False, print_error=False)
    except MissingArgumentError as error:
        # "`airclass restore`" in a sentence names the command and is nothing to type
        return str(error) if any(word.startswith("-") for word in words) else ""
    except CycloptsError as error:
        return str(error)
    return ""


def make(words: list[str]) -> str:
    """Look for the target, and for the variables."""
    for word in words:
        name, is_variable, _ = word.partition("=")
        known = rf"^{name} \?=|\$\({name}\)|{name}=" if is_variable else rf"^{name}:"
        if name != "MEDIAMTX_PATH" and not re.search(known, MAKEFILE, re.M):
            return f"the Makefile has no {name}"
    return ""


def python(words: list[str]) -> str:
    """Look for each flag in the module's own help."""
    if words[:1] != ["-m"]:
        return ""
    help_text = helped(words[1], words[2] if words[2:3] == ["top"] else "")
    flags = [word.partition("=")[0] for word in words[2:] if word.startswith("-")]
    missing = [flag for flag in flags if not re.search(rf"{flag}\b", help_text)]
    return f"{words[1]} has no {', '.join(missing)}" if missing else ""


@cache
def helped(module: str, command: str) -> str:
    """Return what the module says when asked for help; AssertionError when it cannot be run."""
    words = [sys.executable, "-m", module, *([command] if command else []), "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=HELP_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def compose(words: list[str]) -> str:
    """Look for the services and profiles."""
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    profiles = {profile for service in services.values() for profile in service.get("profiles", ())}
    if words[0] != "compose":
        return "only docker compose is described"
    named = [words[n + 1] for n, word in enumerate(words) if word == "--profile"]
    scaled = [words[n + 1].partition("=")[0] for n, word in enumerate(words) if word == "--scale"]
    skipped = {*named, "compose", *(words[n + 1] for n, w in enumerate(words) if w in ("--scale", "--tail"))}
    plain = [word for word in words if not word.startswith("-") and word not in skipped]
    # what follows the service is a command of its own
    checked = plain[1:2] if plain[0] in ("exec", "run") else plain[1:]
    others = [word for word in checked if word not in services]
    wrong = [*(p for p in named if p not in profiles), *(s for s in scaled if s not in services), *others]
    return f"deploy/compose.yaml has no {', '.join(wrong)}" if wrong else ""


def script(program: str, words: list[str]) -> str:
    """Look for the file and, in it or in the command that it wraps, for the flags."""
    path = ROOT / program[program.index("deploy/") :]
    if not path.is_file():
        return f"there is no {program}"
    if wrapped := re.fullmatch(r"(monitor|backup|restore)-cluster\.sh", path.name):
        return airclass([wrapped[1], *words])
    text = path.read_text()
    missing = [word for word in words if word.startswith("--") and f"{word})" not in text]
    return f"{path.name} has no {', '.join(missing)}" if missing else ""


def test_the_documents_name_commands() -> None:
    programs = {words[0] for _, words in commands()}
    assert programs >= {"airclass", "make", "python", "docker", "deploy/install.sh"}
    assert len(commands()) > 60


def test_every_command_exists_and_takes_these_flags() -> None:
    wrong = {(where, " ".join(words), said) for where, words in commands() if (said := problem(words))}
    assert wrong == set()


@pytest.mark.parametrize(
    "line",
    [
        "airclass monitr",
        "airclass monitor --often",
        "airclass monitor --interval soon",
        "airclass backup a b c",
        "make coffee",
        "make bench VEIWERS=3",
        "python -m relay --orgin http://a/",
        "python -m benchmarks.viewers 150 --sceonds 3",
        "docker compose --profile nothing up -d",
        "docker compose up -d --scale salve=3",
        "docker compose logs mastre",
        "docker compose run --rm toosl backup",
        "sudo deploy/install.sh --slvae",
        "deploy/scripts/backup-cluster.sh --atuo",
        "deploy/scripts/nothing.sh",
        "frobnicate",
    ],
)
def test_a_slip_is_seen(line: str) -> None:
    (words,) = split(line)
    assert problem(words)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a b # c", [["a", "b"]]),
        ("a && (cd x && sudo b --c) | d", [["a"], ["cd", "x"], ["b", "--c"], ["d"]]),
        ("a \\\n  --b <this PC>", [["a", "--b", "PLACEHOLDER"]]),
        ("X=1 Y=2 a --b >/dev/null", [["a", "--b"]]),
        ("# only words", []),
    ],
)
def test_shell_is_split(text: str, found: list[list[str]]) -> None:
    assert split(text) == found
