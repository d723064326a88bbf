"""Short ways to declare transforms and changes in tests."""

import orjson

from bridge import DynamoDBSource
from bridge.wire.envelope import change_key, encode_row
from processors import Input, Output, Stream, transform
from processors.compiled import compile_transform
from processors.records import RecordReader
from sinks import Dataset

ORDERS = Stream(source=DynamoDBSource(table_name="orders"))


def declare(chain, *, key=(), name="some_transform", dataset="rows"):
    """A transform of one input whose function is `chain(stream)`."""

    def function(stream):
        return chain(stream)

    function.__name__ = name
    declared = transform(
        input_mapping={"stream": Input(ORDERS)},
        output_mapping={"out": Output(Dataset(id=dataset, key=key))},
    )
    return declared(function)


def compiled(chain, **options):
    return compile_transform(declare(chain, **options)).flow


def change(name="INSERT", *, new=None, old=None, keys=None, **fields):
    """A decoded change; images are typed JSON."""
    image = new or old or {}
    record = {
        "Keys": keys or {"id": image.get("id", {"S": "i-1"})},
        "SequenceNumber": "2050000",
        "ApproximateCreationDateTime": 1_763_907_404,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    if new is not None:
        record["NewImage"] = new
    if old is not None:
        record["OldImage"] = old
    return {"eventID": "e-1", "eventName": name, "awsRegion": "us-west-2", **fields} | {
        "dynamodb": record | fields.get("dynamodb", {})
    }


def evaluated(flow, record):
    """What a change means; the same whether it is decoded whole or as far as it is used."""
    found = flow.evaluate(record)
    sent = orjson.dumps(record | {"tailrace": {"v": 1, "epoch": 1, "shard": "s"}})
    mismatches = dict(flow.mismatches)
    read, _ = RecordReader([flow.reads]).read(sent)
    assert flow.evaluate(read) == found
    assert {path: 2 * count for path, count in mismatches.items()} == flow.mismatches
    _sends(flow, read, found)
    return found


def _sends(flow, record, found):
    """What is sent is what `encode_row` makes of the rows."""
    if not flow.sends_rows:
        return
    head = {"version": "1.2", "event_time": None}
    sent = flow.sent(record, change_key(record), **head)
    values = [
        (key, encode_row(key=key, operation="upsert", columns=row, **head))
        for key, row in found.rows
    ]
    assert (list(sent.values), sent.rows) == (values, ())
    assert (sent.vanished, sent.applied) == (found.vanished, found.applied)
    assert sent.item_key == found.item_key


def select(*items, new, **options):
    """The columns of one change under `select(*items)`."""
    flow = compiled(lambda stream: stream.select(*items))
    ((_, row),) = evaluated(flow, change(new=new, **options)).rows
    return row


def kept(condition, *, new=None, name="INSERT", **options):
    """Whether a filter lets a change through."""
    flow = compiled(lambda stream: stream.filter(condition).select("eventID"))
    evaluation = evaluated(flow, change(name, new=new or {"id": {"S": "i-1"}}, **options))
    return bool(evaluation.rows)
