"""The actors of a schedule: the master, relays, the origin, students.

They have clocks, crashes, pauses and timeouts. What they decide is decided by the real code (`adapters`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.core.backoff import Backoff
from relay.core.cluster.orders_inbox import OrdersInbox
from relay.core.origin.epoch_numbering import EpochNumbering
from tests.simulation import adapters
from tests.simulation.adapters import MasterCore, Refused, RelayCore, SimulatedClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.base.cluster_protocol import EpochRequest, Orders, OrdersPoll
    from tests.simulation.disk import Disk
    from tests.simulation.world import World

JUDGE_S = 0.5
FOLLOW_S = 0.4
MAX_LAG_S = 0.2
FLUSH_S = 1.0
WATCH_S = 20.0
REGISTER_S = 8.0
CALL_S = 5.0
EPOCH_S = 1.5
EPOCH_PAUSE_S = 0.25
PROBE_S = 4.0
MIN_WATCH_S = 1.0
POLL_S = 2.0
STEER_S = 10.0
RENEW_S = 25.0


class Actor:
    """Something that runs, crashes, pauses and has its own clocks."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.clock = SimulatedClock(lambda: world.scheduler.now_s)
        self.up = True
        self.life = 0
        self._pauses = 0
        self._missed: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    @property
    def paused(self) -> bool:
        """Whether it is stopped by SIGSTOP, as it were."""
        return self._pauses > 0

    @property
    def serves(self) -> bool:
        """Whether it answers."""
        return self.up and not self._pauses

    def run(self, life: int, action: Callable[..., None], *args: Any) -> None:
        """Carry out an action of this life: after a pause, when that is over."""
        if life != self.life:
            return
        if self._pauses:
            self._missed.append((action, args))
        else:
            action(*args)

    def after(self, delay_s: float, action: Callable[..., None], *args: Any) -> None:
        """Carry out an action of this life later."""
        self.world.scheduler.after(delay_s, self.run, self.life, action, *args)

    def receive(self, action: Callable[..., None], *args: Any) -> None:
        """Take in a message; nobody does while the actor is down."""
        if self.up:
            self.run(self.life, action, *args)

    def connect(self, refused: Callable[[Any], None], action: Callable[..., None], *args: Any) -> None:
        """Take in a call; the machine of a process that is down refuses it at once."""
        if self.up:
            self.run(self.life, action, *args)
        else:
            refused(None)

    def pause(self) -> None:
        """Stop."""
        self._pauses += 1

    def resume(self) -> None:
        """Go on: what was missed happens now."""
        self._pauses -= 1
        if not self._pauses:
            missed, self._missed = self._missed, []
            for action, args in missed:
                action(*args)

    def crash(self) -> None:
        """End this life."""
        self.up = False
        self.life += 1
        self._missed.clear()


