"""DynamoDB and its streams as one object, with or without HTTP in front of it.

`answer` is the front door: every request passes the faults there. The other methods are the script:
they act on shards, listings, time and trouble, and tell nothing to readers that AWS would not.
All methods may be called from any thread.
"""

import math
import random
import threading
from dataclasses import dataclass
from typing import Any

import orjson

from tests.fakes.dynamodb.clock import Clock, SystemClock
from tests.fakes.dynamodb.errors import AnswerLostError, AwsError, NoAnswerError, RequestLostError
from tests.fakes.dynamodb.faults import (
    Fault,
    FaultKind,
    Faults,
    Struck,
    expired_token,
    mentioned,
    throttled,
)
from tests.fakes.dynamodb.history import History
from tests.fakes.dynamodb.operations import cut_short, operation
from tests.fakes.dynamodb.records import ViewType
from tests.fakes.dynamodb.settings import Settings
from tests.fakes.dynamodb.shards import Shard
from tests.fakes.dynamodb.state import State
from tests.fakes.dynamodb.streams import Stream
from tests.fakes.dynamodb.values import Item, checked_item


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer on its way: its JSON, how late it is, and whether its checksum is to be wrong."""

    body: bytes
    delay_s: float = 0.0
    bad_checksum: bool = False


class World:
    """Tables, streams, a clock and a plan of troubles.

    Keyword arguments that are no `clock` are fields of `Settings`.
    """

    def __init__(self, *, clock: Clock | None = None, **settings: Any) -> None:
        chosen = Settings(**settings)
        self.clock = clock or SystemClock()
        self.state = State(chosen, self.clock, random.Random(f"world {chosen.seed}"))
        self.faults = Faults(random.Random(f"faults {chosen.seed}"))
        self.calls: dict[str, int] = {}
        self._recent: dict[str, list[float]] = {}
        self._expired_keys: set[str] = set()
        self._lock = threading.RLock()

    @property
    def settings(self) -> Settings:
        """The settings; changes to them take effect at once."""
        return self.state.settings

    @property
    def history(self) -> History:
        """The journal of everything written."""
        return self.state.history

    # The front door.

    def answer(
        self, name: str, request: dict[str, Any], *, access_key: str | None = None
    ) -> Answer:
        """What AWS answers.

        Raises AwsError, RequestLostError (no effect) or AnswerLostError (took effect). Waiting
        `delay_s` is the caller's business; the exceptions carry one too.
        """
        with self._lock:
            self.calls[name] = self.calls.get(name, 0) + 1
            found = operation(name)
            found.check(request)
            self._require_rate(name)
            if access_key is not None and access_key in self._expired_keys:
                raise expired_token()
            struck = self.faults.strike(name, mentioned(request))
            try:
                return self._carry_out(found.handler, request, struck)
            except (AwsError, NoAnswerError) as error:
                error.delay_s = struck.delay_s
                raise

    def _require_rate(self, name: str) -> None:
        most = self.settings.rates_max.get(name)
        if most is None:
            return
        now_s = self.clock.now()
        recent = [at_s for at_s in self._recent.get(name, []) if at_s > now_s - 1]
        if len(recent) >= most:
            raise throttled(name)
        self._recent[name] = [*recent, now_s]

    def _carry_out(self, handler: Any, request: dict[str, Any], struck: Struck) -> Answer:
        if struck.error is not None:
            raise struck.error
        if struck.kind == "reset":
            raise RequestLostError("the connection was reset before the request took effect")
        if struck.kind == "partial":
            result = cut_short(handler, self.state, request)
        else:
            result = handler(self.state, request)
        if struck.kind == "lost":
            raise AnswerLostError("the connection was reset after the request took effect")
        return Answer(
            body=orjson.dumps(result),
            delay_s=struck.delay_s,
            bad_checksum=struck.kind == "bad_checksum",
        )

    def call(self, name: str, **request: Any) -> dict[str, Any]:
        """`answer` for callers in Python: parameters by name, the parsed answer, no waiting."""
        result: dict[str, Any] = orjson.loads(self.answer(name, request).body)
        return result

    # Tables and items, for tests that write without an SDK and without faults.

    def create_table(
        self,
        table: str,
        hash_key: str = "id",
        hash_type: str = "S",
        *,
        range_key: str | None = None,
        range_type: str = "S",
        view_type: ViewType | None = "NEW_AND_OLD_IMAGES",
        shards: int | None = None,
    ) -> str | None:
        """Create a table; the ARN of its stream, or None with `view_type=None`."""
        elements = [(hash_key, hash_type, "HASH")]
        if range_key is not None:
            elements.append((range_key, range_type, "RANGE"))
        request: dict[str, Any] = {
            "TableName": table,
            "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, _, kind in elements],
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": type_name}
                for name, type_name, _ in elements
            ],
            "BillingMode": "PAY_PER_REQUEST",
        }
        if view_type is not None:
            request["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": view_type}
        with self._lock:
            if shards is not None:
                self.state.shard_counts[table] = shards
            operation("CreateTable").handler(self.state, request)
            return None if view_type is None else self.stream_arn(table)

    def put(self, table: str, item: Item) -> None:
        """Put an item."""
        with self._lock:
            target = self.state.table(table)
            stored = checked_item(item)
            self.state.change(target, target.key_of(stored), stored)

    def delete(self, table: str, key: Item) -> None:
        """Delete an item if it is there."""
        with self._lock:
            target = self.state.table(table)
            self.state.change(target, target.checked_key(key), None)

    def expire(self, table: str, key: Item) -> None:
        """Delete an item the way time to live does: the record says who did it."""
        with self._lock:
            target = self.state.table(table)
            self.state.change(target, target.checked_key(key), None, expired=True)

    def items(self, table: str) -> list[Item]:
        """All items of a table now."""
        with self._lock:
            return [stored.image.item for stored in self.state.table(table).items.values()]

    # Shards.

    def stream_arn(self, table: str) -> str:
        """The ARN of the table's latest stream."""
        return self._latest(table).arn

    def shards(self, table: str) -> list[Shard]:
        """Every kept shard of the table's latest stream, oldest first: the truth, no listing."""
        with self._lock:
            return list(self._latest(table).lineage.shards.values())

    def open_shards(self, table: str) -> list[str]:
        """The ids of the shards that take records, in order of their key ranges."""
        with self._lock:
            return [shard.id for shard in self._latest(table).lineage.open_shards()]

    def split(self, shard_id: str, ways: int = 2) -> list[str]:
        """Close a shard and continue it with so many children; their ids."""
        with self._lock:
            stream, shard = self._find(shard_id)
            return [child.id for child in stream.lineage.split(shard, ways, self.clock.now())]

    def rotate(self, shard_id: str) -> str:
        """Close a shard and continue it with one child; its id."""
        (child,) = self.split(shard_id, ways=1)
        return child

    def rotate_all(self, table: str) -> list[str]:
        """Rotate every open shard; the ids of the children."""
        with self._lock:
            return [self.rotate(shard_id) for shard_id in self.open_shards(table)]

    def trim(self, table: str, before_s: float | None = None) -> int:
        """Drop what was written before an instant, or all so far; the number of records dropped.

        Closed shards that are empty then are forgotten.
        """
        with self._lock:
            return self._latest(table).lineage.trim(math.inf if before_s is None else before_s)

    def trim_records(self, shard_id: str, count: int) -> None:
        """Drop the oldest records of one shard."""
        with self._lock:
            self._find(shard_id)[1].drop(count)

    def drop_shard(self, shard_id: str) -> None:
        """Forget a closed shard with all its records, children notwithstanding."""
        with self._lock:
            stream, shard = self._find(shard_id)
            if shard.closed_s is None:
                raise ValueError(f"{shard_id} is open")
            del stream.lineage.shards[shard_id]

    def hide_shard(self, shard_id: str, listings: int = 1) -> None:
        """Leave a shard out of the next complete listings; it can be read all the same."""
        with self._lock:
            self._find(shard_id)[0].lie(shard_id).hidden = listings

    def show_open(self, shard_id: str, listings: int = 1) -> None:
        """Show a closed shard as though it were open in the next complete listings."""
        with self._lock:
            self._find(shard_id)[0].lie(shard_id).shown_open = listings

    def empty_pages(self, count: int, shard_id: str = "*") -> None:
        """Answer the next GetRecords of a shard, or of any, with nothing."""
        with self._lock:
            self.state.empty_pages[shard_id] = count

    def expire_iterators(self) -> None:
        """Make every iterator given out so far an expired one."""
        with self._lock:
            self.state.iterator_generation += 1

    # Trouble.

    def fail(
        self,
        operation: str,
        kind: FaultKind,
        *,
        times: int | None = 1,
        probability: float = 1.0,
        delay_s: float = 0.0,
        code: str | None = None,
        mentioning: str | None = None,
    ) -> None:
        """Plan a fault; see `faults.Fault`."""
        with self._lock:
            self.faults.add(
                Fault(
                    operation=operation,
                    kind=kind,
                    times=times,
                    probability=probability,
                    delay_s=delay_s,
                    code=code,
                    mentioning=mentioning,
                )
            )

    def throttle(
        self,
        operation: str,
        times: int | None = 1,
        *,
        probability: float = 1.0,
        code: str | None = None,
    ) -> None:
        """Refuse requests for being too many."""
        self.fail(operation, "throttle", times=times, probability=probability, code=code)

    def slow(self, operation: str, delay_s: float, times: int | None = 1) -> None:
        """Answer late."""
        self.fail(operation, "slow", times=times, delay_s=delay_s)

    def clear_faults(self) -> None:
        """Let nothing planned happen any more; credentials stay expired."""
        with self._lock:
            self.faults.clear()

    def expire_credentials(self, access_key: str) -> None:
        """Refuse everything signed with this access key from now on."""
        with self._lock:
            self._expired_keys.add(access_key)

    def configure(self, **settings: Any) -> None:
        """Change settings while the world runs."""
        with self._lock:
            for name, value in settings.items():
                if not hasattr(self.settings, name):
                    raise ValueError(f"no setting {name!r}")
                setattr(self.settings, name, value)

    def _latest(self, table: str) -> Stream:
        stream = self.state.table(table).stream
        if stream is None:
            raise ValueError(f"table {table} never had a stream")
        return stream

    def _find(self, shard_id: str) -> tuple[Stream, Shard]:
        for stream in self.state.streams.values():
            if shard_id in stream.lineage.shards:
                return stream, stream.lineage.shards[shard_id]
        raise ValueError(f"no shard {shard_id}")
