"""Asks the running master to drain a node: only the master knows which nodes there are."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING
from urllib.parse import quote

import trio

from airclass.domain.tokens import TokenKind
from airclass.io.http_client import CallFailed, open_client
from relay.base.errors import ConfigError, StartError

if TYPE_CHECKING:
    from airclass.ops.config import OpsSettings

CALL_S = 10.0


class DrainOutcome(Enum):
    """What came of it."""

    DONE = auto()
    UNKNOWN_NODE = auto()
    LAST_NODE = auto()


async def ask_to_drain(settings: OpsSettings, node_id: str, force: bool) -> DrainOutcome:
    """Ask the master at MASTER_URL; raises AirclassError when it does not answer or refuses the token."""
    token = settings.own_token(TokenKind.ADMIN)
    if not token:
        raise ConfigError(["JWT_SECRET_KEY is not set: run this where the master runs, with its settings."])
    url = settings.master_address
    query = "?force=true" if force else ""
    target = f"{url}/cluster/drain/{quote(node_id, safe='')}{query}"
    try:
        with trio.fail_after(CALL_S):
            async with open_client() as client:
                status, _ = await client.post(target, {"Authorization": f"Bearer {token}"})
    except (trio.TooSlowError, CallFailed):
        raise StartError(f"The master at {url} does not answer: start it, or set MASTER_URL.") from None
    if status == 204:
        return DrainOutcome.DONE
    if status == 404:
        return DrainOutcome.UNKNOWN_NODE
    if status == 409:
        return DrainOutcome.LAST_NODE
    if status in (401, 403):
        raise ConfigError([f"The master at {url} has another JWT_SECRET_KEY: use the settings that it uses."])
    raise StartError(f"The master at {url} answered with status {status}: see its log.")