class MasterActor(Actor):
    """Answers relays and students, judges twice a second, writes to the disk."""

    core: MasterCore

    def __init__(self, world: World, disk: Disk) -> None:
        super().__init__(world, "master")
        self.disk = disk
        self.lost_disk: Disk | None = None
        self._watches: list[tuple[str, OrdersPoll, Callable[[Any], None]]] = []
        self._seats: set[str] = set()
        self._orders = False

    def start(self) -> None:
        """Begin a life with what the disk holds."""
        self.up = True
        self._watches, self._seats, self._orders = [], set(), False
        self.core = MasterCore(self.disk, self.clock, self._notify, self.world.random)
        self._before_s = self.clock.now_s()
        self.after(JUDGE_S, self._judge)
        self.after(FLUSH_S, self._flush)
        self.after(FOLLOW_S, self._follow)
        self._settle()

    def crash(self) -> None:
        """End this life: calls that wait get no answer."""
        super().crash()
        self._watches = []

    def resume(self) -> None:
        """Go on; a judgement that is late reads the messages that have come before it."""
        self._missed.sort(key=lambda missed: missed[0] == self._judge)
        super().resume()

    # -- calls ------------------------------------------------------------------------------

    def call(self, verb: str, caller: str, record: Any, answer: Callable[[Any], None]) -> None:
        """Take in a call of a relay or a student; `answer` sends the response."""
        try:
            result = getattr(self, f"_{verb}")(caller, record, answer)
        except Refused as refused:
            result = refused
        if result is not None:
            answer(result)
        self._settle()

    def _register(self, node: str, record: Any, answer: Callable[[Any], None]) -> Any:
        return self.core.register(record, reached=self._reaches(node))

    def _heartbeat(self, node: str, record: Any, answer: Callable[[Any], None]) -> Any:
        orders = self.core.heartbeat(record)
        if orders.known:
            self.world.emit("beat", node=record.node_id, process=record.incarnation)
        return orders

    def _watch(self, node: str, poll: OrdersPoll, answer: Callable[[Any], None]) -> Any:
        if self.core.has_news(poll):
            return self.core.orders(node)
        watch = (node, poll, answer)
        self._watches.append(watch)
        self.after(WATCH_S, self._watch_over, watch)
        return None

    def _watch_over(self, watch: tuple[str, OrdersPoll, Callable[[Any], None]]) -> None:
        if watch in self._watches:
            self._watches.remove(watch)
            watch[2](self.core.orders(watch[0]))

    def _epoch(self, node: str, request: EpochRequest, answer: Callable[[Any], None]) -> Any:
        found = self.core.ask_epoch(node, request)
        if isinstance(found, float):
            self.after(found - self.clock.now_s(), self._epoch_due, request, answer)
            return None
        return found

    def _epoch_due(self, request: EpochRequest, answer: Callable[[Any], None]) -> None:
        answer(self.core.epoch(request) or Refused(503, 1.0))
        self._settle()

    def _join(self, student: str, record: tuple[str, str], answer: Callable[[Any], None]) -> Any:
        stream, token = record
        joined = self.core.join(stream, student, token)
        self._note_place(student, stream, joined[1])
        return joined

    def _renewal(self, student: str, record: tuple[str, str], answer: Callable[[Any], None]) -> Any:
        stream, token = record
        renewed = self.core.renew(stream, student, token)
        self._note_place(student, stream, renewed[1])
        return renewed

    def _steering(self, student: str, record: tuple[str, str], answer: Callable[[Any], None]) -> Any:
        stream, token = record
        found = self.core.steering(token, stream)
        self._note_place(student, stream, found)
        return found

    def _note_place(self, student: str, stream: str, nodes: list[str]) -> None:
        if nodes:
            self.world.emit(
                "placed", student=student, stream=stream, node=nodes[0],
                others=self.core.others(nodes[0]),
            )  # fmt: skip

    # -- staff ------------------------------------------------------------------------------

    def kick(self, student: str) -> None:
        """Take a student out."""
        self.disk.revoke(student, self.world.students[student].stream)
        self._written("kicked", f"kick:{student}", "yes", student, student=student)

    def set_class(self, stream: str, **changes: Any) -> None:
        """Change a class."""
        self.disk.save(stream, **changes)
        classroom = self.disk.classrooms[stream]
        event = "retired" if classroom.status is adapters.RETIRED else "refused"
        told = f"{classroom.status} {classroom.generation}"
        self._written(event, f"class:{stream}", told, stream, stream=stream)

    def set_drained(self, node: str, *, drained: bool) -> None:
        """Empty a node, or use it again."""
        self.disk.set_drained(node, drained=drained)
        self.core.reload()
        self.core.tick()
        told = "yes" if drained else ""
        self._written("drained" if drained else "undrained", f"drain:{node}", told, "", node=node)

    def _written(self, event: str, key: str, value: str, what: str, **fields: str) -> None:
        self.core.reload()
        self.world.emit("wrote", key=key, value=value)
        if event:
            self.world.emit(event, **fields)
        if event in ("kicked", "retired"):
            self.world.told.append((self.core.cluster.version, what))
            for node, poll, _ in self._watches:
                relay = self.world.relays[node]
                if relay.serves and self.world.network.is_clean(node, self.name) and relay.waits_for(poll):
                    self.world.emit("could_know", node=node, what=what)
        self._settle()

    # -- time -------------------------------------------------------------------------------

    def _judge(self) -> None:
        now_s = self.clock.now_s()
        late_s = now_s - self._before_s - JUDGE_S
        if late_s > MAX_LAG_S:
            self.core.stalled(late_s)
        self._before_s = now_s
        self.core.tick()
        self._settle()
        for node in self.core.due_probes():
            self.after(0.01 if self._reaches(node) else PROBE_S, self._probed, node)
        self.after(JUDGE_S, self._judge)

    def _probed(self, node: str) -> None:
        self.core.probed(node, reached=self._reaches(node))

    def _reaches(self, node: str) -> bool:
        relay = self.world.relays[node]
        return relay.serves and self.world.network.passes(self.name, node)

    def _flush(self) -> None:
        self.core.flush()
        self.after(FLUSH_S, self._flush)
        self.world.emit("judged", nodes=self.core.judged())
        members, seats = self.core.counted()
        self.world.emit("counted", members=members, seats=dict(seats) if self.world.keeps else seats)
        self.world.emit("reads", values=self.core.believes())

    def _follow(self) -> None:
        self.core.reload()
        self._settle()
        self.after(FOLLOW_S, self._follow)

    # -- news -------------------------------------------------------------------------------

    def _notify(self, topic: str) -> None:
        if topic == "orders":
            self._orders = True
        elif topic.startswith("seat:"):
            self._seats.add(topic[5:])

    def _settle(self) -> None:
        """Answer the watches and push new seats: what was notified since the last call."""
        if self._orders:
            self._orders = False
            watches, self._watches = self._watches, []
            for watch in watches:
                if self.core.has_news(watch[1]):
                    watch[2](self.core.orders(watch[0]))
                else:
                    self._watches.append(watch)
        if self._seats:
            seats, self._seats = sorted(self._seats), set()
            for subject in seats:
                student = self.world.students.get(subject)
                if student is not None and student.online:
                    self.world.network.send(self.name, subject, student.receive, student.pushed)


