"""The rows: what breaks, what was promised, and how it is broken."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import trio

from tests.chaos.chaos_cluster import AIRCLASS, POLL_S, ChaosCluster, ChaosPlan, killed
from tests.chaos.verdict import Promise
from tests.harness.netns import lab
from tests.harness.processes import running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.harness.netns import NetworkNamespace

MOVE_S = 5.0  # the most that the last viewer may wait for another relay
RESUME_S = 5.0  # the same for a picture that is back at the ingest, its own start included
AWAY_S = 5.0
TEACHER_RETRY_S = 5.0  # the most that the teacher's program waits before it tries again
MASTER_AWAY_S = 8.0
HOUR_S = 3600
DISK_BYTES = 4_000_000
VICTIM = 2  # the first joins the first relay before the browser comes
PASSWORD = "a password for one hour"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
SILENT_DNS = "127.0.53.53"
LOUD = re.compile(r" (WARNING|ERROR) ")
NAMES = ("ingest.school.test", "master.school.test")


@dataclass
class FaultContext:
    """What an act works on: the school, the relay where the browser plays, and what it has to tell."""

    rig: ChaosCluster
    victim: str
    notes: dict[str, str]
    net: NetworkNamespace | None = None


@dataclass(frozen=True)
class FaultSetting:
    """What a row needs around its school."""

    plan: ChaosPlan
    net: NetworkNamespace | None = None


@contextmanager
def usual(folder: Path) -> Iterator[FaultSetting]:
    """Three relays, everything on loopback."""
    yield FaultSetting(ChaosPlan())


@contextmanager
def cabled(folder: Path) -> Iterator[FaultSetting]:
    """Put the victim into a network namespace of its own, at the end of a cable."""
    with lab("cable") as net:
        cable = net.cables["cable"]
        plan = ChaosPlan(host=cable.ours, prefix={VICTIM: net.prefix}, relay_host={VICTIM: cable.theirs})
        yield FaultSetting(plan, net)


@contextmanager
def clocks(folder: Path) -> Iterator[FaultSetting]:
    """Hang the clocks of master and victim on files."""

    def clock(name: str) -> dict[str, str]:
        (folder / f"clock-{name}").write_text("+0\n")
        return {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": str(folder / f"clock-{name}"),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    yield FaultSetting(ChaosPlan(env={VICTIM: clock("relay")}, master_env=clock("master")))


@contextmanager
def small_disk(folder: Path) -> Iterator[FaultSetting]:
    """Put the master's data on a disk of its own of 4 MB."""
    data = folder / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(data)], check=True)
    try:
        yield FaultSetting(ChaosPlan())
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True)


@contextmanager
def by_name(folder: Path) -> Iterator[FaultSetting]:
    """Let relays find ingest and master by name, from a file that can be emptied; beside it a name server
    that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((SILENT_DNS, 53))
        (folder / "hosts").write_text(f"127.0.0.1 localhost {' '.join(NAMES)}\n")
        (folder / "resolv.conf").write_text(f"nameserver {SILENT_DNS}\n")
        mounts = " && ".join(f"mount --bind {folder}/{name} /etc/{name}" for name in ("hosts", "resolv.conf"))
        prefix = ("unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh")
        yield FaultSetting(ChaosPlan(names=NAMES, prefix=dict.fromkeys((1, 2, 3), prefix)))


@dataclass(frozen=True)
class FaultRow:
    """One fault. `act` is given `act_s` seconds; viewers watch on for `after_s` more."""

    name: str
    fault: str
    promise: Promise
    act: Callable[[FaultContext], Awaitable[None]]
    act_s: float = 2.0
    after_s: float = 15.0
    setting: Callable[[Path], AbstractContextManager[FaultSetting]] = usual


MOVES = Promise("play on at another relay, the last within 5 s", stalls=True, back_s=MOVE_S)
UNNOTICED = Promise("no stall, no error shown")


def resumes(away_s: float) -> Promise:
    """Promise the same player session, soon after what was away is back."""
    return Promise("same player goes on, without a reload", stalls=True, back_s=away_s + RESUME_S)


async def kill_relay(scene: FaultContext) -> None:
    """The process is gone; its port refuses."""
    await killed(scene.rig.relays[scene.victim])


async def hang_relay(scene: FaultContext) -> None:
    """The process stands still and its port goes on accepting."""
    child = scene.rig.relays[scene.victim]
    child.kill(signal.SIGSTOP)
    await trio.sleep(12)
    child.kill(signal.SIGCONT)


async def cut_relay(scene: FaultContext) -> None:
    """Every packet to and from the relay's machine is dropped."""
    assert scene.net is not None
    scene.net.cut("cable")


