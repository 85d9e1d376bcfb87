"""Bodies of GET /cluster/nodes, as the monitor reads them."""

from __future__ import annotations

import json
from typing import Any

URL = "http://master:8000"


def nodes_response(*nodes: dict[str, Any], **summary: Any) -> bytes:
    """Return the body of /cluster/nodes."""
    active = [n for n in nodes if n.get("status", "active") == "active"]
    rows = [{"status": "active", "url": "http://n:8080", "capacity": 150, **n} for n in nodes]
    totals = {"total_nodes": len(nodes), "active_nodes": len(active), **summary}
    return json.dumps({"nodes": rows, "summary": totals, "later": 1}).encode()
