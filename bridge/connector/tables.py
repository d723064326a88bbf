"""A table and its stream as they are in AWS, and whether they can be replicated.

What can't work is refused with the exact command that changes it: a missing table, a stream that is
off, a view type without the new image.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.connector.aws import AwsRegion
from bridge.connector.failures import Failure, Trouble
from bridge.source import DynamoDBSource
from bridge.wire.errors import ConfigurationError, TailraceError

logger = logging.getLogger(__name__)

VIEW_TYPE = "NEW_AND_OLD_IMAGES"
_SEGMENT_BYTES = 512 * 1024 * 1024
_SEGMENTS_MAX = 1024
_READY_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as DescribeTable shows it.

    `key_names` hash first; `own_arn` is the table's, `arn` and `label` are the latest stream's,
    None if it never had one; `enabled` whether that stream takes changes; `size_bytes` and
    `items` are AWS's figures, hours old.
    """

    name: str
    own_arn: str
    key_names: tuple[str, ...]
    arn: str | None
    label: str | None
    enabled: bool
    view_type: str | None
    size_bytes: int
    items: int
    status: str

    def stream_age_s(self, now_s: float) -> float | None:
        """Age of the stream from its label (`2026-11-23T14:00:00.000`), None if unreadable."""
        try:
            begun = datetime.fromisoformat(self.label or "")
        except ValueError:
            return None
        return now_s - begun.replace(tzinfo=begun.tzinfo or UTC).timestamp()

    def segments(self, least: int) -> int:
        """Into how many parts a scan is divided: at least one for each bucket."""
        wanted = max(least, self.size_bytes // _SEGMENT_BYTES)
        return min(_SEGMENTS_MAX, int(wanted))


def describe(region: AwsRegion, name: str) -> Table:
    """DescribeTable.

    Raises:
        Failure: no answer, or a refusal.
    """
    answer = region.ask(region.tables_client.describe_table, TableName=name)
    return table_of(answer["Table"])


def table_of(described: Mapping[str, Any]) -> Table:
    """From DescribeTable's `Table`; lenient about what emulators leave out."""
    schema = sorted(described["KeySchema"], key=lambda element: element["KeyType"] != "HASH")
    stream = described.get("StreamSpecification") or {}
    return Table(
        name=described["TableName"],
        own_arn=described.get("TableArn") or f"table/{described['TableName']}",
        key_names=tuple(element["AttributeName"] for element in schema),
        arn=described.get("LatestStreamArn"),
        label=described.get("LatestStreamLabel"),
        enabled=bool(stream.get("StreamEnabled")) and bool(described.get("LatestStreamArn")),
        view_type=stream.get("StreamViewType"),
        size_bytes=int(described.get("TableSizeBytes") or 0),
        items=int(described.get("ItemCount") or 0),
        status=str(described.get("TableStatus") or "ACTIVE"),
    )


def update_command(name: str, region: str, endpoint: str | None) -> str:
    """The AWS CLI command that turns the stream on."""
    command = (
        f"aws dynamodb update-table --table-name {name} --stream-specification "
        f"StreamEnabled=true,StreamViewType={VIEW_TYPE} --region {region}"
    )
    return f"{command} --endpoint-url {endpoint}" if endpoint else command


def check_view_type(table: Table, where: str) -> str | None:
    """A warning about what will not work, None if all does.

    Raises:
        ConfigurationError: the stream's records lack the new image.
    """
    if table.view_type in (None, VIEW_TYPE):
        return None
    if table.view_type == "NEW_IMAGE":
        return "records carry no old image: transforms that read dynamodb.OldImage are refused"
    raise ConfigurationError(
        f"the stream's view type is {table.view_type}: its records lack the new image",
        where=where,
        remedy=f"Turn the stream off and on again with StreamViewType={VIEW_TYPE}; a view type "
        "can't be changed in place",
    )


class TableSetup:
    """Brings a source's table to the point where it can be read, or says why it can't.

    Args:
        region: the AWS region of the source.
        source: the declaration.
        enable_streams: turn a missing stream on instead of refusing.
        stop: ends the waiting for a table or a stream to become active.
    """

    def __init__(
        self,
        region: AwsRegion,
        source: DynamoDBSource,
        *,
        enable_streams: bool,
        stop: threading.Event,
    ) -> None:
        self.region = region
        self._source = source
        self._enable = enable_streams
        self._stop = stop
        self._where = f"table {source.table_name} in {region.name}"

    def ready(self) -> Table:
        """The table with an enabled stream of a usable view type, if one is wanted.

        Raises:
            ConfigurationError: it can't be replicated as it is; names the remedy.
            TailraceError: AWS does not answer.
        """
        table = self._active()
        if self._source.snapshot == "only":
            return table
        if not table.enabled:
            if not self._enable:
                raise self.stream_off()
            table = self.turn_on()
        warning = check_view_type(table, self._where)
        if warning:
            logger.warning("limited stream", extra={"table": table.name, "cause": warning})
        return table

    def stream_off(self) -> ConfigurationError:
        """The refusal of a table without a stream."""
        endpoint = str(self.region.tables_client.meta.endpoint_url)
        command = update_command(
            self._source.table_name,
            self.region.name,
            endpoint if self.region.custom else None,
        )
        return ConfigurationError(
            "the table has no stream",
            where=self._where,
            remedy=f"Turn it on: {command} (or set TAILRACE_ENABLE_STREAMS=1)",
        )

    def turn_on(self) -> Table:
        """Enable the stream with both images and wait until it takes changes."""
        logger.info("turning the stream on", extra={"table": self._source.table_name})
        try:
            self.region.ask(
                self.region.tables_client.update_table,
                TableName=self._source.table_name,
                StreamSpecification={"StreamEnabled": True, "StreamViewType": VIEW_TYPE},
            )
        except Failure as failure:
            # Another worker was faster, or the answer got lost: the waiting tells.
            if failure.trouble not in (Trouble.INVALID, Trouble.THROTTLED, Trouble.UNAVAILABLE):
                raise self._explained(failure) from None
            logger.info("turning the stream on was refused", extra={"cause": str(failure)})
        return self._active(stream=True)

    def _active(self, *, stream: bool = False) -> Table:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        failures = 0
        while True:
            try:
                table = describe(self.region, self._source.table_name)
                if table.status in ("ACTIVE", "UPDATING") and (table.enabled or not stream):
                    return table
                text = f"the table is {table.status}, its stream not active"
            except Failure as failure:
                failures += 1
                if failures > 3 or failure.trouble not in (Trouble.THROTTLED, Trouble.UNAVAILABLE):
                    raise self._explained(failure) from None
                text = str(failure)
            if self._stop.wait(0.5) or time.monotonic() > deadline:
                raise TailraceError(
                    text, where=self._where, remedy="Look at the table in the AWS console"
                )

    def _explained(self, failure: Failure) -> TailraceError:
        match failure.trouble:
            case Trouble.GONE:
                return ConfigurationError(
                    "there is no such table",
                    where=self._where,
                    remedy="Check table_name and region of the source, and the AWS account",
                )
            case Trouble.DENIED:
                return ConfigurationError(
                    f"AWS refused: {failure.text}",
                    where=self._where,
                    remedy="Check the credentials; they need dynamodb:DescribeTable, Scan, "
                    "DescribeStream, GetShardIterator and GetRecords on the table",
                )
            case Trouble.INVALID:
                return ConfigurationError(failure.text, where=self._where)
            case _:
                return TailraceError(
                    failure.text,
                    where=f"{self._where}, endpoint {self.region.tables_client.meta.endpoint_url}",
                    remedy="Check the network and AWS_ENDPOINT_URL",
                )
