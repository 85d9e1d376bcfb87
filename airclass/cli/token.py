"""`airclass token`: tokens for scripts, and one-time links for people."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from cyclopts import App

from airclass.cli.common import at_database, event, say
from airclass.cli.user import find
from airclass.domain.tokens import LINK_S, TokenIssuer, TokenKind
from relay.base.errors import ConfigError

if TYPE_CHECKING:
    from airclass.config import MasterSettings
    from airclass.io.store import Store

app = App(name="token", help="Tokens for scripts (`Authorization: Bearer …`), and one-time login links.")


@app.command
def admin(*, days: int = 365) -> None:
    """Print a token that may do everything an admin may; keep it like a password."""
    say(_service(TokenKind.ADMIN, days))


@app.command
def monitor(*, days: int = 365) -> None:
    """Print a token that may look at nodes and metrics (MONITOR_TOKEN)."""
    say(_service(TokenKind.MONITOR, days))


@app.command
def link(*, user: str, next: str = "/", master: str | None = None) -> None:
    """Print a link that signs a person in, once, within a day.

    Parameters
    ----------
    user
        The account's name.
    next
        The page to show afterwards, such as /teach or /admin.
    master
        The master's address, instead of MASTER_URL; empty prints the path only.
    """
    if not next.startswith("/") or next.startswith("//") or "\\" in next:
        raise ConfigError(["--next must be a path of the master, such as /teach."])

    async def work(settings: MasterSettings, store: Store) -> str:
        account = await find(store, user)
        await store.log(event("user.link", account.name))
        token = _issuer(settings).mint(
            TokenKind.LINK,
            subject=account.id,
            token_id=secrets.token_hex(12),
            wall_s=time.time(),
            life_s=LINK_S,
            extra=str(account.generation),
        )
        base = settings.master_url if master is None else master
        return f"{base.rstrip('/')}/login#link={token}&next={quote(next, safe='/')}"

    say(at_database(work))


def _service(kind: TokenKind, days: int) -> str:
    async def work(settings: MasterSettings, store: Store) -> str:
        token_id = secrets.token_hex(12)
        await store.log(event(f"token.{kind}", token_id, f"for {max(1, days)} days"))
        return _issuer(settings).mint(
            kind,
            subject="command line",
            token_id=token_id,
            wall_s=time.time(),
            life_s=max(1, days) * 86400.0,
        )

    return at_database(work)


def _issuer(settings: MasterSettings) -> TokenIssuer:
    return TokenIssuer(settings.jwt_secret_key.get_secret_value().encode())
