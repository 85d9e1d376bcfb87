"""`airclass drain NODE`: empty a node before it is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airclass.cli.common import at_database, event, say

if TYPE_CHECKING:
    from airclass.config import MasterSettings
    from airclass.io.store import Store


def drain(node: str) -> None:
    """Move a node's students to the others and give it no new ones; NODE is its NODE_ID."""
    _set(node, drained=True)
    say(f"{node} is draining: stop it when `airclass monitor` shows no students there.")


def undrain(node: str) -> None:
    """Let a drained node take students again; NODE is its NODE_ID."""
    _set(node, drained=False)
    say(f"{node} takes students again.")


def _set(node: str, *, drained: bool) -> None:
    async def work(settings: MasterSettings, store: Store) -> None:
        action = "node.drain" if drained else "node.undrain"
        await store.set_drained(node[:64], drained, event(action, node[:64]))

    at_database(work)
