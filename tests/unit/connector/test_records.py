"""Answers are cut into records whose bytes stay as they came."""

import base64
import json

import orjson
import pytest

from bridge.connector.records import HashKey, ScanIdentity, decode_records, decode_scan
from bridge.wire.attributes import canonical_key
from bridge.wire.errors import WireError


def record(sequence: object = "700", keys: object = None, **more: object) -> bytes:
    part = {"Keys": keys or {"id": {"S": "a"}}, "SequenceNumber": sequence, **more}
    return orjson.dumps({"eventName": "INSERT", "dynamodb": part})


def body(*records: bytes, iterator: bytes = b'"next"') -> bytes:
    return b'{"Records":[' + b",".join(records) + b'],"NextShardIterator":' + iterator + b"}"


def test_records_keep_their_bytes_and_get_the_hash_key() -> None:
    raw = (
        b'{ "eventName":"INSERT", "dynamodb":{"Keys":{"line":{"N":"1"},"id":{"S":"\\u00e4"}},'
        b'"NewImage":{"id":{"S":"\\u00e4"},"n":{"N":"1.50"}},"SequenceNumber":"800",'
        b'"ApproximateCreationDateTime":1.7e9} }'
    )
    page = decode_records(body(raw), HashKey("id"), None)
    (keyed,) = page.records
    assert keyed.record == raw
    assert keyed.key == '{"id":{"S":"ä"}}'.encode()
    assert (page.last, page.newest_s, page.next_iterator) == ("800", 1.7e9, "next")


@pytest.mark.parametrize("iterator", [b"null", b'""'])
def test_a_null_iterator_comes_with_the_last_records(iterator: bytes) -> None:
    page = decode_records(body(record(), iterator=iterator), HashKey("id"), None)
    assert page.next_iterator is None
    assert len(page.records) == 1


def test_an_absent_iterator_and_absent_records_are_an_end() -> None:
    page = decode_records(b"{}", HashKey("id"), None)
    assert page.next_iterator is None
    assert page.records == []


def test_the_record_read_last_is_left_out_when_it_comes_again() -> None:
    page = decode_records(body(record("900"), record("1000")), HashKey("id"), "900")
    assert [len(page.records), page.repeated, page.last] == [1, 1, "1000"]
    assert not page.backwards


def test_numbers_compare_as_numbers_and_falling_ones_are_passed_on() -> None:
    page = decode_records(body(record("99"), record("100")), HashKey("id"), "9")
    assert not page.backwards
    page = decode_records(body(record("99")), HashKey("id"), "100")
    assert page.backwards
    assert len(page.records) == 1
    assert page.last is None


@pytest.mark.parametrize(
    "poison",
    [
        b'{"eventName":"INSERT"}',
        b'{"dynamodb":null}',
        record(keys={"other": {"S": "a"}}),
        record(keys={"id": {"BOOL": True}}),
        record(keys={"id": {"S": "a", "N": "1"}}),
        record(keys={"id": {"N": "one"}}),
        b'{"dynamodb":{"SequenceNumber":"700"}}',
    ],
)
def test_a_record_that_cannot_be_keyed_is_kept_whole(poison: bytes) -> None:
    page = decode_records(body(poison, record("701")), HashKey("id"), None)
    assert [keyed.key is None for keyed in page.records] == [True, False]
    assert page.records[0].record == poison
    assert page.records[0].problem
    assert page.last == "701"


def test_odd_but_usable_records_pass() -> None:
    late = record(ApproximateCreationDateTime="soon")
    number = record(sequence=702)
    page = decode_records(body(late, number), HashKey("id"), None)
    assert all(keyed.key == b'{"id":{"S":"a"}}' for keyed in page.records)
    assert page.last == "702"


@pytest.mark.parametrize("answer", [b"", b"[]", b"<html>", b'{"Records":7}'])
def test_what_is_no_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(WireError):
        decode_records(answer, HashKey("id"), None)
    with pytest.raises(WireError):
        decode_scan(answer.replace(b"Records", b"Items"), IDENTITY, 0)


IDENTITY = ScanIdentity(arn="arn", region="r", epoch=7, key_names=("id", "line"))


def test_scanned_items_become_read_records_with_both_keys() -> None:
    blob = base64.b64encode(b"x").decode()
    image = b'{"n":{"N":"01.50"},"line":{"B":"' + blob.encode() + b'"},"id":{"N":"1.0"}}'
    answer = b'{"Items":[' + image + b'],"LastEvaluatedKey":{"id":{"N":"1"}},'
    page = decode_scan(answer + b'"ConsumedCapacity":{"CapacityUnits":2.5}}', IDENTITY, 1700)
    (keyed,) = page.records
    assert keyed.key == b'{"id":{"N":"1"}}'
    read = orjson.loads(keyed.record)
    assert read["eventName"] == "READ"
    assert read["dynamodb"]["Keys"] == {"id": {"N": "1"}, "line": {"B": blob}}
    assert image in keyed.record
    assert (page.next_start, page.consumed_units) == ('{"id":{"N":"1"}}', 2.5)


