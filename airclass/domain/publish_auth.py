"""Who may publish, read and configure at the ingest. Reads memory only, answers at once."""

from __future__ import annotations

import hmac
import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from airclass.domain.classrooms import ClassStatus, key_matches
from airclass.domain.users import clean_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airclass.domain.snapshot import Snapshot

PATH_PREFIX = "live/"
MAX_QUERY_CHARS = 2048
MAX_FIELDS = 20
TAKEOVER_SHOWN_S = 600.0
MAX_PUBLISHERS = 10_000
# An ingest has the path ready this long after its hook at the latest; then its API says so.
ANNOUNCED_S = 15.0
# For this time after a change a class's publishers are looked at without waiting for a second opinion.
CUT_S = 3.0
_CONNECTION_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
KEY_FIELDS = ("token", "key", "pass", "password", "jwt")
HINTS = {
    "wrong-path": "server rtmp://HOST/live, stream key CLASS?token=KEY, no slash or blank at their ends",
    "no-key": "send CLASS?token=KEY as stream key: a key before the @ of the address is not sent by encoders",
    "wrong-key": "copy the stream key from the class's page once more",
    "unknown-class": "no class has this path: copy server and stream key from the class's page",
    "class-closed": "open the class first",
}


@dataclass(frozen=True, slots=True)
class PublishDecision:
    """Whether it is allowed; `reason` is a word for log and metrics, for which HINTS has a sentence."""

    allowed: bool
    reason: str = ""
    classroom_id: str = ""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who sends a class's picture; `until_s` is how long its teacher is told that it took another's place."""

    address: str
    until_s: float
    began_s: float = float("-inf")


@dataclass(frozen=True, slots=True)
class PublisherConnection:
    """A connection that publishes at an ingest; `query` is None where the ingest does not tell it."""

    id: str
    classroom_id: str
    address: str
    query: str | None


class Publishers:
    """Who publishes each class: a second encoder with the key takes over, and its teacher is told."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Publisher] = OrderedDict()

    def began(self, classroom_id: str, address: str, now_s: float, *, is_live: bool) -> None:
        """Note a publisher; the same address once more is a teacher whose line had dropped."""
        before = self._known.pop(classroom_id, None)
        if before is None or before.address != address:
            before = Publisher(address, now_s + TAKEOVER_SHOWN_S if is_live else now_s)
        self._known[classroom_id] = replace(before, began_s=now_s)
        while len(self._known) > MAX_PUBLISHERS:
            self._known.popitem(last=False)

    def announced(self, now_s: float) -> frozenset[str]:
        """Return the classes whose publisher was let in a moment ago."""
        return frozenset(c for c, p in self._known.items() if now_s - p.began_s < ANNOUNCED_S)

    def taken_over_by(self, classroom_id: str, now_s: float) -> str:
        """Return the address of an encoder that took a live class over lately; empty: none did."""
        now = self._known.get(classroom_id)
        return now.address if now is not None and now_s < now.until_s else ""


class PublisherCuts:
    """Which running publishers must be disconnected: those who would be refused now.

    Another master may know a class or a key a moment before this one. So a publisher is cut when it is
    refused in two looks in a row, or at once where this master has seen the class change.
    """

    def __init__(self) -> None:
        self._wanted: dict[str, float] = {}
        self._suspects: dict[str, frozenset[str]] = {}

    def want(self, classroom_ids: Iterable[str], now_s: float) -> None:
        """Note classes whose key or status has changed."""
        for classroom_id in classroom_ids:
            self._wanted[classroom_id] = now_s + CUT_S

    def pending(self, now_s: float) -> bool:
        """Tell whether a class has changed a moment ago."""
        self._wanted = {c: until_s for c, until_s in self._wanted.items() if now_s < until_s}
        return bool(self._wanted)

    def due(
        self, ingest: str, present: Sequence[PublisherConnection], view: Snapshot, now_s: float
    ) -> list[PublisherConnection]:
        """Return whom to disconnect of those who publish at one ingest now."""
        self.pending(now_s)
        before = self._suspects.get(ingest, frozenset())
        refused = [c for c in present if _refused(c, view)]
        self._suspects[ingest] = frozenset(c.id for c in refused)
        due = [c for c in refused if c.id in before or c.classroom_id in self._wanted]
        # An ingest that does not tell the query checks no key: its publisher goes when the class changes.
        unknown = [c for c in present if c.query is None and c.classroom_id in self._wanted]
        return [*due, *(c for c in unknown if c not in due)]


def rules_changed(before: Snapshot, after: Snapshot) -> set[str]:
    """Return the classes whose publishers may have lost their right: new key, other status, deleted."""
    changed = set()
    for old in before.classrooms.values():
        new = after.classrooms.get(old.id)
        if new is None or (new.key_hash, new.status) != (old.key_hash, old.status):
            changed.add(old.id)
    return changed


def read_connection(item: object) -> PublisherConnection | None:
    """Return one connection of MediaMTX's `/v3/rtmpconns/list`; None unless it publishes a class."""
    if not isinstance(item, dict) or item.get("state") != "publish":
        return None
    found, path, query = item.get("id"), item.get("path"), item.get("query")
    if not (isinstance(found, str) and _CONNECTION_ID.fullmatch(found)):
        return None
    if not (isinstance(path, str) and path.startswith(PATH_PREFIX)):
        return None
    address = item.get("remoteAddr")
    return PublisherConnection(
        found,
        path.removeprefix(PATH_PREFIX),
        clean_name(address) if isinstance(address, str) else "",
        query if isinstance(query, str) else None,
    )


def _refused(connection: PublisherConnection, view: Snapshot) -> bool:
    classroom = view.classrooms.get(connection.classroom_id)
    if classroom is None or classroom.status is not ClassStatus.OPEN:
        return True
    return connection.query is not None and not key_matches(classroom, _query_keys(connection.query))


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
        meant = _meant(path, view)
        return PublishDecision(False, "wrong-path" if meant else "unknown-class", meant)
    if not key_matches(classroom, offered):
        return PublishDecision(False, "wrong-key" if any(offered) else "no-key", classroom_id)
    if classroom.status is not ClassStatus.OPEN:
        return PublishDecision(False, "class-closed", classroom_id)
    return PublishDecision(True, "", classroom_id)


def _meant(path: str, view: Snapshot) -> str:
    """Return the class that a path names although it is not `live/<class>`; empty: none.

    Never the path itself: a stream key may be in it.
    """
    pieces = (piece.strip() for piece in unquote(path[:MAX_QUERY_CHARS]).split("/"))
    return next((piece for piece in pieces if piece in view.classrooms), "")


def _query_keys(query: str) -> list[str]:
    try:
        fields = parse_qs(query[:MAX_QUERY_CHARS].removeprefix("?"), max_num_fields=MAX_FIELDS)
    except ValueError:
        return []
    return [value for name in KEY_FIELDS for value in fields.get(name, [])]