class RelayActor(Actor):
    """Registers, beats, watches, pulls streams and serves students."""

    core: RelayCore

    def __init__(self, world: World, name: str, capacity: int, node_id: str = "") -> None:
        super().__init__(world, name)
        self.capacity = capacity
        self.node_id = node_id or name
        self.origin_problem = ""
        self._call_number = 0

    def start(self) -> None:
        """Begin a life without memory."""
        self.up = True
        self.core = RelayCore(self.node_id, self.name, self.capacity, self.clock)
        self.connected = False
        self._poll: OrdersPoll | None = None
        self._inbox = OrdersInbox()
        self._line = 0
        self._backoff = Backoff(0.5, 4.0)
        self.world.emit("lost_memory", node=self.name)
        self._register()
        self.after(adapters.SEGMENT_S * self.world.random.random(), self._pull)
        self.after(1.0, self._sweep)

    # -- the master: relay.io.cluster.master_client --------------------------------------------

    def waits_for(self, poll: OrdersPoll) -> bool:
        """Tell whether this is the watch that the relay waits for, not one that it gave up."""
        return self._poll is poll

    def _call(self, verb: str, record: Any, timeout_s: float, done: Callable[[Any], None]) -> None:
        """Make a call; `done` gets the answer, or None when there was none in time."""
        self._call_number += 1
        waiting = {self._call_number}
        number, master, network = self._call_number, self.world.master, self.world.network

        def finish(result: Any) -> None:
            if number in waiting:
                waiting.clear()
                done(result)

        life = self.life

        def deliver(result: Any) -> None:
            if self.life == life:
                self.receive(finish, result)

        def answer(result: Any) -> None:
            network.send(master.name, self.name, deliver, result)

        network.send(
            self.name, master.name, master.connect, answer, master.call, verb, self.name, record, answer
        )
        self.after(timeout_s, finish, None)

    def _register(self) -> None:
        self._line += 1
        line = self._line

        def done(result: Any) -> None:
            if line != self._line:
                return
            if result is None or isinstance(result, Refused):
                self._lost(line)
                return
            self._inbox.registered()
            self.connected = True
            self._take(result)
            self._backoff.worked()
            self._beat(line)
            self._watch(line)

        self._call("register", self.core.registration(), REGISTER_S, done)

    def _lost(self, line: int) -> None:
        if line != self._line:
            return
        self._line += 1
        self.connected, self._poll = False, None
        self.after(self._backoff.failed(self.world.random.random()), self._register)

    def _beat(self, line: int) -> None:
        if line != self._line:
            return
        began_s = self.clock.now_s()

        def done(result: Any) -> None:
            if line != self._line:
                return
            if result is None or isinstance(result, Refused) or not self._take(result):
                self._lost(line)
                return
            spent_s = self.clock.now_s() - began_s
            self.after(max(0.2, self._inbox.interval_s - spent_s), self._beat, line)

        self._call("heartbeat", self.core.heartbeat(full=self._inbox.next_is_full()), CALL_S, done)

    def _watch(self, line: int) -> None:
        if line != self._line:
            return
        before, asked_s = self._inbox.version, self.clock.now_s()
        self._poll = self.core.poll(before)

        def done(result: Any) -> None:
            if line != self._line:
                return
            if result is None or isinstance(result, Refused) or not self._take(result):
                self._lost(line)
            elif self._inbox.version == before:
                self.after(max(0.0, asked_s + MIN_WATCH_S - self.clock.now_s()), self._watch, line)
            else:
                self._watch(line)

        self._call("watch", self._poll, WATCH_S + CALL_S, done)

    def _take(self, orders: Orders) -> bool:
        if not orders.known:
            return False
        if self._inbox.take(orders):
            self.core.obey(orders)
            self._inbox.carried_out(orders)
            for version, what in self.world.told:
                if orders.version >= version:
                    self.world.emit("could_know", node=self.name, what=what)
        return True

    # -- the origin ---------------------------------------------------------------------------

    def _pull(self) -> None:
        for name in sorted(self.core.pulled.names):
            if name in self.core.delivery.streams:
                self._pull_stream(name)
        self.after(adapters.SEGMENT_S, self._pull)

    def _pull_stream(self, name: str) -> None:
        pull = self.core.pull(name)
        fault = self.origin_problem or self.world.origin.problem(name)
        if not fault and not self.world.network.passes(self.name, "origin"):
            fault = "timeout"
        live = self.world.origin.playlist(name) if not fault else None
        stream = self.core.delivery.streams[name]
        self.core.origin_says(stream, pull, fault, live is not None)
        if live is None:
            pull.tracker.begin()
            self.world.emit("no_media", node=self.name, stream=name)
            if pull.state == "live":
                pull.state = "reconnecting"
            return
        if pull.asking:
            return
        self.world.emit("media", node=self.name, stream=name)
        found = pull.epoch(live, self.clock.wall_s())
        if isinstance(found, EpochNumbering):
            pull.asking = True
            self._ask_numbers(pull, name, live, found)
        else:
            self._list(pull, name, live, found)

    def _ask_numbers(self, pull: Any, name: str, live: Any, numbering: EpochNumbering) -> None:
        """Ask the master for at most EPOCH_S, then go on without an answer."""
        request = numbering.request
        if request is None:
            self._begin(pull, name, live, numbering)
            return
        ends_s = self.clock.now_s() + EPOCH_S

        def done(result: Any) -> None:
            if numbering.request is not request:
                return
            if isinstance(result, Refused) and result.status == 503:
                if self.clock.now_s() + EPOCH_PAUSE_S < ends_s:
                    self.after(EPOCH_PAUSE_S, ask)
                return
            if result is None or isinstance(result, Refused):
                numbering.unanswered("no answer")
            else:
                numbering.answered(result)
            self._ask_numbers(pull, name, live, numbering)

        def ask() -> None:
            self._call("epoch", request, EPOCH_S, done)

        ask()
        self.after(EPOCH_S, done, None)

    def _begin(self, pull: Any, name: str, live: Any, numbering: EpochNumbering) -> None:
        pull.asking = False
        epoch = pull.timeline.adopt(numbering.offset)
        pull.timeline.begin(epoch)
        self.world.emit(
            "numbered", node=self.name, stream=name, epoch=epoch.key, offset=epoch.offset,
            discontinuity=epoch.discontinuity_seq, alone=bool(numbering.alone),
        )  # fmt: skip
        self._list(pull, name, live, epoch)

    def _list(self, pull: Any, name: str, live: Any, epoch: Any) -> None:
        """List what the origin has: `relay.core.stream.window` refuses an epoch that is over."""
        current = pull.timeline.current
        if current is not None and epoch.order < current.order:
            return
        if not pull.media_s > 0:
            self.world.emit("no_media", node=self.name, stream=name)
        pull.state, pull.media_s = "live", self.clock.now_s()
        msn = live.segments[-1].msn + epoch.offset
        pull.timeline.pin(live)
        if msn >= pull.timeline.next_msn:
            pull.timeline.listed(msn, epoch.discontinuity_seq)
            self.world.emit(
                "listed", node=self.name, stream=name, epoch=epoch.key, msn=msn,
                discontinuity=epoch.discontinuity_seq,
            )  # fmt: skip

    def _sweep(self) -> None:
        self.core.sweep()
        self.after(1.0, self._sweep)