async def drain_relay(scene: FaultContext) -> None:
    """The operator takes it out of service, as for an upgrade."""
    await scene.rig.command("drain", scene.victim)
    began_s = trio.current_time()
    while await viewers(scene.rig, scene.victim) > 0:
        if trio.current_time() - began_s > 20:
            scene.notes["Students left at the drained relay"] = (
                f"{await viewers(scene.rig, scene.victim):.0f}"
            )
            return
        await trio.sleep(POLL_S)
    scene.notes["The drained relay was empty after"] = f"{trio.current_time() - began_s:.1f} s"


async def viewers(rig: ChaosCluster, node_id: str) -> float:
    """Return how many students a relay counts, by its own metrics."""
    async with httpx.AsyncClient(timeout=5) as client:
        text = (await client.get(f"{rig.admin_urls[node_id]}/metrics")).text
    line = next(line for line in text.splitlines() if line.startswith("airclass_relay_viewers "))
    return float(line.split()[1])


def ingest_hangs(away_s: float) -> Callable[[FaultContext], Awaitable[None]]:
    """The relays lose the ingest: it stands still and answers nothing."""

    async def act(scene: FaultContext) -> None:
        scene.rig.ingest.kill(signal.SIGSTOP)
        await trio.sleep(away_s)
        scene.rig.ingest.kill(signal.SIGCONT)

    return act


def teacher_drops(away_s: float) -> Callable[[FaultContext], Awaitable[None]]:
    """The teacher's program dies and comes back in another size: a new muxer."""

    async def act(scene: FaultContext) -> None:
        await killed(scene.rig.teacher)
        await trio.sleep(away_s)
        await scene.rig.start_teacher("640x360")

    return act


async def kill_ingest(scene: FaultContext) -> None:
    """The ingest is killed and started again; the teacher's program reconnects by itself."""
    rig, began_s = scene.rig, trio.current_time()
    before = rig.teacher.output().count("teacher.live")
    await killed(rig.ingest)
    await trio.sleep(AWAY_S)
    await rig.start_ingest()
    while rig.teacher.output().count("teacher.live") == before:
        await trio.sleep(POLL_S)
    took_s = trio.current_time() - began_s
    scene.notes["The teacher's program published again"] = f"{took_s:.1f} s after the fault"


async def kill_master(scene: FaultContext) -> None:
    """The master is killed, stays away, and comes back; who was signed in stays signed in."""
    rig = scene.rig
    async with httpx.AsyncClient(base_url=rig.master_url, timeout=5) as client:
        answer = await client.post("/api/login", json={"username": "kim", "password": PASSWORD})
        answer.raise_for_status()
        await killed(rig.master)
        await trio.sleep(MASTER_AWAY_S)
        await rig.start_master()
        back_s = trio.current_time()
        while await rig.joined("Late") is None:
            await trio.sleep(POLL_S)
        scene.notes["A student could join again"] = f"{trio.current_time() - back_s:.1f} s after it answered"
        while list((await rig.statuses()).values()).count("active") < rig.plan.relays:
            await trio.sleep(POLL_S)
        scene.notes["All relays were active again"] = (
            f"{trio.current_time() - back_s:.1f} s after it answered"
        )
        status = (await client.get("/api/me")).status_code
        scene.notes["The teacher's session from before"] = (
            "goes on" if status == 200 else f"is gone ({status})"
        )


async def kill_master_and_relay(scene: FaultContext) -> None:
    """Both at once; the master comes back later."""
    rig = scene.rig
    rig.master.kill()
    rig.relays[scene.victim].kill()
    await rig.master.wait()
    await trio.sleep(MASTER_AWAY_S)
    await rig.start_master()


async def jump_clock(scene: FaultContext) -> None:
    """The clock of one relay's machine jumps an hour ahead, then the master's as well."""
    folder = scene.rig.folder
    with errors_of(scene, "relay"), errors_of(scene, "master"):
        for name in ("relay", "master"):
            (folder / f"clock-{name}").write_text(f"+{HOUR_S}\n")
            await trio.sleep(10)


