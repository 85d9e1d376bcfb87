"""Records that relays and master exchange (JSON by msgspec; unknown fields are ignored).

Each call is a signed POST with one record in and one signed record out (`relay.base.signing`):

    /cluster/enrol      Enrolment     -> Enrolled    signed with a join token or CLUSTER_SECRET
    /cluster/register   Registration  -> Orders
    /cluster/heartbeat  Heartbeat     -> Orders
    /cluster/watch      OrdersPoll    -> Orders      held until something changes, at most WATCH_S
    /cluster/epoch      EpochRequest  -> EpochOffset
"""

from __future__ import annotations

import msgspec

WATCH_S = 20.0
PROTOCOL = 1  # 1: StreamOrder.min_generation and StreamOrder.refused, signed answers, keys of the nodes' own


# Between the name of an origin session and the number of a later epoch of the same session.
SUCCESSOR = "+"


class EpochOffset(msgspec.Struct, frozen=True):
    """The numbers of one epoch: viewers' media sequence number = the origin's + `offset`.

    `target_duration_s` and `part_target_s` are the most that a relay proposed: they stay for the life of
    the epoch (0: not known). `order` counts the epochs of a stream from 1, so
    the highest is the newest one; 0 comes from an older version, which orders by discontinuity.
    """

    stream: str
    key: str
    offset: int
    discontinuity_seq: int
    target_duration_s: int = 0
    part_target_s: float = 0.0
    order: int = 0


class EpochRequest(msgspec.Struct, frozen=True):
    """A relay sees a new epoch and asks for its numbers.

    `first_msn` is the lowest media sequence number that the origin lists, `next_msn` the lowest
    number that this relay has not yet listed to viewers (0: it has listed nothing),
    `next_discontinuity_seq` likewise. `refused` is the key of an epoch offset that this relay cannot
    use, because its viewers have been shown higher numbers: it needs the same media under higher ones.
    """

    stream: str
    key: str
    first_msn: int
    next_msn: int
    next_discontinuity_seq: int
    target_duration_s: int = 0
    part_target_s: float = 0.0
    refused: str = ""


class Enrolment(msgspec.Struct, frozen=True):
    """A node asks for its key to be kept; `key` is sealed with what signs the call.

    With a join token the master knows the node's id, and `node_id` is not looked at.
    """

    key: str
    node_id: str = ""


class Enrolled(msgspec.Struct, frozen=True):
    """The key is kept; from now on the node signs with it, as `node_id`."""

    node_id: str


class Registration(msgspec.Struct, frozen=True):
    """A relay introduces itself; `admin_url` is where the master probes `/readyz`.

    `incarnation` is a random id of the process, in every record that it sends (empty: an older relay).
    `protocol` is PROTOCOL of the relay's version; 0 stands for every version before it was introduced.
    """

    node_id: str
    public_url: str
    admin_url: str
    zone: tuple[str, ...]
    max_connections: int
    max_egress_bps: int
    version: str
    started_at_s: float
    epochs: tuple[EpochOffset, ...] = ()
    incarnation: str = ""
    protocol: int = 0


class ReportedVariant(msgspec.Struct, frozen=True):
    """One EXT-X-STREAM-INF of a stream; `attributes` is the attribute list without AUDIO."""

    id: str
    uri: str
    attributes: str
    has_audio_group: bool


class ReportedRendition(msgspec.Struct, frozen=True):
    """One EXT-X-MEDIA of a stream; `attributes` is the list without GROUP-ID and URI."""

    id: str
    uri: str
    attributes: str


class StreamReport(msgspec.Struct, frozen=True):
    """What a relay knows of one stream; `state` is waiting, live, reconnecting or ended.

    `lag_s` is the age of the newest media in seconds, negative when there is none; `segment_s` the
    longest of the newest segments (an ingest ends one at the first key frame after its set length).
    `next_msn` and `next_discontinuity_seq` are the lowest numbers that this relay has not yet listed to
    viewers (0: it has listed nothing, or it is of an older version).

    `origin` is served (the origin answers, if only that nobody publishes), unknown or failed, and empty
    from a relay that does not report it. It has been so for `origin_age_s`; the origin last answered
    `origin_quiet_s` ago; `fault` is the kind of its failure (OriginError.kind).
    """

    stream: str
    state: str
    viewers: int
    lag_s: float
    problem: str = ""
    variants: tuple[ReportedVariant, ...] = ()
    renditions: tuple[ReportedRendition, ...] = ()
    segment_s: float = 0.0
    next_msn: int = 0
    next_discontinuity_seq: int = 0
    origin: str = ""
    origin_age_s: float = 0.0
    origin_quiet_s: float = 0.0
    fault: str = ""


