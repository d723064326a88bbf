"""The operations on streams: list, describe, position and read."""

from typing import Any

import orjson

from tests.fakes.dynamodb.errors import AwsError, invalid, no_such_shard, trimmed
from tests.fakes.dynamodb.iterators import Iterator, decode
from tests.fakes.dynamodb.shards import Shard, StreamRecord
from tests.fakes.dynamodb.state import State
from tests.fakes.dynamodb.streams import Stream

Request = dict[str, Any]
Answer = dict[str, Any]

_RECORDS_MAX = 1000
_PAGE_BYTES_MAX = 1024 * 1024


def list_streams(state: State, request: Request) -> Answer:
    """ListStreams, disabled ones too, in pages of Limit (100)."""
    name = request.get("TableName")
    after = request.get("ExclusiveStartStreamArn", "")
    limit = request.get("Limit", 100)
    streams = sorted(
        (
            stream
            for stream in state.readable_streams()
            if stream.arn > after and name in {None, stream.table_name}
        ),
        key=lambda stream: stream.arn,
    )
    answer: Answer = {
        "Streams": [
            {"StreamArn": stream.arn, "TableName": stream.table_name, "StreamLabel": stream.label}
            for stream in streams[:limit]
        ]
    }
    if len(streams) > limit:
        answer["LastEvaluatedStreamArn"] = streams[limit - 1].arn
    return answer


def describe_stream(state: State, request: Request) -> Answer:
    """DescribeStream: shards by id in pages, or the children of one shard."""
    stream = state.stream(request["StreamArn"])
    description: Answer = {
        "StreamArn": stream.arn,
        "StreamLabel": stream.label,
        "StreamStatus": stream.status,
        "StreamViewType": stream.view_type,
        "CreationRequestDateTime": round(stream.created_s, 3),
        "TableName": stream.table_name,
        "KeySchema": stream.key_schema,
        "Shards": [],
    }
    if stream.status != "ENABLING":
        description.update(_page(stream, request))
    if "LastEvaluatedShardId" not in description:
        stream.answered()
    return {"StreamDescription": description}


def _page(stream: Stream, request: Request) -> Answer:
    shards = stream.listed()
    wanted = request.get("ShardFilter")
    if wanted is not None:
        if wanted.get("Type") != "CHILD_SHARDS" or "ShardId" not in wanted:
            raise invalid("ShardFilter needs Type CHILD_SHARDS and a ShardId")
        shards = [shard for shard in shards if shard.get("ParentShardId") == wanted["ShardId"]]
    after = request.get("ExclusiveStartShardId", "")
    shards = [shard for shard in shards if str(shard["ShardId"]) > after]
    limit = min(_limit(request, 100), stream.settings.page_shards_max)
    page: Answer = {"Shards": shards[:limit]}
    if len(shards) > limit:
        page["LastEvaluatedShardId"] = shards[limit - 1]["ShardId"]
    return page


def _limit(request: Request, most: int) -> int:
    limit = request.get("Limit", most)
    if not isinstance(limit, int) or not 1 <= limit <= most:
        raise invalid(f"Limit must be between 1 and {most}")
    return limit


def get_shard_iterator(state: State, request: Request) -> Answer:
    """GetShardIterator: a new reader's place in a shard, settled now."""
    stream = state.stream(request["StreamArn"], request["ShardId"])
    shard = stream.lineage.shards.get(request["ShardId"])
    if shard is None:
        raise no_such_shard(request["ShardId"])
    position = _start(shard, request["ShardIteratorType"], request.get("SequenceNumber"))
    state.readers += 1
    iterator = Iterator(
        arn=stream.arn,
        shard_id=shard.id,
        position=position,
        reader=state.readers,
        issued_s=state.clock.now(),
        generation=state.iterator_generation,
    )
    return {"ShardIterator": iterator.encode()}


