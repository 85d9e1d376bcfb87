"""The relay's figures as Prometheus metrics: names, units and help; nothing is counted here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from relay import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from relay.core.counters import Counters, Histogram

MAX_STREAMS_SHOWN = 500
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("waiting", "live", "reconnecting", "ended")


class RelayMetrics:
    """Renders counters, in a registry of its own."""

    def __init__(self, counters: Counters) -> None:
        self._relay = _RelayCollector(counters)
        self._registry = CollectorRegistry()
        self._registry.register(self._relay)
        ProcessCollector(registry=self._registry)

    def render(self, *, ready: bool) -> bytes:
        """Return the exposition text."""
        self._relay.ready = ready
        return generate_latest(self._registry)


class _RelayCollector(Collector):
    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.ready = False

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        counters = self._counters
        yield _gauge("build_info", "The relay's version.", 1, version=__version__)
        yield _gauge("ready", "1 when students can be sent here.", self.ready)
        yield _gauge("draining", "1 while players are being moved away.", counters.draining)
        yield _gauge("master_connected", "1 while the master answers.", counters.master_connected)
        yield from _serving(counters)
        yield from _pulling(counters)
        yield from _streams(counters)


def _serving(counters: Counters) -> Iterator[Metric]:
    requests = _counters("requests", "Requests answered.", ["kind", "status"])
    for (kind, status), count in sorted(counters.requests.items()):
        requests.add_metric([kind, str(status)], count)
    yield requests
    yield _labelled("refused", "Requests refused.", "reason", counters.refused)
    yield _counter("sent_bytes", "Bytes of bodies given to viewers.", counters.sent_bytes)
    yield _counter("connections_accepted", "Connections accepted.", counters.accepted)
    yield _counter("slow_readers_cut", "Connections closed by the write deadline.", counters.slow_readers_cut)
    yield _counter("idle_connections_closed", "Connections closed by silence.", counters.idle_closed)
    yield _counter("tls_reloads", "Times a new certificate was taken.", counters.tls_reloads)
    yield _gauge("connections", "Open connections.", counters.connections)
    yield _gauge("viewers", "Viewers watching now.", counters.viewers)
    yield _gauge("viewer_capacity", "Viewers that may watch at once.", counters.max_viewers)
    yield _gauge("waiters", "Requests held until the playlist moves on.", counters.waiters)
    yield _gauge(
        "send_queue_bytes", "Bytes of replies that sockets have not taken.", counters.send_queue_bytes
    )
    yield _gauge("cache_bytes", "Bytes of media in memory.", counters.cache_bytes)
    yield _gauge("egress_bytes_per_second", "Bytes sent in the last second.", counters.egress_bps / 8)
    yield _histogram(
        "turn_duration_seconds", "Time that one turn of the reactor held the process.", counters.turn_s
    )
    yield _histogram(
        "turn_cpu_seconds", "CPU that one turn took; a longer turn waited for its core.", counters.turn_cpu_s
    )
    yield _histogram(
        "push_duration_seconds", "Time from new media to the last waiting viewer's socket.", counters.push_s
    )


def _pulling(counters: Counters) -> Iterator[Metric]:
    origin = counters.origin
    yield _counter("origin_requests", "Requests made to origins.", origin.requests)
    yield _counter("origin_retries", "Requests repeated on a fresh connection.", origin.retries)
    yield _counter("origin_connections", "Connections opened to origins.", origin.connections)
    yield _counter("origin_received_bytes", "Bytes of bodies received from origins.", origin.received_bytes)
    yield _labelled("origin_failures", "Requests to origins that failed.", "kind", origin.failed)


def _streams(counters: Counters) -> Iterator[Metric]:
    states = GaugeMetricFamily(
        _name("stream_state"), "1 for the state that the stream is in.", labels=["stream", "state"]
    )
    viewers = _gauges("stream_viewers", "Viewers of the stream.")
    lags = _gauges("stream_lag_seconds", "Age of the newest media; absent before the first.")
    cached = _gauges("stream_cache_bytes", "Bytes of the stream's media in memory.")
    epochs = _counters("stream_epochs", "Origin sessions that the stream went through.", ["stream"])
    gaps = _counters("stream_gaps", "Segments listed as missing.", ["stream"])
    overlong = _counters("stream_overlong", "Media longer than was promised to players.", ["stream", "kind"])
    fetched = _counters("stream_fetched_objects", "Objects fetched.", ["stream", "kind"])
    for name, figures in sorted(counters.streams.items())[:MAX_STREAMS_SHOWN]:
        for state in STATES:
            states.add_metric([name, state], figures.state == state)
        viewers.add_metric([name], figures.viewers)
        if figures.lag_s >= 0:
            lags.add_metric([name], figures.lag_s)
        cached.add_metric([name], figures.cache_bytes)
        epochs.add_metric([name], figures.epochs)
        gaps.add_metric([name], figures.gaps)
        for kind, count in sorted(figures.overlong.items()):
            overlong.add_metric([name, kind], count)
        for kind, count in sorted(figures.fetched.items()):
            fetched.add_metric([name, kind], count)
    yield from (states, viewers, lags, cached, epochs, gaps, overlong, fetched)


def _name(name: str) -> str:
    return f"airclass_relay_{name}"


def _gauge(name: str, text: str, value: float, **labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(_name(name), text, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def _gauges(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(_name(name), text, labels=["stream"])


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(_name(name), text, value)


def _counters(name: str, text: str, labels: list[str]) -> CounterMetricFamily:
    return CounterMetricFamily(_name(name), text, labels=labels)


def _labelled(name: str, text: str, label: str, counts: dict[str, int]) -> CounterMetricFamily:
    family = _counters(name, text, [label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _histogram(name: str, text: str, seen: Histogram) -> HistogramMetricFamily:
    return HistogramMetricFamily(_name(name), text, buckets=seen.cumulative(), sum_value=seen.sum)