class OriginActor(Actor):
    """Publishers and the ingest's muxers: one session after the other for each class."""

    def __init__(self, world: World, streams: list[str]) -> None:
        super().__init__(world, "origin")
        self.failing: set[str] = set()
        self._sessions: dict[str, tuple[str, float]] = {}
        self._made: dict[str, tuple[str, int, Any]] = {}
        self._streams = streams

    def start(self) -> None:
        """Begin with nobody publishing."""
        self.up = True
        self._sessions.clear()

    def publish(self, stream: str) -> None:
        """A publisher comes: a new session, counted from 0."""
        if self.up:
            self._sessions[stream] = f"{self.world.random.getrandbits(48):012x}", self.clock.now_s()

    def unpublish(self, stream: str) -> None:
        """The publisher goes."""
        self._sessions.pop(stream, None)

    def problem(self, stream: str) -> str:
        """Return why the origin does not answer."""
        if not self.up:
            return "connect"
        return "timeout" if self.paused else "status" if stream in self.failing else ""

    def playlist(self, stream: str) -> Any:
        """Return what is listed now; None while nobody publishes, or before the first segment."""
        found = self._sessions.get(stream)
        if found is None:
            return None
        session, began_s = found
        last = int((self.clock.now_s() - began_s) / adapters.SEGMENT_S) - 1
        if last < 0:
            return None
        made = self._made.get(stream)
        if made is None or made[:2] != (session, last):
            made = self._made[stream] = session, last, adapters.playlist(session, max(0, last - 3), last)
        return made[2]


