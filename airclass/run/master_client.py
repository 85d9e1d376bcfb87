"""What the supervisor asks of the master it has started: a class, links, tokens, and whether one can watch.

Speaks HTTP as an admin, with a token made from the secret that it gave the master.
"""

from __future__ import annotations

import re
import secrets
import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import httpx
import trio

from airclass.domain.tokens import SERVICE_TOKEN_S, TokenIssuer, TokenKind
from relay.base.errors import StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CALL_S = 10.0
POLL_S = 0.1
_PART = re.compile(r'#EXT-X-PART:.*URI="([^"]+)"')


@dataclass(frozen=True)
class CreatedClassroom:
    """A class to begin with; `rtmp_url` has the key when that is known."""

    id: str
    is_open: bool
    code: str
    join_url: str
    rtmp_url: str


WAITING = "waiting"  # instead of a seat's address: the class has not begun, and its viewers have no seat


class LocalMasterClient:
    """Calls to one master; made by `open_master_client`."""

    def __init__(self, client: httpx.AsyncClient, master_url: str, issuer: TokenIssuer) -> None:
        self._client, self._master_url, self._issuer = client, master_url, issuer
        self.admin_token = self._token(TokenKind.ADMIN)
        self.monitor_token = self._token(TokenKind.MONITOR)

    def _token(self, kind: TokenKind) -> str:
        return self._issuer.mint(
            kind,
            subject="supervisor",
            token_id=secrets.token_hex(12),
            wall_s=time.time(),
            life_s=SERVICE_TOKEN_S,
        )

    async def call(self, method: str, path: str, body: object = None, *, token: str = "") -> Any:
        """Return the JSON answer; StartError for anything but success."""
        headers = {"Authorization": f"Bearer {token or self.admin_token}"}
        try:
            answer = await self._client.request(method, self._master_url + path, json=body, headers=headers)
        except httpx.HTTPError as exc:
            raise StartError(f"the master does not answer ({type(exc).__name__}): see its log") from None
        if answer.status_code >= 300:
            raise StartError(f"the master refused {method} {path} with {answer.status_code}: see its log")
        return answer.json()

    async def link(self, name: str, role: str, next_page: str) -> str:
        """Return a one-time link for a person, who is added when unknown."""
        users = (await self.call("GET", "/api/users"))["users"]
        user = next((u for u in users if u["name"] == name), None)
        if user is None:
            user = await self.call("POST", "/api/users", {"name": name, "role": role})
        url: str = (await self.call("POST", f"/api/users/{user['id']}/link"))["url"]
        return f"{url.partition('&next=')[0]}&next={next_page}"

    async def first_class(self, name: str, language: str, owner: str = "") -> CreatedClassroom:
        """Return the newest open class, or else the newest; make one when there is none at all."""
        known = (await self.call("GET", "/api/classrooms"))["classrooms"]
        known.sort(key=lambda c: c["status"] != "open")
        found = known[0] if known else None
        if found is None:
            token = await self._session(owner) if owner else ""
            found = await self.call(
                "POST", "/api/classrooms", {"name": name, "language": language}, token=token
            )
        rtmp_url = found.get("rtmp_url") or f"{found['rtmp_server']}/{found['id']}"
        is_open = found["status"] == "open"
        return CreatedClassroom(found["id"], is_open, found["code"], found["join_url"], rtmp_url)

    async def _session(self, teacher: str) -> str:
        """Sign in as a teacher and return the session's token."""
        link = await self.link(teacher, "teacher", "/")
        body = {"link_token": link.partition("#link=")[2].partition("&")[0]}
        answer = await self._client.post(f"{self._master_url}/api/login", json=body)
        names = ("airclass_session", "__Host-airclass_session")  # the second one with TLS
        token = next((answer.cookies[name] for name in names if name in answer.cookies), "")
        self._client.cookies.clear()
        if not token:
            raise StartError("the master let nobody sign in: see its log")
        return token

    async def until_playable(self, classroom: CreatedClassroom, *, live: bool) -> None:
        """Wait until a viewer is seated and the relay gives out media (or, not `live`, knows the class).

        A class that is closed lets nobody in: there is nothing to wait for.

        Watches as the teacher's preview does: through the relay, with a real viewer token, uncounted.
        """
        url = ""
        while classroom.is_open:
            try:
                # one seat for all tries: each new token would count as one more viewer
                url = url or await self._seat(classroom)
                if url == WAITING:
                    url = ""
                    if not live and await self._is_waiting(classroom):
                        return
                if url and await self._plays(url, live=live) and (not live or await self._is_live(classroom)):
                    return
            except httpx.TransportError:
                url = ""  # not up yet, or down again: its keeper says so
            await trio.sleep(POLL_S)

    async def _seat(self, classroom: CreatedClassroom) -> str:
        answer = await self._client.post(
            f"{self._master_url}/api/classrooms/{classroom.id}/preview",
            headers={"Authorization": f"Bearer {self.admin_token}"},
        )
        if answer.status_code != 200:
            return ""
        pathways = answer.json()["pathways"]
        return str(pathways[0]["url"]) if pathways else WAITING

    async def _is_waiting(self, classroom: CreatedClassroom) -> bool:
        """Whether the class could begin: a relay takes students, and only the teacher is missing."""
        summary = (await self.call("GET", "/cluster/nodes"))["summary"]
        state: str = (await self.call("GET", f"/api/classrooms/{classroom.id}"))["state"]
        return bool(summary["active_nodes"]) and state != "live"

    async def _is_live(self, classroom: CreatedClassroom) -> bool:
        """Whether the master has heard of the picture, too: until then it lets students wait."""
        state: str = (await self.call("GET", f"/api/classrooms/{classroom.id}"))["state"]
        return state == "live"

    async def _plays(self, url: str, *, live: bool) -> bool:
        index = await self._client.get(url)
        if index.status_code != 200:
            return index.status_code == 503 and not live
        media_url = urljoin(url, _uris(index.text)[0])
        playlist = (await self._client.get(media_url)).text
        media = _PART.findall(playlist) or _uris(playlist)
        if not media:
            return False
        answer = await self._client.get(urljoin(media_url, media[-1]))
        return answer.status_code == 200 and len(answer.content) > 0


def _uris(playlist: str) -> list[str]:
    return [line for line in playlist.splitlines() if line and not line.startswith("#")]


@asynccontextmanager
async def open_master_client(master_url: str, secret: str) -> AsyncIterator[LocalMasterClient]:
    """Return a client of the master at this address, with tokens signed by `secret` (JWT_SECRET_KEY)."""
    timeout = httpx.Timeout(CALL_S)
    # The pool is unbounded (httpx 0.28 leaks slots of a bounded one); calls are made one at a time.
    limits = httpx.Limits(max_connections=None)
    trusted = ssl.create_default_context()
    async with httpx.AsyncClient(verify=trusted, timeout=timeout, limits=limits, trust_env=False) as client:
        yield LocalMasterClient(client, master_url.rstrip("/"), TokenIssuer(secret.encode()))
