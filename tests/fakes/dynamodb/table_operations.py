"""The operations on tables: create, describe, list, update, delete, tags and time to live."""

from typing import Any

from tests.fakes.dynamodb.errors import AwsError, invalid, no_such_table, parameter_invalid
from tests.fakes.dynamodb.records import VIEW_TYPES
from tests.fakes.dynamodb.state import State
from tests.fakes.dynamodb.tables import Table

Request = dict[str, Any]
Answer = dict[str, Any]


def create_table(state: State, request: Request) -> Answer:
    """CreateTable: the table can be used at once, though the answer says CREATING like AWS's."""
    name = request["TableName"]
    if not 3 <= len(name) <= 255:
        raise invalid("TableName must be at least 3 characters long and at most 255")
    if name in state.tables:
        raise AwsError("ResourceInUseException", f"Table already exists: {name}")
    _require_key_schema(request)
    throughput = request.get("ProvisionedThroughput") or {}
    table = Table(
        name=name,
        arn=f"arn:aws:dynamodb:{state.settings.region}:{state.settings.account}:table/{name}",
        id=state.new_id(),
        key_schema=request["KeySchema"],
        attribute_definitions=request["AttributeDefinitions"],
        billing_mode=request.get("BillingMode", "PROVISIONED"),
        throughput=_throughput(throughput),
        created_s=state.clock.now(),
        shard_count=state.shard_counts.get(name, state.settings.shards),
        tags={tag["Key"]: tag["Value"] for tag in request.get("Tags", [])},
    )
    specification = request.get("StreamSpecification") or {}
    view_type = _view_type(specification) if specification.get("StreamEnabled") else None
    state.tables[name] = table
    if view_type is not None:
        state.open_stream(table, view_type)
    return {"TableDescription": {**described(table), "TableStatus": "CREATING"}}


def _throughput(requested: dict[str, int]) -> dict[str, int]:
    return {
        "ReadCapacityUnits": requested.get("ReadCapacityUnits", 0),
        "WriteCapacityUnits": requested.get("WriteCapacityUnits", 0),
        "NumberOfDecreasesToday": 0,
    }


def _require_key_schema(request: Request) -> None:
    schema = request["KeySchema"]
    kinds = [element["KeyType"] for element in schema]
    if kinds not in (["HASH"], ["HASH", "RANGE"]):
        raise parameter_invalid("Key schema must be HASH or HASH and RANGE")
    types = {
        definition["AttributeName"]: definition["AttributeType"]
        for definition in request["AttributeDefinitions"]
    }
    for element in schema:
        if types.get(element["AttributeName"]) not in {"S", "N", "B"}:
            raise parameter_invalid(
                "Some index key attributes are not defined in AttributeDefinitions."
                f" Keys: [{element['AttributeName']}], AttributeDefinitions: {list(types)}"
            )


def _view_type(specification: dict[str, Any]) -> str:
    view_type: str = specification.get("StreamViewType", "")
    if view_type not in VIEW_TYPES:
        raise parameter_invalid("StreamViewType is required when StreamEnabled is true")
    return view_type


def described(table: Table) -> Answer:
    """The TableDescription; the latest stream's ARN is shown even after it was disabled."""
    answer: Answer = {
        "TableName": table.name,
        "TableStatus": "ACTIVE",
        "TableArn": table.arn,
        "TableId": table.id,
        "CreationDateTime": round(table.created_s, 3),
        "KeySchema": table.key_schema,
        "AttributeDefinitions": table.attribute_definitions,
        "ProvisionedThroughput": table.throughput,
        "TableSizeBytes": sum(stored.image.size_bytes for stored in table.items.values()),
        "ItemCount": len(table.items),
        "DeletionProtectionEnabled": False,
    }
    if table.billing_mode == "PAY_PER_REQUEST":
        answer["BillingModeSummary"] = {"BillingMode": "PAY_PER_REQUEST"}
    if table.stream is not None:
        answer["LatestStreamArn"] = table.stream.arn
        answer["LatestStreamLabel"] = table.stream.label
        if table.stream.disabled_s is None:
            answer["StreamSpecification"] = {
                "StreamEnabled": True,
                "StreamViewType": table.stream.view_type,
            }
    return answer


def describe_table(state: State, request: Request) -> Answer:
    """DescribeTable."""
    return {"Table": described(state.table(request["TableName"]))}


def list_tables(state: State, request: Request) -> Answer:
    """ListTables, in pages of Limit (100)."""
    after = request.get("ExclusiveStartTableName", "")
    limit = request.get("Limit", 100)
    names = sorted(name for name in state.tables if name > after)
    answer: Answer = {"TableNames": names[:limit]}
    if len(names) > limit:
        answer["LastEvaluatedTableName"] = names[limit - 1]
    return answer


def update_table(state: State, request: Request) -> Answer:
    """UpdateTable: the stream on or off, and the billing mode."""
    table = state.table(request["TableName"])
    specification = request.get("StreamSpecification")
    if specification is not None:
        _update_stream(state, table, specification)
    table.billing_mode = request.get("BillingMode", table.billing_mode)
    if "ProvisionedThroughput" in request:
        table.throughput = _throughput(request["ProvisionedThroughput"])
    return {"TableDescription": {**described(table), "TableStatus": "UPDATING"}}


def _update_stream(state: State, table: Table, specification: dict[str, Any]) -> None:
    enabled = table.stream is not None and table.stream.disabled_s is None
    if specification["StreamEnabled"]:
        if enabled:
            raise invalid(f"Table already has an enabled stream: TableName: {table.name}")
        state.open_stream(table, _view_type(specification))
    elif table.stream is None or not enabled:
        raise invalid(f"Table has no stream to disable: TableName: {table.name}")
    else:
        table.stream.disable(state.clock.now())


def delete_table(state: State, request: Request) -> Answer:
    """DeleteTable; its stream stays readable for the retention."""
    table = state.table(request["TableName"])
    if table.stream is not None and table.stream.disabled_s is None:
        table.stream.disable(state.clock.now())
    del state.tables[table.name]
    return {"TableDescription": {**described(table), "TableStatus": "DELETING"}}


def _tagged(state: State, request: Request) -> Table:
    arn = request["ResourceArn"]
    table = state.tables.get(arn.rpartition(":table/")[2])
    if table is None or table.arn != arn:
        raise no_such_table(arn)
    return table


def tag_resource(state: State, request: Request) -> Answer:
    """TagResource."""
    _tagged(state, request).tags.update({tag["Key"]: tag["Value"] for tag in request["Tags"]})
    return {}


def untag_resource(state: State, request: Request) -> Answer:
    """UntagResource."""
    table = _tagged(state, request)
    for key in request["TagKeys"]:
        table.tags.pop(key, None)
    return {}


def list_tags_of_resource(state: State, request: Request) -> Answer:
    """ListTagsOfResource, all on one page."""
    tags = _tagged(state, request).tags
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def update_time_to_live(state: State, request: Request) -> Answer:
    """UpdateTimeToLive; items expire only through `World.expire`."""
    specification = request["TimeToLiveSpecification"]
    table = state.table(request["TableName"])
    table.ttl_attribute = specification["AttributeName"] if specification["Enabled"] else None
    return {"TimeToLiveSpecification": specification}


def describe_time_to_live(state: State, request: Request) -> Answer:
    """DescribeTimeToLive."""
    attribute = state.table(request["TableName"]).ttl_attribute
    if attribute is None:
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
    return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": attribute}}
