"""Entering a class: who gets in, what they are told, and where they sit."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import trio

from airclass.domain.routing import RESERVED_S
from tests.harness.master_in_process import running_master

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def slug(body: dict[str, object]) -> str:
    return str(body["type"]).rpartition(":")[2]


async def test_a_student_joins_and_the_relay_accepts_the_token(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        relay = await control.node()
        answer = await control.join(made["code"].lower(), "  Kim\x1b[31m  ")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["classroom"] == {"id": made["id"], "name": "Math", "language": "ko"}
        assert body["state"] == "waiting"
        assert body["live"] is False
        assert [p["id"] for p in body["pathways"]] == ["slave-1"] == body["priority"]
        assert body["pathways"][0]["url"] == f"{relay.public_url}/t/{body['token']}/{made['id']}/index.m3u8"
        assert body["websocket_url"].startswith("ws://127.0.0.1:")
        assert relay.take(body["token"], made["id"])
        await relay.beat()
        viewers = await control.call("GET", f"/api/classrooms/{made['id']}/viewers", None, control.admin)
        (viewer,) = viewers.json()["viewers"]
        assert viewer["name"] == "Kim [31m"
        assert viewer["node"] == "slave-1"
        assert viewer["quality"] == "good"


async def test_refusals_say_what_to_do(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.node()
        locked = await control.classroom(password="open sesame")
        closed = await control.classroom()
        await control.call("POST", f"/api/classrooms/{closed['id']}/close", None, control.admin)
        for code, more, status, word in (
            ("ZZZZZZZ", {}, 404, "unknown-code"),
            (locked["code"], {}, 403, "wrong-password"),
            (locked["code"], {"password": "no"}, 403, "wrong-password"),
            (closed["code"], {}, 409, "class-closed"),
        ):
            answer = await control.join(code, **more)
            assert (answer.status_code, slug(answer.json())) == (status, word)
            assert answer.headers["content-type"] == "application/problem+json"
        answer = await control.join(locked["code"], password="open sesame")
        assert answer.status_code == 200, answer.text


async def test_full_cluster_is_a_waiting_room_and_full_class_too(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        small = await control.classroom(capacity=1)
        other = await control.classroom()
        answer = await control.join(other["code"])
        assert answer.json()["state"] == "waiting", "a queue needs no relay"
        await control.node(capacity=2)
        await control.begin(other)
        await control.begin(small)
        assert (await control.join(small["code"])).status_code == 200
        answer = await control.join(small["code"])
        assert (answer.status_code, slug(answer.json())) == (503, "class-full")
        assert int(answer.headers["retry-after"]) == answer.json()["retry_after_s"] > 0
        assert (await control.join(other["code"])).status_code == 200
        answer = await control.join(other["code"])
        assert (answer.status_code, slug(answer.json())) == (503, "cluster-full")


async def test_a_school_fills_all_nodes_exactly_and_one_more_waits(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        names = [(await control.node(f"slave-{n}", capacity=20)).node_id for n in range(3)]
        await control.begin(made)
        seats: Counter[str] = Counter()

        async def join(number: int) -> None:
            answer = await control.join(made["code"], f"student {number}")
            assert answer.status_code == 200, answer.text
            seats[answer.json()["priority"][0]] += 1

        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(join, number)
        assert seats == dict.fromkeys(names, 20)
        answer = await control.join(made["code"], "one more")
        assert (answer.status_code, slug(answer.json())) == (503, "cluster-full")
        assert int(answer.headers["retry-after"]) > 0


async def test_rejoining_keeps_the_seat_and_counts_once(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        for n in range(3):
            await control.node(f"slave-{n}")
        first = (await control.join(made["code"])).json()
        for _ in range(5):
            again = (await control.join(made["code"], rejoin=first["token"])).json()
            assert again["priority"][0] == first["priority"][0]
        shown = await control.call("GET", f"/api/classrooms/{made['id']}", None, control.admin)
        assert shown.json()["viewers"] == 1
        renewed = await control.call(
            "POST", "/api/renew", None, {"Authorization": f"Bearer {again['token']}"}
        )
        assert renewed.status_code == 200
        assert renewed.json()["priority"][0] == first["priority"][0]


async def test_multivariant_and_steering_agree_with_the_seat(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        relays = [await control.node(f"slave-{n}") for n in range(3)]
        joined = (await control.join(made["code"])).json()
        path = joined["playback_url"].removeprefix(control.url)
        answer = await control.call("GET", path)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        await control.begin(made)
        answer = await control.call("GET", path)
        assert answer.status_code == 200
        text = answer.text
        first = control.services.cluster.nodes.seat_book.seat_of[
            next(iter(control.services.cluster.ledger(made["id"]).members))
        ]
        assert f'PATHWAY-ID="{first}"' in text.splitlines()[3]
        for n, relay in enumerate(relays):
            base = f"{relay.public_url}/t/{joined['token']}/{made['id']}/"
            assert f'GROUP-ID="audio-slave-{n}"' in text
            assert f"{base}video1_stream.m3u8" in text
        steer = await control.call("GET", joined["steering_url"].removeprefix(control.url))
        assert steer.json()["PATHWAY-PRIORITY"][0] == first
        assert steer.json()["VERSION"] == 1


async def test_roster_lets_only_its_names_in(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.node()
        made = await control.classroom(roster=["Kim", "박지민"])
        assert (await control.join(made["code"], "kim")).status_code == 200
        assert (await control.join(made["code"], "박지민")).status_code == 200
        assert (await control.join(made["code"], "Eve")).status_code == 403


async def test_trying_class_codes_is_stopped_and_the_school_still_comes_in(tmp_path: Path) -> None:
    async with running_master(tmp_path, TRUSTED_PROXIES="127.0.0.0/8") as control:
        known, other = await control.classroom(), await control.classroom()
        await control.node()

        async def enter(code: str, address: str) -> int:
            body = {"code": code, "name": "Kim"}
            return (await control.call("POST", "/api/join", body, {"X-Forwarded-For": address})).status_code

        school, home = "192.0.2.1", "198.51.100.7"
        assert await enter(known["code"], school) == 200
        answers = [await enter("22222" + code, school) for code in (f"{n:03}" for n in range(222, 999))]
        assert 300 <= answers.count(404) < 600
        assert answers[-1] == 429
        assert await enter(known["code"], school) == 200
        assert await enter(other["code"], school) == 429, "an answer would say that the code is right"
        assert await enter(other["code"], home) == 200
        headers = {**control.admin, "X-Forwarded-For": school}
        path = f"/api/classrooms/{other['id']}"
        assert (await control.call("GET", path, None, headers)).status_code == 200
        assert await enter(other["code"], school) == 200, "its teacher is here"


async def test_a_student_who_was_inside_is_not_kept_out_by_guesses_of_the_password(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom(password="open sesame")
        await control.node()
        first = (await control.join(made["code"], password="open sesame")).json()
        codes = [(await control.join(made["code"], password=f"guess {n}")).status_code for n in range(75)]
        assert codes[-1] == 429
        again = await control.join(made["code"], password="open sesame", rejoin=first["token"])
        assert again.status_code == 200, again.text


async def test_the_same_mistake_of_a_whole_class_counts_once(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom(password="open sesame")
        await control.node()
        answers = [await control.join(made["code"], password="오픈") for _ in range(100)]
        assert {a.status_code for a in answers} == {403}
        assert (await control.join(made["code"], password="open sesame")).status_code == 200


async def test_one_name_of_the_list_holds_one_seat(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        relay = await control.node()
        made = await control.begin(await control.classroom(roster=["Kim", "Lee"], capacity=2))
        for name in ("Kim", "kim", " KIM "):
            answer = await control.join(made["code"], name)
            assert answer.status_code == 200
            relay.take(answer.json()["token"], made["id"])
        await relay.beat()
        assert (await control.join(made["code"], "Lee")).status_code == 200
        shown = await control.call("GET", f"/api/classrooms/{made['id']}", None, control.admin)
        assert shown.json()["viewers"] == 2
        assert control.services.cluster.nodes.students == 1, "its devices share one token id"


async def test_a_student_whose_seat_lapsed_is_told_when_to_ask_again(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.node()
        made = await control.begin(await control.classroom())
        joined = (await control.join(made["code"])).json()
        cluster, now_s = control.services.cluster, control.services.clock.now_s()
        assert len(cluster.nodes.seat_book.expire(now_s + RESERVED_S)) == 1
        renew = ("POST", "/api/renew", None, {"Authorization": f"Bearer {joined['token']}"})
        answer = await control.call(*renew)
        assert (answer.status_code, slug(answer.json())) == (503, "cluster-full")
        assert int(answer.headers["retry-after"]) > 10
        steering = await control.call("GET", joined["steering_url"].removeprefix(control.url))
        assert steering.status_code == 503, "their player keeps the relay that it has"


async def test_a_queue_that_is_full_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airclass.domain.waiting_queue.MAX_WAITING", 1)
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        assert (await control.join(made["code"])).status_code == 200
        answer = await control.join(made["code"], "Lee")
        assert (answer.status_code, slug(answer.json())) == (503, "class-full")