@pytest.mark.parametrize("last", [b"null", b"{}"])
def test_a_scan_without_a_last_key_is_at_its_end(last: bytes) -> None:
    page = decode_scan(b'{"Items":[],"LastEvaluatedKey":' + last + b"}", IDENTITY, 0)
    assert page.next_start is None


@pytest.mark.parametrize("gap", ["", " "])
def test_who_expired_an_item_is_spelled_as_lambda_does(gap: str) -> None:
    theirs = f'{{"PrincipalId":{gap}"dynamodb.amazonaws.com","Type":{gap}"Service"}}'
    image = '{"m":{"M":{"PrincipalId":{"S":"x"},"Type":{"S":"Service"}}}}'
    record = (
        '{"eventName":"REMOVE","dynamodb":{"Keys":{"id":{"S":"a"}},"SequenceNumber":"7",'
        f'"OldImage":{image}}},"userIdentity":{gap}{theirs}}}'
    )
    body = f'{{"Records":[{record}],"NextShardIterator":"x"}}'.encode()
    (keyed,) = decode_records(body, HashKey("id"), None).records
    ours = '{"type":"Service","principalId":"dynamodb.amazonaws.com"}'
    assert keyed.record.decode() == record.replace(theirs, ours)


def test_a_standard_or_an_empty_identity_stays_as_it_is() -> None:
    for identity in ('{"type":"Service","principalId":"dynamodb.amazonaws.com"}', "null", "{}"):
        record = (
            '{"dynamodb":{"Keys":{"id":{"S":"a"}},"SequenceNumber":"7"},'
            f'"userIdentity":{identity}}}'
        )
        (keyed,) = decode_records(f'{{"Records":[{record}]}}'.encode(), HashKey("id"), None).records
        assert keyed.record.decode() == record


def test_a_scanned_item_without_its_keys_is_kept_whole() -> None:
    page = decode_scan(b'{"Items":[{"id":{"S":"a"}}]}', IDENTITY, 0)
    assert page.records[0].key is None
    assert page.records[0].record == b'{"id":{"S":"a"}}'


@pytest.mark.parametrize(
    "keys",
    [
        {"id": {"S": "a"}},
        {"id": {"S": 'a"b'}},
        {"id": {"S": "a\\b"}},
        {"id": {"S": "a\nb"}},
        {"id": {"S": "ä\u2028\U0001f600"}},
        {"id": {"S": '"}}'}},
        {"id": {"S": "a"}, "line": {"S": "b"}},
        {"line": {"S": "b"}, "id": {"S": "a"}},
        {"id": {"N": "01.50"}},
        {"id": {"B": "AA=="}},
    ],
)
@pytest.mark.parametrize("escaped", [False, True])
def test_the_short_way_to_a_key_ends_where_the_long_one_does(
    keys: dict[str, dict[str, str]], escaped: bool
) -> None:
    raw = json.dumps(keys, ensure_ascii=escaped, separators=(",", ":")).encode()
    assert HashKey("id").of(raw) == canonical_key({"id": keys["id"]})


def test_a_name_that_needs_escapes_is_no_trap() -> None:
    raw = orjson.dumps({'i"d': {"S": "a"}})
    assert HashKey('i"d').of(raw) == raw
    assert HashKey("i").of(orjson.dumps({"i": {"S": "b"}})) == b'{"i":{"S":"b"}}'


def test_an_empty_key_is_as_the_long_way_has_it() -> None:
    assert HashKey("id").of(b'{"id":{"S":""}}') == canonical_key({"id": {"S": ""}})


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        (b'{"id":{"S":"a"},"line":{"N":"1"}}', b'{"id":{"S":"a"}}'),
        (b'{"line":{"S":"id"},"id":{"S":"a"}}', b'{"id":{"S":"a"}}'),
        (b'{"line":{"S":"{\\"id\\":1"},"id":{"S":"a"}}', b'{"id":{"S":"a"}}'),
        (b'{"id":{"N":"1.0"},"line":{"N":"1"}}', b'{"id":{"N":"1"}}'),
        (b'{"line":{"S":""},"id":{"S":"a"}}', b'{"id":{"S":"a"}}'),
    ],
)
def test_the_hash_part_of_a_composite_key_is_canonical(keys: bytes, key: bytes) -> None:
    assert HashKey("id").of(keys) == key
