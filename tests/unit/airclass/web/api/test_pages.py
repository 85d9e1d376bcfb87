"""Pages and files: only ours, with a policy; no way out of the folder and none to another site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from airclass.web.api import pages
from tests.harness.master_in_process import running_master

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.master_in_process import InProcessMaster


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of built pages beside a secret."""
    folder = tmp_path / "pages"
    (folder / "assets").mkdir(parents=True)
    for name in ("index.html", "teach.html", "admin.html", "login.html"):
        (folder / name).write_text(f"<!doctype html>{name}")
    (folder / "assets" / "app-1.js").write_text("1")
    (folder / "favicon.svg").write_text("<svg/>")
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setattr(pages, "PAGES", folder)
    return folder


async def raw(control: InProcessMaster, path: str) -> bytes:
    """Ask for a path exactly as written, which an HTTP client would tidy up."""
    stream = await trio.open_tcp_stream("127.0.0.1", int(control.url.rpartition(":")[2]))
    answer = b""
    async with stream:
        with trio.fail_after(5):
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            while data := await stream.receive_some(65536):
                answer += data
    return answer


async def test_each_page_comes_with_its_policy(tmp_path: Path, built: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.node("slave-1", public_url="http://relay.school.example:8080")
        for path, name in (
            ("/", "index"),
            ("/join/ABCDEFG", "index"),
            ("/teach", "teach"),
            ("/admin", "admin"),
            ("/login", "login"),
        ):
            answer = await control.call("GET", path)
            assert name in answer.text
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["x-content-type-options"] == "nosniff"
            policy = answer.headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "http://relay.school.example:8080" in policy
            assert "frame-ancestors 'none'" in policy
            rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
            assert "data:" in rules["media-src"], "captions begin with an empty file of hls.js"
            assert not [name for name in ("connect-src", "default-src") if "data:" in rules[name]]
            assert "unsafe-eval" not in policy
            assert "script-src" not in policy.replace("default-src", ""), "scripts only from ourselves"


async def test_files_are_kept_for_ever_and_nothing_else_is_served(tmp_path: Path, built: Path) -> None:
    async with running_master(tmp_path) as control:
        answer = await control.call("GET", "/assets/app-1.js")
        assert (answer.status_code, answer.text) == (200, "1")
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"].startswith(("text/javascript", "application/javascript"))
        assert (await control.call("GET", "/favicon.svg")).text == "<svg/>"
        for path in (
            "/assets/../../secret.txt",
            "/assets/..%2f..%2fsecret.txt",
            "/assets/%2e%2e/%2e%2e/secret.txt",
            "/assets/..%5c..%5csecret.txt",
            "/assets/%00",
            "/assets/%252e%252e/secret.txt",
            "/assets//etc/passwd",
            "/assets/" + "a/" * 300,
            "/assets/",
        ):
            answer_bytes = await raw(control, path)
            assert answer_bytes.split()[1] in (b"404", b"400"), path
            assert b"secret" not in answer_bytes.partition(b"\r\n\r\n")[2], path


async def test_no_address_leads_to_another_site(tmp_path: Path, built: Path) -> None:
    async with running_master(tmp_path) as control:
        for path in (
            "//evil.example",
            "//evil.example/..",
            "/\\evil.example",
            "/teach/",
            "/login?next=//evil",
        ):
            answer = await raw(control, path)
            head = answer.partition(b"\r\n\r\n")[0].lower()
            assert b"\r\nlocation:" not in head, path


async def test_without_built_pages_it_says_how_to_build_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGES", tmp_path / "nothing")
    async with running_master(tmp_path) as control:
        answer = await control.call("GET", "/teach")
        assert "make setup" in answer.text
        assert (await control.call("GET", "/favicon.ico")).status_code == 204


async def test_a_proxys_word_counts_only_when_it_is_trusted(tmp_path: Path) -> None:
    forwarded = {
        "X-Forwarded-For": "10.9.9.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "school.example",
    }
    for trusted, base in (("", "http://127.0.0.1"), ("127.0.0.0/8", "https://school.example/")):
        async with running_master(
            tmp_path / (trusted.replace("/", "_") or "none"), TRUSTED_PROXIES=trusted
        ) as control:
            made = await control.call("POST", "/api/classrooms", {"name": "x"}, control.admin | forwarded)
            assert made.json()["join_url"].startswith(base)
            odd = await control.call("GET", "/", None, {"Host": "a b<script>"})
            assert "<script>" not in odd.headers["content-security-policy"]


@pytest.mark.parametrize("host", ["h;sandbox", "h,sandbox", "h;script-src", "localhost;x"])
async def test_a_node_cannot_write_into_the_policy_of_the_pages(
    built: Path, tmp_path: Path, host: str
) -> None:
    """Its address used to reach the header as it was: a node could block the pages for everybody."""
    async with running_master(tmp_path) as control:
        relay = control.relay("evil", public_url=f"http://{host}:8080")
        refused = await relay.send("register", relay.registration())
        assert refused.status_code == 400
        good = await control.node()
        node = control.services.cluster.nodes.all["slave-1"]
        policy = (await control.call("GET", "/")).headers["content-security-policy"]
        assert good.public_url in policy
        assert host not in policy
        node.public_url = f"http://{host}:8080"  # as if it had come in another way
        policy = (await control.call("GET", "/")).headers["content-security-policy"]
        assert host not in policy


async def test_a_korean_name_of_a_node_is_in_the_policy_as_browsers_compare_it(
    built: Path, tmp_path: Path
) -> None:
    async with running_master(tmp_path) as control:
        relay = control.relay("k", public_url="http://학교.kr:8080")
        await relay.register()
        policy = (await control.call("GET", "/")).headers["content-security-policy"]
    assert "http://xn--9d0b527e.kr:8080" in policy
