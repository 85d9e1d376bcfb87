"""Writes the dashboards: `python deploy/grafana/build.py`. What a panel asks is one line below.

The JSON files are what Grafana reads; a test holds them to this file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "dashboards"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT, COLUMNS = 8, 8, 3
RELAY = 'instance=~"$instance"'
STREAM = 'stream=~"$stream"'


def p99(metric: str, by: str, selector: str = "") -> str:
    """Return the query for a histogram's 99th percentile."""
    buckets = f"{metric}_bucket{{{selector}}}[$__rate_interval]"
    return f"histogram_quantile(0.99, sum by ({by}) (rate({buckets})))"


# title: (unit, legend, query)
Panels = dict[str, tuple[str, str, str]]

CLUSTER: Panels = {
    "Students": ("short", "{{type}}", "airclass_active_connections"),
    "Nodes": ("short", "{{status}}", "airclass_cluster_nodes_total"),
    "Live classes": ("short", "classes", "airclass_active_streams"),
    "Average load": ("percent", "load", "avg(airclass_cluster_load_percentage)"),
    "Load by node": ("percent", "{{node_id}}", "airclass_cluster_load_percentage"),
    "Students by node": ("short", "{{node_id}}", "airclass_cluster_connections"),
    "Sent to students": (
        "bps",
        "{{instance}}",
        "8 * rate(airclass_relay_sent_bytes_total[$__rate_interval])",
    ),
    "Requests of the master": (
        "reqps",
        "{{status}}",
        "sum by (status) (rate(airclass_http_requests_total[$__rate_interval]))",
    ),
    "Master, 99th percentile": (
        "s",
        "{{endpoint}}",
        p99("airclass_http_request_duration_seconds", "endpoint, le"),
    ),
    "Tokens issued": ("short", "{{user_type}}", "airclass_tokens_issued_total"),
    "Refused or failed": ("reqps", "{{type}}", "rate(airclass_errors_total[$__rate_interval]) or vector(0)"),
    "Hours since the last backup": (
        "h",
        "backup",
        "(time() - airclass_backup_last_success_timestamp_seconds) / 3600",
    ),
}
CLASS: Panels = {
    "Students": ("short", "{{instance}}", f"airclass_relay_stream_viewers{{{STREAM}}}"),
    "State": ("short", "{{state}}", f"max by (state) (airclass_relay_stream_state{{{STREAM}}})"),
    "Age of the newest media": ("s", "{{instance}}", f"airclass_relay_stream_lag_seconds{{{STREAM}}}"),
    "Media in memory": ("bytes", "{{instance}}", f"airclass_relay_stream_cache_bytes{{{STREAM}}}"),
    "Objects fetched": (
        "ops",
        "{{instance}} {{kind}}",
        f"rate(airclass_relay_stream_fetched_objects_total{{{STREAM}}}[$__rate_interval])",
    ),
    "Origin sessions": ("short", "{{instance}}", f"airclass_relay_stream_epochs_total{{{STREAM}}}"),
    "Missing segments": ("short", "{{instance}}", f"airclass_relay_stream_gaps_total{{{STREAM}}}"),
}
RELAY_PANELS: Panels = {
    "Students": ("short", "students", f"airclass_relay_viewers{{{RELAY}}}"),
    "Capacity": ("short", "capacity", f"airclass_relay_viewer_capacity{{{RELAY}}}"),
    "Connections": ("short", "connections", f"airclass_relay_connections{{{RELAY}}}"),
    "Sent": ("bps", "sent", f"8 * rate(airclass_relay_sent_bytes_total{{{RELAY}}}[$__rate_interval])"),
    "Requests": (
        "reqps",
        "{{kind}} {{status}}",
        f"sum by (kind, status) (rate(airclass_relay_requests_total{{{RELAY}}}[$__rate_interval]))",
    ),
    "Held requests": ("short", "waiting", f"airclass_relay_waiters{{{RELAY}}}"),
    "Not yet sent": ("bytes", "queue", f"airclass_relay_send_queue_bytes{{{RELAY}}}"),
    "New media to last socket, 99th percentile": (
        "s",
        "push",
        p99("airclass_relay_push_duration_seconds", "le", RELAY),
    ),
    "Turn of the loop, 99th percentile": (
        "s",
        "turn",
        p99("airclass_relay_turn_duration_seconds", "le", RELAY),
    ),
    "Slow readers cut": ("short", "cut", f"airclass_relay_slow_readers_cut_total{{{RELAY}}}"),
    "From the ingest": (
        "bps",
        "received",
        f"8 * rate(airclass_relay_origin_received_bytes_total{{{RELAY}}}[$__rate_interval])",
    ),
    "Processor": ("percentunit", "cores", f"rate(process_cpu_seconds_total{{{RELAY}}}[$__rate_interval])"),
    "Memory": ("bytes", "resident", f"process_resident_memory_bytes{{{RELAY}}}"),
    "Open files": ("short", "files", f"process_open_fds{{{RELAY}}}"),
    "Ready": ("short", "ready", f"airclass_relay_ready{{{RELAY}}}"),
}


def variable(name: str, query: str) -> dict[str, Any]:
    """Return a variable filled from label values."""
    return {
        "name": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def dashboard(uid: str, title: str, panels: Panels, *variables: dict[str, Any]) -> dict[str, Any]:
    """Return one dashboard."""
    datasource = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": uid,
        "title": title,
        "tags": ["airclass"],
        "schemaVersion": 41,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [datasource, *variables]},
        "panels": [
            {
                "id": number + 1,
                "type": "timeseries",
                "title": name,
                "datasource": DATASOURCE,
                "gridPos": {
                    "x": number % COLUMNS * WIDTH,
                    "y": number // COLUMNS * HEIGHT,
                    "w": WIDTH,
                    "h": HEIGHT,
                },
                "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                "targets": [{"refId": "A", "datasource": DATASOURCE, "expr": query, "legendFormat": legend}],
            }
            for number, (name, (unit, legend, query)) in enumerate(panels.items())
        ],
    }


def dashboards() -> dict[str, str]:
    """Return every dashboard's file name and text."""
    made = (
        dashboard("airclass-cluster", "AIRClass: cluster", CLUSTER),
        dashboard(
            "airclass-class",
            "AIRClass: one class",
            CLASS,
            variable("stream", "label_values(airclass_relay_stream_viewers, stream)"),
        ),
        dashboard(
            "airclass-relay",
            "AIRClass: one relay",
            RELAY_PANELS,
            variable("instance", "label_values(airclass_relay_build_info, instance)"),
        ),
    )
    return {f"{d['uid']}.json": json.dumps(d, indent=2) + "\n" for d in made}


if __name__ == "__main__":
    for name, text in dashboards().items():
        (HERE / name).write_text(text)
