"""Dead letters put back where they came from, exactly once.

Every letter goes back to its own partition of its own topic in the transaction that marks it as
replayed, so a replay that was killed goes on where it stood. Key and version travel in it: what was
overtaken meanwhile changes nothing.

- A change goes to `changes.<table>`, addressed to its transform alone (`"for"`).
- A row that the sink could not take goes to `rows.<dataset>`, a contribution of an item to another
  key's row to `_contributions.<dataset>`.

What lies below the log start of that topic is refused: its tombstones may be gone, and a removed
row could come back. A backfill is right then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

import orjson
from confluent_kafka import KafkaException, Producer

from bridge.control.letters import Address, Letter, Selection, State, mark, read_letters, read_marks
from bridge.wire.errors import WireError
from bridge.wire.kafka import REQUEST_TIMEOUT_S, KafkaConfig, unreachable, written_bounds
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics

_BATCH = 500
_ORIGIN = b'"tailrace":'


@dataclass(slots=True)
class Outcome:
    """What a command did, or would do: letters replayed or dropped, and refused ones by cause."""

    done: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    examples: dict[str, Address] = field(default_factory=dict)

    def refuse(self, letter: Letter, cause: str) -> None:
        """Count it with its cause."""
        self.refused[cause] = self.refused.get(cause, 0) + 1
        self.examples.setdefault(cause, letter.address)


def replay(
    kafka: KafkaConfig,
    owner: str,
    partitions: int,
    selection: Selection,
    *,
    dry_run: bool,
    reached: Callable[[int], object] = lambda _done: None,
) -> Outcome:
    """Put the selected open letters back; `reached` is told how many are.

    Raises:
        BrokerUnreachableError: Kafka does not answer; run it again, what is done stays done.
    """
    outcome = Outcome()
    starts = _LogStarts(kafka)
    # Read only once the writer is there: it ends the transaction of a replay that was killed.
    letters = _open(kafka, owner, partitions, selection)

    def accepted() -> Iterator[tuple[Letter, bytes | None]]:
        for letter in letters:
            cause = refusal(letter, starts)
            if cause is not None:
                outcome.refuse(letter, cause)
                continue
            try:
                value = original(letter, TopicNames(kafka.namespace))
            except WireError as error:
                outcome.refuse(letter, error.what)
            else:
                yield letter, value

    with _Writer(kafka, owner, dry_run=dry_run) as writer:
        for batch in _batches(accepted()):
            writer.write(batch, "replayed")
            outcome.done += len(batch)
            reached(outcome.done)
    return outcome


def drop(
    kafka: KafkaConfig, owner: str, partitions: int, selection: Selection, *, dry_run: bool
) -> Outcome:
    """Mark the selected open letters as given up; they stay in their topic until retention.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    outcome = Outcome()
    with _Writer(kafka, owner, dry_run=dry_run) as writer:
        letters = ((letter, None) for letter in _open(kafka, owner, partitions, selection))
        for batch in _batches(letters):
            writer.write(batch, "dropped")
            outcome.done += len(batch)
    return outcome


def refusal(letter: Letter, starts: Callable[[str], Mapping[int, int]]) -> str | None:
    """Why a letter can't be put back, None if it can."""
    cause = letter.cause
    if cause.stage == "connector" or not cause.topic or cause.offset < 0:
        return "it never reached a topic of changes; `tailrace backfill TABLE` reads its item again"
    start = starts(cause.topic).get(cause.partition)
    if start is None:
        return f"{cause.topic} is gone"
    if cause.offset < start:
        return (
            f"older than what {cause.topic} still holds; `tailrace backfill TABLE` reads the items "
            "again"
        )
    return None


