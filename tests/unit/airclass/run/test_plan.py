"""What a machine runs: settings of the demo and of an installation, and each child's command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from airclass.ingest.ports import lan_address
from airclass.run import plan as plans
from airclass.run.plan import ProcessPlan
from relay.base.errors import ConfigError, StartError

SECRETS = {"JWT_SECRET_KEY": "j" * 40, "CLUSTER_SECRET": "c" * 40}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def plan(folder: Path) -> Iterator[ProcessPlan]:
    """A demo on any ports, with the embedded ingest."""
    environ = plans.demo_environ({"PATH": "/bin"}, folder, public=False)
    settings, mediamtx = plans.settle(environ)
    with plans.reserve(settings, mediamtx=False, any_port=True) as ports:
        yield ProcessPlan(settings, environ, ports, folder, mediamtx, demo=True, quiet=True)


def option(args: tuple[str, ...], name: str) -> str:
    return args[args.index(name) + 1]


def test_a_demo_takes_nothing_from_an_installation(folder: Path) -> None:
    environ = {
        **dict.fromkeys(plans.FOREIGN, "theirs"),
        "JWT_SECRET_KEY_FILE": "/run/secrets/theirs",
        "MAX_CONNECTIONS": "20",
        "MASTER_BIND": "0.0.0.0:9000",
    }
    demo = plans.demo_environ(environ, folder, public=False)
    assert "theirs" not in demo.values()
    assert demo["JWT_SECRET_KEY_FILE"] == ""
    assert demo["DATA_DIR"] == str(folder / "data")
    assert demo["MAX_CONNECTIONS"] == "20"
    assert demo["MASTER_BIND"] == "127.0.0.1:9000"
    assert demo["JWT_SECRET_KEY"] != plans.demo_environ(environ, folder, public=False)["JWT_SECRET_KEY"]
    assert plans.settle(demo)[0].demo


def test_public_opens_what_students_and_teachers_need_and_no_more(folder: Path) -> None:
    demo = plans.demo_environ({}, folder, public=True)
    hosts = {name: demo[name.upper()].rpartition(":")[0] for name in plans.BINDS}
    assert hosts == {
        "master_bind": "0.0.0.0",
        "relay_bind": "0.0.0.0",
        "ingest_rtmp_bind": "0.0.0.0",
        "relay_admin_bind": "127.0.0.1",
        "ingest_hls_bind": "127.0.0.1",
        "ingest_api_bind": "127.0.0.1",
    }


def test_default_ports_are_those_of_the_contract(folder: Path) -> None:
    demo = plans.demo_environ({}, folder, public=False)
    ports = [demo[name.upper()].rpartition(":")[2] for name in plans.BINDS]
    assert ports == ["8000", "8080", "8081", "1935", "8888", "9997"]


def test_the_api_port_is_a_setting(folder: Path) -> None:
    demo = plans.demo_environ({"INGEST_API_BIND": "127.0.0.1:9998"}, folder, public=False)
    assert plans.settle(demo)[0].ingest_api_bind == "127.0.0.1:9998"


def test_an_installation_needs_its_secrets_and_gets_the_inner_one() -> None:
    with pytest.raises(ConfigError) as caught:
        plans.settle(plans.standalone_environ({}))
    assert [problem.split()[0] for problem in caught.value.problems] == ["JWT_SECRET_KEY", "CLUSTER_SECRET"]
    settings, _ = plans.settle(plans.standalone_environ({**SECRETS, "INGEST": "embedded"}))
    assert settings.hls_cdn_secret is not None
    told = plans.standalone_environ({**SECRETS, "HLS_CDN_SECRET": "mine"})
    assert told["HLS_CDN_SECRET"] == "mine"
    by_file = plans.standalone_environ({**SECRETS, "HLS_CDN_SECRET_FILE": "/x"})
    assert "HLS_CDN_SECRET" not in by_file


def test_mediamtx_must_be_there_when_it_is_asked_for() -> None:
    environ = plans.standalone_environ({**SECRETS, "PATH": "/nowhere"})
    assert plans.settle(environ)[1] is None
    with pytest.raises(StartError, match="MediaMTX was not found"):
        plans.settle({**environ, "INGEST": "mediamtx"})


def test_with_a_certificate_the_address_must_be_told(tmp_path: Path) -> None:
    environ = plans.standalone_environ({**SECRETS, "TLS_CERT": "c.pem", "TLS_KEY": "k.pem"})
    with pytest.raises(ConfigError, match="MASTER_URL is missing"):
        plans.settle(environ)
    settings, _ = plans.settle({**environ, "MASTER_URL": "https://school.example"})
    with plans.reserve(settings, mediamtx=False, any_port=True) as ports:
        plan = ProcessPlan(settings, environ, ports, tmp_path, None)
        assert plan.inner_master_url == plan.master_url == "https://school.example"
        assert plan.relay_url.startswith("https://")


def test_the_embedded_ingest_is_never_public(folder: Path) -> None:
    settings, _ = plans.settle(plans.demo_environ({}, folder, public=True))
    with plans.reserve(settings, mediamtx=False, any_port=True) as ports:
        assert ports["INGEST_RTMP_BIND"].host == "127.0.0.1"
    with plans.reserve(settings, mediamtx=True, any_port=True) as ports:
        assert ports["INGEST_RTMP_BIND"].host == "0.0.0.0"
        assert ports["INGEST_API_BIND"].host == "127.0.0.1"


def test_children_know_each_other(plan: ProcessPlan) -> None:
    ingest, master, relay = plan.ingest(), plan.master(), plan.relay()
    assert ingest.args[2] == "airclass.ingest.embedded"
    assert option(ingest.args, "--rtmp") == plan.rtmp_server_url.removeprefix("rtmp://")
    assert master.env["INGEST_HLS_URL"] == f"http://{option(ingest.args, '--hls')}"
    assert master.env["INGEST_API_URL"] == f"http://{option(ingest.args, '--api')}"
    assert master.env["INGEST_RTMP_PUBLIC_URL"] == plan.rtmp_server_url
    assert relay.env["MASTER_URL"] == f"http://{master.env['MASTER_BIND']}"
    assert relay.env["NODE_PUBLIC_URL"] == f"http://{relay.env['RELAY_BIND']}"
    assert relay.env["CLUSTER_SECRET"] == master.env["CLUSTER_SECRET"]
    assert ingest.env["HLS_CDN_SECRET"] == master.env["HLS_CDN_SECRET"]
    for job in (ingest, master, relay):
        assert option(job.args, "--ready-file") == str(job.ready_file)
        assert job.output is not None


def test_the_teachers_key_is_not_an_argument(plan: ProcessPlan) -> None:
    """Every user of the machine can list arguments."""
    teacher = plan.teacher("rtmp://x/live/c?token=k")
    assert teacher.env["TEACH_TO"] == "rtmp://x/live/c?token=k"
    assert not [arg for arg in teacher.args if "token" in arg]
    assert teacher.ready_file is None


def test_mediamtx_asks_the_master(folder: Path) -> None:
    settings, _ = plans.settle(plans.demo_environ({}, folder, public=True))
    with plans.reserve(settings, mediamtx=True, any_port=True) as ports:
        plan = ProcessPlan(settings, {}, ports, folder, Path("/opt/mediamtx"), demo=True)
        ingest = plan.ingest()
        assert ingest.args[2] == "airclass.ingest.mediamtx"
        assert ingest.env["MEDIAMTX_PATH"] == "/opt/mediamtx"
        assert option(ingest.args, "--auth-url") == f"{plan.inner_master_url}/hooks/mediamtx/auth"
        assert plan.master().env["INGEST_API_URL"] == f"http://{option(ingest.args, '--api')}"
        assert ingest.output is None


def test_students_get_an_address_that_they_can_reach(folder: Path) -> None:
    settings, _ = plans.settle(plans.demo_environ({}, folder, public=True))
    with plans.reserve(settings, mediamtx=False, any_port=True) as ports:
        plan = ProcessPlan(settings, {}, ports, folder, None)
        assert plan.relay_url == f"http://{lan_address()}:{ports['RELAY_BIND'].port}"
        assert plan.master_url == f"http://{lan_address()}:{ports['MASTER_BIND'].port}"
        assert plan.inner_master_url == f"http://127.0.0.1:{ports['MASTER_BIND'].port}"
        told = ProcessPlan(settings, {"NODE_PUBLIC_URL": "http://r.example/"}, ports, folder, None)
        assert told.relay_url == "http://r.example"


def test_a_secret_from_a_file_reaches_the_ingest_by_value_alone(folder: Path) -> None:
    secret = folder / "cdn"
    secret.write_text("h" * 40)
    environ = plans.standalone_environ({**SECRETS, "HLS_CDN_SECRET_FILE": str(secret), "PATH": "/bin"})
    settings, mediamtx = plans.settle(environ)
    with plans.reserve(settings, mediamtx=False, any_port=True) as ports:
        env = ProcessPlan(settings, environ, ports, folder, mediamtx).ingest().env
    assert (env["HLS_CDN_SECRET"], env["HLS_CDN_SECRET_FILE"]) == ("h" * 40, "")


SECRET_NAMES = {
    "JWT_SECRET_KEY",
    "JWT_SECRET_KEY_PREVIOUS",
    "CLUSTER_SECRET",
    "HLS_CDN_SECRET",
    "DATABASE_URL",
    "ALERT_WEBHOOK",
    "BACKUP_PASSPHRASE",
    "MONITOR_TOKEN",
    "CLOUD_TOKEN",  # no setting of ours: something else on this machine
}
NEEDED = {
    "ingest": {"HLS_CDN_SECRET"},
    "master": {
        *("JWT_SECRET_KEY", "JWT_SECRET_KEY_PREVIOUS", "CLUSTER_SECRET", "HLS_CDN_SECRET"),
        *("DATABASE_URL", "ALERT_WEBHOOK"),
    },
    "relay": {"CLUSTER_SECRET"},
    "teacher": set(),
}


def test_each_child_gets_only_the_secrets_that_it_needs(folder: Path) -> None:
    by_file = {f"{name}_FILE": f"/run/{name}" for name in SECRET_NAMES}
    rest = {
        "PATH": "/bin",
        "LC_ALL": "C.UTF-8",
        "LOG_LEVEL": "debug",
        "MAX_CONNECTIONS": "20",
        "MTX_LOGLEVEL": "x",
    }
    values = dict.fromkeys(SECRET_NAMES, "h" * 40)
    settings, _ = plans.settle({**SECRETS, "HLS_CDN_SECRET": "h" * 40, "INGEST": "embedded"})
    for environ in ({**values, **rest}, {**by_file, **rest}):
        with plans.reserve(settings, mediamtx=False, any_port=True) as ports:
            plan = ProcessPlan(settings, environ, ports, folder, None)
            jobs = (plan.ingest(), plan.master(), plan.relay(), plan.teacher("rtmp://x/live/c?token=k"))
        for job in jobs:
            given = {n.removesuffix("_FILE") for n in environ if n not in rest and job.env.get(n)}
            assert given - NEEDED[job.name] == set(), job.name
            assert NEEDED[job.name] - given <= {"HLS_CDN_SECRET"}, "that one is given by value"
            assert (job.env["PATH"], job.env["LC_ALL"]) == ("/bin", "C.UTF-8")
            assert job.env["LOG_LEVEL"] == "debug"
        assert {job.name for job in jobs if "MAX_CONNECTIONS" in job.env and job.env["MAX_CONNECTIONS"]} == {
            "relay"
        }
        assert {job.name for job in jobs if "MTX_LOGLEVEL" in job.env} == {"ingest"}


def test_a_child_does_not_find_in_env_what_is_withheld(plan: ProcessPlan) -> None:
    """A child reads `.env` beside it, too; its environment wins, also where it is empty."""
    for job in (plan.ingest(), plan.relay(), plan.teacher("rtmp://x")):
        for name in ("JWT_SECRET_KEY", "DATABASE_URL", "BACKUP_PASSPHRASE", "MONITOR_TOKEN", "ALERT_WEBHOOK"):
            assert (job.env[name], job.env[f"{name}_FILE"]) == ("", "")
