"""Which operations there are, what each may be asked, and how an answer is cut short."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.dynamodb import (
    item_operations,
    scan_operations,
    stream_operations,
    table_operations,
)
from tests.fakes.dynamodb.errors import AwsError, invalid
from tests.fakes.dynamodb.expressions import require_all_used
from tests.fakes.dynamodb.state import State

Handler = Callable[[State, dict[str, Any]], dict[str, Any]]

DYNAMODB = "DynamoDB_20120810"
STREAMS = "DynamoDBStreams_20120810"

_NAMED = "ExpressionAttributeNames ReturnConsumedCapacity"
_CONDITIONAL = (
    f"{_NAMED} ConditionExpression ExpressionAttributeValues ReturnValues"
    " ReturnItemCollectionMetrics ReturnValuesOnConditionCheckFailure"
)
_READ = (
    f"{_NAMED} ExpressionAttributeValues ConsistentRead ProjectionExpression FilterExpression"
    " Limit ExclusiveStartKey Select"
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its service, its handler, and the parameters it must and may have."""

    service: str
    handler: Handler
    required: frozenset[str]
    optional: frozenset[str]

    def check(self, request: dict[str, Any]) -> None:
        """Refuse a request that lacks a parameter, has one too many, or has unused values."""
        for name in sorted(self.required - request.keys()):
            raise invalid(f"The parameter '{name}' is required but was not present in the request")
        for name in sorted(request.keys() - self.required - self.optional):
            raise invalid(f"The fake does not know the parameter {name}")
        require_all_used(request)


def _dynamodb(handler: Handler, required: str, optional: str = "") -> Operation:
    return Operation(DYNAMODB, handler, frozenset(required.split()), frozenset(optional.split()))


def _streams(handler: Handler, required: str, optional: str = "") -> Operation:
    return Operation(STREAMS, handler, frozenset(required.split()), frozenset(optional.split()))


OPERATIONS: dict[str, Operation] = {
    "CreateTable": _dynamodb(
        table_operations.create_table,
        "TableName KeySchema AttributeDefinitions",
        "BillingMode ProvisionedThroughput StreamSpecification Tags SSESpecification TableClass"
        " DeletionProtectionEnabled",
    ),
    "DescribeTable": _dynamodb(table_operations.describe_table, "TableName"),
    "ListTables": _dynamodb(table_operations.list_tables, "", "ExclusiveStartTableName Limit"),
    "UpdateTable": _dynamodb(
        table_operations.update_table,
        "TableName",
        "StreamSpecification BillingMode ProvisionedThroughput AttributeDefinitions",
    ),
    "DeleteTable": _dynamodb(table_operations.delete_table, "TableName"),
    "TagResource": _dynamodb(table_operations.tag_resource, "ResourceArn Tags"),
    "UntagResource": _dynamodb(table_operations.untag_resource, "ResourceArn TagKeys"),
    "ListTagsOfResource": _dynamodb(
        table_operations.list_tags_of_resource, "ResourceArn", "NextToken"
    ),
    "UpdateTimeToLive": _dynamodb(
        table_operations.update_time_to_live, "TableName TimeToLiveSpecification"
    ),
    "DescribeTimeToLive": _dynamodb(table_operations.describe_time_to_live, "TableName"),
    "PutItem": _dynamodb(item_operations.put_item, "TableName Item", _CONDITIONAL),
    "DeleteItem": _dynamodb(item_operations.delete_item, "TableName Key", _CONDITIONAL),
    "UpdateItem": _dynamodb(
        item_operations.update_item, "TableName Key", f"{_CONDITIONAL} UpdateExpression"
    ),
    "GetItem": _dynamodb(
        item_operations.get_item, "TableName Key", f"{_NAMED} ConsistentRead ProjectionExpression"
    ),
    "BatchGetItem": _dynamodb(
        item_operations.batch_get_item, "RequestItems", "ReturnConsumedCapacity"
    ),
    "BatchWriteItem": _dynamodb(
        item_operations.batch_write_item,
        "RequestItems",
        "ReturnConsumedCapacity ReturnItemCollectionMetrics",
    ),
    "TransactWriteItems": _dynamodb(
        item_operations.transact_write_items, "TransactItems", "ClientRequestToken"
    ),
    "Scan": _dynamodb(scan_operations.scan, "TableName", f"{_READ} Segment TotalSegments"),
    "Query": _dynamodb(
        scan_operations.query, "TableName KeyConditionExpression", f"{_READ} ScanIndexForward"
    ),
    "ListStreams": _streams(
        stream_operations.list_streams, "", "TableName Limit ExclusiveStartStreamArn"
    ),
    "DescribeStream": _streams(
        stream_operations.describe_stream,
        "StreamArn",
        "Limit ExclusiveStartShardId ShardFilter",
    ),
    "GetShardIterator": _streams(
        stream_operations.get_shard_iterator,
        "StreamArn ShardId ShardIteratorType",
        "SequenceNumber",
    ),
    "GetRecords": _streams(stream_operations.get_records, "ShardIterator", "Limit"),
}


def operation(name: str) -> Operation:
    """The operation of this name; raises AwsError."""
    if name not in OPERATIONS:
        raise AwsError("UnknownOperationException", f"The fake does not know {name}")
    return OPERATIONS[name]


def cut_short(handler: Handler, state: State, request: dict[str, Any]) -> dict[str, Any]:
    """Half of a batch carried out, the other half handed back as unprocessed."""
    asked: dict[str, Any] = request.get("RequestItems", {})
    done: dict[str, Any] = {}
    left: dict[str, Any] = {}
    for name, wanted in asked.items():
        entries = wanted if isinstance(wanted, list) else wanted["Keys"]
        half = (len(entries) + 1) // 2
        for target, part in ((done, entries[:half]), (left, entries[half:])):
            if part:
                target[name] = part if isinstance(wanted, list) else {**wanted, "Keys": part}
    answer = handler(state, {**request, "RequestItems": done})
    member = "UnprocessedItems" if "UnprocessedItems" in answer else "UnprocessedKeys"
    return {**answer, member: left}
