"""Scan and Query: pages of at most 1 MB in a fixed order that writes do not disturb."""

from typing import Any

from tests.fakes.dynamodb.conditions import holds
from tests.fakes.dynamodb.errors import invalid
from tests.fakes.dynamodb.item_operations import asked_paths, consumed, read_units, shown
from tests.fakes.dynamodb.shards import TOKENS
from tests.fakes.dynamodb.state import State
from tests.fakes.dynamodb.tables import Place, StoredItem, Table, canonical_key

Request = dict[str, Any]
Answer = dict[str, Any]

_PAGE_BYTES_MAX = 1024 * 1024
_SEGMENTS_MAX = 1_000_000


def scan(state: State, request: Request) -> Answer:
    """Scan of the table or of one segment of it."""
    table = state.table(request["TableName"])
    number, total = _segment(request)
    seen = state.seen(table, consistent=bool(request.get("ConsistentRead")))
    start = _start(table, request)
    if start is not None and not _within(start[0][0], number, total):
        raise invalid("The provided starting key is invalid: it lies outside the segment")
    return _answer(table, _page(seen.segment(number, total, start), request), request)


def query(state: State, request: Request) -> Answer:
    """Query of one hash key, range keys ascending or descending."""
    table = state.table(request["TableName"])
    seen = state.seen(table, consistent=bool(request.get("ConsistentRead")))
    condition = request["KeyConditionExpression"]
    found = [
        stored for stored in seen.segment(0, 1, None) if holds(stored.keys, condition, request)
    ]
    start = _start(table, request)
    if not request.get("ScanIndexForward", True):
        found.reverse()
        found = [item for item in found if start is None or (item.place, item.key) < start]
    else:
        found = [item for item in found if start is None or (item.place, item.key) > start]
    return _answer(table, _page(iter(found), request), request)


def _segment(request: Request) -> tuple[int, int]:
    if ("Segment" in request) != ("TotalSegments" in request):
        raise invalid("Segment and TotalSegments must be given together")
    number, total = request.get("Segment", 0), request.get("TotalSegments", 1)
    if not 1 <= total <= _SEGMENTS_MAX or not 0 <= number < total:
        raise invalid("The Segment parameter is zero-based and must be less than TotalSegments")
    return number, total


def _within(token: int, number: int, total: int) -> bool:
    return number * TOKENS // total <= token < (number + 1) * TOKENS // total


def _start(table: Table, request: Request) -> tuple[Place, bytes] | None:
    if request.get("ExclusiveStartKey") is None:
        return None
    key = table.checked_key(request["ExclusiveStartKey"])
    return table.place_of(key), canonical_key(key)


def _page(items: Any, request: Request) -> tuple[list[StoredItem], bool]:
    """The items of one page, and whether it ended early: by Limit, or by 1 MB."""
    limit = request.get("Limit")
    page: list[StoredItem] = []
    size = 0
    for stored in items:
        page.append(stored)
        size += stored.image.size_bytes
        if len(page) == limit or size >= _PAGE_BYTES_MAX:
            return page, True
    return page, False


def _answer(table: Table, page: tuple[list[StoredItem], bool], request: Request) -> Answer:
    scanned, ended_early = page
    text = request.get("FilterExpression")
    paths = asked_paths(request)
    # An expression that makes no sense is refused though there is nothing to filter.
    holds({}, text, request)
    kept = [stored for stored in scanned if holds(stored.image.item, text, request)]
    size = sum(stored.image.size_bytes for stored in scanned)
    answer: Answer = {"Count": len(kept), "ScannedCount": len(scanned)}
    if request.get("Select") != "COUNT":
        answer["Items"] = [shown(stored, paths) for stored in kept]
    if ended_early:
        answer["LastEvaluatedKey"] = scanned[-1].keys
    units = read_units(size, consistent=bool(request.get("ConsistentRead")))
    return {**answer, **consumed(request, table, units)}
