"""Relays call: signed, once, for themselves; what they are told arrives at once; numbers agree."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest
import trio
from trio_websocket import open_websocket_url

from airclass.domain.node_keys import NodeRecord
from airclass.io.store import StoredStudent
from relay.base.cluster_protocol import Enrolled, EpochOffset, EpochRequest, OrdersPoll, Registration
from relay.base.enrolment import TOKEN_ID_BYTES, TOKEN_SECRET_BYTES, make_join_token
from relay.base.signing import unseal
from tests.harness.fake_http import FakeServer, ReceivedRequest, reply
from tests.harness.master_in_process import CHEAP_PASSWORD, SECRET, running_master

if TYPE_CHECKING:
    from pathlib import Path

    from relay.base.enrolment import JoinToken
    from tests.harness.fake_relay import FakeRelay
    from tests.harness.master_in_process import InProcessMaster


async def nodes(control: InProcessMaster) -> dict[str, dict[str, object]]:
    answer = await control.call("GET", "/cluster/nodes", None, control.monitor)
    assert answer.status_code == 200
    return {n["id"]: n for n in answer.json()["nodes"]}


async def test_calls_that_are_not_genuine_are_refused(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        relay = await control.node()
        relay.mute = True
        beat = relay.heartbeat(full=True)
        refusals = (
            {"secret": "x" * 40},
            {"wall_s": time.time() - 3600},
            {"wall_s": float("nan")},
        )
        for how in refusals:
            assert (await relay.send("heartbeat", beat, **how)).status_code == 401
        assert (await relay.send("heartbeat", beat, nonce="once")).status_code == 200
        assert (await relay.send("heartbeat", beat, nonce="once")).status_code == 401, "a replay"
        assert (await relay.send("heartbeat", beat, node="slave-9")).status_code == 403, "for somebody else"
        plain = await control.call("POST", "/cluster/heartbeat", {"node_id": "slave-1"})
        assert plain.status_code == 401
        for body in (b"{}", b"[]", b"\xff", b"{" * 10_000, b'{"node_id": 5}'):
            assert (await relay.send("heartbeat", body)).status_code == 400


async def test_a_wrong_clock_is_said_once_not_with_every_beat(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_master(tmp_path) as control:
        relay = await control.node()
        relay.mute = True
        for late_s in (3600, 3602, 3604):
            answer = await relay.send("heartbeat", relay.heartbeat(), wall_s=time.time() - late_s)
            assert answer.status_code == 401
        assert (await relay.send("heartbeat", relay.heartbeat(), secret="x" * 40)).status_code == 401
        refused = [r.getMessage() for r in caplog.records if "cluster.refused" in r.getMessage()]
    assert ["clocks" in line for line in refused] == [True, False]


async def test_a_database_that_cannot_be_written_is_said_once_in_its_own_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def logged() -> list[tuple[str, str]]:
        lines = [(record.levelname, record.getMessage()) for record in caplog.records]
        return [line for line in lines if line[1].startswith("database.write")]

    async with running_master(tmp_path) as control:
        database = sqlite3.connect(control.services.settings.data_dir / "airclass.sqlite3")
        database.execute("ALTER TABLE visits RENAME TO away")
        visit = StoredStudent("s1", "c1", "Kim", time.time())
        for _ in range(3):
            control.services.visits.append(visit)
            while control.services.visits:
                await trio.sleep(0.05)
        with trio.fail_after(10):
            while not logged():
                await trio.sleep(0.05)
        database.execute("ALTER TABLE away RENAME TO visits")
        database.close()
        with trio.fail_after(10):
            while len(logged()) < 2:
                await trio.sleep(0.05)
    assert logged() == [
        ("WARNING", "database.write_failed reason=no such table: visits"),
        ("INFO", "database.write_recovered"),
    ]


async def test_a_database_that_cannot_be_read_is_logged_once_and_then_its_recovery(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def logged() -> list[tuple[str, str]]:
        lines = [(record.levelname, record.getMessage()) for record in caplog.records]
        return [line for line in lines if line[1].startswith(("database.lost", "database.recovered"))]

    async with running_master(tmp_path) as control:
        database = sqlite3.connect(control.services.settings.data_dir / "airclass.sqlite3")
        database.execute("ALTER TABLE revision RENAME TO away")
        with trio.fail_after(10):
            while not logged():
                await trio.sleep(0.05)
        database.execute("ALTER TABLE away RENAME TO revision")
        database.close()
        with trio.fail_after(10):
            while len(logged()) < 2:
                await trio.sleep(0.05)
    assert [level for level, _ in logged()] == ["WARNING", "INFO"]
    assert logged()[0][1] == "database.lost reason=OperationalError"
    assert logged()[1][1] == "database.recovered"


async def test_an_unknown_node_is_told_to_register(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        relay = control.relay()
        assert not (await relay.beat()).known
        assert not (await relay.watch()).known


async def test_an_address_nobody_answers_at_is_said_at_once_and_kept_out(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        relay = control.relay(public_url="http://127.0.0.1:9")
        orders = await relay.register()
        assert "cannot reach NODE_PUBLIC_URL" in orders.warning
        await relay.beat(full=True)
        shown = (await nodes(control))["slave-1"]
        assert shown["status"] == "unhealthy"
        assert "cannot be reached" in str(shown["reason"])
        assert shown["reason_code"] == "unreachable"


async def test_claims_are_checked(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        for url in ("http://169.254.169.254/", "file:///etc/passwd", "gopher://x"):
            relay = control.relay(public_url=url)
            answer = await relay.send("register", _register(relay))
            assert answer.status_code == 400, url
        assert await nodes(control) == {}


def _register(relay: FakeRelay) -> bytes:
    return msgspec.json.encode(Registration(relay.node_id, relay.public_url, "", (), 150, 0, "t", 1.0))


# -- keys of the nodes' own ----------------------------------------------------------------------


async def test_a_node_speaks_with_its_own_key_and_for_itself_alone(tmp_path: Path) -> None:
    """A relay that was broken into knows CLUSTER_SECRET and its own key; neither speaks for another node."""
    async with running_master(tmp_path) as control:
        good, evil = control.relay("slave-1"), control.relay("slave-2", public_url="http://127.0.0.1:2")
        for relay in (good, evil):
            await relay.enrol()
            await relay.register()
            await relay.beat(full=True)
        beat = good.heartbeat()
        tries = {
            "the shared secret": {"secret": SECRET},
            "another node's key": {"secret": evil.secret},
            "another node's name": {"secret": evil.secret, "node": "slave-2"},
        }
        answers = {
            name: (await good.send("heartbeat", beat, **how)).status_code for name, how in tries.items()
        }
        assert answers == {"the shared secret": 401, "another node's key": 401, "another node's name": 403}
        drained = msgspec.structs.replace(beat, draining=True)
        assert (await good.send("heartbeat", drained, secret=evil.secret)).status_code == 401
        assert not control.services.cluster.nodes.all["slave-1"].health.draining
        taken = await good.send("enrol", good.enrolment("x" * 32, SECRET.encode()), secret=SECRET)
        assert (taken.status_code, "is at work" in taken.json()["detail"]) == (409, True)
        assert (await good.send("enrol", good.enrolment("x" * 32), node="slave-9")).status_code == 401
        other = await good.send("enrol", good.enrolment("x" * 32, SECRET.encode()), secret=SECRET, node="n9")
        assert other.status_code == 403
        await good.beat()


async def test_a_node_that_enrolled_is_known_after_a_restart_and_enrols_again_when_it_lost_its_key(
    tmp_path: Path,
) -> None:
    async with running_master(tmp_path) as control:
        relay = control.relay()
        await relay.enrol()
        await relay.register()
        await relay.beat(full=True)
        key = relay.secret
    async with running_master(tmp_path) as control:
        relay = control.relay()
        relay.secret = key
        await relay.register()
        cluster = control.services.cluster
        cluster.nodes.remove("slave-1")
        lost = control.relay()
        offer = lost.enrolment("y" * 32)
        assert (await lost.send("enrol", offer)).status_code == 503, "just started: who is at work?"
        cluster.began_wall_s -= 60
        assert (await lost.send("enrol", offer)).status_code == 200
        assert (await lost.send("enrol", offer)).status_code == 200, "the answer was lost"
        assert (await relay.send("register", _register(relay))).status_code == 401
        for key in ("short", ""):
            assert (await lost.send("enrol", lost.enrolment(key))).status_code == 400
        wrong = lost.enrolment("y" * 32, b"another secret")
        assert (await lost.send("enrol", wrong)).status_code == 400


async def test_an_upgrade_that_is_undone_brings_the_old_relay_back(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        relay = control.relay()
        await relay.enrol()
        await relay.register()
        old = control.relay(protocol=0)
        assert (await old.send("register", _register(old))).status_code == 401, "the new one is at work"
        control.services.cluster.nodes.remove("slave-1")
        control.services.cluster.began_wall_s -= 60
        assert (await old.send("heartbeat", old.heartbeat())).status_code == 401
        await old.register()
        assert (await old.beat(full=True)).known
        assert control.services.cluster.view.node_keys == {}


async def added(control: InProcessMaster, node_id: str, **more: object) -> tuple[JoinToken, NodeRecord]:
    """Do what `airclass node add` does."""
    services = control.services
    _, token = make_join_token(os.urandom(TOKEN_ID_BYTES + TOKEN_SECRET_BYTES))
    old = services.cluster.view.node_keys.get(node_id)
    record = replace(
        old or NodeRecord(node_id),
        **{"added": True, "join_id": token.id, "join_until_s": time.time() + 60, "join_used": False, **more},
        join_key=services.keyring.seal(token.key),
    )
    await services.store.save_node_key(record, None, instead_of=old)
    await services.reload()
    return token, record


async def test_a_join_token_is_good_once_and_for_a_while(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        relay = control.relay()
        token, _ = await added(control, "slave-7")
        how = {"secret": token.key, "node": token.signer}
        offer = relay.enrolment("k" * 32, token.key)
        assert (await relay.send("enrol", offer, secret=SECRET, node="slave-1")).status_code == 400
        assert (await relay.call("enrol", offer, Enrolled, **how)).node_id == "slave-7"
        assert (await relay.call("enrol", offer, Enrolled, **how)).node_id == "slave-7", "a lost answer"
        again = await relay.send("enrol", relay.enrolment("o" * 32, token.key), **how)
        assert (again.status_code, "was used already" in again.json()["detail"]) == (403, True)
        unknown = {"secret": token.key, "node": "#000000000000"}
        assert (await relay.send("enrol", offer, **unknown)).status_code == 401
        late, _ = await added(control, "slave-8", join_until_s=time.time() - 1)
        how = {"secret": late.key, "node": late.signer}
        expired = await relay.send("enrol", relay.enrolment("k" * 32, late.key), **how)
        assert (expired.status_code, "has expired" in expired.json()["detail"]) == (403, True)
        shared = control.relay("slave-8")
        named = await shared.send("enrol", shared.enrolment("k" * 32))
        assert (named.status_code, "added by name" in named.json()["detail"]) == (403, True)
        assert (await shared.send("register", _register(shared))).status_code == 401, "it has not joined yet"


async def test_zone_and_capacity_are_the_admins(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        token, _ = await added(control, "slave-1", zone=("10.1.0.0/16",), max_connections=200)
        relay = await _joined(control, token, "slave-1", zone=("127.0.0.1/32",), capacity=90_000)
        shown = (await nodes(control))["slave-1"]
        assert (shown["zone"], shown["capacity"]) == (["10.1.0.0/16"], 200)
        token, _ = await added(control, "slave-1", zone=(), max_connections=0)
        relay.capacity = 60
        await relay.register()
        assert (await nodes(control))["slave-1"]["zone"] == []
        assert (await nodes(control))["slave-1"]["capacity"] == 60
        own = await control.node("slave-2", zone=("10.2.0.0/16",), capacity=2**40)
        shown = (await nodes(control))["slave-2"]
        assert (shown["zone"], shown["capacity"]) == (["10.2.0.0/16"], 20_000)
        assert own.orders.known
    async with running_master(tmp_path, TRUST_NODE_ZONE="false") as control:
        await control.node("slave-3", zone=("10.2.0.0/16",))
        assert (await nodes(control))["slave-3"]["zone"] == []


async def _joined(control: InProcessMaster, token: JoinToken, node_id: str, **more: object) -> FakeRelay:
    relay = control.relay(node_id, **more)
    offer = relay.enrolment("k" * 32, token.key)
    await relay.call("enrol", offer, Enrolled, secret=token.key, node=token.signer)
    relay.secret = "k" * 32
    await relay.register()
    await relay.beat(full=True)
    return relay


async def test_absurd_numbers_of_a_node_are_not_learned(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        stream = (await control.classroom())["id"]
        good = EpochOffset(stream, "k1", 5, 1, 2, 0.5)
        absurd = (
            EpochOffset(stream, "k2", 2**62, 1, 2, 0.5),
            EpochOffset(stream, "k3", 5, -1, 2, 0.5),
            EpochOffset(stream, "k4", 5, 1, -5, 0.5),
            EpochOffset(stream, "k5", 5, 1, 2, 1e9),
            EpochOffset(stream, "", 5, 1, 2, 0.5),
            EpochOffset("nosuch", "k6", 5, 1),
        )
        relay = await control.node(epochs=(*absurd, good))
        assert [epoch.key for epoch in relay.orders.streams[0].epochs] == ["k1"]


async def test_a_watch_ends_as_soon_as_something_changes(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        relay = await control.node()
        relay.mute = True
        before = relay.orders.version
        began_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay.watch)
            made = await control.classroom()
        assert trio.current_time() - began_s < 1.5
        assert relay.orders.version > before
        assert [s.stream for s in relay.orders.streams] == [made["id"]]
        assert relay.orders.streams[0].origins == (f"http://127.0.0.1:8888/live/{made['id']}/index.m3u8",)


async def test_drain_and_undrain_reach_the_relay_and_the_routing(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        first, second = await control.node("slave-1"), await control.node("slave-2")
        joined = [(await control.join(made["code"], f"n{n}")).json() for n in range(4)]
        for j in joined:
            (first if j["priority"][0] == "slave-1" else second).take(j["token"], made["id"])
        await first.beat()
        await second.beat()
        assert (await control.call("POST", "/cluster/drain/slave-1", None, control.admin)).status_code == 204
        await first.beat()
        assert first.orders.drain
        assert (await nodes(control))["slave-1"]["status"] == "draining"
        for j in joined:
            steering = await control.call("GET", j["steering_url"].removeprefix(control.url))
            assert steering.json()["PATHWAY-PRIORITY"][0] == "slave-2"
        assert (await control.join(made["code"])).json()["priority"][0] == "slave-2"
        assert (
            await control.call("POST", "/cluster/undrain/slave-1", None, control.admin)
        ).status_code == 204
        await first.beat()
        await first.beat()
        assert not first.orders.drain
        assert (await nodes(control))["slave-1"]["status"] == "active"
        assert (await control.call("POST", "/cluster/drain/nosuch", None, control.admin)).status_code == 404
        assert (
            await control.call("DELETE", "/cluster/nodes/slave-1", None, control.admin)
        ).status_code == 409


async def test_the_last_node_is_drained_only_by_force_and_keeps_its_students(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        relay = await control.node("slave-1")
        await control.begin(made)
        joined = (await control.join(made["code"])).json()
        relay.take(joined["token"], made["id"])
        await relay.beat()
        for path in ("/cluster/drain/slave-1", "/cluster/drain/slave-1?force=1"):
            refused = await control.call("POST", path, None, control.admin)
            assert (refused.status_code, refused.json()["type"]) == (409, "urn:airclass:problem:last-node")
        assert (await nodes(control))["slave-1"]["status"] == "active"
        events = (await control.call("GET", "/api/events", None, control.admin)).json()["events"]
        assert "node.drain" not in [event["action"] for event in events]
        for _ in range(2):  # what is drained already may be drained again
            forced = await control.call("POST", "/cluster/drain/slave-1?force=true", None, control.admin)
            assert forced.status_code == 204
        await relay.beat()
        assert not relay.orders.drain, "nobody else could take its student"
        node = (await nodes(control))["slave-1"]
        assert (node["status"], node["reason_code"], node["connections"]) == ("draining", "keeping", 1)
        assert (await control.join(made["code"])).status_code == 503
        second = await control.node("slave-2")
        await second.beat()
        control.services.judge()
        await relay.beat()
        assert relay.orders.drain
        steering = await control.call("GET", joined["steering_url"].removeprefix(control.url))
        assert steering.json()["PATHWAY-PRIORITY"][0] == "slave-2"


async def test_the_list_of_nodes_says_which_classes_each_of_them_gets(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        relay = await control.node("slave-1")
        relay.states[made["id"]] = "live"
        await relay.beat()
        (stream,) = (await nodes(control))["slave-1"]["streams"]
        assert stream.pop("age_s") >= 0
        assert stream == {
            "stream": made["id"],
            "state": "served",
            "reason": "",
            "reason_code": "",
            "avoided": False,
        }
        relay.faults[made["id"]] = "connect"
        await relay.beat()
        (stream,) = (await nodes(control))["slave-1"]["streams"]
        assert (stream["state"], stream["reason_code"], stream["avoided"]) == ("failed", "no-ingest", False)
        assert stream["reason"] == "the origin refuses the connection"
        assert (await nodes(control))["slave-1"]["status"] == "active", "no other node serves it"
        async with open_websocket_url(
            f"{control.url.replace('http', 'ws')}/ws/monitor",
            extra_headers=[(k.encode(), v.encode()) for k, v in control.monitor.items()],
        ) as ws:
            shown = json.loads(await ws.get_message())["nodes"][0]["streams"]
        assert [s["state"] for s in shown] == ["failed"]


async def test_a_dead_node_is_shown_left_out_and_can_be_removed(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        first, _ = await control.node("slave-1"), await control.node("slave-2")
        first.mute = True
        health = control.services.cluster.nodes.all["slave-1"].health
        await control.until(lambda: health.status == "unhealthy", "unhealthy after 6 s")
        shown = await control.call("GET", "/cluster/nodes", None, control.monitor)
        (sick, _), summary = shown.json()["nodes"], shown.json()["summary"]
        assert sick["reason_code"] == "silent"
        assert sick["reason"] == f"has sent nothing for {sick['reason_figures']['silent_s']} s"
        assert summary["recommendation"] == f"Check slave-1 (unhealthy): slave-1 {sick['reason']}."
        assert summary["recommendation_code"] == "check-node"
        assert summary["recommendation_figures"] == {"node": "slave-1", "others": 0}
        for n in range(3):
            assert (await control.join(made["code"], f"n{n}")).json()["priority"] == ["slave-2"]
        assert (
            await control.call("DELETE", "/cluster/nodes/slave-1", None, control.admin)
        ).status_code == 204
        assert (await nodes(control)).keys() == {"slave-2"}
        for verb, record in (("heartbeat", first.heartbeat()), ("register", _register(first))):
            refused = await first.send(verb, record)
            assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (401, "node-removed")


async def test_one_number_line_for_all_relays_and_across_restarts(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        stream = made["id"]
        relays = [await control.node(f"slave-{n}") for n in range(3)]
        for relay in relays:
            await relay.beat()
        answers: list[EpochOffset] = []

        async def ask(relay: FakeRelay, next_msn: int) -> None:
            answers.append(await relay.ask(EpochRequest(stream, "k1", 3, next_msn, 1, 2, 0.5)))

        async with trio.open_nursery() as nursery:
            for n, relay in enumerate(relays):
                nursery.start_soon(ask, relay, 10 + n)
        assert answers == [EpochOffset(stream, "k1", 9, 1, 2, 0.5, answers[0].order)] * 3
        late = await control.node("slave-9")
        assert late.orders.streams[0].epochs == (answers[0],)
        assert await late.ask(EpochRequest(stream, "k1", 0, 99, 9)) == answers[0]
        assert (await late.send("epoch", EpochRequest("nosuch", "k", 0, 0, 0))).status_code == 404
        assert (await late.send("epoch", EpochRequest(stream, "", 0, 0, 0))).status_code == 400
        assert (await late.send("epoch", EpochRequest(stream, "k", -1, 0, 0))).status_code == 400
    async with running_master(tmp_path) as control:
        again = await control.node("slave-1")
        assert again.orders.streams[0].epochs == (answers[0],)


async def test_after_a_power_outage_numbers_go_on_above_what_was_shown(tmp_path: Path) -> None:
    """A tablet kept its battery, and the relays that had shown it the numbers know nothing."""
    async with running_master(tmp_path) as control:
        stream = (await control.classroom())["id"]
        relay = await control.node()
        before = await relay.ask(EpochRequest(stream, "k1", 7, 0, 0, 2, 0.5))
        relay.shown[stream] = (28, 1)
        await relay.beat()
        await control.until(lambda: not control.services.cluster.epochs.unsaved_numbers())
    async with running_master(tmp_path) as control:
        relay = control.relay()
        assert (await relay.register()).streams[0].next_msn > 28
        after = await relay.ask(EpochRequest(stream, "k2", 7, 0, 0, 2, 0.5))
        assert 7 + after.offset >= 28
        assert after.discontinuity_seq == before.discontinuity_seq + 1
        assert after.order > before.order


async def test_a_relay_that_starts_while_nobody_publishes_does_not_set_the_numbers_back(
    tmp_path: Path,
) -> None:
    async with running_master(tmp_path) as control:
        stream = (await control.classroom())["id"]
        relay = await control.node()
        await relay.ask(EpochRequest(stream, "k1", 7, 0, 0, 2, 0.5))
        relay.shown[stream] = (45, 1)
        relay.states[stream] = "reconnecting"
        await relay.beat()
        new = await control.node("slave-2")
        offset = await new.ask(EpochRequest(stream, "k2", 7, 0, 0, 2, 0.5))
        assert (7 + offset.offset, offset.discontinuity_seq) == (45, 1)
        assert await relay.ask(EpochRequest(stream, "k2", 7, 45, 1, 2, 0.5)) == offset


async def test_a_relay_that_refuses_an_offset_gets_a_higher_one(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        stream = (await control.classroom())["id"]
        relay = await control.node()
        low = await relay.ask(EpochRequest(stream, "k1", 7, 0, 0, 2, 0.5))
        refusal = EpochRequest(stream, "k1", 7, 45, 3, 2, 0.5, refused="k1")
        high = await relay.ask(refusal)
        assert (high.key, 7 + high.offset, high.discontinuity_seq) == ("k1+3", 45, 3)
        assert (await relay.watch()).streams[0].epochs == (low, high)


async def test_an_epoch_that_another_relay_brings_is_delivered_at_once(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        stream = (await control.classroom())["id"]
        relay = await control.node()
        relay.mute = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay.watch)
            other = await control.node("slave-2", epochs=(EpochOffset(stream, "k1", 5, 1),))
        assert relay.orders.streams[0].epochs == other.orders.streams[0].epochs != ()


async def test_epochs_of_a_relay_that_cannot_be_are_left_out(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        stream = (await control.classroom())["id"]
        odd = (
            EpochOffset(stream, "", 5, 1),
            EpochOffset(stream, "k" * 129, 5, 1),
            EpochOffset(stream, "k1", 2**53, 1),
            EpochOffset(stream, "k2", 5, 1, part_target_s=5000.0),
            EpochOffset(stream, "k3", 5, 1, order=-1),
            EpochOffset("nosuch", "k4", 5, 1),
        )
        relay = await control.node(epochs=odd)
        assert relay.orders.streams[0].epochs == ()


async def test_a_database_that_is_away_does_not_hold_a_returning_publisher_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_master(tmp_path) as control:
        stream = (await control.classroom())["id"]
        relay = await control.node()
        store, epochs = control.services.store, control.services.cluster.epochs
        kept = store.add_epoch

        async def away(offset: EpochOffset, at_s: float) -> EpochOffset:
            raise OSError("the database is locked")

        monkeypatch.setattr(store, "add_epoch", away)
        offset = await relay.ask(EpochRequest(stream, "k1", 7, 0, 0, 2, 0.5))
        assert offset.order > 0
        assert await store.epochs() == []
        monkeypatch.setattr(store, "add_epoch", kept)
        await control.until(lambda: not epochs.unsaved)
        assert await store.epochs() == [offset]


async def test_after_a_restart_everything_is_known_again(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        relay = await control.node()
        joined = (await control.join(made["code"])).json()
        relay.take(joined["token"], made["id"])
        await relay.beat()
        teacher = await control.teacher("Lee")
        await control.until(lambda: not control.services.visits)
        kept = relay
    async with running_master(tmp_path) as control:
        relay = await control.node()
        relay.viewers = kept.viewers
        await relay.beat(full=True)
        path = f"/api/classrooms/{made['id']}/viewers"
        (viewer,) = (await control.call("GET", path, None, control.admin)).json()["viewers"]
        assert viewer["name"] == "Kim"
        assert (await control.call("GET", "/api/me", None, teacher)).status_code == 200
        headers = {"Authorization": f"Bearer {joined['token']}"}
        renewed = await control.call("POST", "/api/renew", None, headers)
        assert renewed.status_code == 200
        assert relay.take(renewed.json()["token"], made["id"])


async def test_after_a_restart_nobody_is_sent_from_a_good_relay_to_one_that_came_back_sooner(
    tmp_path: Path,
) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        kept = await control.node("slave-1")
        await control.begin(made)
        joined = (await control.join(made["code"])).json()
        kept.take(joined["token"], made["id"])
        await kept.beat()
        steering = joined["steering_url"].removeprefix(control.url)
        playlist = joined["playback_url"].removeprefix(control.url)
        await control.until(lambda: not control.services.visits)
    async with running_master(tmp_path) as control:
        await control.node("slave-0")
        early = await control.call("GET", steering)
        assert early.status_code == 503, "the relay that came back first is not the student's"
        assert int(early.headers["retry-after"]) >= 1
        renew = ("POST", "/api/renew", None, {"Authorization": f"Bearer {joined['token']}"})
        assert (await control.call(*renew)).status_code == 503
        await control.call("GET", playlist)
        seats = control.services.cluster.nodes.seat_book.seat_of
        assert list(seats.values()) == ["slave-1"], "loading a playlist takes no other seat"
        assert (await control.call("GET", steering)).status_code == 503
        url = f"{control.url.replace('http', 'ws')}/ws/student?token={joined['token']}"
        async with open_websocket_url(url) as ws:
            told = json.loads(await ws.get_message())
            assert told["type"] == "snapshot"
            assert told.keys().isdisjoint({"priority", "pathways"})
            back = await control.node("slave-1")
            back.viewers = kept.viewers
            await back.beat(full=True)
            with trio.fail_after(5):
                while "priority" not in told:
                    told = json.loads(await ws.get_message())
            assert told["priority"][0] == "slave-1"
        answer = await control.call("GET", steering)
        assert answer.json()["PATHWAY-PRIORITY"] == ["slave-1", "slave-0"]
        assert (await control.call(*renew)).json()["priority"][0] == "slave-1"


async def test_the_nine_metrics_follow_what_happens(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        relay = await control.node("slave-1", capacity=4)
        joined = (await control.join(made["code"])).json()
        relay.take(joined["token"], made["id"])
        relay.states[made["id"]] = "live"
        await relay.beat()
        await control.join("ZZZZZZZ")
        text = (await control.call("GET", "/metrics", None, control.monitor)).text
        for line in (
            'airclass_http_requests_total{endpoint="/api/join",method="POST",status="200"} 1.0',
            'airclass_http_requests_total{endpoint="/api/join",method="POST",status="404"} 1.0',
            'airclass_http_request_duration_seconds_count{endpoint="/api/join",method="POST"} 2.0',
            "airclass_active_streams 1.0",
            'airclass_active_connections{type="student"} 1.0',
            'airclass_tokens_issued_total{user_type="student"} 1.0',
            'airclass_cluster_nodes_total{status="active"} 1.0',
            'airclass_cluster_load_percentage{node_id="slave-1"} 25.0',
            'airclass_cluster_connections{node_id="slave-1"} 1.0',
            'airclass_errors_total{type="unknown-code"} 1.0',
        ):
            assert line in text.splitlines(), line
        for secret in (joined["token"], made["code"], made["id"], "Kim"):
            assert secret not in text
        other = await control.classroom()
        relay.states[other["id"]] = "live"
        sick = await control.node("slave-2")
        sick.mute = True
        ask = {"user_type": "monitor"}
        assert (await control.call("POST", "/api/token", ask, control.admin)).status_code == 200
        headers = await control.teacher("Lee")
        ask = {"user_type": "teacher", "username": "Lee", "password": CHEAP_PASSWORD}
        assert (await control.call("POST", "/api/token", ask)).status_code == 200
        socket = control.url.replace("http", "ws")
        watch = [(k.encode(), v.encode()) for k, v in control.monitor.items()]
        async with open_websocket_url(f"{socket}/ws/monitor", extra_headers=watch) as ws:
            await ws.get_message()
            health = control.services.cluster.nodes.all["slave-2"].health
            await control.until(lambda: health.status == "unhealthy", "unhealthy after 6 s")
            drained = await control.call("POST", "/cluster/drain/slave-1?force=true", None, control.admin)
            assert drained.status_code == 204
            text = (await control.call("GET", "/metrics", None, control.monitor)).text
        for line in (
            "airclass_active_streams 2.0",
            'airclass_active_connections{type="monitor"} 1.0',
            'airclass_tokens_issued_total{user_type="monitor"} 1.0',
            'airclass_tokens_issued_total{user_type="teacher"} 1.0',
            'airclass_cluster_nodes_total{status="active"} 0.0',
            'airclass_cluster_nodes_total{status="draining"} 1.0',
            'airclass_cluster_nodes_total{status="unhealthy"} 1.0',
            'airclass_cluster_nodes_total{status="offline"} 0.0',
        ):
            assert line in text.splitlines(), line
        control.services.cluster.nodes.remove("slave-1")
        text = (await control.call("GET", "/metrics", None, control.admin)).text
        assert 'node_id="slave-1"' not in text
        assert (await control.call("GET", "/metrics")).status_code == 401
        assert (await control.call("GET", "/metrics", None, headers)).status_code == 403


async def test_prometheus_own_tool_complains_of_the_contracts_one_odd_name_alone(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: apt-get install prometheus"
    async with running_master(tmp_path) as control:
        await control.node()
        await control.join("ZZZZZZZ")
        text = (await control.call("GET", "/metrics", None, control.monitor)).content
    check = [promtool, "check", "metrics"]
    done = await trio.run_process(check, stdin=text, check=False, capture_stdout=True, capture_stderr=True)
    said = (done.stdout + done.stderr).decode().splitlines()
    assert [line.split()[0] for line in said] == ["airclass_cluster_nodes_total"], said


async def test_metrics_can_be_public(tmp_path: Path) -> None:
    async with running_master(tmp_path, METRICS_PUBLIC="true") as control:
        answer = await control.call("GET", "/metrics", None, {"Accept": "application/openmetrics-text"})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/openmetrics-text")


async def test_names_in_addresses_do_not_become_labels(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        for n in range(20):
            await control.call("GET", f"/nowhere/{n}")
        text = (await control.call("GET", "/metrics", None, control.monitor)).text
        assert 'endpoint="unmatched",method="GET",status="404"} 20.0' in text
        assert "/nowhere" not in text


async def test_operators_are_told_of_the_last_backup(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        answer = await control.call("GET", "/api/backup", None, control.monitor)
        assert answer.json() == {"at": "", "size_bytes": 0}
        note = control.services.settings.data_dir / "backup.json"
        note.write_text('{"at_s": 1764291600.0, "size_bytes": 1400000}')
        answer = await control.call("GET", "/api/backup", None, control.monitor)
        assert answer.json() == {"at": "2025-11-28T01:00:00Z", "size_bytes": 1_400_000}


async def test_a_relay_that_sends_heartbeats_cannot_be_forgotten(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        relay = await control.node()
        await control.node("slave-2")
        path = f"/cluster/nodes/{relay.node_id}"
        answer = await control.call("DELETE", path, None, control.admin)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:airclass:problem:node-at-work")
        drained = await control.call("POST", f"/cluster/drain/{relay.node_id}", None, control.admin)
        assert drained.status_code == 204
        assert (await control.call("DELETE", path, None, control.admin)).status_code == 409
        assert relay.node_id in control.services.cluster.view.drained


async def test_a_second_process_with_the_same_id_is_refused_with_a_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_master(tmp_path) as control:
        first = await control.node(incarnation="one")
        twin = control.relay(
            first.node_id, public_url="http://127.0.0.1:9", incarnation="two", started_at_s=9.0
        )
        other = control.relay("slave-2", public_url=first.public_url, incarnation="three")
        for relay, word in ((twin, "its own NODE_ID"), (other, "the address of slave-1")):
            with pytest.raises(AssertionError, match=word):
                await relay.register()
        for verb, record in (("heartbeat", twin.heartbeat()), ("watch", OrdersPoll("slave-1", 0, "two"))):
            assert (await twin.send(verb, record)).status_code == 409
        assert (await nodes(control))["slave-1"]["url"] == first.public_url
        refused = [r.getMessage() for r in caplog.records if "cluster.refused" in r.getMessage()]
        assert len(refused) == 2


async def test_a_database_that_went_back_is_read_again_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A failover to a replica that lagged behind, or a restored dump: the counter of writes falls."""
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        await control.node()
        await control.begin(made)
        database = sqlite3.connect(control.services.settings.data_dir / "airclass.sqlite3")
        database.execute("UPDATE revision SET value = value - 1")
        database.commit()
        database.close()
        await control.until(lambda: "database.went_back" in caplog.text, "the log says so")
        answer = await control.call("POST", f"/api/classrooms/{made['id']}/close", None, control.admin)
        assert answer.status_code == 200
        assert (await control.join(made["code"])).status_code == 409
        assert (await control.join((await control.classroom())["code"])).status_code == 200


