"""Turns the cluster's objects into the JSON records of `shapes.py`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airclass.domain.playback_quality import quality
from airclass.domain.steering import Pathway
from airclass.web.api.schemas import (
    ClassOut,
    NodeOut,
    NodesOut,
    NodeStreamOut,
    PathwayOut,
    SummaryOut,
    ViewerOut,
)

if TYPE_CHECKING:
    from airclass.domain.classrooms import Classroom
    from airclass.domain.nodes import Node, Nodes
    from airclass.web.services import Services
    from relay.base.cluster_protocol import ViewerReport


def iso(at_s: float) -> str:
    """Return Unix time as ISO 8601 in UTC."""
    if not 0 <= at_s < 1e11:
        at_s = 0
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def node_out(nodes: Nodes, node: Node, now_s: float) -> NodeOut:
    """Return a node as operators see it."""
    seats = node.seats
    return NodeOut(
        id=node.id,
        url=node.public_url,
        status=str(node.health.status),
        reason=node.health.reason.text,
        reason_code=str(node.health.reason.code),
        reason_figures=node.health.reason.figures,
        zone=[str(net) for net in seats.zone],
        connections=node.students,
        capacity=seats.capacity,
        load=round(100.0 * node.students / seats.capacity, 1) if seats.capacity else 0.0,
        egress_mbps=round(seats.egress_bps / 1e6, 3),
        lag_s=None if node.lag_s is None else round(node.lag_s, 2),
        last_seen_s=round(max(0.0, node.health.silent_s(now_s)), 1),
        version=node.version,
        streams=[
            NodeStreamOut(
                stream=fact.stream,
                state=fact.state.value,
                age_s=round(fact.age_s, 1),
                reason=fact.reason,
                reason_code=str(fact.code),
                avoided=fact.avoided,
            )
            for fact in nodes.stream_facts(node, now_s)
        ],
    )


def nodes_out(services: Services) -> NodesOut:
    """Return all nodes and the summary."""
    now_s = services.clock.now_s()
    nodes = services.cluster.nodes
    summary = nodes.summary()
    return NodesOut(
        nodes=[node_out(nodes, n, now_s) for _, n in sorted(nodes.all.items())],
        summary=SummaryOut(
            summary.total_nodes,
            summary.active_nodes,
            summary.total_capacity,
            summary.current_load,
            summary.average_load,
            summary.recommendation.text,
            str(summary.recommendation.code),
            summary.recommendation.figures,
        ),
    )


def rtmp_server(services: Services, base_url: str) -> str:
    """Return the RTMP address for OBS, without the key."""
    told = services.settings.ingest_rtmp_public_url
    return f"{told or f'rtmp://{urlsplit(base_url).hostname}:1935'}/live"


def class_out(services: Services, classroom: Classroom, base_url: str, key: str = "") -> ClassOut:
    """Return a class as its teachers see it; `key` only when it was made just now."""
    cluster = services.cluster
    owner = cluster.view.users.get(classroom.owner_id)
    server = rtmp_server(services, base_url)
    key = key or (classroom.key_shown if services.settings.demo else "")
    return ClassOut(
        id=classroom.id,
        name=classroom.name,
        code=classroom.code,
        status=str(classroom.status),
        state=str(cluster.state(classroom)),
        viewers=cluster.viewers(classroom.id),
        capacity=classroom.capacity,
        has_password=bool(classroom.password_hash),
        language=classroom.language,
        owner=owner.name if owner is not None else "",
        created_at=iso(classroom.created_at_s),
        join_url=f"{base_url}/join/{classroom.code}",
        rtmp_server=server,
        co_teachers=sorted(classroom.co_teachers),
        roster=sorted(classroom.roster),
        stream_key=key,
        rtmp_url=f"{server}/{classroom.id}?token={key}" if key else "",
        rtmp_key=f"{classroom.id}?token={key}" if key else "",
    )


def pathways(services: Services, subject: str, token: str, stream: str) -> list[Pathway]:
    """Return the relays for a student, their own seat first, as playable addresses."""
    nodes = services.cluster.nodes
    return [
        Pathway(node_id, f"{nodes.all[node_id].public_url}/t/{token}/{stream}/")
        for node_id in services.cluster.pathways(subject, stream)
        if node_id in nodes.all
    ]


def pathways_out(paths: list[Pathway]) -> list[PathwayOut]:
    """Return pathways as JSON."""
    return [PathwayOut(p.id, p.url) for p in paths]


def viewers_out(services: Services, classroom_id: str) -> list[ViewerOut]:
    """Return who is in a class, in the order of arrival."""
    cluster = services.cluster
    rows = []
    for subject in cluster.ledger(classroom_id).members:
        guest = cluster.guests.get(subject)
        seat = cluster.nodes.seat_book.seat_of.get(subject, "")
        report = _report(services, seat, subject)
        rows.append(
            (
                guest.joined_at_s if guest else 0.0,
                ViewerOut(
                    subject=subject,
                    name=guest.name if guest else "",
                    joined_at=iso(guest.joined_at_s if guest else 0.0),
                    node=seat,
                    quality=quality(report),
                    latency_ms=report.latency_ms if report else -1,
                ),
            )
        )
    return [row for _, row in sorted(rows, key=lambda r: (r[0], r[1].subject))]


def _report(services: Services, node_id: str, subject: str) -> ViewerReport | None:
    node = services.cluster.nodes.all.get(node_id)
    if node is None:
        return None
    reports = [node.viewers[token_id] for token_id in node.tokens_of.get(subject, ())]
    return max(reports, key=lambda r: r.since_s, default=None)
