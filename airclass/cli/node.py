"""`airclass node`: which machines may join the cluster as relays."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cyclopts import App

from airclass.cli.common import at_database, entropy, event, say, say_json
from airclass.domain.node_keys import JOIN_S, NODE_ID, NodeRecord
from airclass.domain.routing import MAX_ZONES, read_zone
from airclass.io.keyring import open_keyring
from relay.base.enrolment import TOKEN_ID_BYTES, TOKEN_SECRET_BYTES, make_join_token
from relay.base.errors import ConfigError

if TYPE_CHECKING:
    from airclass.config import MasterSettings
    from airclass.io.store import Store

HOUR_S = 3600.0

app = App(
    name="node",
    help="Relays. Each command works whether the master runs or not; it sees changes within 1 s.",
)


@app.command
def add(
    name: str,
    *,
    zone: str = "",
    max: int = 0,
    hours: float = JOIN_S / HOUR_S,
    master: str = "",
    json: bool = False,
) -> None:
    """Let a machine join as a relay, and print the command to run there: it holds good once, for a day.

    A node that was added before gets a new key when the command is run; until then it works as it did.

    Parameters
    ----------
    name
        The node's id.
    zone
        The networks whose students it serves first, such as 10.1.0.0/16,10.2.0.0/16.
    max
        How many students it may take at most, whatever it says itself; 0 for no such bound.
    hours
        How long the command holds good.
    master
        The master's address as the relay reaches it, instead of MASTER_URL.
    json
        Print {"node_id", "join_url", "command", "expires_at"}.
    """
    networks = _check(name, zone, max, hours)

    async def work(settings: MasterSettings, store: Store) -> tuple[str, float]:
        address = master.rstrip("/") or settings.master_url
        if not address:
            raise ConfigError(["MASTER_URL is missing: set it, or give the master's address by --master"])
        text, token = make_join_token(entropy(TOKEN_ID_BYTES + TOKEN_SECRET_BYTES))
        now_s = time.time()
        old = (await store.load(now_s)).node_keys.get(name)
        record = replace(
            old or NodeRecord(name, created_at_s=now_s),
            added=True,
            removed=False,
            zone=networks,
            max_connections=max,
            join_id=token.id,
            join_key=open_keyring(settings).seal(token.key),
            join_until_s=now_s + hours * HOUR_S,
            join_used=False,
        )
        await store.save_node_key(record, event("node.add", name, zone), instead_of=old)
        return f"{address}#{text}", record.join_until_s

    join_url, until_s = at_database(work)
    command = f"airclass slave --join {shlex.quote(join_url)}"
    if json:
        say_json({"node_id": name, "join_url": join_url, "command": command, "expires_at": _iso(until_s)})
    else:
        say(command)


@app.command(name="list")
def list_(*, json: bool = False) -> None:
    """Print the nodes that have a key, wait for one, or were removed.

    Parameters
    ----------
    json
        Print {"nodes": [{"node_id", "state", "added", "zone", "max_connections", "join_expires_at"}]}.
    """

    async def work(_: MasterSettings, store: Store) -> list[NodeRecord]:
        return list((await store.load(time.time())).node_keys.values())

    records = sorted(at_database(work), key=lambda r: r.node_id)
    if json:
        say_json({"nodes": [_shown(record) for record in records]})
        return
    for record in records:
        limit = f"at most {record.max_connections}" if record.max_connections else ""
        say("  ".join(filter(None, (record.node_id, record.state, ",".join(record.zone), limit))))


@app.command
def remove(name: str, *, json: bool = False) -> None:
    """Revoke a node's key at once: its calls are refused, and its students are sent to the others.

    Parameters
    ----------
    name
        The node's id.
    json
        Print {"node_id", "state"}.
    """

    async def work(_: MasterSettings, store: Store) -> None:
        old = (await store.load(time.time())).node_keys.get(name)
        if old is None or old.removed:
            raise ConfigError([f"No node {name} has a key: see airclass node list."])
        removed = NodeRecord(name, removed=True, created_at_s=time.time())
        await store.set_drained(name, False, event("node.remove", name))
        await store.save_node_key(removed, None, instead_of=old)

    at_database(work)
    if json:
        say_json({"node_id": name, "state": "removed"})
    else:
        say(f"{name} is removed: its key is refused from now on.")


def _check(name: str, zone: str, max_connections: int, hours: float) -> tuple[str, ...]:
    problems = []
    if not NODE_ID.fullmatch(name):
        problems.append("The node's name must be 1 to 63 letters, digits, dots, dashes or underscores.")
    networks = tuple(part.strip() for part in zone.split(",") if part.strip())
    try:
        read_zone(networks)
    except ValueError as exc:
        problems.append(f"--zone: {exc}.")
    if len(networks) > MAX_ZONES:
        problems.append(f"--zone lists more than {MAX_ZONES} networks.")
    if max_connections < 0:
        problems.append("--max must not be negative.")
    if not 0 < hours <= 24 * 31:
        problems.append("--hours must be above 0 and at most 744, a month.")
    if problems:
        raise ConfigError(problems)
    return networks


def _shown(record: NodeRecord) -> dict[str, Any]:
    waits = bool(record.join_id) and not record.join_used
    return {
        "node_id": record.node_id,
        "state": record.state,
        "added": record.added,
        "zone": list(record.zone),
        "max_connections": record.max_connections,
        "join_expires_at": _iso(record.join_until_s) if waits else "",
    }


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