def _start(shard: Shard, kind: str, sequence_number: str | None) -> int:
    if kind in {"TRIM_HORIZON", "LATEST"}:
        if sequence_number is not None:
            raise invalid(f"SequenceNumber must not be given with {kind}")
        return shard.trimmed_records if kind == "TRIM_HORIZON" else shard.written
    if kind not in {"AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"}:
        raise invalid(f"ShardIteratorType {kind} is not supported")
    if sequence_number is None or not sequence_number.isdigit():
        raise invalid(f"SequenceNumber is required with {kind}")
    sequence = int(sequence_number)
    # AWS refuses a position at a trimmed record even when nothing after it was lost.
    if sequence <= shard.trimmed_sequence:
        raise trimmed()
    if sequence < shard.start:
        raise invalid(f"SequenceNumber {sequence_number} lies before the shard")
    return shard.position_from(sequence + (kind == "AFTER_SEQUENCE_NUMBER"))


def get_records(state: State, request: Request) -> Answer:
    """GetRecords: at most Limit records and 1 MB from the iterator's position."""
    iterator = decode(request["ShardIterator"])
    limit = _limit(request, _RECORDS_MAX)
    stream = state.stream(iterator.arn, iterator.shard_id)
    now_s = state.clock.now()
    iterator.require_fresh(
        now_s=now_s, ttl_s=state.settings.iterator_ttl_s, generation=state.iterator_generation
    )
    shard = stream.lineage.shards.get(iterator.shard_id)
    if shard is None:
        raise no_such_shard(iterator.shard_id)
    _require_few_readers(state, iterator, now_s)
    if iterator.position < shard.trimmed_records:
        raise trimmed()
    records = [] if _withheld(state, stream, shard) else _taken(shard, iterator.position, limit)
    position = iterator.position + len(records)
    answer: Answer = {"Records": [orjson.Fragment(record.body) for record in records]}
    if not _finished(state, shard, position, bool(records)):
        answer["NextShardIterator"] = iterator.moved(position, now_s).encode()
    elif _chosen(state.settings.null_iterator, ("absent", "null"), shard) == "null":
        answer["NextShardIterator"] = None
    return answer


def _require_few_readers(state: State, iterator: Iterator, now_s: float) -> None:
    readers_max = state.settings.readers_max
    if readers_max is None:
        return
    readings = state.readings.setdefault(iterator.shard_id, {})
    for reader, at_s in list(readings.items()):
        if at_s <= now_s - state.settings.reader_window_s:
            del readings[reader]
    if iterator.reader not in readings and len(readings) >= readers_max:
        raise AwsError(
            "LimitExceededException",
            f"More than {readers_max} readers of shard {iterator.shard_id}",
        )
    readings[iterator.reader] = now_s


def _withheld(state: State, stream: Stream, shard: Shard) -> bool:
    for key in (shard.id, "*"):
        if state.empty_pages.get(key, 0) > 0:
            state.empty_pages[key] -= 1
            return True
    rate = state.settings.empty_page_rate
    return rate > 0 and stream.seed.random() < rate


def _taken(shard: Shard, position: int, limit: int) -> list[StreamRecord]:
    first = position - shard.trimmed_records
    taken: list[StreamRecord] = []
    size = 0
    for record in shard.records[first : first + limit]:
        size += record.size_bytes
        # A record has at most two images of 400 KB, so one always fits.
        if size > _PAGE_BYTES_MAX:
            break
        taken.append(record)
    return taken


def _finished(state: State, shard: Shard, position: int, has_records: bool) -> bool:
    if shard.closed_s is None or position < shard.written:
        return False
    if not has_records:
        return True
    return _chosen(state.settings.final_batch, ("together", "alone"), shard) == "together"


def _chosen(setting: str, choices: tuple[str, str], shard: Shard) -> str:
    # Mixed goes by the shard, so that one run shows both and a repeated request the same.
    return choices[int(shard.id[-8:], 16) % 2] if setting == "mixed" else setting
