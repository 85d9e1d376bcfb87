"""The tree holds no address of a package registry, no path of a machine, and only links that resolve."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.policy.tree import ROOT, texts

REGISTRIES = ("registry.npmjs" + ".org", "pypi" + ".org", "pythonhosted" + ".org", "proxy.golang" + ".org")
MACHINE = re.compile(r"(?<![\w.}])/(?:root|work|Users|home/[a-z]+)/")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
NAME = re.compile(r"[A-Za-z0-9._-]+")
PIN = re.compile(r"([A-Za-z0-9._-]+)==[A-Za-z0-9.+!-]+")


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


def test_every_dependency_is_locked_by_version_alone() -> None:
    lines = (ROOT / "constraints.txt").read_text().split("\n")
    pins = [PIN.fullmatch(line) for line in lines if line]
    assert None not in pins, "constraints.txt holds a line that is not name==version"
    locked = {normal(pin[1]) for pin in pins if pin}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(w for ws in project["optional-dependencies"].values() for w in ws)]
    names = [NAME.match(requirement) for requirement in wanted]
    assert {normal(name[0]) for name in names if name} - locked == set()


def normal(name: str) -> str:
    """Return a package's name as PEP 503 spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()
