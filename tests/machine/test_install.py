"""install.sh for real: machines with systemd, from nothing to a class, upgraded under viewers, taken away.

By hand (`make test-install`), some five minutes; what an operator sees goes to build/by-hand/install-*.md.
With MEDIAMTX_PATH the cluster's ingest is a real MediaMTX (else `tests/origin` stands for it), and the
one PC gets it, too, after its first days without.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from benchmarks.load.viewer_worker import WorkerOrders
from tests.harness.ingests import build_origin
from tests.harness.transcript import keep
from tests.machine.vm import machine
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.machine.vm import MachineUnderTest

WHOLE_S = 480.0
WAIT_S = 60.0
POLL_S = 0.25
VIEWERS = 40
HOME = "/root"
INSTALL = "airclass/deploy/install.sh"
REAL = os.environ.get("MEDIAMTX_PATH")
STAND_IN = """#!/bin/sh
# stands for MediaMTX: takes its environment, not its file
[ "$1" = --version ] && echo v1.20.1 && exit
MTX_RTMPADDRESS=${MTX_RTMPADDRESS:-:1935} exec /usr/local/lib/origin
"""


def write_down(name: str, title: str, *boxes: MachineUnderTest) -> None:
    """Keep what the operators of the machines saw, without keys and tokens."""
    parts = [f"## {title}\n"]
    for box in boxes:
        text = "".join(box.transcript).replace(f"{HOME}/", "~/")
        parts.append(f"On {box.name}:\n\n```console\n{text}```\n")
    keep(f"install-{name}", "\n".join(parts))


async def until(box: MachineUnderTest, command: str, wanted: str) -> str:
    """Run a command again and again until its output holds some words."""
    said = ""
    with trio.move_on_after(WAIT_S):
        while True:
            said = box.quietly(f"{command} || true")
            if wanted in said:
                return said
            await trio.sleep(POLL_S)
    raise AssertionError(f"{command}: no {wanted!r} in {said}")


async def test_one_pc(tmp_path: Path) -> None:
    with trio.fail_after(WHOLE_S), machine("pc", tmp_path) as pc:
        pc.run(f"{INSTALL} --firewall")
        said = pc.run("systemctl status airclass-standalone --no-pager")
        assert "active (running)" in said
        assert f'Status: "AIRClass is at http://{pc.address}:8000"' in said
        assert "[ERROR]" not in pc.run("airclass doctor", code=1)  # no MediaMTX, no backup yet
        made = json.loads(pc.run("airclass classroom add Math --json"))
        await _a_class_goes_on(pc, made)
        pc.run("airclass monitor")
        _check_secrets(pc)
        await _hangs_and_crashes_are_mended(pc)
        pc.run("airclass backup")
        pc.run("systemctl start airclass-backup.service && ls /var/backups/airclass")
        assert "never been a backup" not in pc.quietly("airclass doctor || true")
        before = pc.quietly(
            "airclass classroom list --json && sha256sum /etc/airclass/secrets/* /etc/airclass/.env"
        )
        pc.quietly("airclass classroom add Other")
        pc.run("airclass restore /var/backups/airclass/*.tar.gz --yes")
        await until(pc, "systemctl is-active airclass-standalone", "active")
        pc.run(f"{INSTALL} --firewall")
        after = pc.quietly(
            "airclass classroom list --json && sha256sum /etc/airclass/secrets/* /etc/airclass/.env"
        )
        assert after == before
        assert len(pc.quietly("ls -d /opt/airclass/[0-9]*").split()) == 2
        _check_firewall(pc)
        await _a_version_that_does_not_start_is_taken_back(pc)
        if REAL:
            await _mediamtx_is_put_in(pc, made)
        pc.run(f"{INSTALL} --uninstall")
        pc.run(f"{INSTALL} --uninstall --purge")
        left = pc.quietly(
            "ls -d /opt/airclass /etc/airclass /var/lib/airclass /etc/systemd/system/airclass* || true"
        )
        assert left.count("No such file") == 4, left
        assert "airclass" not in pc.quietly("cat /etc/passwd; ufw show added; ls /usr/local/bin; ps -e")
        write_down("one-pc", "One PC", pc)


async def _a_class_goes_on(pc: MachineUnderTest, made: dict[str, Any]) -> None:
    """Teach on the PC itself, and watch from another one."""
    url = made["rtmp_url"].replace(pc.address, "127.0.0.1")
    teach = f"/opt/airclass/current/bin/airclass teach --to {url} --size 320x180 --fps 15 --bitrate-kbps 200"
    pc.quietly(f"systemd-run --quiet --unit=teacher {teach}")
    async with httpx.AsyncClient(timeout=10) as student:
        form = {"code": made["code"], "name": "Kim"}
        joined = (await student.post(f"http://{pc.address}:8000/api/join", json=form)).json()
        url = joined["pathways"][0]["url"]
        assert url.startswith(f"http://{pc.address}:8080/")
        with trio.fail_after(WAIT_S):
            while (await student.get(url)).status_code != 200:
                await trio.sleep(POLL_S)
    pc.quietly("systemctl stop teacher")


def _check_secrets(pc: MachineUnderTest) -> None:
    """Nobody but root and the services reads them, and the journal holds none."""
    assert "Permission denied" in pc.quietly(
        "setpriv --reuid=nobody cat /etc/airclass/secrets/* 2>&1 || true"
    )
    journal = pc.quietly("journalctl --no-pager -o cat -u 'airclass-*'")
    for secret in pc.quietly("for f in /etc/airclass/secrets/*; do cat $f; echo; done").split():
        assert secret not in journal
    assert not re.search(r"eyJ[\w-]{8,}\.[\w-]{8,}\.", journal)
    unit = "/proc/$(systemctl show --property MainPID --value airclass-standalone)"
    assert "NoNewPrivs:\t1" in pc.quietly(f"cat {unit}/status")
    assert "CapEff:\t0000000000000000" in pc.quietly(f"cat {unit}/status")


async def _hangs_and_crashes_are_mended(pc: MachineUnderTest) -> None:
    """Kill the service, then let it hang: systemd starts it again each time."""
    main = "$(systemctl show --property MainPID --value airclass-standalone)"
    restarts = "systemctl show --property NRestarts airclass-standalone"
    drop_in = "/etc/systemd/system/airclass-standalone.service.d"
    pc.quietly(f"mkdir {drop_in} && printf '[Service]\\nWatchdogSec=2\\n' >{drop_in}/quick.conf")
    pc.quietly("systemctl daemon-reload && systemctl restart airclass-standalone")
    pc.run(f"kill -KILL {main}")
    await until(pc, restarts, "NRestarts=1")
    await until(pc, "systemctl is-active airclass-standalone", "active\n")
    pc.run(f"kill -STOP {main}")
    await until(pc, restarts, "NRestarts=2")
    await until(pc, "systemctl is-active airclass-standalone", "active\n")
    assert "Watchdog timeout" in pc.run(
        "journalctl --no-pager -o cat -u airclass-standalone | grep -i watchdog"
    )
    pc.quietly(f"rm -r {drop_in} && systemctl daemon-reload && systemctl restart airclass-standalone")


def _check_firewall(pc: MachineUnderTest) -> None:
    """Exactly the ports in use are open."""
    pc.run("ufw --force enable && ufw status")
    rules = set(re.findall(r"^(\S+) +ALLOW", pc.quietly("ufw status"), re.MULTILINE))
    assert rules == {"8000/tcp", "8080/tcp"}
    pc.quietly("systemd-run --quiet --unit=other python3 -m http.server 9000")
    assert httpx.get(f"http://{pc.address}:8000/readyz", timeout=5).status_code == 200
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{pc.address}:9000/", timeout=2)
    pc.quietly("systemctl stop other; ufw disable")


async def _a_version_that_does_not_start_is_taken_back(pc: MachineUnderTest) -> None:
    before = pc.quietly("readlink /opt/airclass/current")
    master = "airclass/airclass/master.py"
    pc.quietly(f"cp {master} /tmp/master.py && sed -i '1i raise SystemExit(3)' {master}")
    assert "runs again" in pc.run(INSTALL, code=2)
    assert pc.quietly("readlink /opt/airclass/current") == before
    await until(pc, "systemctl is-active airclass-standalone", "active\n")
    pc.quietly(f"cp /tmp/master.py {master}")


async def _mediamtx_is_put_in(pc: MachineUnderTest, made: dict[str, Any]) -> None:
    """Install again with MediaMTX: from then on teachers come from other computers."""
    shutil.copy(REAL or "", pc.root / "root/mediamtx")
    said = pc.run(f"{INSTALL} --mediamtx ./mediamtx --firewall")
    assert re.search(r"^\[OK\] MediaMTX v1\.\d+\.\d+ is in /opt/airclass/bin$", said, re.MULTILINE)
    assert "[OK] ufw lets in: 8000, 8080, 1935" in said
    pc.run("ufw --force enable && ufw status")
    await until(pc, "systemctl is-active airclass-standalone", "active\n")
    found = pc.run("airclass doctor")
    assert re.search(r"^\[OK\] MediaMTX", found, re.MULTILINE)
    assert "/opt/airclass/bin/mediamtx" in pc.quietly("ps -eo args")
    async with trio.open_nursery() as nursery, httpx.AsyncClient(timeout=10) as student:
        nursery.start_soon(_teach, made["rtmp_url"])
        form = {"code": made["code"], "name": "Lee"}
        joined = (await student.post(f"http://{pc.address}:8000/api/join", json=form)).json()
        with trio.fail_after(WAIT_S):
            while (await student.get(joined["pathways"][0]["url"])).status_code != 200:
                await trio.sleep(POLL_S)
        nursery.cancel_scope.cancel()


async def test_a_cluster_is_upgraded_while_a_class_goes_on(tmp_path: Path) -> None:
    with (
        trio.fail_after(WHOLE_S),
        machine("master", tmp_path) as master,
        machine("slave-1", tmp_path) as one,
        machine("slave-2", tmp_path) as two,
    ):
        for box in (master, one, two):
            box.with_wheels()
        relays = f"{one.address}/32,{two.address}/32"
        master.run(f"{INSTALL} --master --mediamtx {_ingest(master)} --firewall --relays {relays}")
        assert "active (running)" in master.run("systemctl status airclass-ingest --no-pager")
        rules = master.run("ufw --force enable && ufw status")
        assert len(re.findall(r"^8888/tcp +ALLOW +10\.", rules, re.MULTILINE)) == 2
        secret = master.quietly("cat /etc/airclass/secrets/cluster-secret")
        for slave in (one, two):
            slave.quietly(f"(umask 077; printf %s {secret} >cluster-secret)")
            where = f"--master-url http://{master.address}:8000 --cluster-secret-file cluster-secret"
            slave.run(f"{INSTALL} --slave {where} --firewall")
            assert "active (running)" in slave.run("systemctl status airclass-slave --no-pager")
        await until(master, "airclass monitor", "Active: 2")
        master.run("airclass monitor")
        assert "[ERROR]" not in one.run("airclass doctor")
        made = json.loads(master.run("airclass classroom add Math --json"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_teach, made["rtmp_url"])
            urls = await _join(master, made["code"])
            seen: list[dict[str, Any]] = []
            nursery.start_soon(_watch, urls, 75.0, seen)
            await until(master, "airclass monitor --json", f'"current_load": {VIEWERS}')
            # a relay that is restarted moves its students by itself
            one.run(INSTALL)
            await until(master, "airclass monitor", "Active: 2")
            # and the same by hand
            master.run("airclass drain slave-2")
            await until(master, "airclass monitor --json", '"connections": 0')
            two.run("systemctl restart airclass-slave")
            master.run("airclass undrain slave-2")
            await until(master, "airclass monitor", "Active: 2")
            # the master may go at any time
            master.run("systemctl restart airclass-master")
            await until(master, "airclass monitor", "Active: 2")
            while not seen:
                await trio.sleep(POLL_S)
            nursery.cancel_scope.cancel()
        viewers = seen[0]["viewers"]
        moves = sum(len(viewer["moves"]) for viewer in viewers)
        stalls = [stall for viewer in viewers for stall in viewer["stalls"]]
        summary = f"{len(viewers)} viewers, {moves} moves, {len(stalls)} stalls"
        print(summary)
        for slave in (one, two):
            slave.run(f"{INSTALL} --uninstall --purge")
        write_down("cluster", f"A cluster, upgraded under {summary}", master, one, two)
        assert len(viewers) == VIEWERS
        assert all(viewer["startup_s"] is not None for viewer in viewers)
        assert moves >= VIEWERS
        assert stalls == []


def _ingest(master: MachineUnderTest) -> str:
    """Put a MediaMTX on the machine, or what stands for it."""
    if REAL:
        shutil.copy(REAL, master.root / "root/mediamtx")
        return "./mediamtx"
    shutil.copy(build_origin(), master.root / "usr/local/lib/origin")
    (master.root / "root/mediamtx").write_text(STAND_IN)
    (master.root / "root/mediamtx").chmod(0o755)
    return "./mediamtx"


async def _teach(url: str) -> None:
    teacher = (sys.executable, "-m", "airclass.ingest.teacher", "--to", url)
    small = ("--size", "320x180", "--fps", "15", "--bitrate-kbps", "300")
    await trio.run_process([*teacher, *small], capture_stdout=True, capture_stderr=True, cwd=ROOT)


async def _join(master: MachineUnderTest, code: str) -> list[str]:
    urls = []
    async with httpx.AsyncClient(timeout=10) as client:
        # a running master sees what a command has made within a second
        entrance, first = f"http://{master.address}:8000/api/join", {"code": code, "name": "x"}
        with trio.fail_after(WAIT_S):
            while (await client.post(entrance, json=first)).is_error:
                await trio.sleep(POLL_S)
        for n in range(VIEWERS):
            form = {"code": code, "name": f"Student {n}"}
            answer = await client.post(entrance, json=form)
            assert answer.status_code == 200, answer.text
            urls.append(answer.json()["playback_url"])
        with trio.fail_after(WAIT_S):
            while (await client.get(urls[0])).status_code != 200:
                await trio.sleep(POLL_S)
    return urls


async def _watch(urls: list[str], seconds: float, seen: list[dict[str, Any]]) -> None:
    orders = WorkerOrders(urls, len(urls), 3.0, 4.0, seconds, 1.75)
    done = await trio.run_process(
        [sys.executable, "-m", "benchmarks.load.viewer_worker"],
        stdin=json.dumps(asdict(orders)).encode() + b"\n",
        capture_stdout=True,
        cwd=ROOT,
    )
    seen.append(json.loads(done.stdout.splitlines()[-1]))
