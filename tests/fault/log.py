"""A model of Kafka's log and transactions, as faithful as the connector's reasoning needs.

Commit markers reach the partitions of a transaction one by one, at times of the scheduler's choice,
so a reader may see one partition of a transaction before another. `init` of a transactional id
fences the producer before it and waits until its transaction is decided everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.connector.work import Message

Place = tuple[str, int]


class FencedError(Exception):
    """A newer producer has this transactional id."""


@dataclass(slots=True)
class Transaction:
    """One transaction: open until it is decided, undecided where a marker is still missing."""

    places: set[Place] = field(default_factory=set)
    outcome: bool | None = None
    unmarked: set[Place] = field(default_factory=set)

    def decide(self, committed: bool) -> None:
        """Commit or abort; the markers follow."""
        self.outcome = committed
        self.unmarked = set(self.places)

    def visible(self, place: Place) -> bool | None:
        """None while a read_committed reader has to wait, else whether it sees the records."""
        if self.outcome is None or place in self.unmarked:
            return None
        return self.outcome


@dataclass(frozen=True, slots=True)
class Entry:
    """A record in a partition; `transaction` None is a plain one."""

    message: Message
    transaction: Transaction | None


@dataclass(slots=True)
class SimProducer:
    """A transactional producer: the `generation` tells it from its successors."""

    transactional_id: str
    generation: int


@dataclass(slots=True)
class SimKafka:
    """Partitions, transactional ids and their fencing."""

    logs: dict[Place, list[Entry]] = field(default_factory=dict)
    _generations: dict[str, int] = field(default_factory=dict)
    _open: dict[str, Transaction] = field(default_factory=dict)
    _deciding: list[Transaction] = field(default_factory=list)

    def init(self, transactional_id: str) -> SimProducer:
        """Fence whoever had this id; what it left open is aborted, what it decided is finished."""
        generation = self._generations.get(transactional_id, 0) + 1
        self._generations[transactional_id] = generation
        left = self._open.pop(transactional_id, None)
        if left is not None:
            if left.outcome is None:
                left.decide(False)
            left.unmarked.clear()
        return SimProducer(transactional_id, generation)

    def _check(self, producer: SimProducer) -> None:
        if self._generations[producer.transactional_id] != producer.generation:
            raise FencedError(producer.transactional_id)

    def begin(self, producer: SimProducer) -> None:
        """A producer waits for its own last transaction before it begins another."""
        self._check(producer)
        last = self._open.pop(producer.transactional_id, None)
        if last is not None:
            last.unmarked.clear()
        self._open[producer.transactional_id] = Transaction()

    def produce(self, producer: SimProducer, message: Message, partition: int) -> None:
        """Append inside the open transaction."""
        self._check(producer)
        transaction = self._open[producer.transactional_id]
        place = (message.topic, partition)
        transaction.places.add(place)
        self.logs.setdefault(place, []).append(Entry(message, transaction))

    def commit(self, producer: SimProducer) -> None:
        """Decide; the markers are written by `write_marker`."""
        self._check(producer)
        transaction = self._open[producer.transactional_id]
        transaction.decide(True)
        self._deciding.append(transaction)

    def append(self, message: Message, partition: int) -> None:
        """A plain record, outside any transaction."""
        self.logs.setdefault((message.topic, partition), []).append(Entry(message, None))

    def write_marker(self, pick: float) -> None:
        """One marker that is due reaches its partition; `pick` from [0, 1) chooses which."""
        self._deciding = [t for t in self._deciding if t.unmarked]
        due = [(t, place) for t in self._deciding for place in sorted(t.unmarked)]
        if due:
            transaction, place = due[int(pick * len(due))]
            transaction.unmarked.discard(place)

    def read(self, place: Place, position: int, most: int) -> tuple[list[Message], int]:
        """Committed records from `position` on, and the position after them."""
        found: list[Message] = []
        for entry in self.logs.get(place, [])[position : position + most]:
            visible = True if entry.transaction is None else entry.transaction.visible(place)
            if visible is None:
                break
            position += 1
            if visible:
                found.append(entry.message)
        return found, position

    def end(self, place: Place) -> int:
        """The end of the log, open transactions included."""
        return len(self.logs.get(place, []))

    def stable_end(self, place: Place) -> int:
        """Where the oldest transaction begins that is not decided here; the end if there is none.

        What a read_committed reader saw, ever, lies before it.
        """
        entries = self.logs.get(place, [])
        undecided = (
            number
            for number, entry in enumerate(entries)
            if entry.transaction is not None and entry.transaction.visible(place) is None
        )
        return next(undecided, len(entries))
