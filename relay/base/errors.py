"""Every error that AIRClass raises on purpose, named by whose fault it is.

Anything else that escapes is our bug. `status` is what an HTTP peer is told;
`reason` is a sentence that says what to do next and never holds a secret.
"""

from __future__ import annotations


class AirclassError(Exception):
    """Root of all errors raised on purpose."""

    status = 500

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ConfigError(AirclassError):
    """The operator's fault: settings that cannot work, all of them at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StartError(AirclassError):
    """The machine's fault: a port is taken, a folder is not writable, a program is missing."""


class RequestError(AirclassError):
    """The viewer's fault: a request that breaks HTTP or LL-HLS; answered with `status`."""

    def __init__(self, status: int, reason: str, *, close: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.close = close


class TokenError(RequestError):
    """The bearer's fault: 401 for a bad or expired token, 403 for a revoked or foreign one."""


class OriginError(AirclassError):
    """The origin's fault: unreachable, too slow, too large, or not HLS; `kind` labels its counter."""

    status = 502

    def __init__(self, reason: str, kind: str = "protocol") -> None:
        super().__init__(reason)
        self.kind = kind


class PlaylistError(OriginError):
    """The origin's playlist cannot be read; `line_no` counts from 1 (0: the whole text)."""

    def __init__(self, line_no: int, reason: str) -> None:
        super().__init__(f"line {line_no}: {reason}", "playlist")
        self.line_no = line_no


class ClusterError(AirclassError):
    """The other side of the cluster is at fault: a bad signature, a replay, a bad record.

    `kind` is the word that a program looks at, where one does.
    """

    status = 401

    def __init__(self, reason: str, kind: str = "") -> None:
        super().__init__(reason)
        self.kind = kind


def told_by(group: BaseExceptionGroup) -> BaseException:
    """Return the first error of a group of nothing but AirclassErrors; any other group as it is."""
    known, unknown = group.split(AirclassError)
    if known is None or unknown is not None:
        return group
    first: BaseException = known
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
