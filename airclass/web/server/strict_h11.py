"""HTTP/1.1 on h11, read strictly and written in one piece."""

from __future__ import annotations

import re
from typing import Any

import h11
from hypercorn.events import RawData
from hypercorn.protocol.h11 import H11Protocol

SWITCHING = 101
WRONG_VERSION = 505
_ODD_LINE = re.compile(rb"(?<!\r)\n|\r\n[ \t]")
_VERSIONS = (b"1.0", b"1.1")
_FRAMINGS = {b"content-length", b"transfer-encoding"}


class StrictH11(h11.Connection):
    """Refuses what h11 forgives, and what a proxy before the master may read as another request than it."""

    def next_event(self) -> Any:
        """Return what came next; RemoteProtocolError for bare line feeds, folded lines, length and chunks,
        and other versions than HTTP/1.
        """
        if self.their_state is h11.IDLE:
            head = self.trailing_data[0].partition(b"\r\n\r\n")[0]
            if _ODD_LINE.search(head):
                raise h11.RemoteProtocolError("a line ends or goes on in a way that is not ours")
        event = super().next_event()
        if isinstance(event, h11.Request) and _FRAMINGS <= {name for name, _ in event.headers}:
            raise h11.RemoteProtocolError("a length and chunks at once")
        if isinstance(event, h11.Request) and event.http_version not in _VERSIONS:
            raise h11.RemoteProtocolError("another version of HTTP", error_status_hint=WRONG_VERSION)
        return event


class SingleWriteH11(H11Protocol):
    """HTTP/1.1, strictly read; an answer's head goes out with its body: half the calls to the kernel."""

    _held = b""
    connection: Any

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        most = self.config.h11_max_incomplete_size
        self.connection = StrictH11(h11.SERVER, max_incomplete_event_size=most)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Stay with HTTP/1.1: HTTP/2 in clear text would pass by the strict reader and the idle time.

        Its preface is a request of another version, which is refused; an offered upgrade is ignored, as
        RFC 9110 allows.
        """

    async def _send_h11_event(self, event: Any) -> None:
        try:
            data = self.connection.send(event)
        except h11.LocalProtocolError:
            if self.connection.their_state != h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            self._held = data
            return
        if isinstance(event, h11.InformationalResponse) and event.status_code == SWITCHING:
            self.connection.h11_connection = None  # HTTP is over on this connection, its buffers with it
        data, self._held = self._held + data, b""
        await self.send(RawData(data=data))
