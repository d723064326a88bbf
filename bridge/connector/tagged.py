"""Tables found by their AWS tags: asked for at the start, and again every few seconds.

The Resource Groups Tagging API answers in one call; where it does not (an endpoint of one's own, no
permission), tables are listed and each is asked for its tags. What was found once is read on, also
when it loses its tags. A table that can't be read yet is named, tried again, and stops no other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import botocore.exceptions
import botocore.session
from botocore.config import Config

from bridge.connector.aws import AwsRegion
from bridge.connector.calls import CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from bridge.connector.failures import Failure, Trouble
from bridge.connector.tables import Table, TableSetup, describe
from bridge.source import DynamoDBSource
from bridge.wire.errors import ConfigurationError, TailraceError
from bridge.wire.found import Declared, FoundTables, declared

logger = logging.getLogger(__name__)

# Of AWS's ten ListTagsOfResource calls a second, half.
_TAGS_PAUSE_S = 0.2
_LOOK_INTERVAL_S = 10.0
# Nobody counts the calls to an endpoint of one's own.
_LOOK_INTERVAL_CUSTOM_S = 2.0
# Where a look takes long it comes rarely: it asks each table by itself.
_LOOK_REST = 10


def tagged_tables(
    region: AwsRegion, tags: Mapping[str, str], known: Iterable[str], stop: threading.Event
) -> frozenset[str]:
    """Names of the region's tables that have all of these tags; `known` ones may be left out.

    Raises:
        Failure: AWS does not say.
    """
    client = _tagging_client(region)
    if client is not None:
        try:
            return frozenset(_by_resources(region, client, tags))
        except Failure as failure:
            if failure.trouble not in (Trouble.DENIED, Trouble.INVALID):
                raise
            logger.info("asking each table for its tags", extra={"cause": str(failure)})
    return frozenset(_by_table(region, tags, frozenset(known), stop))


def _tagging_client(region: AwsRegion) -> Any:
    """None where DynamoDB has an endpoint of its own and the tagging API has not."""
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retries={"mode": "standard"}
    )
    make: Any = botocore.session.get_session().create_client
    try:
        client = make("resourcegroupstaggingapi", region_name=region.name, config=config)
    except botocore.exceptions.BotoCoreError as error:
        raise Failure(Trouble.UNAVAILABLE, str(error)) from None
    own = ".amazonaws.com" not in client.meta.endpoint_url
    return client if own == region.custom else None


def _by_resources(region: AwsRegion, client: Any, tags: Mapping[str, str]) -> Iterator[str]:
    wanted = {
        "ResourceTypeFilters": ["dynamodb:table"],
        "TagFilters": [{"Key": name, "Values": [tags[name]]} for name in sorted(tags)],
    }
    token = ""
    while True:
        more = {"PaginationToken": token} if token else {}
        answer = region.ask(client.get_resources, **wanted, **more)
        for resource in answer.get("ResourceTagMappingList", ()):
            arn = str(resource["ResourceARN"])
            has = {tag["Key"]: tag["Value"] for tag in resource.get("Tags", ())}
            if "/" in arn and tags.items() <= has.items():
                yield arn.partition("table/")[2].partition("/")[0]
        token = answer.get("PaginationToken") or ""
        if not token:
            return


def _by_table(
    region: AwsRegion, tags: Mapping[str, str], known: frozenset[str], stop: threading.Event
) -> Iterator[str]:
    client, last, prefix = region.tables_client, "", ""
    while True:
        start = {"ExclusiveStartTableName": last} if last else {}
        answer = region.ask(client.list_tables, **start)
        for name in answer.get("TableNames", ()):
            if name in known:
                continue
            if not prefix:
                prefix = describe(region, name).own_arn.removesuffix(name)
            if tags.items() <= _tags_of(region, prefix + name).items():
                yield name
            if stop.wait(0 if region.custom else _TAGS_PAUSE_S):
                return
        last = answer.get("LastEvaluatedTableName") or ""
        if not last:
            return


def _tags_of(region: AwsRegion, arn: str) -> dict[str, str]:
    found: dict[str, str] = {}
    token = ""
    while True:
        more = {"NextToken": token} if token else {}
        try:
            answer = region.ask(region.tables_client.list_tags_of_resource, ResourceArn=arn, **more)
        except Failure as failure:
            if failure.trouble is Trouble.GONE:  # deleted since it was listed
                return found
            raise
        found |= {tag["Key"]: tag["Value"] for tag in answer.get("Tags", ())}
        token = answer.get("NextToken") or ""
        if not token:
            return found


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at AWS showed: tables that can be read, with their sources, and why others can't.

    `found` has all of each declaration, also those that can't be read now.
    """

    sources: dict[str, DynamoDBSource] = field(default_factory=dict)
    setups: dict[str, TableSetup] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    found: tuple[FoundTables, ...] = ()
    problems: dict[str, str] = field(default_factory=dict)


