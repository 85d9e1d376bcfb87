"""Who may publish, read and configure at the ingest. Reads memory only, answers at once."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from airclass.domain.classrooms import ClassStatus, key_matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airclass.domain.snapshot import Snapshot

PATH_PREFIX = "live/"
MAX_QUERY_CHARS = 2048
MAX_FIELDS = 20
TAKEOVER_SHOWN_S = 600.0
MAX_PUBLISHERS = 10_000
KEY_FIELDS = ("token", "key", "pass", "password", "jwt")


@dataclass(frozen=True, slots=True)
class PublishDecision:
    """Whether it is allowed; `reason` is a word for the log and the metrics."""

    allowed: bool
    reason: str = ""
    classroom_id: str = ""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who sends a class's picture; `until_s` is how long its teacher is told that it took another's place."""

    address: str
    until_s: float


class Publishers:
    """Who publishes each class: a second encoder with the key takes over, and its teacher is told."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Publisher] = OrderedDict()

    def began(self, classroom_id: str, address: str, now_s: float, *, is_live: bool) -> None:
        """Note a publisher; the same address once more is a teacher whose line had dropped."""
        before = self._known.pop(classroom_id, None)
        if before is None or before.address != address:
            before = Publisher(address, now_s + TAKEOVER_SHOWN_S if is_live else now_s)
        self._known[classroom_id] = before
        while len(self._known) > MAX_PUBLISHERS:
            self._known.popitem(last=False)

    def taken_over_by(self, classroom_id: str, now_s: float) -> str:
        """Return the address of an encoder that took a live class over lately; empty: none did."""
        now = self._known.get(classroom_id)
        return now.address if now is not None and now_s < now.until_s else ""


def decide(
    *,
    action: str,
    path: str,
    user: str,
    password: str,
    token: str,
    query: str,
    view: Snapshot,
    cluster_tokens: Sequence[str],
) -> PublishDecision:
    """Decide on one question of MediaMTX.

    Publishing: the class's key, as password, token or in the query, in an open class. Everything
    else: only the cluster, which brings a token of its own.
    """
    offered = [password, token, *_query_keys(query)]
    if action != "publish":
        known = [hmac.compare_digest(o.encode(), t.encode()) for o in offered for t in cluster_tokens if o]
        return PublishDecision(any(known), "" if any(known) else "not-cluster")
    classroom_id = path.removeprefix(PATH_PREFIX)
    classroom = view.classrooms.get(classroom_id) if path.startswith(PATH_PREFIX) else None
    if classroom is None:
        return PublishDecision(False, "unknown-class")
    if not key_matches(classroom, offered):
        return PublishDecision(False, "wrong-key")
    if classroom.status is not ClassStatus.OPEN:
        return PublishDecision(False, "class-closed")
    return PublishDecision(True, "", classroom_id)


def _query_keys(query: str) -> list[str]:
    try:
        fields = parse_qs(query[:MAX_QUERY_CHARS].removeprefix("?"), max_num_fields=MAX_FIELDS)
    except ValueError:
        return []
    return [value for name in KEY_FIELDS for value in fields.get(name, [])]
