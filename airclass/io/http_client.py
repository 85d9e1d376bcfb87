"""The master's HTTP client for control traffic: bounded size, bounded time, bounded concurrency.

A bounded connection pool of httpx 0.28 leaks slots when requests are cancelled, so the pool is unbounded
and a limiter bounds the calls.
"""

from __future__ import annotations

import ssl
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, cast

import httpx
import trio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

MAX_CALLS = 32
MAX_ANSWER_BYTES = 4 * 1024 * 1024
READ_S = 5.0
CONNECT_S = 2.0


class CallFailed(Exception):  # noqa: N818  says what happened
    """The other side did not answer; the text is fit for a sentence."""


class HttpClient:
    """Requests without a body, answers of bounded size; no redirects, no proxy from the environment."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._limiter = trio.CapacityLimiter(MAX_CALLS)

    async def get(
        self, url: str, headers: Mapping[str, str] | None = None, *, address: str = ""
    ) -> tuple[int, bytes]:
        """Return status and body, or raise CallFailed.

        `address` is the one to connect to instead of asking DNS for the name in `url` again.
        """
        return await self._call("GET", url, headers, address)

    async def post(self, url: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Send a POST without a body; return status and body, or raise CallFailed."""
        return await self._call("POST", url, headers, "")

    async def _call(
        self, method: str, url: str, headers: Mapping[str, str] | None, address: str
    ) -> tuple[int, bytes]:
        try:
            target, more = httpx.URL(url), dict(headers or {})
            extensions = {}
            if address:
                more["Host"] = target.netloc.decode("ascii")
                extensions = {"sni_hostname": target.host}
                target = target.copy_with(host=address)
            async with (
                self._limiter,
                self._client.stream(method, target, headers=more, extensions=extensions) as response,
            ):
                body = b""
                stream = cast("AsyncGenerator[bytes, None]", response.aiter_bytes())
                async with aclosing(stream) as chunks:
                    async for chunk in chunks:
                        body += chunk
                        if len(body) > MAX_ANSWER_BYTES:
                            raise CallFailed("the answer is too long")
                return response.status_code, body
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as exc:
            raise CallFailed(f"{type(exc).__name__}") from None


@asynccontextmanager
async def open_client() -> AsyncIterator[HttpClient]:
    """Open the process's one client."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=4)
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    async with httpx.AsyncClient(
        verify=ssl.create_default_context(),  # the machine's authorities, a school's own one among them
        limits=limits,
        timeout=timeout,
        follow_redirects=False,
        trust_env=False,
    ) as client:
        yield HttpClient(client)
