"""AWS: who asks, whether the clocks agree, and each action of the policies, table by table.

Actions that change something are never called, only named. The others are the smallest call there
is, so that a refusal shows here and not in the middle of the night.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from bridge.control.doctor.model import Check, Finding, look, not_tried, ok, problem, warning

if TYPE_CHECKING:
    from bridge.control.plan import Plan
    from bridge.control.settings import Settings
    from bridge.source import DynamoDBSource

_AREA = "aws"
_TIMEOUT_S = 5.0
_SKEW_WARN_S, _SKEW_MAX_S = 60, 300  # AWS refuses signatures that are five minutes off
_DENIED = ("AccessDenied", "UnauthorizedOperation", "NotAuthorized")
_LOCAL = "an endpoint of your own: it knows no permissions"
_REMEDY = "Check credentials, region and AWS_ENDPOINT_URL"
_VIEW = "NEW_AND_OLD_IMAGES"


def checks(settings: Settings, plans: Iterable[Plan]) -> Iterator[Check]:
    """Whether connector and `verify` may do what they do."""
    sources: dict[tuple[str | None, str], DynamoDBSource] = {}
    old_image: set[str] = set()
    for plan in plans:
        sources |= {(s.region, s.table_name): s for s in plan.sources}
        for feed in plan.feeds:
            old_image |= {p.flow.table for p in feed.parts if p.flow.needs_old_image}
    for region in sorted({source.region for source in sources.values()}, key=str):
        clients = _Clients(region)
        where = region or "the default region"
        first = look(_AREA, f"identity in {where}", clients.identity, remedy=_REMEDY)
        yield first
        if first.finding.state == "problem":
            continue
        for source in sources.values():
            if source.region != region:
                continue
            if source.table_tags:
                yield from _by_tags(clients, source)
            else:
                table = _Table(clients, source, settings, source.table_name in old_image)
                yield from table.checks()


class _Clients:
    """Those of one region."""

    def __init__(self, region: str | None) -> None:
        self._region = region
        self._made: dict[str, Any] = {}

    def of(self, service: str) -> Any:
        """A client that does not wait long."""
        if service not in self._made:
            from bridge.control.source_items import aws_client

            self._made[service] = aws_client(
                service, self._region, attempts=2, timeout_s=_TIMEOUT_S
            )
        return self._made[service]

    @property
    def custom(self) -> bool:
        """Whether the endpoint is not AWS's."""
        return ".amazonaws.com" not in str(self.of("dynamodb").meta.endpoint_url)

    def identity(self) -> Finding:
        """Who asks, and whether this clock is right."""
        if self.custom:
            self.of("dynamodb").list_tables(Limit=1)
            return ok(f"{self.of('dynamodb').meta.endpoint_url}, {_LOCAL}")
        answer = self.of("sts").get_caller_identity()
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        skew_s = abs(parsedate_to_datetime(headers["date"]).timestamp() - time.time())
        if skew_s > _SKEW_WARN_S:
            level = problem if skew_s > _SKEW_MAX_S else warning
            return level(f"this clock is {skew_s:.0f} s off", "Set the clock: chronyd, ntpd")
        return ok(str(answer["Arn"]))


