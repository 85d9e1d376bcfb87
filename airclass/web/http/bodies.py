"""Before a body is read: does its head entitle it to any memory?

A relay's call may have 4 MiB, so its signature headers must be there, readable and of this minute. All
bodies that arrive share one budget (`domain/body_budget.py`).
"""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airclass.domain.rate_limits import RateLimit
from airclass.web.http.problems import ApiProblem
from relay.base.signing import HEADER_NODE, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIME, MAX_SKEW_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airclass.web.http.asgi_request import AsgiRequest
    from airclass.web.services import Services

log = logging.getLogger(__name__)

MAX_HEADER_CHARS = 128
REFUSALS = RateLimit(rate_per_s=1 / 60, burst=1)  # lines in the log, for each address and reason
_NUMBER = re.compile(r"\d+")


def check_signature_head(services: Services, headers: Mapping[str, str], address: str) -> None:
    """Refuse a relay's call whose signature headers alone show that it cannot be genuine."""
    reason = _fault(headers, services.clock.wall_s())
    if not reason:
        return
    services.metrics.error("bad-signature")
    kind = _NUMBER.sub("", reason)  # a wrong clock is one thing, however wrong it is each second
    if not services.buckets.take(("refused", address, kind), REFUSALS, services.clock.now_s()):
        log.warning("cluster.refused address=%s reason=%s", address, reason)
    raise ApiProblem(401, reason, "bad-signature")


def size_bytes(request: AsgiRequest, most_bytes: int) -> int:
    """Return how much memory the request's body may take; one that is too long is not kept at all."""
    length = request.headers.get("Content-Length", "")
    if "Transfer-Encoding" in request.headers:
        return most_bytes
    declared = int(length) if length.isdecimal() and len(length) < 20 else 0
    return declared if declared <= most_bytes else 0


@contextmanager
def held(services: Services, address: str, size: int) -> Iterator[None]:
    """Count a body of `size` bytes while it is read; 503 when too many are being read."""
    if not services.bodies.take(address, size):
        services.metrics.error("bodies-full")
        raise ApiProblem(503, "Too many requests are being received: try again.", retry_after_s=1)
    try:
        yield
    finally:
        services.bodies.give_back(address, size)


def _fault(headers: Mapping[str, str], wall_s: float) -> str:
    texts = [headers.get(name, "") for name in (HEADER_NODE, HEADER_TIME, HEADER_NONCE, HEADER_SIGNATURE)]
    if not all(texts) or max(map(len, texts)) > MAX_HEADER_CHARS:
        return "the call is not signed: only relays may call here"
    try:
        skew_s = abs(wall_s - float(texts[1]))
    except ValueError:
        return "the call's time cannot be read"
    if not skew_s <= MAX_SKEW_S:
        return (
            f"the clocks of master and relay differ by {skew_s:.0f} s: set them by NTP "
            f"(at most {MAX_SKEW_S:.0f} s is accepted)"
        )
    return ""
