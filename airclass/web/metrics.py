"""The nine metrics that operators know by name, and a few more; `refresh` brings the gauges up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from airclass.domain.classrooms import StreamState
from airclass.domain.health import NodeStatus

if TYPE_CHECKING:
    from airclass.domain.cluster import Cluster

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
TOKEN_TYPES = ("teacher", "student", "monitor")


class MasterMetrics:
    """One registry, and the children that the hot paths hold."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "airclass_http_requests",
            "HTTP requests answered.",
            ("method", "endpoint", "status"),
            registry=self.registry,
        )
        self._durations = Histogram(
            "airclass_http_request_duration_seconds",
            "Time from a request's head to its answer.",
            ("method", "endpoint"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._streams = Gauge("airclass_active_streams", "Classes that are live now.", registry=self.registry)
        self._connections = Gauge(
            "airclass_active_connections",
            "Students watching through relays, and open pages of teachers and monitors.",
            ("type",),
            registry=self.registry,
        )
        self._longest = Gauge(
            "airclass_longest_segment_seconds",
            "Longest of the newest segments of all live classes: a long one means rare key frames; 0: none.",
            registry=self.registry,
        )
        self._tokens = Counter(
            "airclass_tokens_issued", "Tokens issued.", ("user_type",), registry=self.registry
        )
        self._nodes = Gauge(
            "airclass_cluster_nodes_total", "Nodes by status.", ("status",), registry=self.registry
        )
        self._load = Gauge(
            "airclass_cluster_load_percentage",
            "Load of a node in percent of its capacity.",
            ("node_id",),
            registry=self.registry,
        )
        self._node_connections = Gauge(
            "airclass_cluster_connections", "Viewers on a node.", ("node_id",), registry=self.registry
        )
        self._errors = Counter(
            "airclass_errors", "Refused or failed, by kind.", ("type",), registry=self.registry
        )
        self._held_requests: dict[tuple[str, str, int], Counter] = {}
        self._held_durations: dict[tuple[str, str], Histogram] = {}
        self.tokens = {kind: self._tokens.labels(kind) for kind in TOKEN_TYPES}
        self.teachers = self._connections.labels("teacher")
        self.monitors = self._connections.labels("monitor")
        self._students = self._connections.labels("student")
        self._by_status = {status: self._nodes.labels(str(status)) for status in NodeStatus}
        self._known_nodes: set[str] = set()

    def answered(self, method: str, endpoint: str, status: int, duration_s: float) -> None:
        """Count a request; `endpoint` is a route's pattern, never what a client typed."""
        key = (method, endpoint, status)
        held = self._held_requests.get(key)
        if held is None:
            held = self._held_requests[key] = self._requests.labels(method, endpoint, str(status))
        held.inc()
        timed = self._held_durations.get(key[:2])
        if timed is None:
            timed = self._held_durations[key[:2]] = self._durations.labels(method, endpoint)
        timed.observe(duration_s)

    def error(self, kind: str) -> None:
        """Count something refused or failed; `kind` is a word from the code."""
        self._errors.labels(kind).inc()

    def refresh(self, cluster: Cluster) -> None:
        """Set the gauges to what the cluster is now."""
        live = [c for c in cluster.view.open_classes() if cluster.state(c) is StreamState.LIVE]
        self._streams.set(len(live))
        self._longest.set(max((cluster.segment_s(c.id) for c in live), default=0.0))
        nodes = cluster.nodes.all
        self._students.set(cluster.nodes.students)
        for status, gauge in self._by_status.items():
            gauge.set(sum(n.health.status is status for n in nodes.values()))
        for gone in self._known_nodes - nodes.keys():
            self._load.remove(gone)
            self._node_connections.remove(gone)
        self._known_nodes = set(nodes)
        for node in nodes.values():
            capacity = node.seats.capacity
            percent = 100.0 * node.students / capacity if capacity else 0.0
            self._load.labels(node.id).set(percent)
            self._node_connections.labels(node.id).set(node.students)