class _Table:
    """One table's actions, each with what the one before has found."""

    def __init__(
        self, clients: _Clients, source: DynamoDBSource, settings: Settings, old_image: bool
    ) -> None:
        self._clients = clients
        self._source = source
        self._settings = settings
        self._old_image = old_image
        self._described: Mapping[str, Any] = {}
        self._shard: str | None = None
        self._iterator: str | None = None

    @property
    def _arn(self) -> str | None:
        return self._described.get("LatestStreamArn")

    def checks(self) -> Iterator[Check]:
        table = self._source.table_name
        first = self._look("DescribeTable", self._describe)
        yield first
        if first.finding.state == "problem":
            yield Check(_AREA, f"{table}: all other actions", not_tried("the table is not known"))
            return
        if self._source.snapshot != "only":
            yield look(_AREA, f"{table}: stream", self._stream)
            yield from self._streams()
        yield self._look("Scan", lambda: self._db.scan(TableName=table, Limit=1))
        yield self._look("BatchGetItem", self._get)
        if self._settings.enable_streams:
            changes = not_tried("it would change the table")
            yield Check(_AREA, f"{table}: dynamodb:UpdateTable", changes)

    @property
    def _db(self) -> Any:
        return self._clients.of("dynamodb")

    def _look(self, action: str, call: Callable[[], object]) -> Check:
        return _action(self._source.table_name, f"dynamodb:{action}", call)

    def _describe(self) -> None:
        self._described = self._db.describe_table(TableName=self._source.table_name)["Table"]

    def _stream(self) -> Finding:
        table, spec = self._source.table_name, self._described.get("StreamSpecification") or {}
        if not spec.get("StreamEnabled"):
            if self._settings.enable_streams:
                return ok("off; the connector turns it on")
            return problem(
                "the table has no stream",
                f"aws dynamodb update-table --table-name {table} --stream-specification "
                f"StreamEnabled=true,StreamViewType={_VIEW}",
            )
        view = spec.get("StreamViewType")
        if view == _VIEW or (view == "NEW_IMAGE" and not self._old_image):
            return ok(f"{view}, status {self._described.get('TableStatus')}")
        why = "the transform reads old images" if view == "NEW_IMAGE" else "it lacks the new image"
        return problem(
            f"its view type is {view}: {why}",
            f"Turn the stream off and on again with {_VIEW}; a new snapshot follows",
        )

    def _streams(self) -> Iterator[Check]:
        streams, table = self._clients.of("dynamodbstreams"), self._source.table_name
        yield self._look("ListStreams", lambda: streams.list_streams(TableName=table, Limit=1))
        if self._arn is None:
            yield Check(_AREA, f"{table}: reading the stream", not_tried("there is none"))
            return

        def describe() -> None:
            found = streams.describe_stream(StreamArn=self._arn)["StreamDescription"]
            shards = found.get("Shards") or []
            self._shard = shards[-1]["ShardId"] if shards else None

        def iterator() -> None:
            self._iterator = streams.get_shard_iterator(
                StreamArn=self._arn, ShardId=self._shard, ShardIteratorType="LATEST"
            )["ShardIterator"]

        yield self._look("DescribeStream", describe)
        if self._shard is None:
            yield Check(_AREA, f"{table}: reading shards", not_tried("no shard is known"))
            return
        yield self._look("GetShardIterator", iterator)
        if self._iterator is not None:
            read = lambda: streams.get_records(ShardIterator=self._iterator, Limit=1)  # noqa: E731
            yield self._look("GetRecords", read)

    def _get(self) -> None:
        """A key that hardly anybody has; of an item that is not there nothing comes."""
        samples: dict[str, Any] = {"S": "tailrace-doctor", "N": "0", "B": b"tailrace-doctor"}
        defined = self._described["AttributeDefinitions"]
        kinds = {each["AttributeName"]: each["AttributeType"] for each in defined}
        names = [part["AttributeName"] for part in self._described["KeySchema"]]
        key = {name: {kinds[name]: samples[kinds[name]]} for name in names}
        self._db.batch_get_item(RequestItems={self._source.table_name: {"Keys": [key]}})


def _by_tags(clients: _Clients, source: DynamoDBSource) -> Iterator[Check]:
    tags = [{"Key": k, "Values": [v]} for k, v in (source.table_tags or {}).items()]
    tagging = clients.of("resourcegroupstaggingapi")
    yield _action(
        source.table_name,
        "tag:GetResources",
        lambda: tagging.get_resources(
            TagFilters=tags, ResourceTypeFilters=["dynamodb:table"], ResourcesPerPage=1
        ),
    )
    listing = clients.of("dynamodb")
    yield _action(source.table_name, "dynamodb:ListTables", lambda: listing.list_tables(Limit=1))


def _action(table: str, action: str, call: Callable[[], object]) -> Check:
    """Whether an action is allowed; every other trouble is told too."""
    from botocore.exceptions import BotoCoreError, ClientError

    def at() -> Finding:
        try:
            call()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "error"))
            if any(word in code for word in _DENIED):
                return problem(f"{code}: not allowed", "tailrace iam FILE prints the policy")
            if code == "ResourceNotFoundException":
                return problem("there is no such table", "Check its name, region and account")
            if "Throttl" in code or "Exceeded" in code:
                return warning(f"{code}: allowed, and throttled", "Look at the table's capacity")
            return problem(f"AWS answered {code}", _REMEDY)
        except BotoCoreError as error:
            return problem(str(error)[:200], _REMEDY)
        return ok("allowed")

    return look(_AREA, f"{table}: {action}", at)