def original(letter: Letter, names: TopicNames) -> bytes | None:
    """The message as it is written back: byte for byte, but for what makes it a repetition.

    A change is addressed to its transform; a contribution no longer says where it came from, or it
    would be passed over as seen.

    Raises:
        WireError: it is not what such a topic holds.
    """
    if letter.cause.topic.startswith(names.changes("")):
        return addressed(letter.value or b"", letter.cause.owner)
    if letter.cause.topic.startswith(names.contributions("")):
        try:
            return orjson.dumps({**orjson.loads(letter.value or b""), "from": None})
        except (ValueError, TypeError):
            raise WireError("not a contribution, so it can't be repeated") from None
    return letter.value


def addressed(change: bytes, transform: str) -> bytes:
    """The change, with `"for"` in its `tailrace` part; everything before that part untouched.

    Raises:
        WireError: the value is not a change as the connector writes it.
    """
    at = change.rfind(_ORIGIN)
    try:
        if at < 0:
            raise ValueError
        origin = orjson.loads(change[at + len(_ORIGIN) : change.rindex(b"}")])
        whole = orjson.loads(change)
        if not isinstance(origin, dict) or whole.get("tailrace") != origin:
            raise ValueError
    except (ValueError, AttributeError):
        raise WireError("not a change, so it can't be addressed to a transform") from None
    tail = orjson.dumps({**origin, "for": transform})
    return change[: at + len(_ORIGIN)] + tail + b"}"


class _LogStarts:
    """The first retained offset per partition of a topic, asked once."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._client = admin(kafka)
        self._found: dict[str, Mapping[int, int]] = {}

    def __call__(self, topic: str) -> Mapping[int, int]:
        if topic not in self._found:
            listed = self._client.list_topics(timeout=REQUEST_TIMEOUT_S).topics.get(topic)
            known = list(listed.partitions) if listed is not None and listed.error is None else []
            bounds = written_bounds(self._client, topic, known) if known else {}
            self._found[topic] = {partition: bound.start for partition, bound in bounds.items()}
        return self._found[topic]


def _open(
    kafka: KafkaConfig, owner: str, partitions: int, selection: Selection
) -> Iterator[Letter]:
    marks = read_marks(kafka, owner)
    for letter in read_letters(kafka, owner, partitions):
        if letter.address not in marks and selection.holds(letter):
            yield letter


def _batches(
    letters: Iterable[tuple[Letter, bytes | None]],
) -> Iterator[list[tuple[Letter, bytes | None]]]:
    source = iter(letters)
    while batch := list(islice(source, _BATCH)):
        yield batch


class _Writer(contextlib.AbstractContextManager["_Writer"]):
    """Writes letters and their marks in transactions; a second one for the same owner fences it."""

    def __init__(self, kafka: KafkaConfig, owner: str, *, dry_run: bool) -> None:
        self._names = TopicNames(kafka.namespace)
        self._owner = owner
        self._producer: Producer | None = None
        if dry_run:
            return
        spec = TopicSpec(name=self._names.letters, partitions=1, compacted=True)
        ensure_topics(admin(kafka), [spec])
        identity = f"{kafka.namespace}.dlq.{owner}"
        self._producer = Producer(kafka.producer(transactional_id=identity))
        with _failing(self._names.letters):
            self._producer.init_transactions(REQUEST_TIMEOUT_S)

    def write(self, batch: list[tuple[Letter, bytes | None]], state: State) -> None:
        """One transaction."""
        producer = self._producer
        if producer is None:
            return
        now = datetime.now(UTC)
        with _failing(self._names.letters):
            producer.begin_transaction()
            for letter, value in batch:
                if state == "replayed":
                    producer.produce(
                        letter.cause.topic,
                        key=letter.key,
                        value=value,
                        headers=list(letter.headers),
                        partition=letter.cause.partition,
                    )
                key, record = mark(self._owner, letter.address, state, now)
                producer.produce(self._names.letters, key=key, value=record, partition=0)
            producer.commit_transaction(REQUEST_TIMEOUT_S * 1.5)

    def __exit__(self, *_: object) -> None:
        if self._producer is not None:
            with contextlib.suppress(KafkaException):
                self._producer.abort_transaction(1)


@contextlib.contextmanager
def _failing(where: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise unreachable(error, f"writing to {where}") from error