class ViewerReport(msgspec.Struct, frozen=True):
    """One viewer, sent when new and when the figures changed; -1 where the player told nothing.

    `rendition` is what it watches (`v0`), empty where it only listens or has just come. `has_media`:
    media was delivered to it, not only playlists (older relays do not know and say yes). `idle_s` is
    the time since its last request.
    """

    stream: str
    subject: str
    token_id: str
    since_s: float
    sent_bytes: int
    buffer_ms: int = -1
    throughput_kbps: int = -1
    latency_ms: int = -1
    starved: int = 0
    rendition: str = ""
    has_media: bool = True
    idle_s: float = 0.0


class Heartbeat(msgspec.Struct, frozen=True):
    """A relay's state, every HEARTBEAT_INTERVAL_S; versions name the orders it has carried out.

    `viewers` holds the changed ones (all of them when `full`), `gone` the token ids that left. `ready`, its
    `reason` and the kind of `fault` behind it are for masters that do not read the reports of streams.
    """

    node_id: str
    connections: int
    egress_bps: int
    ready: bool
    reason: str
    draining: bool
    version: str
    orders_version: int
    streams: tuple[StreamReport, ...] = ()
    viewers: tuple[ViewerReport, ...] = ()
    gone: tuple[str, ...] = ()
    full: bool = False
    fault: str = ""
    incarnation: str = ""


class OrdersPoll(msgspec.Struct, frozen=True):
    """A relay waits for orders newer than the ones it has."""

    node_id: str
    orders_version: int
    incarnation: str = ""


class StreamOrder(msgspec.Struct, frozen=True):
    """Follow this stream from these origins, in this order; `bearer` is sealed, may be empty.

    `publishing` tells whether an encoder is there: a relay does not ask an origin for a stream that nobody
    publishes. None: the master does not know (as from an older one).

    `next_msn` and `next_discontinuity_seq` are above all numbers that the stream's viewers have been
    shown anywhere, as of the relay's registration: a relay that must number alone goes on from there.

    Viewer tokens of a generation below `min_generation` are refused, and so are all tokens of the
    subjects in `refused`.
    """

    stream: str
    origins: tuple[str, ...]
    bearer: str = ""
    ended: bool = False
    epochs: tuple[EpochOffset, ...] = ()
    publishing: bool | None = None
    next_msn: int = 0
    next_discontinuity_seq: int = 0
    min_generation: int = 0
    refused: tuple[str, ...] = ()


class Orders(msgspec.Struct, frozen=True):
    """All that a relay must know, complete; `version` grows with every change.

    A heartbeat that names the current version is answered without the part that has not changed: such an
    answer holds no keys and no streams, and a relay obeys only a version above its own.

    `viewer_keys` are sealed, current first; `viewer_jwks`, sealed too, replaces them when relays may check
    tokens but not make any. `revoked` holds subjects and token ids that are refused whatever the stream;
    relays of protocol 1 find most of it in each StreamOrder. `closed` names the streams whose viewers are
    refused. `resync` asks for a full viewer list, `warning` is a sentence for the relay's log, and `cause`
    is the id of the request that changed the orders last, for the log as well.
    """

    version: int
    viewer_keys: tuple[str, ...] = ()
    streams: tuple[StreamOrder, ...] = ()
    revoked: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    drain: bool = False
    resync: bool = False
    known: bool = True
    warning: str = ""
    heartbeat_interval_s: float = 2.0
    cause: str = ""
    viewer_jwks: str = ""


def session_of(key: str) -> str:
    """Return the origin session that the epoch with this key belongs to."""
    return key.partition(SUCCESSOR)[0]