class StudentActor(Actor):
    """Joins, plays, follows steering, renews, leaves; `script` takes seats without fetching media."""

    def __init__(self, world: World, name: str, stream: str, *, script: bool = False) -> None:
        super().__init__(world, name)
        self.stream = stream
        self.script = script
        self.online = False
        self.token = ""
        self.nodes: list[str] = []
        self.node = ""

    def enter(self) -> None:
        """Open the page."""
        self.online, self.nodes, self.node = True, [], ""
        self.life += 1
        if self.script:
            self.world.emit("script", student=self.name)
        else:
            self.world.emit("wants", student=self.name, stream=self.stream)
        self._join(self.life)
        self.after(POLL_S * self.world.random.random(), self._play)
        self.after(STEER_S * (0.5 + self.world.random.random()), self._steer)
        self.after(RENEW_S * (0.5 + self.world.random.random()), self._renew)

    def leave(self, *, forget: bool = False) -> None:
        """Close the page; a browser may forget its token, and the next visit is somebody new."""
        if self.online:
            self.world.emit("left", student=self.name)
        self.online = False
        self.life += 1
        if forget:
            self.token = ""

    def _ask(self, verb: str, record: Any, done: Callable[[Any], None]) -> None:
        master, network, life = self.world.master, self.world.network, self.life
        over: list[bool] = []

        def finish(result: Any) -> None:
            if self.life == life and not over:
                over.append(True)
                done(result)

        def answer(result: Any) -> None:
            network.send(master.name, self.name, self.receive, finish, result)

        network.send(
            self.name, master.name, master.connect, answer, master.call, verb, self.name, record, answer
        )
        self.after(CALL_S, finish, None)

    def _join(self, life: int) -> None:
        def done(result: Any) -> None:
            if isinstance(result, tuple):
                self.token, self.nodes = result
                self.node = self.nodes[0] if self.nodes else ""
                if not self.nodes:  # a place in the queue
                    self.after(2.0, self._join, life)
            elif isinstance(result, Refused) and result.code == "class-ended":
                self.leave()
            elif isinstance(result, Refused) and result.status in (401, 403) and self.token:
                self.leave()
            else:
                self.after(result.retry_s if isinstance(result, Refused) else 2.0, self._join, life)

        if life == self.life and not self.node:
            self._ask("join", (self.stream, self.token), done)

    def _play(self) -> None:
        if self.node:
            status = self._request(self.node)
            if status == 200:
                if not self.script:
                    self.world.emit("plays", student=self.name, stream=self.stream, node=self.node)
            elif status in (401, 403):
                self.node = ""
                self.leave()
                return
            elif status != 404 and len(self.nodes) > 1:
                self.nodes.append(self.nodes.pop(self.nodes.index(self.node)))
                self.node = self.nodes[0]
        self.after(POLL_S, self._play)

    def _request(self, node: str) -> int:
        """Fetch a playlist and its newest segment; 0 when the relay does not answer."""
        relay = self.world.relays[node]
        if not relay.serves or not self.world.network.passes(self.name, node):
            return 0
        core = relay.core
        return core.request(self.token, self.stream, media=not self.script)

    def _steer(self) -> None:
        if self.node and not self.script:
            self.pushed()
        self.after(STEER_S, self._steer)

    def pushed(self) -> None:
        """Ask which node to use: the time has come, or the master says that there is news."""
        if not self.token:
            return

        def done(result: Any) -> None:
            if isinstance(result, list) and result:
                self.nodes, self.node = list(result), result[0]

        self._ask("steering", (self.stream, self.token), done)

    def _renew(self) -> None:
        if self.node:

            def done(result: Any) -> None:
                if isinstance(result, tuple):
                    self.token = result[0]

            self._ask("renewal", (self.stream, self.token), done)
        self.after(RENEW_S, self._renew)