async def test_joins_wait_after_a_restart_until_the_relays_are_back(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        for n in range(2):
            await control.node(f"slave-{n}")
        await control.begin(made)
        for n in range(10):
            assert (await control.join(made["code"], f"n{n}")).status_code == 200
        await control.until(lambda: not control.services.visits)
        await control.until(lambda: len(control.services.seen_nodes) == 2)
    async with running_master(tmp_path) as control:
        await control.node("slave-0", capacity=10)
        early = await control.join(made["code"])
        assert (early.status_code, early.headers["retry-after"]) == (503, "1")
        await control.node("slave-1", capacity=10)
        await control.begin(made)
        for n in range(10):
            assert (await control.join(made["code"], f"m{n}")).status_code == 200
        seats = control.services.cluster.nodes.seat_book
        assert [n.occupied for n in seats.nodes.values()] == [10, 10]
        assert control.services.cluster.viewers(made["id"]) == 20
        assert (await control.join(made["code"])).status_code == 503, "as many as there are seats"


async def test_with_eddsa_relays_get_public_keys_alone(tmp_path: Path) -> None:
    async with running_master(tmp_path, TOKEN_ALG="EdDSA") as control:
        relay = await control.node()
        made = await control.classroom()
        token = (await control.join(made["code"])).json()["token"]
        assert relay.orders.viewer_keys == ()
        told = unseal(SECRET.encode(), relay.orders.viewer_jwks)
        published = await control.call("GET", "/.well-known/jwks.json")
        assert (published.status_code, published.content) == (200, told)
        assert [key["alg"] for key in published.json()["keys"]] == ["EdDSA"]
        assert relay.take(token, made["id"])
        renewed = await control.call("POST", "/api/renew", headers={"Authorization": f"Bearer {token}"})
        assert renewed.status_code == 200


async def test_with_hs256_no_key_is_published(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        assert (await control.call("GET", "/.well-known/jwks.json")).json() == {"keys": []}


# apprise imports it where Python still has it
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
async def test_an_admin_tests_the_alerts_and_hears_what_happened(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        missing = await control.call("POST", "/api/test-alert", None, control.admin)
        assert (missing.status_code, missing.json()["type"].rpartition(":")[2]) == (409, "no-webhook")
        assert (await control.call("POST", "/api/test-alert", None, control.monitor)).status_code == 403
    sent: list[ReceivedRequest] = []

    async def take(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        sent.append(request)
        await stream.send_all(reply(b"ok") if len(sent) == 1 else reply(status=500))

    async with trio.open_nursery() as nursery:
        server = FakeServer(take)
        await nursery.start(partial(server.run, sockets=True))
        async with running_master(tmp_path, ALERT_WEBHOOK=f"{server.url}/hook") as control:
            first = await control.call("POST", "/api/test-alert", None, control.admin)
            second = await control.call("POST", "/api/test-alert", None, control.admin)
            assert first.json() == {"sent": True, "problem": ""}
            assert second.json() == {"sent": False, "problem": "the webhook answered with status 500"}
            events = await control.call("GET", "/api/events?limit=1", None, control.monitor)
            assert [e["action"] for e in events.json()["events"]] == ["alert.test"]
        nursery.cancel_scope.cancel()
    assert len(sent) == 2
