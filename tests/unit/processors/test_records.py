"""Records are decoded as far as a transform reads them, and judged as if decoded whole."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.envelope import Origin
from bridge.wire.errors import TailraceError, UnknownVersionError, WireError
from processors.language import runtime
from processors.records import RecordReader
from processors.testing import Changes
from tests.unit.processors.build import change, compiled, evaluated

STAMP = {"v": 1, "epoch": 7, "shard": "s"}
ITEM = {
    "id": {"S": "i-1"},
    "odd name": {"S": "x"},
    "status": {"S": "open"},
    "lines": {"L": [{"M": {"n": {"N": "1"}}}, {"M": {"n": {"N": "2"}}}]},
    "map": {"M": {"deep": {"N": "5"}}},
}
OLD = {**ITEM, "status": {"S": "new"}}


def add_one(row):
    return {"n": len(row)}


CHAINS = {
    "a path": lambda s: s.select("dynamodb.NewImage.id.S"),
    "an odd name": lambda s: s.select('dynamodb.NewImage."odd name".S as odd'),
    "a deep path": lambda s: s.select("dynamodb.NewImage.map.M.deep.N as deep"),
    "the old image": lambda s: s.select("dynamodb.OldImage.status.S as before"),
    "changed": lambda s: s.select("changed('status') as moved"),
    "changed, filtered": lambda s: s.filter("changed('status')").select("eventName"),
    "a filter": lambda s: s.filter("dynamodb.NewImage.status.S = 'new'").select("eventID"),
    "keys": lambda s: s.select("dynamodb.Keys.id.S as key"),
    "fields": lambda s: s.select("awsRegion", "dynamodb.SizeBytes as size", "eventID"),
    "unfolded": lambda s: s.select("dynamodb.NewImage.*"),
    "a map unfolded": lambda s: s.select("dynamodb.NewImage.map.M.*"),
    "all of it": lambda s: s,
    "mapped": lambda s: s.map(add_one, schema={"n": "bigint"}),
    "mapped, filtered": lambda s: s.map(add_one, schema={"n": "bigint"}).filter("n > 3"),
    "case": lambda s: s.select(
        "case when dynamodb.NewImage.status.S = 'open' then 1 else coalesce("
        "dynamodb.NewImage.nothing.N, dynamodb.NewImage.map.M.deep.N) end as n"
    ),
    "exploded": lambda s: s.explode("dynamodb.NewImage.lines.L as line").select(
        "dynamodb.NewImage.id.S", "line.M.n.N as n"
    ),
}


@pytest.mark.parametrize("name", ["INSERT", "MODIFY", "REMOVE", "READ"])
@pytest.mark.parametrize("chain", CHAINS)
def test_what_is_left_out_is_not_missed(chain, name):
    options = {"key": ["id", "n"]} if chain == "exploded" else {}
    flow = compiled(CHAINS[chain], **options)
    new, old = (None if name == "REMOVE" else ITEM), (OLD if name in {"MODIFY", "REMOVE"} else None)
    evaluated(flow, change(name, new=new, old=old, dynamodb={"SizeBytes": 9}))


def read(chain, record, **options):
    return RecordReader([compiled(chain, **options).reads]).read(orjson.dumps(record))


def test_only_what_is_used_is_decoded():
    record, origin = read(CHAINS["a path"], change(new=ITEM, old=OLD) | {"tailrace": STAMP})
    assert origin == Origin(7, "s")
    assert record["dynamodb"]["NewImage"] == {"id": ITEM["id"]}
    assert "OldImage" not in record["dynamodb"]
    assert "eventID" not in record


def test_flows_of_one_topic_are_read_for_together():
    flows = [compiled(CHAINS[name]) for name in ("a path", "a deep path")]
    sent = orjson.dumps(change(new=ITEM, old=OLD) | {"tailrace": STAMP})
    record, _ = RecordReader([flow.reads for flow in flows]).read(sent)
    assert record["dynamodb"]["NewImage"] == {"id": ITEM["id"], "map": ITEM["map"]}


def test_every_shard_has_its_own_origin():
    reader, changes = RecordReader([compiled(CHAINS["a path"]).reads]), Changes(key=["id"])
    sent = changes.insert({"id": "1"}).value
    _, origin = reader.read(sent)
    other = sent.replace(b'"shard":"', b'"shard":"x').replace(b'"epoch":1000', b'"epoch":1001')
    assert reader.read(other)[1] == Origin(1001, f"x{origin.shard}")
    assert reader.read(sent)[1] == origin


@pytest.mark.parametrize(
    ("stamp", "error"),
    [
        ({"v": 2, "epoch": 7, "shard": "s"}, UnknownVersionError),
        ({"v": 1, "shard": "s"}, WireError),
        (5, WireError),
        (None, WireError),
    ],
)
def test_a_bad_stamp_is_refused_every_time(stamp, error):
    reader = RecordReader([compiled(CHAINS["a path"]).reads])
    sent = orjson.dumps(change(new=ITEM) | {"tailrace": stamp})
    for _ in range(2):
        with pytest.raises(error):
            reader.read(sent)


def outcome(reader, flow, value):
    """What a message means, or what is said about it."""
    try:
        return flow.evaluate(reader(value)[0])
    except (TailraceError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as e:
        return type(e).__name__, str(e)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)
PLACES = [
    ("eventName",),
    ("tailrace",),
    ("dynamodb",),
    ("dynamodb", "Keys"),
    ("dynamodb", "NewImage"),
    ("dynamodb", "OldImage"),
    ("dynamodb", "NewImage", "status"),
    ("dynamodb", "NewImage", "id"),
]
FILTERED = compiled(CHAINS["a filter"])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), JSON)
def test_a_malformed_record_means_what_it_means_decoded_whole(place, found):
    record = change("MODIFY", new=dict(ITEM), old=dict(OLD)) | {"tailrace": STAMP}
    inside = record
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = found
    sent = orjson.dumps(record)
    reader = RecordReader([FILTERED.reads])
    assert outcome(reader.read, FILTERED, sent) == outcome(reader._read_whole, FILTERED, sent)


@settings(max_examples=500, deadline=None)
@given(st.integers(1, 38), st.data())
def test_digits_that_need_no_computing_are_what_computing_gives(precision, data):
    scale = data.draw(st.integers(0, precision))
    text = data.draw(
        st.from_regex(r"-?[0-9]{1,6}(\.[0-9]{1,6})?", fullmatch=True)
        | st.from_regex(r"-?[0-9]{1,40}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
        | st.sampled_from(
            ["", "-", ".5", "5.", "00", "-0", "0.0", "\u0661", "1_0", " 1", "1\n", "NaN"]
        )
    )

    def told(compute, *given):
        try:
            return compute(text, *given, "n")
        except runtime.UnfitValueError as error:
            return str(error)

    plain = told(lambda *given: runtime.decimal_text(runtime.to_decimal(*given)), precision, scale)
    assert told(runtime.decimal_column(precision, scale)) == plain
