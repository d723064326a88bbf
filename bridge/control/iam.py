"""`tailrace iam`: the least AWS each stage needs, as policies to attach to its role.

The end-to-end tests record the calls that the stages make and hold them against these.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bridge.control.plan import Plan, load_plan
from bridge.control.show import write_line

if TYPE_CHECKING:
    from bridge.control.settings import Settings
    from bridge.source import DynamoDBSource

_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
STAGES = ("connector", "processor", "sink", "verify")
_FIND = ("tag:GetResources", "dynamodb:ListTables", "dynamodb:ListTagsOfResource")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A statement of a policy."""

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Mapping[str, Any] = field(default_factory=dict)

    def statement(self) -> dict[str, Any]:
        """As IAM writes it."""
        body = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        return body | ({"Condition": dict(self.condition)} if self.condition else {})


@dataclass(frozen=True, slots=True)
class Place:
    """Where the tables lie; `*` for what is not known."""

    account: str = "*"
    region: str | None = None

    def table(self, source: DynamoDBSource) -> str:
        """A table's ARN; of a source that names tags, of every table."""
        region = source.region or self.region or "*"
        known = (name for prefix, name in _PARTITIONS.items() if region.startswith(prefix))
        partition = next(known, "aws")
        name = "*" if source.table_tags else source.table_name
        return f"arn:{partition}:dynamodb:{region}:{self.account}:table/{name}"


def run_iam(
    settings: Settings, target: str, *, stage: str | None, place: Place, as_json: bool
) -> None:
    """Print the policies of all stages by name, or of one, as JSON: one line with `as_json`.

    Raises:
        ConfigurationError: the file can't be loaded.
    """
    plan = load_plan(target)
    lake = settings.lake or ""
    found = policies(plan, lake, place, enable_streams=settings.enable_streams)
    shown: Any = found if stage is None else found[stage]
    write_line(json.dumps(shown, indent=None if as_json else 2))


def policies(
    plan: Plan, lake: str, place: Place, *, enable_streams: bool
) -> dict[str, dict[str, Any]]:
    """A policy document for each of `STAGES`; one without statements needs no role."""
    granted = {
        "connector": _connector(plan, place, enable_streams=enable_streams),
        "processor": [],
        "sink": list(_tables(plan, lake, write=True)),
        "verify": [*_verify(plan, place), *_tables(plan, lake, write=False)],
    }
    return {
        stage: {"Version": "2012-10-17", "Statement": [grant.statement() for grant in grants]}
        for stage, grants in granted.items()
    }


def _connector(plan: Plan, place: Place, *, enable_streams: bool) -> list[Grant]:
    sources = plan.sources
    streamed = [source for source in sources if source.snapshot != "only"]
    scanned = [source for source in sources if source.snapshot != "never"]
    # A repair or `tailrace backfill` scans whatever the source says.
    grants = [_grant("Tables", ("dynamodb:DescribeTable", "dynamodb:Scan"), sources, place)]
    if not scanned:
        grants = [_grant("Tables", ("dynamodb:DescribeTable",), sources, place)]
    if streamed:
        streams = tuple(f"{place.table(source)}/stream/*" for source in streamed)
        actions = tuple(
            f"dynamodb:{name}" for name in ("DescribeStream", "GetShardIterator", "GetRecords")
        )
        grants.append(Grant(sid="Streams", actions=actions, resources=streams))
        # AWS knows no narrower resource for it.
        grants.append(Grant(sid="FindStreams", actions=("dynamodb:ListStreams",), resources=("*",)))
    if streamed and enable_streams:
        grants.append(_grant("TurnStreamsOn", ("dynamodb:UpdateTable",), streamed, place))
    if any(source.table_tags for source in sources):
        grants.append(Grant(sid="FindTables", actions=_FIND, resources=("*",)))
    return grants


def _verify(plan: Plan, place: Place) -> list[Grant]:
    names = ("DescribeTable", "Scan", "BatchGetItem")
    return [_grant("Tables", tuple(f"dynamodb:{n}" for n in names), plan.sources, place)]


def _grant(
    sid: str, actions: tuple[str, ...], sources: Iterable[DynamoDBSource], place: Place
) -> Grant:
    return Grant(sid=sid, actions=actions, resources=tuple(map(place.table, sources)))


def _tables(plan: Plan, lake: str, *, write: bool) -> Iterable[Grant]:
    """Of the lake, and of tables that lie elsewhere."""
    paths = {feed.dataset.path for feed in plan.feeds if feed.dataset.path is not None}
    elsewhere = sorted(path for path in paths if "://" in path)
    yield from _lake(lake, write=write)
    for number, path in enumerate(elsewhere, 2):
        for grant in _lake(path, write=write):
            yield replace(grant, sid=f"{grant.sid}{number}")


def _lake(lake: str, *, write: bool) -> Iterable[Grant]:
    """Of an S3 bucket and prefix; a folder needs none, nor do other stores know IAM."""
    parts = urlsplit(lake)
    if parts.scheme not in ("s3", "s3a"):
        return
    bucket, prefix = f"arn:aws:s3:::{parts.netloc}", parts.path.strip("/")
    objects = f"{bucket}/{prefix}/*" if prefix else f"{bucket}/*"
    # Deleting: what compaction replaced, and tables of generations that ended.
    writes = ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload") if write else ()
    yield Grant(sid="Objects", actions=("s3:GetObject", *writes), resources=(objects,))
    condition = {"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}} if prefix else {}
    yield Grant(sid="Lists", actions=("s3:ListBucket",), resources=(bucket,), condition=condition)
