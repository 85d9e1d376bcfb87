"""Commands on the database: they work with or without a master, and say what went wrong in a sentence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import trio

from airclass.config import load_master
from airclass.domain.classrooms import hash_key
from airclass.io.store import open_store
from tests.harness.master_in_process import running_master

if TYPE_CHECKING:
    from pathlib import Path

    from airclass.domain.snapshot import Snapshot

SECRETS = {"JWT_SECRET_KEY": "j" * 40, "CLUSTER_SECRET": "c" * 40}
COMMAND_S = 40


class Office:
    """A folder with a database, and the commands that work on it."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.env = {**SECRETS, "DATA_DIR": str(folder / "data"), **env}

    def run(self, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one command."""
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), **self.env}
        return subprocess.run(
            [sys.executable, "-m", "airclass.cli.app", *args],
            capture_output=True,
            text=True,
            input=stdin,
            env=env,
            cwd=self.folder,
            timeout=COMMAND_S,
            check=False,
        )

    def out(self, *args: str, stdin: str = "") -> str:
        """Run one command that must succeed and return what it prints."""
        done = self.run(*args, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def view(self) -> Snapshot:
        """Return what the database holds."""

        async def load() -> Snapshot:
            store = await open_store(load_master(self.env))
            view = await store.load(0.0)
            await store.close()
            return view

        return trio.run(load)


def test_a_class_from_making_to_its_end(tmp_path: Path) -> None:
    office = Office(tmp_path, MASTER_URL="http://school.example:8000")
    made = json.loads(office.out("classroom", "add", "수학 1", "--capacity", "30", "--json"))
    assert made.keys() == {"id", "name", "code", "stream_key", "rtmp_url"}
    assert made["rtmp_url"] == f"rtmp://school.example:1935/live/{made['id']}?token={made['stream_key']}"
    (stored,) = office.view().classrooms.values()
    assert (stored.name, stored.capacity, stored.key_hash) == ("수학 1", 30, hash_key(made["stream_key"]))
    assert stored.key_shown == ""
    (listed,) = json.loads(office.out("classroom", "list", "--json"))
    assert listed == {"id": made["id"], "name": "수학 1", "code": made["code"], "status": "open"}
    assert made["code"] in office.out("classroom", "list")
    office.out("classroom", "close", made["code"])
    assert office.view().classrooms[made["id"]].status == "closed"
    office.out("classroom", "open", made["id"])
    fresh = json.loads(office.out("classroom", "rotate-key", made["id"], "--json"))
    assert fresh["stream_key"] != made["stream_key"]
    assert "No lesson" in office.run("classroom", "end-lesson", made["id"]).stderr
    assert "started" in office.out("classroom", "start-lesson", made["code"])
    assert "runs already" in office.run("classroom", "start-lesson", made["id"]).stderr
    assert office.view().lessons[made["id"]].runs
    assert "over" in office.out("classroom", "end-lesson", made["id"])
    assert not office.view().lessons[made["id"]].runs
    office.out("classroom", "close", made["id"])
    assert "open it first" in office.run("classroom", "start-lesson", made["id"]).stderr
    assert office.out("classroom", "retire", made["id"]) == "The class is retired."
    old = office.run("classroom", "end", made["id"])
    assert "retire" in old.stderr
    again = office.run("classroom", "open", made["id"])
    assert again.returncode == 2
    assert "over" in again.stderr


def test_people_and_their_passwords(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.out("user", "add", "Kim", "--role", "admin", "--password-stdin", stdin="long enough\n")
    assert "Kim" in office.out("user", "list")
    (listed,) = json.loads(office.out("user", "list", "--json"))
    assert listed["role"] == "admin"
    short = office.run("user", "passwd", "kim", "--password-stdin", stdin="short\n")
    assert short.returncode == 2
    before = office.view().by_name["kim"]
    office.out("user", "passwd", "kim", "--password-stdin", stdin="another long one\n")
    after = office.view().by_name["kim"]
    assert after.generation == before.generation + 1
    assert after.password_hash.startswith("$argon2id$")
    assert office.run("user", "add", "KIM", "--no-password").returncode == 2
    office.out("classroom", "add", "Math", "--owner", "kim")
    assert office.run("classroom", "add", "Math", "--owner", "nobody").returncode == 2
    office.out("user", "remove", "kim")
    assert office.view().users == {}


def test_problems_are_sentences_with_exit_code_2(tmp_path: Path) -> None:
    office = Office(tmp_path)
    for args in (
        ("classroom", "close", "nosuch"),
        ("classroom", "add", " "),
        ("token", "link", "--user", "nobody"),
        ("user", "remove", "nobody"),
    ):
        done = office.run(*args)
        assert done.returncode == 2, args
        assert "Traceback" not in done.stderr
    office.env["JWT_SECRET_KEY"] = "short"
    office.env["MASTER_BIND"] = "here"
    done = office.run("config", "check")
    assert done.returncode == 2
    assert "JWT_SECRET_KEY" in done.stderr
    assert "MASTER_BIND" in done.stderr
    office.env["MODE"] = "nothing"
    assert office.run("run").returncode == 2


def test_settings_are_shown_without_secrets(tmp_path: Path) -> None:
    office = Office(tmp_path, METRICS_PUBLIC="true")
    (office.folder / ".env").write_text("HEALTH_INTERVAL_S=20\nCORS_ORIGINS=http://a,http://b\n")
    secret = office.folder / "cdn"
    secret.write_text("h" * 40)
    office.env["HLS_CDN_SECRET_FILE"] = str(secret)
    shown = dict(re.findall(r"(\S+) +# (.+)", office.out("config", "show")))
    assert shown["METRICS_PUBLIC=true"] == shown["JWT_SECRET_KEY=***"] == "environment"
    assert shown["HLS_CDN_SECRET=***"] == f"{secret}, named by HLS_CDN_SECRET_FILE in environment"
    assert shown["HEALTH_INTERVAL_S=20.0"] == shown["CORS_ORIGINS=http://a,http://b"] == ".env"
    assert shown["MASTER_BIND=0.0.0.0:8000"] == shown["MAX_CONNECTIONS=150"] == "default"
    assert not {"j" * 40, "h" * 40} & set(re.findall(r"\w+", str(shown)))
    assert "fine for MODE=standalone" in office.out("config", "check")


def test_a_misspelt_name_in_env_is_noticed(tmp_path: Path) -> None:
    office = Office(tmp_path)
    (office.folder / ".env").write_text("MAX_CONECTIONS=9\nMASTER_PORT=80\nMTX_LOGLEVEL=warn\nSOMETHING=1\n")
    said = office.out("config", "check")
    assert "[WARN] MAX_CONECTIONS in .env is not a setting: did you mean MAX_CONNECTIONS?" in said
    assert "[WARN] SOMETHING in .env is not a setting, nothing reads it." in said
    assert said.count("[WARN]") == 2


def test_each_mode_checks_what_its_programs_read(tmp_path: Path) -> None:
    office = Office(
        tmp_path, MAX_CONNECTIONS="many", INGEST="none", ALERT_WEBHOOK="x", NODE_PUBLIC_URL="here"
    )
    done = office.run("config", "check")
    assert (done.returncode, done.stderr.count("  - ")) == (2, 3)
    office.env["MODE"] = "master"
    assert office.run("config", "check").returncode == 0
    office.env["MODE"] = "slave"
    done = office.run("config", "check")
    assert (done.returncode, done.stderr.count("  - ")) == (2, 3)
    assert "MASTER_URL is missing" in done.stderr


def test_a_reader_that_has_left_is_no_error_of_ours(tmp_path: Path) -> None:
    office = Office(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "airclass.cli.app", "config", "show"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), **office.env},
        cwd=office.folder,
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=COMMAND_S,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = Office(tmp_path).run("master", "--bind", f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 2
    assert "MASTER_BIND" in done.stderr
    assert "Traceback" not in done.stderr


def test_healthcheck_says_whether_it_is_ready(tmp_path: Path) -> None:
    assert Office(tmp_path, MASTER_BIND="127.0.0.1:9").run("healthcheck").returncode == 1
    assert Office(tmp_path, MODE="slave", RELAY_ADMIN_BIND="127.0.0.1:9").run("healthcheck").returncode == 1


async def test_a_running_master_sees_what_the_commands_changed(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        office = Office(tmp_path)

        async def out(*args: str) -> str:
            return await trio.to_thread.run_sync(office.out, *args)

        made = json.loads(await out("classroom", "add", "Math", "--json"))
        await control.until(lambda: made["id"] in control.services.cluster.view.classrooms)
        await out("user", "add", "Lee", "--no-password")
        link = await out("token", "link", "--user", "Lee", "--next", "/teach", "--master", control.url)
        token = link.partition("#link=")[2].partition("&")[0]
        answer = await control.call("POST", "/api/login", {"link_token": token})
        assert answer.json()["user"]["name"] == "Lee"
        for kind, path in (("monitor", "/cluster/nodes"), ("admin", "/api/users")):
            headers = {"Authorization": f"Bearer {await out('token', kind)}"}
            assert (await control.call("GET", path, None, headers)).status_code == 200
        relay = await control.node("slave-1")
        await control.node("slave-2")
        await out("drain", "slave-1", "--master", control.url)
        assert "slave-1" in control.services.cluster.view.drained
        await relay.beat()
        assert relay.orders.drain
        await out("undrain", "slave-1")
        await control.until(lambda: not control.services.cluster.view.drained)
        assert await out("healthcheck", "--url", control.url) == "ready"


async def test_draining_is_refused_where_it_would_help_nobody(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        office = Office(tmp_path, MASTER_URL=control.url)
        await control.node("slave-1")

        async def run(*args: str) -> tuple[int, str]:
            done = await trio.to_thread.run_sync(office.run, *args)
            return done.returncode, done.stderr or done.stdout

        assert await run("drain", "nosuch") == (
            1,
            "There is no node nosuch: `airclass monitor` lists the nodes.\n",
        )
        assert (await run("drain", "../users"))[0] == 1
        code, text = await run("drain", "slave-1")
        assert (code, text.partition(":")[0]) == (1, "slave-1 is the last node that takes students")
        assert control.services.cluster.view.drained == set()
        assert (await run("drain", "slave-1", "--force"))[0] == 0
        assert control.services.cluster.view.drained == {"slave-1"}
        assert (await run("undrain", "slave-1"))[0] == 0
        assert (await run("undrain", "slave-1"))[0] == 1
        office.env["JWT_SECRET_KEY"] = "k" * 40
        code, text = await run("drain", "slave-1")
        assert code == 2
        assert "has another JWT_SECRET_KEY" in text
        del office.env["JWT_SECRET_KEY"]
        code, text = await run("drain", "slave-1")
        assert code == 2
        assert "JWT_SECRET_KEY is not set" in text


def test_a_master_that_is_away_cannot_drain(tmp_path: Path) -> None:
    done = Office(tmp_path, MASTER_URL="http://127.0.0.1:9").run("drain", "slave-1")
    assert done.returncode == 2
    assert "The master at http://127.0.0.1:9 does not answer" in done.stderr


def test_first_mistakes_end_in_a_sentence(tmp_path: Path) -> None:
    """No traceback without a terminal, no setting that the command does not need, nothing said twice."""
    office = Office(tmp_path)
    no_terminal = office.run("user", "add", "boss", "--role", "admin")
    assert (no_terminal.returncode, "Traceback" in no_terminal.stderr) == (2, False)
    assert "--password-stdin" in no_terminal.stderr
    made = office.out("user", "add", "boss", "--role", "admin", "--password-stdin", stdin="long enough\n")
    assert made == "boss is an admin now."
    alone = Office(tmp_path, CLUSTER_SECRET="").run("slave")
    assert alone.returncode == 2
    assert "MASTER_URL is missing" in alone.stderr
    assert "--public" not in alone.stderr
    wrong = Office(tmp_path, CLUSTER_SECRET="short", MASTER_URL="nonsense").run("config", "check")
    lines = [line for line in wrong.stderr.splitlines() if "CLUSTER_SECRET" in line or "MASTER_URL" in line]
    assert len(lines) == len({line.partition(":")[0] for line in lines}) == 2, lines


def test_a_backup_of_nothing_leaves_nothing(tmp_path: Path) -> None:
    done = Office(tmp_path).run("backup")
    assert done.returncode == 2
    assert not (tmp_path / "backups").exists()


def test_shells_can_complete_commands(tmp_path: Path) -> None:
    office = Office(tmp_path, HOME=str(tmp_path))
    office.out("--install-completion", "--shell", "bash")
    assert any("airclass" in path.name for path in tmp_path.rglob("*") if path.is_file())
    assert "--no-json" not in office.out("user", "add", "--help")
