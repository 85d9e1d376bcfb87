"""Who may publish, read and configure at the ingest. Reads memory only, answers at once."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from airclass.domain.classrooms import ClassStatus, key_matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airclass.domain.view import View

PATH_PREFIX = "live/"
MAX_QUERY_CHARS = 2048
MAX_FIELDS = 20
KEY_FIELDS = ("token", "key", "pass", "password", "jwt")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it is allowed; `reason` is a word for the log and the metrics."""

    allowed: bool
    reason: str = ""
    classroom_id: str = ""


def decide(
    *,
    action: str,
    path: str,
    user: str,
    password: str,
    token: str,
    query: str,
    view: View,
    cluster_tokens: Sequence[str],
) -> Verdict:
    """Decide on one question of MediaMTX.

    Publishing: the class's key, as password, token or in the query, in an open class. Everything
    else: only the cluster, which brings a token of its own.
    """
    offered = [password, token, *_query_keys(query)]
    if action != "publish":
        known = [hmac.compare_digest(o.encode(), t.encode()) for o in offered for t in cluster_tokens if o]
        return Verdict(any(known), "" if any(known) else "not-cluster")
    classroom_id = path.removeprefix(PATH_PREFIX)
    classroom = view.classrooms.get(classroom_id) if path.startswith(PATH_PREFIX) else None
    if classroom is None:
        return Verdict(False, "unknown-class")
    if not key_matches(classroom, offered):
        return Verdict(False, "wrong-key")
    if classroom.status is not ClassStatus.OPEN:
        return Verdict(False, "class-closed")
    return Verdict(True, "", classroom_id)


def _query_keys(query: str) -> list[str]:
    try:
        fields = parse_qs(query[:MAX_QUERY_CHARS].removeprefix("?"), max_num_fields=MAX_FIELDS)
    except ValueError:
        return []
    return [value for name in KEY_FIELDS for value in fields.get(name, [])]
