"""A machine of a school: a Debian with systemd as its process 1, behind a cable, reached by address.

Made from packages (debootstrap), kept in build/machine from run to run; each machine gets an overlay of
its own. Needs root, debootstrap, iproute2 and iptables.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.netns import NetworkNamespace, lab
from tests.policy.tree import ROOT, files

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = "bookworm"
PACKAGES = "ca-certificates,python3,python3-venv,systemd,systemd-sysv,dbus,iproute2,iptables,ufw,procps"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
FOLDER = ROOT / "build/machine"
NETWORKS = "10.64.0.0/10"  # where `lab` lays its cables
BOOT_S = 60.0
COMMAND_S = 300.0
POLL_S = 0.1
ENVIRONMENT = (
    *("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME=/root", "LANG=C.UTF-8"),
    *(f"PIP_CERT={AUTHORITIES}", f"NODE_EXTRA_CA_CERTS={AUTHORITIES}"),
)
UP = ("running", "degraded")


@dataclass
class MachineUnderTest:
    """A running machine; `transcript` is what its operator saw."""

    name: str
    root: Path
    pc: NetworkNamespace
    pid: int
    transcript: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where others reach it."""
        return self.pc.cables["cable"].theirs

    def run(self, command: str, *, code: int = 0) -> str:
        """Run a shell command as its root would, in /root, and return all that it printed."""
        inside = ("nsenter", "--target", str(self.pid), "--all", "env", "-i", *ENVIRONMENT)
        done = subprocess.run(
            [*inside, "bash", "-c", f"cd /root && {command}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_S,
        )
        said = done.stdout.decode(errors="replace")
        self.transcript.append(f"root@{self.name}:~# {command}\n{said}")
        assert done.returncode == code, f"{command} ended with {done.returncode}: {said[-3000:]}"
        return said

    def with_wheels(self) -> None:
        """Let pip take packages from a folder that all machines share, filled once for each lock."""
        whole = FOLDER / "wheels/whole"
        lock = (ROOT / "constraints.txt").read_text() + (ROOT / "pyproject.toml").read_text()
        if not whole.exists() or whole.read_text() != lock:
            self.quietly("python3 -m venv /tmp/wheels")
            fetch = "/tmp/wheels/bin/pip download -q -d /opt/wheels --no-deps"
            fetch += " --require-hashes --only-binary :all:"
            self.quietly(
                f"sed '/^# tests and tools$/,$d' airclass/constraints.txt >/tmp/lock && {fetch} -r /tmp/lock"
            )
            whole.write_text(lock)
        self.quietly("printf '[global]\\nno-index = true\\nfind-links = /opt/wheels\\n' >/etc/pip.conf")

    def quietly(self, command: str) -> str:
        """Run a command that is no part of what an operator does."""
        said = self.run(command)
        self.transcript.pop()
        return said


@contextmanager
def machine(name: str, work: Path) -> Iterator[MachineUnderTest]:
    """Boot a machine for the length of a block, with a checkout in its root's home."""
    assert os.geteuid() == 0, "a machine of its own needs root"
    base = _base()
    root = work / name
    for part in ("upper", "work", "root"):
        (root / part).mkdir(parents=True)
    with lab("cable") as pc, _overlay(base, root), _way_out(pc):
        _checkout(root / "root/root/airclass")
        shutil.copy("/etc/resolv.conf", root / "root/etc/resolv.conf")
        (root / "root/etc/hostname").write_text(f"{name}\n")
        (FOLDER / "wheels").mkdir(exist_ok=True)
        (root / "root/opt/wheels").mkdir()
        shared = (str(FOLDER / "wheels"), str(root / "root/opt/wheels"))
        subprocess.run(["mount", "--bind", *shared], check=True)
        pc.inside("ip", "route", "add", "default", "via", pc.cables["cable"].ours)
        boot = subprocess.Popen([str(Path(__file__).with_name("boot.sh")), str(root / "root"), pc.name])
        try:
            box = MachineUnderTest(name, root / "root", pc, _process_1(boot))
            _until_up(box)
            yield box
        finally:
            boot.send_signal(signal.SIGKILL)  # its child, process 1, goes with it, and all others with that
            boot.wait()


def _base() -> Path:
    base = FOLDER / "base"
    if not (base / "ready").exists():
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        mirror = _mirror()
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(base), *mirror]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=COMMAND_S)
        shutil.rmtree(base / "var/cache/apt/archives")
        shutil.copy(AUTHORITIES, base / AUTHORITIES.relative_to("/"))
        (base / "ready").touch()
    return base


def _mirror() -> list[str]:
    """Return where this machine's own packages come from; nothing lets debootstrap choose."""
    places = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(place.read_text() for place in places if place.is_file())
    return re.findall(r"^(?:URIs:|deb(?: \[.*\])?) *(\S+/debian)/?(?:\s|$)", text, re.MULTILINE)[:1]


def _checkout(target: Path) -> None:
    """Copy what git would give, and the pages if they are built, which would take another minute."""
    pages = [path for path in (ROOT / "airclass/_pages").rglob("*") if path.is_file()]
    for path in (*files(), *pages):
        place = target / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)


@contextmanager
def _overlay(base: Path, folder: Path) -> Iterator[None]:
    layers = f"lowerdir={base},upperdir={folder / 'upper'},workdir={folder / 'work'}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(folder / "root")], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder / "root")], check=True)


@contextmanager
def _way_out(pc: NetworkNamespace) -> Iterator[None]:
    """Let the machine reach the package registries through this one, as a school's router does."""
    cable = pc.cables["cable"]
    rules = [
        # other machines see its own address, as in one network
        ["-t", "nat", "{}", "POSTROUTING", "-s", cable.theirs, "!", "-d", NETWORKS, "-j", "MASQUERADE"],
        ["{}", "FORWARD", "-i", cable.outside, "-j", "ACCEPT"],
        ["{}", "FORWARD", "-o", cable.outside, "-j", "ACCEPT"],
    ]
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    before = forward.read_text()
    forward.write_text("1")
    try:
        for rule in rules:
            subprocess.run(["iptables", *(word.format("-I") for word in rule)], check=True)
        yield
    finally:
        for rule in rules:
            subprocess.run(["iptables", *(word.format("-D") for word in rule)], check=True)
        forward.write_text(before)


def _process_1(boot: subprocess.Popen[bytes]) -> int:
    deadline_s = time.monotonic() + BOOT_S
    while time.monotonic() < deadline_s:
        assert boot.poll() is None, "the machine did not boot"
        children = Path(f"/proc/{boot.pid}/task/{boot.pid}/children").read_text().split()
        for child in children:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        time.sleep(POLL_S)
    raise AssertionError("the machine has no systemd")


def _until_up(box: MachineUnderTest) -> None:
    deadline_s = time.monotonic() + BOOT_S
    state = ""
    while time.monotonic() < deadline_s:
        state = box.quietly("systemctl is-system-running || true").strip()
        if state in UP:
            return
        time.sleep(POLL_S)
    raise AssertionError(f"the machine is not up: {state}")