async def fill_disk(scene: FaultContext) -> None:
    """The master's disk is full to the last byte while students come and a class is made."""
    rig = scene.rig
    with errors_of(scene, "master"):
        descriptor = os.open(rig.data / "filler", os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(descriptor, bytes(4096))
        except OSError:
            os.close(descriptor)
        for number in range(5):
            joined = await rig.joined(f"Late {number}")
            scene.notes["Joining with a full disk"] = "works" if joined else "is refused"
            await trio.sleep(1)
        await trio.sleep(5)


async def lose_names(scene: FaultContext) -> None:
    """No name can be resolved any more, lookups hang; the master restarts, so that relays look for it."""
    rig = scene.rig
    hosts = rig.folder / "hosts"
    names = hosts.read_text()
    with errors_of(scene, scene.victim):
        hosts.write_text("127.0.0.1 localhost\n")
        await killed(rig.master)
        await rig.start_master()
        await trio.sleep(15)
    hosts.write_text(names)
    took_s = await rig.until_active(rig.plan.relays)
    scene.notes["With names again, all relays were active"] = f"after {took_s:.1f} s"


async def lose_webhook(scene: FaultContext) -> None:
    """A relay dies while nobody listens where alerts are sent to; the monitor must go on."""
    rig = scene.rig
    with socket.create_server(("127.0.0.1", 0)) as closed:
        webhook = f"http://127.0.0.1:{closed.getsockname()[1]}/hook"
    env = {**rig.env, "MASTER_URL": rig.master_url, "ALERT_WEBHOOK": webhook}
    command = (*AIRCLASS, "monitor", "--watch", "--interval", "1", "--alert")
    async with running(*command, folder=rig.folder, env=env) as monitor:
        await trio.sleep(4)
        await killed(rig.relays[scene.victim])
        await trio.sleep(20)
        lines = [line for line in monitor.output().splitlines() if "alert.failed" in line]
        scene.notes["The monitor"] = "goes on" if monitor.returncode is None else "has ended"
        scene.notes["It says"] = f"{len(lines)} × `{lines[-1].split(maxsplit=2)[2]}`" if lines else "nothing"


@contextmanager
def errors_of(scene: FaultContext, name: str) -> Iterator[None]:
    """Note the warnings and errors that a process (master, relay: the victim) logs meanwhile."""
    child = scene.rig.master if name == "master" else scene.rig.relays[scene.victim]
    before = len(child.output())
    yield
    lines = [line for line in child.output()[before:].splitlines() if LOUD.search(line)]
    first = f", the first: `{lines[0].split(maxsplit=2)[2]}`" if lines else ""
    said = f"{len(lines)} warnings or errors{first}"
    scene.notes[f"Log of the {'relay' if name != 'master' else 'master'}"] = said


DROPS_S = (5, 30, 60)
ROWS = (
    FaultRow("relay-killed", "a relay is killed (`kill -9`)", MOVES, kill_relay),
    FaultRow("relay-hung", "a relay hangs for 12 s (`SIGSTOP`)", MOVES, hang_relay, act_s=14),
    FaultRow("relay-cut", "a relay's network is cut", MOVES, cut_relay, after_s=20, setting=cabled),
    FaultRow("relay-drained", "a relay is drained", UNNOTICED, drain_relay, act_s=22, after_s=5),
    FaultRow("ingest-hung", "the ingest hangs for 10 s", resumes(10), ingest_hangs(10), act_s=10),
    *(
        FaultRow(
            f"teacher-drops-{s}",
            f"the teacher is gone for {s} s, and back in another size",
            resumes(s),
            teacher_drops(s),
            act_s=s + 1,
        )
        for s in DROPS_S
    ),
    FaultRow(
        "ingest-killed",
        "the ingest is killed, and back after 5 s",
        resumes(AWAY_S + TEACHER_RETRY_S),
        kill_ingest,
        act_s=12,
    ),
    FaultRow(
        "master-killed",
        "the master is killed, and back after 8 s",
        Promise("players notice nothing; nobody signs in again; joins work ≤ 5 s after it is back"),
        kill_master,
        act_s=20,
        after_s=5,
    ),
    FaultRow(
        "master-and-relay",
        "master and a relay are killed at once",
        Promise("players reach the other relays, the last within 5 s", stalls=True, back_s=MOVE_S),
        kill_master_and_relay,
        act_s=12,
        after_s=8,
    ),
    FaultRow(
        "clock-jumps",
        "a relay's clock jumps an hour ahead, 10 s later the master's",
        Promise("media goes on; a clear error"),
        jump_clock,
        act_s=21,
        setting=clocks,
    ),
    FaultRow(
        "disk-full",
        "the master's disk is full",
        Promise("media goes on; a clear error"),
        fill_disk,
        act_s=15,
        after_s=5,
        setting=small_disk,
    ),
    FaultRow(
        "dns-dead",
        "the name server is silent, and the master restarts",
        Promise("media goes on; a clear error"),
        lose_names,
        act_s=30,
        after_s=5,
        setting=by_name,
    ),
    FaultRow(
        "webhook-down",
        "a relay dies while the alerts' receiver is down",
        Promise("media goes on; a clear error; the monitor goes on", stalls=True, back_s=MOVE_S),
        lose_webhook,
        act_s=27,
        after_s=5,
    ),
)
