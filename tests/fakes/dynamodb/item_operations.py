"""The operations that write items: put, delete, update, batch and transaction; and get."""

import math
from typing import Any

import orjson

from tests.fakes.dynamodb.conditions import holds
from tests.fakes.dynamodb.errors import AwsError, invalid, parameter_invalid
from tests.fakes.dynamodb.expressions import Path, projected, projection, require_all_used, updated
from tests.fakes.dynamodb.state import State
from tests.fakes.dynamodb.tables import StoredItem, Table, canonical_key
from tests.fakes.dynamodb.values import Item, checked_item, item_bytes

Request = dict[str, Any]
Answer = dict[str, Any]

_BATCH_WRITES_MAX = 25
_BATCH_GETS_MAX = 100
_BATCH_BYTES_MAX = 16 * 1024 * 1024
_TRANSACTION_MAX = 100


def put_item(state: State, request: Request) -> Answer:
    """PutItem."""
    table = state.table(request["TableName"])
    item = checked_item(request["Item"])
    key = table.key_of(item)
    _require(table, key, request)
    before = state.change(table, key, item)
    return {**_old(request, before), **written(request, table, before, item)}


def delete_item(state: State, request: Request) -> Answer:
    """DeleteItem; an item that is not there is no error."""
    table = state.table(request["TableName"])
    key = table.checked_key(request["Key"])
    _require(table, key, request)
    before = state.change(table, key, None)
    return {**_old(request, before), **written(request, table, before, None)}


def update_item(state: State, request: Request) -> Answer:
    """UpdateItem: an absent item begins as its key."""
    table = state.table(request["TableName"])
    key = table.checked_key(request["Key"])
    _require(table, key, request)
    before, after = _updated(table, key, request)
    state.change(table, key, after)
    answer = written(request, table, before, after)
    attributes = _returned(request.get("ReturnValues", "NONE"), key, before, after)
    return {**({"Attributes": attributes} if attributes else {}), **answer}


def _updated(table: Table, key: Item, request: Request) -> tuple[Item | None, Item]:
    stored = table.items.get(canonical_key(key))
    before = None if stored is None else stored.image.item
    after = checked_item(updated(key if before is None else before, request))
    if any(after.get(name) != value for name, value in key.items()):
        raise parameter_invalid("Cannot update attribute. This attribute is part of the key")
    return before, after


def _returned(wanted: str, key: Item, before: Item | None, after: Item) -> Item | None:
    old = before or {}
    if wanted == "ALL_OLD":
        return before
    if wanted == "ALL_NEW":
        return after
    changed = {name for name in {*old, *after} if old.get(name) != after.get(name)} - key.keys()
    if wanted == "UPDATED_OLD":
        return {name: value for name, value in old.items() if name in changed}
    if wanted == "UPDATED_NEW":
        return {name: value for name, value in after.items() if name in changed}
    return None


def _old(request: Request, before: Item | None) -> Answer:
    if request.get("ReturnValues", "NONE") == "ALL_OLD" and before is not None:
        return {"Attributes": before}
    return {}


def _require(table: Table, key: Item, request: Request) -> None:
    if not _met(table, key, request):
        raise AwsError("ConditionalCheckFailedException", "The conditional request failed")


def _met(table: Table, key: Item, request: Request) -> bool:
    stored = table.items.get(canonical_key(key))
    present = {} if stored is None else stored.image.item
    return holds(present, request.get("ConditionExpression"), request)


def written(request: Request, table: Table, before: Item | None, after: Item | None) -> Answer:
    """The write units of one change, if they were asked for: one a started KB."""
    size = max(item_bytes(before or {}), item_bytes(after or {}))
    return consumed(request, table, max(1, math.ceil(size / 1024)))


def consumed(request: Request, table: Table, units: float) -> Answer:
    """ConsumedCapacity of one table, if it was asked for."""
    wanted = request.get("ReturnConsumedCapacity", "NONE")
    if wanted == "NONE":
        return {}
    capacity: Answer = {"TableName": table.name, "CapacityUnits": units}
    if wanted == "INDEXES":
        capacity["Table"] = {"CapacityUnits": units}
    return {"ConsumedCapacity": capacity}


def read_units(size_bytes: int, *, consistent: bool) -> float:
    """The read units of so many bytes: one a started 4 KB, half of it eventually consistent."""
    return max(1, math.ceil(size_bytes / 4096)) * (1.0 if consistent else 0.5)


def asked_paths(request: Request) -> list[Path] | None:
    """The paths that the request projects, or None when it wants items whole."""
    text = request.get("ProjectionExpression")
    return None if text is None else projection(text, request)


def shown(stored: StoredItem, paths: list[Path] | None) -> Any:
    """The item, or the asked part of it, ready for the answer."""
    if paths is None:
        return orjson.Fragment(stored.image.body)
    return projected(stored.image.item, paths)