class Finder:
    """Finds the tables of the sources that name tags.

    Args:
        sources: those sources.
        region: gives the AWS region of a source.
        committed: gives the sets that are committed.
        enable_streams: turn on a stream that is off; otherwise the table waits until it is on.
    """

    def __init__(
        self,
        sources: tuple[DynamoDBSource, ...],
        *,
        region: Callable[[str | None], AwsRegion],
        committed: Callable[[], Mapping[Declared, tuple[str, ...]]],
        enable_streams: bool,
    ) -> None:
        self._sources = sources
        self._region = region
        self._committed = committed
        self._enable = enable_streams
        self.seen = Seen()
        self.pause_s = _LOOK_INTERVAL_S

    def look(self, stop: threading.Event, *, anew: bool = True) -> Seen:
        """Ask AWS; unless `anew`, not again about tables that can be read.

        Raises:
            ConfigurationError: no region or no credentials; a table of two differing declarations.
            BrokerUnreachableError: what is committed can't be read.
        """
        begun_at = time.monotonic()
        committed, seen = self._committed(), Seen()
        if not anew:
            seen.tables.update(self.seen.tables)
            seen.setups.update(self.seen.setups)
        found = []
        for source in self._sources:
            of = declared(source.region, source.table_tags)
            known = FoundTables(of, committed.get(of, ()))
            region = self._region(source.region)
            try:
                now = tagged_tables(region, source.table_tags, known.tables, stop)
            except Failure as failure:
                seen.problems[source.table_name] = f"looking for its tables: {failure}"
                now = frozenset()
            ready = []
            names = known.grown(tuple(now)).tables
            for each in source.found(names).each if names else ():
                problem = self._problem(each, region, seen, stop)
                if problem is None:
                    ready.append(each.table_name)
                elif each.table_name in now:
                    seen.problems[each.table_name] = problem
                else:  # deleted, most likely: what was read of it stays
                    logger.info("gone", extra={"table": each.table_name, "cause": problem})
            found.append(known.grown(tuple(ready)))
        self.seen = Seen(seen.sources, seen.setups, seen.tables, tuple(found), seen.problems)
        custom = all(self._region(source.region).custom for source in self._sources)
        interval_s = _LOOK_INTERVAL_CUSTOM_S if custom else _LOOK_INTERVAL_S
        self.pause_s = max(interval_s, _LOOK_REST * (time.monotonic() - begun_at))
        for name, problem in seen.problems.items():
            logger.warning("not read", extra={"table": name, "cause": problem})
        return self.seen

    def _problem(
        self, source: DynamoDBSource, region: AwsRegion, seen: Seen, stop: threading.Event
    ) -> str | None:
        """Why a table can't be read, None if it can: then it is among those seen."""
        name = source.table_name
        if seen.sources.setdefault(name, source) != source:
            raise ConfigurationError(
                "it has the tags of two sources that are declared in different ways",
                where=f"table {name}",
                remedy="Give both sources the same arguments, or the table one of the tags",
            )
        if name in seen.tables:
            return None
        setup = TableSetup(region, source, enable_streams=self._enable, stop=stop)
        try:
            seen.tables[name] = setup.ready()
        except TailraceError as error:
            del seen.sources[name]
            return str(error)
        seen.setups[name] = setup
        return None


class Growth:
    """Looks again while the connector runs; `ended` is set when it is to stop, or more is found.

    Args:
        finder: looks.
        seen: what the connector runs with.
        stop: asks the whole process to end.
    """

    def __init__(self, finder: Finder, seen: Seen, stop: threading.Event) -> None:
        self._finder = finder
        self._readable = frozenset(seen.tables)
        self._stop = stop
        self._failure: Exception | None = None
        self._over = threading.Event()
        self.ended = threading.Event()
        self._relay = threading.Thread(target=self._pass_on, name="connector-stop", daemon=True)
        self._thread = threading.Thread(target=self._run, name="connector-finder", daemon=True)

    def _pass_on(self) -> None:
        while not self._over.is_set() and not self._stop.wait(0.1):
            pass
        self.ended.set()

    def _run(self) -> None:
        while not self.ended.wait(self._finder.pause_s):
            try:
                seen = self._finder.look(self.ended, anew=False)
            except ConfigurationError as error:
                self._failure = error
            except TailraceError as error:
                logger.warning("looking for tables failed", extra={"cause": str(error)})
                continue
            except Exception as error:  # an answer of a form nobody knows
                logger.exception("looking for tables failed")
                self._failure = error
            else:
                new = {*seen.tables} - self._readable
                if not new:
                    continue
                logger.info("begins again with more tables", extra={"tables": sorted(new)})
            self.ended.set()

    def check(self) -> None:
        """Raises: Exception: why looking can't go on."""
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Growth:
        self._relay.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.ended.set()
        self._thread.join()
        self._relay.join()
