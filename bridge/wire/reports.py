"""Reports: what each running process says of itself, in Kafka, where everybody can read it.

A worker may run on any machine, so nobody knows whom to ask. Instead each says every few seconds
that it works, on what, and what is wrong; and as its last word why it stopped. Who is not heard of
for a while has stopped without one. Nothing rests on reports but what people are shown.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson
from confluent_kafka import KafkaException, Message, Producer

from bridge.wire.errors import TailraceError, WireError
from bridge.wire.kafka import KafkaConfig, append_time_ms, read_to_end
from bridge.wire.namespace import decode_key, decode_value, encode_key, encode_value
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics, existing_topics

logger = logging.getLogger(__name__)

Stage = Literal["connector", "processor", "sink"]

INTERVAL_S = 5.0
# How soon a trouble that has come or gone is said, whatever the interval.
_LOOK_S = 1.0
# Several reports are missing by then.
SILENT_S = 20.0
_KIND = "report"
_KEPT_MS = 24 * 3600 * 1000
_SEGMENT_MS = 10 * 60 * 1000
_NEWEST = 20_000
_BYTES_MAX = 512 * 1024
_GOODBYE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one process says of itself.

    Args:
        stage: its kind.
        name: what it runs: the transform's name, or the file's.
        covers: the tables, transform or datasets it is there for, whoever works on them now.
        host: of the machine or container.
        pid: there.
        replica: its `TAILRACE_REPLICA`.
        started_s: when it started, seconds since 1970.
        problem: what is wrong, as its `/healthz` says it; None while it is healthy.
        stopped: why it stopped, "" for when it was told to; None while it runs.
        metrics: `host:port` of its metrics, None where it serves none.
        things: its `/status`: an object for each table or dataset it works on.
    """

    stage: Stage
    name: str
    host: str
    pid: int
    covers: tuple[str, ...] = ()
    replica: str = "0"
    started_s: float = 0.0
    problem: str | None = None
    stopped: str | None = None
    metrics: str | None = None
    things: tuple[Mapping[str, Any], ...] = ()

    def key(self) -> bytes:
        """A process's reports replace one another."""
        return encode_key(_KIND, self.stage, self.name, self.host, self.pid)

    def value(self) -> bytes:
        """As it is written; one that grew too large says nothing of what it works on."""
        fields = {
            "covers": list(self.covers),
            "replica": self.replica,
            "started_s": self.started_s,
            "problem": self.problem,
            "stopped": self.stopped,
            "metrics": self.metrics,
        }
        whole = encode_value({**fields, "things": list(self.things)})
        return whole if len(whole) <= _BYTES_MAX else encode_value({**fields, "things": []})

    @classmethod
    def read(cls, key: bytes, value: bytes) -> Report | None:
        """A record as its report, None if it is something else.

        Raises:
            WireError: malformed. UnknownVersionError: a newer release wrote it.
        """
        kind, *parts = decode_key(key)
        if kind != _KIND:
            return None
        fields = decode_value(value, "report")
        try:
            stage, name, host, pid = parts
            return cls(
                stage=stage,
                name=name,
                host=host,
                pid=int(pid),
                covers=tuple(fields["covers"]),
                replica=fields["replica"],
                started_s=float(fields["started_s"]),
                problem=fields["problem"],
                stopped=fields["stopped"],
                metrics=fields["metrics"],
                things=tuple(fields["things"]),
            )
        except (KeyError, TypeError, ValueError):
            raise WireError("malformed report") from None


@dataclass(frozen=True, slots=True)
class Heard:
    """A process's last report, and when Kafka took it (seconds since 1970)."""

    report: Report
    at_s: float


def reports_spec(kafka: KafkaConfig, replication: int = -1) -> TopicSpec:
    """The topic as it is created: a day of last words, without what they replace."""
    return TopicSpec(
        name=TopicNames(kafka.namespace).reports,
        partitions=1,
        replication=replication,
        retention_ms=_KEPT_MS,
        settings={"cleanup.policy": "compact,delete", "segment.ms": str(_SEGMENT_MS)},
    )


