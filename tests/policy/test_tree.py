"""No registry's address, no path of a machine, no broken link and no bulk output is in the tree."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING

import pytest

from tests.policy.tree import ROOT, files, texts

if TYPE_CHECKING:
    from pathlib import Path

OWN = {"airclass", "relay", "benchmarks", "tests", "_typeshed"}
REGISTRIES = ("registry.npmjs" + ".org", "pypi" + ".org", "pythonhosted" + ".org", "proxy.golang" + ".org")
MACHINE = re.compile(r"(?<![\w.}])/(?:root|work|Users|home/[a-z]+)/")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
NAME = re.compile(r"[A-Za-z0-9._-]+")
PIN = re.compile(r"([A-Za-z0-9._-]+)==[A-Za-z0-9.+!-]+((?: --hash=sha256:[0-9a-f]{64})+)")
PARTS = ["program", "build", "tests and tools"]
PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg"}
MAX_PICTURES = 16
MAX_DOCUMENT_BYTES = 60_000
#: A result of other circumstances than the current ones: git keeps the history, the tree one file a question.
VARIANT = re.compile(r"-(?:before|after|loaded|crowded|old|xeon|debian|epyc)\b")


def test_no_registry_is_named() -> None:
    found = [(name, host) for name, text in texts() for host in REGISTRIES if host in text]
    assert found == []


def test_no_path_of_a_machine() -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("cd {}root/x", True),
        ("'{}work/main'", True),
        ("{}home/ann/x", True),
        ("a{}root/x", False),
        ("{}api", False),
    ],
)
def test_paths_of_a_machine_are_recognised(line: str, bad: bool) -> None:
    assert bool(MACHINE.search(line.format("/"))) is bad


def test_links_between_documents_resolve() -> None:
    broken = [
        f"{name}: {target}"
        for name, text in texts("*.md")
        for target in LINK.findall(text)
        if "://" not in target and not target.startswith("mailto:")
        if not ((ROOT / name).parent / target).exists()
    ]
    assert broken == []


def documents() -> list[Path]:
    """Return every file below docs."""
    return [path for path in files() if path.is_relative_to(ROOT / "docs")]


def test_documents_hold_few_pictures() -> None:
    pictures = [path.name for path in documents() if path.suffix in PICTURES]
    assert len(pictures) <= MAX_PICTURES, "make screenshots writes all scenes to build/screenshots"


def test_each_picture_is_shown_in_a_document() -> None:
    shown = {
        ((ROOT / name).parent / target).resolve()
        for name, text in texts("*.md")
        for target in LINK.findall(text)
        if "://" not in target
    }
    assert [path.name for path in documents() if path.suffix in PICTURES and path not in shown] == []


def test_documents_hold_no_bulk_output() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes"
        for path in documents()
        if path.suffix not in PICTURES and path.stat().st_size > MAX_DOCUMENT_BYTES
    ]
    assert long == []


def test_results_hold_one_current_file_a_question() -> None:
    results = ROOT / "benchmarks" / "results"
    assert [path.name for path in files() if path.parent == results and VARIANT.search(path.stem)] == []


@pytest.mark.parametrize(
    ("stem", "bad"),
    [
        ("compare-mixed-before", True),
        ("compare-mixed-xeon-10ms", True),
        ("compare-mixed-tls", False),
        ("viewers-1000-500ms", False),
    ],
)
def test_result_variants_are_recognised(stem: str, bad: bool) -> None:
    assert bool(VARIANT.search(stem)) is bad


def requirements(*extras: str) -> set[str]:
    """Return the names of the packages that the program asks for, and of these extras (PEP 503)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    more = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(w for extra in extras or more for w in more[extra])]
    return {normal(NAME.findall(requirement)[0]) for requirement in wanted}


def normal(name: str) -> str:
    """Return a package's name as PEP 503 spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock() -> dict[str, list[str]]:
    """Return the entries of constraints.txt by part, each on one line."""
    parts: dict[str, list[str]] = {}
    _, *rest = (ROOT / "constraints.txt").read_text().split("\n\n")
    for part in rest:
        title, _, entries = part.strip().partition("\n")
        parts[title.removeprefix("# ")] = re.sub(r" \\\n +", " ", entries).split("\n")
    return parts


def test_every_dependency_is_locked_by_version_and_hash_alone() -> None:
    """An address in a lock breaks behind a mirror; without hashes, whatever a mirror gives is installed."""
    parts, names = lock(), dict[str, set[str]]()
    assert list(parts) == PARTS
    for title, entries in parts.items():
        pins = [PIN.fullmatch(entry) for entry in entries]
        assert None not in pins, f"{title}: constraints.txt holds an entry that is not name==version --hash=…"
        names[title] = {normal(pin[1]) for pin in pins if pin}
        assert len(names[title]) == len(pins), f"{title} names a package twice"
    assert requirements("bench") - names["program"] == set()
    assert "hatchling" in names["build"]
    assert requirements() - set().union(*names.values()) == set()
    assert sum(map(len, names.values())) == len(set().union(*names.values()))


def test_installers_take_nothing_without_a_hash() -> None:
    for name in ("deploy/setup/venv.sh", "deploy/setup/program.sh"):
        text = (ROOT / name).read_text()
        assert "--require-hashes" in text
        assert text.count("--no-deps") >= text.count("-r ")
    for name in ("deploy/install.sh", "deploy/docker/Dockerfile"):
        text = (ROOT / name).read_text()
        assert "pip install" not in text
        assert "setup/program.sh" in text


def test_every_package_imported_is_asked_for() -> None:
    distributions = packages_distributions()
    imported: dict[str, str] = {}
    for name, text in texts("airclass/*.py", "relay/*.py", "benchmarks/*.py", "tests/*.py"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0]: name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported[node.module.partition(".")[0]] = name
    asked = requirements()
    missing = {
        f"{module} in {name}"
        for module, name in imported.items()
        if module not in OWN and module not in sys.stdlib_module_names
        if not asked & {normal(distribution) for distribution in distributions.get(module, ())}
    }
    assert missing == set()
