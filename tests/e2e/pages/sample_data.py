"""The people, classes and nodes on the fake master's stage; names try to break out of the page."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from airclass.domain.advice import NodeFigures, summarize
from airclass.domain.health import NodeStatus, Reason, ReasonCode

CODE = "K7QFM2XP"
XSS = "<img src=x onerror=\"document.title='broken'\">"
NAMES = [
    "김민아",
    "이준호",
    "박서연",
    "최도윤",
    "Anna Berg",
    "정하은",
    "Liam O’Neil",
    "윤지우",
    "한예린",
    "오시우",
]


def _at(seconds_ago: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()


def classroom(**changes: Any) -> dict[str, Any]:
    """A class as its teacher sees it."""
    return {
        "id": "c1",
        "name": "물리 1 · Physics",
        "code": CODE,
        "status": "open",
        "state": "waiting",
        "viewers": 0,
        "capacity": 30,
        "has_password": False,
        "language": "ko",
        "owner": "김선생",
        "co_teachers": [],
        "created_at": _at(3600),
        "join_url": f"http://class.school.example/join/{CODE}",
        "rtmp_server": "rtmp://class.school.example:1935/live",
        **changes,
    }


def viewers(count: int) -> list[dict[str, Any]]:
    """Students with every kind of connection."""
    qualities = ["good", "good", "good", "fair", "good", "poor", "good", "unknown"]
    return [
        {
            "subject": f"s{i}",
            "name": NAMES[i % len(NAMES)] + ("" if i < len(NAMES) else f" {i}"),
            "joined_at": _at(1500 - 11 * i),
            "node": f"relay-{i % 3 + 1}",
            "quality": qualities[i % len(qualities)],
            "latency_ms": 1900 + 60 * (i % 9),
        }
        for i in range(count)
    ]


def facts(**changes: Any) -> dict[str, Any]:
    """What arrives from the teacher."""
    return {
        "bitrate_bps": 2_480_000,
        "width": 1280,
        "height": 720,
        "fps": 30,
        "keyframe_s": 2.0,
        "video_codec": "H.264",
        "audio_codec": "AAC",
        "advice": [],
        **changes,
    }


def history(points: int, top: float) -> list[list[float]]:
    """A rising line, one point every ten seconds."""
    now = datetime.now(UTC).timestamp()
    return [[now - 10 * (points - i), round(top * min(1, i / points * 1.6))] for i in range(points)]


def node(n: int, **changes: Any) -> dict[str, Any]:
    """A relay."""
    connections = (37 * n) % 150
    return {
        "id": f"relay-{n}",
        "url": f"http://192.168.1.{10 + n}:8080",
        "status": "active",
        "reason": "",
        "reason_code": "",
        "reason_figures": {},
        "zone": [],
        "connections": connections,
        "capacity": 150,
        "load": round(connections / 1.5, 1),
        "egress_mbps": round(connections * 2.5, 1),
        "lag_s": 0.4,
        "last_seen_s": 1.1,
        "version": "0.1.0",
        "streams": [],
        **changes,
    }


def because(reason: Reason) -> dict[str, Any]:
    """A node's reason, as the master tells it."""
    return {"reason": reason.text, "reason_code": reason.code, "reason_figures": reason.figures}


SILENT = because(Reason("has sent nothing for 42 s", ReasonCode.SILENT, {"silent_s": 42}))
DRAINING = because(Reason("sends its students to other nodes", ReasonCode.DRAINING))
NO_INGEST = because(
    Reason("c1: the connection to the origin failed (connection refused)", ReasonCode.NO_INGEST)
)


def summary(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """The six figures of some nodes, as the master would tell them."""
    figures = [
        NodeFigures(n["id"], NodeStatus(n["status"]), n["reason"], n["connections"], n["capacity"])
        for n in nodes
    ]
    told = asdict(summarize(figures))
    advice = told.pop("recommendation")
    return told | {
        "recommendation": advice["text"],
        "recommendation_code": advice["code"],
        "recommendation_figures": advice["figures"],
    }


def events() -> list[dict[str, Any]]:
    """A short audit log."""
    lines = [
        ("admin", "node.drain", "relay-3", ""),
        ("김선생", "class.new-code", "c1", "물리 1 · Physics"),
        ("김선생", "class.kick", "c1", XSS),
        ("admin", "user.add", "u7", "이선생"),
    ]
    return [
        {"at": _at(60 * (i + 1)), "actor": actor, "action": action, "target": target, "detail": detail}
        for i, (actor, action, target, detail) in enumerate(lines)
    ]


def school() -> dict[str, Any]:
    """A class, a cluster of three, some people."""
    nodes = [node(1), node(2), node(3)]
    return {
        "code": CODE,
        "classrooms": [
            classroom(),
            classroom(id="c2", name="수학 2", code="PW8RT4MN", state="live", viewers=28),
        ],
        "teacher": {"classroom": classroom(), "facts": None, "viewers": [], "history": []},
        "nodes": nodes,
        "summary": summary(nodes),
        "monitor": {
            "history": history(60, 49),
            "student_history": history(60, 221),
            "events": events(),
        },
        "backup": {"at": _at(9 * 3600), "size_bytes": 1_430_000},
        "users": [
            {
                "id": "u1",
                "name": "admin",
                "role": "admin",
                "disabled": False,
                "has_password": True,
                "created_at": _at(9e5),
            },
            {
                "id": "u2",
                "name": "김선생",
                "role": "teacher",
                "disabled": False,
                "has_password": True,
                "created_at": _at(8e5),
            },
            {
                "id": "u4",
                "name": "이선생",
                "role": "teacher",
                "disabled": True,
                "has_password": False,
                "created_at": _at(6e5),
            },
            {
                "id": "u3",
                "name": XSS,
                "role": "monitor",
                "disabled": False,
                "has_password": False,
                "created_at": _at(7e5),
            },
        ],
        "settings": {
            "MODE": "master",
            "MASTER_BIND": "0.0.0.0:8000",
            "JWT_SECRET_KEY": "***",
            "MAX_CONNECTIONS": "150",
        },
    }
