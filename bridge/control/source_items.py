"""The source's side of a comparison: items read consistently, and the rows they should be.

Items are read page by page with ConsistentRead through boto3; the compiled transform, the same that
the processor runs, says which rows an item makes.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from bridge.control.compared import ComparedColumns
from bridge.control.comparison import SourceRow
from bridge.control.plan import Feed
from bridge.control.read_budget import ReadBudget
from bridge.source import DynamoDBSource
from bridge.wire.attributes import canonical_key
from bridge.wire.errors import ConfigurationError, TailraceError

if TYPE_CHECKING:
    from processors.flow import CompiledFlow

_ATTEMPTS = 8
_GET_KEYS_MAX = 100  # BatchGetItem takes no more
# Above this many keys a scan is cheaper, and kinder, than single reads.
SINGLE_READS_MAX = 2_000
# Of a sample: items in a part of the table, and into how many parts it is divided.
_PART_ITEMS, _PARTS_MIN, _PARTS_MAX = 50, 16, 10_000

Item = dict[str, Any]


class NoSuchTableError(ConfigurationError):
    """The table does not exist, or not here."""


class SourceTable:
    """Reads one table.

    Args:
        source: which.
        table: which of its tables, where it has several.
        may_be_gone: a table that is not there counts as empty.
        budget: how fast it may be read; without limit by default.

    Raises:
        ConfigurationError: there is no such table, no region, no credentials, no answer.
    """

    def __init__(
        self,
        source: DynamoDBSource,
        table: str | None = None,
        *,
        may_be_gone: bool = False,
        budget: ReadBudget | None = None,
    ) -> None:
        self._budget = budget or ReadBudget(None)
        self._name = table or source.table_name
        self._client = dynamodb_client(source.region)
        self._gone = False
        self.items_about = 0
        schema: list[dict[str, str]] = []
        try:
            with asking(self._name):
                described = self._client.describe_table(TableName=self._name)["Table"]
            schema = described["KeySchema"]
        except NoSuchTableError:
            if not may_be_gone:
                raise
            self._gone = True
        else:
            # AWS counts every six hours or so.
            self.items_about = int(described.get("ItemCount") or 0)
        self.key_names: tuple[str, ...] = tuple(part["AttributeName"] for part in schema)

    def scan(self) -> Iterator[Item]:
        """Every item, in DynamoDB JSON."""
        for items, _ in self.pages(None):
            yield from items

    def pages(self, after: Item | None, **segment: int) -> Iterator[tuple[list[Item], Item | None]]:
        """Every page of items behind a key (None: from the start), and the key it ends at; the last
        page ends at None. Items and keys are DynamoDB JSON. `segment`: see Scan's parameters."""
        while not self._gone:
            start = {} if after is None else {"ExclusiveStartKey": as_client(after)}
            self._budget.wait()
            with asking(self._name):
                page = self._client.scan(
                    TableName=self._name,
                    ConsistentRead=True,
                    **start,
                    **segment,
                    **self._budget.arguments,
                )
            self._budget.pay(page)
            last = page.get("LastEvaluatedKey")
            after = as_json(last) if last else None
            yield [as_json(item) for item in page["Items"]], after
            if after is None:
                return

    def some(self, count: int, choice: random.Random) -> list[Item]:
        """So many items from all over the table, or all where it has fewer.

        Parts of the hash keys' range are read in random order, each about a page of few items.
        """
        parts = min(max(self.items_about // _PART_ITEMS, _PARTS_MIN), _PARTS_MAX)
        found: list[Item] = []
        for number in choice.sample(range(parts), parts):
            for items, _ in self.pages(None, Segment=number, TotalSegments=parts):
                found += items
                if len(found) >= count:
                    return found[:count]
        return found

    def get(self, keys: Iterable[str]) -> Iterator[Item]:
        """The items of these canonical keys that exist."""
        wanted = [] if self._gone else list(keys)
        for start in range(0, len(wanted), _GET_KEYS_MAX):
            typed = [as_client(orjson.loads(key)) for key in wanted[start : start + _GET_KEYS_MAX]]
            requests: dict[str, Any] = {self._name: {"Keys": typed, "ConsistentRead": True}}
            while requests:
                self._budget.wait()
                with asking(self._name):
                    answer = self._client.batch_get_item(
                        RequestItems=requests, **self._budget.arguments
                    )
                self._budget.pay(answer)
                for item in answer["Responses"].get(self._name, ()):
                    yield as_json(item)
                requests = answer.get("UnprocessedKeys") or {}

    def item_key(self, item: Mapping[str, Any]) -> str:
        """Canonical key of an item."""
        return canonical_key({name: item[name] for name in self.key_names}).decode()


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the source was read: which table is next, behind which key, and items so far."""

    part: int = 0
    after: Item | None = None
    items: int = 0


class ExpectedRows:
    """The rows a feed's items should be, of all its tables."""

    def __init__(self, feed: Feed, *tables: SourceTable) -> None:
        self._parts = [(part.flow, table) for part, table in zip(feed.parts, tables, strict=True)]
        self.columns = ComparedColumns(feed)
        self.items = 0

    @property
    def items_about(self) -> int:
        """How many items there are, as AWS last counted them."""
        return sum(table.items_about for _, table in self._parts)

    def steps(self, begin: Mark | None = None) -> Iterator[tuple[list[SourceRow], Mark]]:
        """The rows of every item, page by page, with where the next page begins; from `begin` on.

        `items` counts the items, those before `begin` too.
        """
        begin = begin or Mark()
        self.items = begin.items
        for number, (flow, table) in enumerate(self._parts[begin.part :], begin.part):
            if flow.keyed is not None:
                yield list(self._keyed(flow, table)), Mark(number + 1, None, self.items)
                continue
            after = begin.after if number == begin.part else None
            for items, last in table.pages(after):
                self.items += len(items)
                rows = [row for item in items for row in self._of(flow, table, item)]
                here = number if last is not None else number + 1
                yield rows, Mark(here, last, self.items)

    def sample(self, count: int, choice: random.Random) -> Iterator[SourceRow]:
        """The rows of so many items, an equal share of each table's."""
        self.items = 0
        for flow, table in self._parts:
            for item in table.some(-(-count // len(self._parts)), choice):
                self.items += 1
                yield from self._of(flow, table, item)

    def _keyed(self, flow: CompiledFlow, table: SourceTable) -> Iterator[SourceRow]:
        """Of a flow whose rows come from many items."""
        from processors.keyed.expected import ExpectedGroups

        assert flow.keyed is not None
        groups = ExpectedGroups(flow.keyed)
        for item in table.scan():
            self.items += 1
            item_key = table.item_key(item)
            try:
                groups.add(item_key, flow.expected(item, table.key_names))
            except ConfigurationError:
                raise
            except (TailraceError, ArithmeticError, LookupError, TypeError, ValueError):
                yield SourceRow(item_key, item_key, None)
        for key, row in groups.rows():
            value = self.columns.spell_expected(row) if row is not None else None
            yield SourceRow(key, key, value)

    def _of(self, flow: CompiledFlow, table: SourceTable, item: Item) -> list[SourceRow]:
        """Of one item. One that the transform can't take is one row without a value."""
        item_key = flow.item_key(table.item_key(item))
        try:
            rows = flow.expected(item, table.key_names)
        except ConfigurationError:
            raise
        except (TailraceError, ArithmeticError, LookupError, TypeError, ValueError):
            return [SourceRow(item_key, item_key, None)]
        return [
            SourceRow(row_key, item_key, self.columns.spell_expected(row)) for row_key, row in rows
        ]

    def again(self, items: set[str], rows: set[str], scan: bool) -> dict[str, SourceRow]:
        """Read anew: the rows of these items, or with `scan` these rows wherever they come from."""
        found: dict[str, SourceRow] = {}
        for flow, table in self._parts:
            if flow.keyed is not None:
                again = self._keyed(flow, table)
                found |= {row.row_key: row for row in again if row.row_key in rows}
                continue
            own = {key for key in map(flow.source_key, items) if key is not None}
            read = table.scan() if scan else table.get(own)
            for item in read:
                for row in self._of(flow, table, item):
                    if not scan or row.row_key in rows or row.item_key in items:
                        found[row.row_key] = row
        return found


def dynamodb_client(region: str | None) -> Any:
    """A boto3 client of DynamoDB; see `aws_client`."""
    return aws_client("dynamodb", region)


def aws_client(
    service: str, region: str | None, *, attempts: int = _ATTEMPTS, timeout_s: float = 60
) -> Any:
    """A boto3 client, configured as botocore is, that waits so long for each answer.

    Raises:
        ConfigurationError: boto3 is not installed, or no region is known.
    """
    from bridge.control.stages import needing

    with needing("connector"):
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    config = Config(
        retries={"total_max_attempts": attempts, "mode": "standard"},
        connect_timeout=timeout_s,
        read_timeout=timeout_s,
    )
    try:
        # A session of its own: the default one may have been made before an endpoint was known.
        session: Any = boto3.Session()
        return session.client(service, region_name=region, config=config)
    except BotoCoreError as error:
        raise ConfigurationError(str(error), where="AWS", remedy=_AWS_REMEDY) from None


_AWS_REMEDY = "Check credentials, region and AWS_ENDPOINT_URL"


class asking:  # noqa: N801 (reads as a statement)
    """Turns a failed AWS call into one line that names the table."""

    def __init__(self, table: str) -> None:
        self._table = table

    def __enter__(self) -> None:
        """Nothing to set up."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        where = f"DynamoDB table {self._table}"
        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", "error"))
            if code == "ResourceNotFoundException":
                raise NoSuchTableError(
                    "there is no such table", where=where, remedy=_AWS_REMEDY
                ) from None
            raise TailraceError(f"AWS answered {code}", where=where, remedy=_AWS_REMEDY) from None
        if isinstance(error, BotoCoreError):
            raise TailraceError(str(error), where=where, remedy=_AWS_REMEDY) from None


def as_json(value: Any) -> Any:
    """boto3's typed values as DynamoDB JSON: bytes become base64 text."""
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: as_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [as_json(inner) for inner in value]
    return value


def as_client(key: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    """A canonical typed key as boto3 wants it: binaries as bytes."""
    return {
        name: {kind: base64.b64decode(text) if kind == "B" else text}
        for name, typed in key.items()
        for kind, text in typed.items()
    }