def get_item(state: State, request: Request) -> Answer:
    """GetItem."""
    table = state.table(request["TableName"])
    consistent = bool(request.get("ConsistentRead"))
    paths = asked_paths(request)
    key = table.checked_key(request["Key"])
    stored = state.seen(table, consistent=consistent).items.get(canonical_key(key))
    size = 0 if stored is None else stored.image.size_bytes
    answer = consumed(request, table, read_units(size, consistent=consistent))
    return answer if stored is None else {"Item": shown(stored, paths), **answer}


def batch_get_item(state: State, request: Request) -> Answer:
    """BatchGetItem; what exceeds 16 MB comes back as UnprocessedKeys."""
    for asked in request["RequestItems"].values():
        require_all_used(asked)
    wanted = [
        (state.table(name), asked, key)
        for name, asked in request["RequestItems"].items()
        for key in asked["Keys"]
    ]
    if not 1 <= len(wanted) <= _BATCH_GETS_MAX:
        raise invalid("Too many items requested for the BatchGetItem call")
    responses: dict[str, list[Any]] = {name: [] for name in request["RequestItems"]}
    unprocessed: dict[str, Any] = {}
    units: dict[str, float] = {}
    size = 0
    for table, asked, key in wanted:
        consistent = bool(asked.get("ConsistentRead"))
        canonical = canonical_key(table.checked_key(key))
        stored = state.seen(table, consistent=consistent).items.get(canonical)
        item_size = 0 if stored is None else stored.image.size_bytes
        size += item_size
        if size > _BATCH_BYTES_MAX:
            unprocessed.setdefault(table.name, {**asked, "Keys": []})["Keys"].append(key)
            continue
        cost = read_units(item_size, consistent=consistent)
        units[table.name] = units.get(table.name, 0) + cost
        if stored is not None:
            responses[table.name].append(shown(stored, asked_paths(asked)))
    answer = {"Responses": responses, "UnprocessedKeys": unprocessed}
    return {**answer, **_batch_capacity(state, request, units)}


def _batch_capacity(state: State, request: Request, units: dict[str, float]) -> Answer:
    each = [consumed(request, state.table(name), amount) for name, amount in units.items()]
    capacities = [answer["ConsumedCapacity"] for answer in each if answer]
    return {"ConsumedCapacity": capacities} if capacities else {}


def batch_write_item(state: State, request: Request) -> Answer:
    """BatchWriteItem: each write by itself, none twice for one key."""
    writes: list[tuple[Table, Item, Item | None]] = []
    for name, asked in request["RequestItems"].items():
        table = state.table(name)
        for write in asked:
            if "PutRequest" in write:
                item = checked_item(write["PutRequest"]["Item"])
                writes.append((table, table.key_of(item), item))
            else:
                writes.append((table, table.checked_key(write["DeleteRequest"]["Key"]), None))
    if not 1 <= len(writes) <= _BATCH_WRITES_MAX:
        raise invalid("Too many items requested for the BatchWriteItem call")
    if len({(table.name, canonical_key(key)) for table, key, _ in writes}) != len(writes):
        raise invalid("Provided list of item keys contains duplicates")
    units: dict[str, float] = {}
    for table, key, new_item in writes:
        before = state.change(table, key, new_item)
        cost = written({"ReturnConsumedCapacity": "TOTAL"}, table, before, new_item)
        amount = cost["ConsumedCapacity"]["CapacityUnits"]
        units[table.name] = units.get(table.name, 0) + amount
    return {"UnprocessedItems": {}, **_batch_capacity(state, request, units)}


def transact_write_items(state: State, request: Request) -> Answer:
    """TransactWriteItems with Put, Delete, Update and ConditionCheck: all of it or nothing."""
    token = request.get("ClientRequestToken")
    if token in state.transactions:
        return {}
    actions = request["TransactItems"]
    if not 1 <= len(actions) <= _TRANSACTION_MAX:
        raise invalid(f"Member must have length between 1 and {_TRANSACTION_MAX}")
    planned = [_planned(state, *next(iter(action.items()))) for action in actions]
    keys = {(table.name, canonical_key(key)) for table, key, *_ in planned}
    if len(keys) != len(planned):
        raise invalid("Transaction request cannot include multiple operations on one item")
    if not all(met for *_, met in planned):
        reasons = [
            {"Code": "None"}
            if met
            else {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
            for *_, met in planned
        ]
        codes = ", ".join(reason["Code"] for reason in reasons)
        raise AwsError(
            "TransactionCanceledException",
            "Transaction cancelled, please refer cancellation reasons for specific reasons"
            f" [{codes}]",
            members={"CancellationReasons": reasons},
        )
    for table, key, after, writes, _ in planned:
        if writes:
            state.change(table, key, after)
    if token is not None:
        state.transactions.add(token)
    return {}


def _planned(
    state: State, kind: str, action: Request
) -> tuple[Table, Item, Item | None, bool, bool]:
    require_all_used(action)
    table = state.table(action["TableName"])
    if kind == "Put":
        item = checked_item(action["Item"])
        key = table.key_of(item)
        return table, key, item, True, _met(table, key, action)
    key = table.checked_key(action["Key"])
    met = _met(table, key, action)
    if kind == "Update":
        return table, key, _updated(table, key, action)[1] if met else None, True, met
    return table, key, None, kind == "Delete", met
