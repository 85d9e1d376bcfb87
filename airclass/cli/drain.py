"""`airclass drain` and `airclass undrain`: take a node out of use before it is stopped, and back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import trio

from airclass.cli.common import at_database, event, say
from airclass.ops.config import load_ops
from airclass.ops.drain import DrainOutcome, ask_to_drain
from relay.base.settings import environment

if TYPE_CHECKING:
    from airclass.config import MasterSettings
    from airclass.io.store import Store


def drain(node: str, *, force: bool = False, master: str | None = None) -> int:
    """Move a node's students to the others and give it no new ones; exit code 1 when that is refused.

    Parameters
    ----------
    node
        Its NODE_ID, as `airclass monitor` shows it.
    force
        Also when no other node takes students. The node then keeps those it has.
    master
        The master's address, instead of MASTER_URL.
    """
    settings = load_ops(environment(), master_url=master)
    outcome = trio.run(ask_to_drain, settings, node, force)
    if outcome is DrainOutcome.DONE:
        say(f"{node} is draining: stop it when `airclass monitor` shows no students there.")
        return 0
    sys.stderr.write(_REFUSALS[outcome].format(node=node) + "\n")
    return 1


_REFUSALS = {
    DrainOutcome.UNKNOWN_NODE: "There is no node {node}: `airclass monitor` lists the nodes.",
    DrainOutcome.LAST_NODE: (
        "{node} is the last node that takes students: nobody could join a class. Start another node first, "
        "or add --force; {node} then keeps the students it has until another node can take them."
    ),
}


def undrain(node: str) -> int:
    """Let a drained node take students again; exit code 1 when it is not drained. NODE is its NODE_ID."""

    async def work(settings: MasterSettings, store: Store) -> bool:
        if node not in (await store.load(0.0)).drained:
            return False
        await store.set_drained(node, False, event("node.undrain", node))
        return True

    if not at_database(work):
        sys.stderr.write(f"{node} is not drained: `airclass monitor` shows which nodes are.\n")
        return 1
    say(f"{node} takes students again.")
    return 0