def read_reports(kafka: KafkaConfig) -> tuple[Heard, ...]:
    """The last report of every process that was heard of within a day.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    topic = TopicNames(kafka.namespace).reports
    if topic not in existing_topics(admin(kafka)):
        return ()
    found: dict[bytes, Heard] = {}
    for message in read_to_end(kafka, topic, [0], newest=_NEWEST):
        heard = _heard(message)
        if heard is not None:
            found[heard.report.key()] = heard
    return tuple(found.values())


def _heard(message: Message) -> Heard | None:
    key, value = message.key(), message.value()
    if not (isinstance(key, bytes) and isinstance(value, bytes)):
        return None
    try:
        report = Report.read(key, value)
    except WireError:
        return None  # of another release: nothing rests on it
    return None if report is None else Heard(report, (append_time_ms(message) or 0) / 1000)


@dataclass(slots=True)
class Reporter:
    """Writes a process's reports from a thread of its own; for a `with`.

    Kafka's troubles are no concern of it: what can't be written is left out. Set `stopped` to the
    reason before the block is left with an error.

    Args:
        kafka: where.
        report: who it is.
        problem: what is wrong now, None while all is well.
        things: what it works on; dataclasses or mappings.
        replication: of the topic, when it is created here.
    """

    kafka: KafkaConfig
    report: Report
    problem: Callable[[], str | None]
    things: Callable[[], Sequence[Any]] = tuple
    replication: int = -1
    interval_s: float = INTERVAL_S
    stopped: str = ""
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _troubled: bool = False

    def __enter__(self) -> Reporter:
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(_GOODBYE_S * 2)

    def _run(self) -> None:
        producer = self._begin()
        if producer is None:
            return
        while not self._rest(self.interval_s if self._say(producer, None) else _LOOK_S):
            pass
        self._say(producer, self.stopped)
        producer.flush(_GOODBYE_S)

    def _rest(self, seconds: float) -> bool:
        """Until the next report is due, at once where trouble has come or gone; True at the end."""
        due, troubled = time.monotonic() + seconds, self._troubled
        while (left := due - time.monotonic()) > 0:
            if self._over.wait(min(left, _LOOK_S)):
                return True
            with suppress(RuntimeError):  # as in `_say`
                if (self.problem() is not None) != troubled:
                    return False
        return self._over.is_set()

    def _begin(self) -> Producer | None:
        """A producer, once the topic exists; None if that did not happen before the end."""
        while True:
            try:
                ensure_topics(admin(self.kafka), [reports_spec(self.kafka, self.replication)])
                return Producer(self.kafka.producer(delivery_timeout_ms=10_000))
            except (TailraceError, KafkaException) as error:
                logger.debug("no reports yet", extra={"cause": str(error)})
            if self._over.wait(self.interval_s):
                return None

    def _say(self, producer: Producer, stopped: str | None) -> bool:
        try:
            things = orjson.loads(orjson.dumps(list(self.things())))
            problem = self.problem()
            self._troubled = problem is not None
            report = replace(
                self.report,
                problem=problem,
                stopped=stopped,
                things=tuple(things),
            )
            topic = TopicNames(self.kafka.namespace).reports
            producer.produce(topic, key=report.key(), value=report.value(), partition=0)
            producer.poll(0)
        except (KafkaException, BufferError, TypeError, RuntimeError) as error:
            # RuntimeError: a mapping that changed while it was looked at.
            logger.debug("no report", extra={"cause": str(error)})
            return False
        return True


def this_process(
    kafka: KafkaConfig, stage: Stage, name: str, covers: Sequence[str], metrics: str | None = None
) -> Report:
    """The report of the process that calls, before it says how it is doing."""
    return Report(
        stage=stage,
        name=name,
        covers=tuple(covers),
        host=socket.gethostname(),
        pid=os.getpid(),
        replica=kafka.replica,
        started_s=time.time(),
        metrics=metrics,
    )
