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
from tests.policy.commands import BLOCK, COMMAND, NO_SHELL, PLACES, SHELLS, blocks, commands, split
from tests.policy.tree import ROOT, texts

HELP_S = 60.0
SYSTEM = {
    *(
        ".",
        "apt",
        "apt-get",
        "cd",
        "cp",
        "git",
        "openssl",
        "systemctl",
        "journalctl",
        "certbot",
        "df",
        "crontab",
    ),
    *(".", "chmod", "nft", "scp", "install", "mkdir", "curl", "sh", "bash", "pytest"),
}
# Commands in blocks that are not marked as run: what runs them, with other addresses and smaller numbers,
# and words that show it there. `.ci/run` is CI; tests/machine and tests/compose need root and ten minutes,
# so they are run by hand (`make test-install`, `make test-compose`).
BENCHMARKS = "tests/integration/benchmarks/test_runs.py"
NETWORKS = "tests/integration/network/test_bad_networks.py"
DEMO = "tests/integration/test_demo.py"
MACHINE, COMPOSE = "tests/machine/test_install.py", "tests/compose/test_compose.py"
RUN_ELSEWHERE = {
    "make setup": (".ci/run", "make setup"),
    "make lint": (".ci/run", "make lint"),
    "make test": (".ci/run", "make test"),
    "make demo": (DEMO, '"demo"'),
    "make bench VIEWERS=300": (BENCHMARKS, '"benchmarks.viewers"'),
    "python -m benchmarks.viewers 150": (BENCHMARKS, '"benchmarks.viewers"'),
    "python -m benchmarks.viewers 150 --ingest origin": (BENCHMARKS, '"--ingest", "origin"'),
    "python -m benchmarks.viewers 1000 --ingest origin --part-s 0.2": (BENCHMARKS, '"--ingest", "origin"'),
    "python -m benchmarks.viewers 150 --url http://host:8080/t/TOKEN/CLASS/index.m3u8": (NETWORKS, '"--url"'),
    "python -m benchmarks.compare": (BENCHMARKS, '"benchmarks.compare"'),
    "python -m benchmarks.compare mixed --rounds 5": (BENCHMARKS, '"--rounds"'),
    "python -m benchmarks.joins": (BENCHMARKS, '"benchmarks.joins"'),
    "python -m benchmarks.joins 500 --seconds 20": (BENCHMARKS, '"benchmarks.joins", "20", "--seconds"'),
    "python -m benchmarks.sockets 2000 --idle 10000": (BENCHMARKS, '"benchmarks.sockets", "10", "--idle"'),
    "python -m benchmarks.sockets 2000 --idle 10000 --tls": (BENCHMARKS, '"--idle", "0", "--tls"'),
    "python -m benchmarks.routing": ("tests/unit/benchmarks/test_routing.py", '"benchmarks.routing"'),
    "python -m relay --origin http://127.0.0.1:8888/live/class1/index.m3u8 --public": (
        *("tests/integration/relay/test_fuzz.py", '"--origin", origin.url, "--public"'),
    ),
    "cp .env.example .env": ("tests/compose/project.py", ".env.example"),
    "airclass standalone": (DEMO, '"standalone"'),
    "airclass master": ("tests/integration/ops/test_promises.py", '"master"'),
    "airclass slave": (MACHINE, "airclass-slave"),
    "airclass user add boss --role admin": ("tests/unit/airclass/cli/test_commands.py", '"--role", "admin"'),
    "airclass drain slave-2": (MACHINE, "airclass drain slave-2"),
    "airclass undrain slave-2": (MACHINE, "airclass undrain slave-2"),
    "airclass monitor --watch --interval 5": (
        *("tests/integration/ops/test_monitor.py", '"--watch", "--interval", "1"'),
    ),
    "airclass monitor --alert": ("tests/integration/ops/test_monitor.py", '"--alert"'),
    "airclass restore backups/airclass_backup_20260122_201406.tar.gz": (
        *("tests/integration/ops/test_backup.py", 'run("restore", archive, folder=school, input="y'),
    ),
    "deploy/install.sh": (MACHINE, "run(INSTALL)"),
    "deploy/install.sh --firewall": (MACHINE, "{INSTALL} --firewall"),
    "deploy/install.sh --master --firewall --relays 192.168.1.0/24": (MACHINE, "{INSTALL} --master"),
    "deploy/install.sh --slave --join http://192.168.1.10:8000#0123456789ab-... "
    "--public-url http://192.168.1.11:8080 --firewall": (MACHINE, "{INSTALL} --slave"),
    "airclass node add slave-1": ("tests/integration/test_enrolment.py", '"node", "add", "slave-7"'),
    "docker compose up -d": ("tests/compose/project.py", '"up", "--detach"'),
    "docker compose up -d --scale slave=5": (COMPOSE, '"--scale", "slave=5"'),
    "docker compose --profile tls --profile monitoring up -d": (COMPOSE, '"--profile", "tls", "up"'),
    "docker compose stop master": (COMPOSE, 'compose("stop")'),
    "docker compose run --rm tools backup --auto": (COMPOSE, '"tools", "backup", "--auto"'),
    "docker compose run --rm tools restore backups/airclass_backup_20260122_201406.tar.gz --yes": (
        *(COMPOSE, '"tools", "restore"'),
    ),
}
# What no test runs, and why.
RUN_BY_NOBODY = {
    ". .venv/bin/activate": "it changes the reader's shell alone",
    "git clone PLACEHOLDER airclass": "the address is the reader's; CI begins on a clean checkout",
    "cd airclass": "the same",
    ".venv/bin/pytest tests/unit/relay -k window": "part of make test",
    "python -m benchmarks.viewers 150 --ingest origin --direct": "measures the ingest without us",
    "certbot certonly --standalone -d class.school.example --deploy-hook install -D -m 0640 -g airclass -t "
    "/etc/airclass/tls $RENEWED_LINEAGE/*.pem; systemctl try-restart airclass-master": (
        "needs a name on the internet"
    ),
    "python -m benchmarks.first_frame": "minutes of Chromium, of which tests/e2e plays the same join",
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


def test_every_command_in_a_block_is_run_or_it_is_said_why_not() -> None:
    told = {
        " ".join(words)
        for block in blocks()
        if not block.runs and not block.where.startswith("docs/ko/")
        for words in split(block.text)
    }
    assert told == RUN_ELSEWHERE.keys() | RUN_BY_NOBODY.keys()
    missing = [
        name for name, (file, words) in RUN_ELSEWHERE.items() if words not in (ROOT / file).read_text()
    ]
    assert missing == []


def test_no_block_of_commands_goes_by_another_name() -> None:
    found = [match for _, text in texts(*PLACES) for match in BLOCK.finditer(text)]
    assert {match[2] for match in found} <= SHELLS | NO_SHELL
    unmarked = [line for match in found if not match[2] for line in match[3].splitlines()]
    assert [line for line in unmarked if COMMAND.match(line)] == []
    hidden = [
        (name, line)
        for name, text in texts(*PLACES)
        for line in re.sub(r"^ *```[^`]+?^ *```", "", text, flags=re.M).splitlines()
        if re.match(r" {4,}\S", line) and COMMAND.match(line.strip())
    ]
    assert hidden == []


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
