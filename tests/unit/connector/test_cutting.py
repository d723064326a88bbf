"""Cutting the images out of an answer finds the same records as parsing all of it, or gives up."""

from __future__ import annotations

import json
import random
from typing import Any

import orjson
import pytest

from bridge.connector.cutting import LoneKey, cut
from bridge.connector.records import HashKey, decode_records
from bridge.wire.attributes import canonical_key
from tests.benchmarks.answers import HASH_NAME, Answers

# What the cutting looks for, where it must not find it: in names and texts of items.
TRAPS = [
    "SequenceNumber",
    '"SequenceNumber":"1"',
    "Keys",
    "NewImage",
    "OldImage",
    "Image",
    "awsRegion",
    '"},{"awsRegion":"x',
    '],"NextShardIterator":',
    '"Records":[',
    "userIdentity",
    "}}]}",
    "\\",
    '\\"',
    "ä\u2028\x00\n",
    "",
]


def some_text(draw: random.Random) -> str:
    if draw.random() < 0.7:
        return draw.choice(TRAPS)
    return "".join(chr(draw.choice((34, 92, 97, 228, 0x1F600))) for _ in range(draw.randrange(8)))


def attribute(draw: random.Random, depth: int = 0) -> dict[str, Any]:
    kind = draw.choice(("S", "N", "BOOL", "NULL", "SS") + (("L", "M") if depth < 3 else ()))
    match kind:
        case "S":
            return {"S": some_text(draw)}
        case "SS":
            return {"SS": [some_text(draw)]}
        case "L":
            return {"L": [attribute(draw, depth + 1) for _ in range(draw.randrange(4))]}
        case "M":
            return {"M": image(draw, depth + 1)}
        case _:
            return {kind: "1.50" if kind == "N" else True}


def image(draw: random.Random, depth: int = 0) -> dict[str, Any]:
    return {some_text(draw): attribute(draw, depth) for _ in range(draw.randrange(5))}


def item_keys(draw: random.Random) -> dict[str, Any]:
    found = some_text(draw) or "k"
    return draw.choice(
        (
            {"id": {"S": found}},
            {"id": {"S": found}, "Keys": {"N": "1"}},
            {"NewImage": {"S": found}, "id": {"N": "7"}},
            {"id": {"S": found}, "OldImage": {"S": found}},
        )
    )


OWNER = {"principalId": "dynamodb.amazonaws.com", "type": "Service"}


def record(
    number: int, keys: object, new: object, old: object, *, identity: object = None
) -> bytes:
    """A record in the order in which AWS writes its members."""
    part = {"ApproximateCreationDateTime": 1.7e9 + number, "Keys": keys}
    part |= {} if new is None else {"NewImage": new}
    part |= {} if old is None else {"OldImage": old}
    part |= {"SequenceNumber": str(number), "SizeBytes": 3, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    whole = {"awsRegion": "us-east-1", "dynamodb": part, "eventID": "e", "eventName": "MODIFY"}
    return orjson.dumps(whole | ({} if identity is None else {"userIdentity": identity}))


def answer(records: list[bytes], *, first: bool = False) -> bytes:
    listed = b'"Records":[' + b",".join(records) + b"]"
    following = b'"NextShardIterator":"arn|1|x"'
    return b"{" + b",".join([following, listed] if first else [listed, following]) + b"}"


@pytest.mark.parametrize("first", [False, True], ids=["iterator last", "iterator first"])
def test_items_of_any_content_give_the_records_that_were_sent(first: bool) -> None:
    for seed in range(1500):
        draw = random.Random(seed)
        keys = [item_keys(draw) for _ in range(draw.randint(1, 4))]
        sent = [
            record(
                99 + place,
                key,
                image(draw),
                draw.choice((None, image(draw))),
                identity=draw.choice((None, OWNER)),
            )
            for place, key in enumerate(keys)
        ]
        body = answer(sent, first=first)
        page = decode_records(body, HashKey("id"), None)
        found = [orjson.loads(keyed.record) for keyed in page.records]
        assert found == list(map(orjson.loads, sent)), f"seed {seed}: {body!r}"
        assert [keyed.key for keyed in page.records] == [
            canonical_key({"id": key["id"]}) for key in keys
        ], f"seed {seed}"
        assert (page.last, page.newest_s) == (str(98 + len(keys)), 1.7e9 + 98 + len(keys))
        assert page.next_iterator == "arn|1|x"
        assert (page.repeated, page.backwards) == (0, False)


def test_an_answer_in_the_form_of_aws_is_cut() -> None:
    body = bytes(Answers(40).page(3, 4))
    found = cut(body)
    assert found is not None
    decoded = json.loads(body)
    assert [json.loads(each) for each in found.records] == decoded["Records"]
    assert all(each in body for each in found.records)
    assert found.next_iterator == decoded["NextShardIterator"]
    assert LoneKey(HASH_NAME).all(found.keys)
    assert found.numbers == [r["dynamodb"]["SequenceNumber"] for r in decoded["Records"]]


def test_the_identity_of_one_record_is_respelled_and_the_others_stay() -> None:
    upper = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    sent = [
        record(100, {"id": {"S": "a"}}, {}, {}),
        record(101, {"id": {"S": "b"}}, {}, {}, identity=upper),
    ]
    assert cut(answer(sent)) is not None
    kept, respelled = decode_records(answer(sent), HashKey("id"), None).records
    assert kept.record == sent[0]
    assert orjson.loads(respelled.record)["userIdentity"] == OWNER


REMOVED = record(100, {"id": {"S": "a"}}, None, None)
GOOD = record(100, {"id": {"S": "a"}}, {"n": {"N": "1"}}, None)
ODD = {
    "nothing": b"",
    "no records": b'{"Records":[],"NextShardIterator":"x"}',
    "no list": b'{"NextShardIterator":"x"}',
    "cut short": answer([GOOD])[:-40],
    "more members": answer([GOOD])[:-1] + b',"More":1}',
    "no image": answer([REMOVED]),
    "no time": answer([GOOD.replace(b'"ApproximateCreationDateTime"', b'"Approximate"')]),
    "spaces": answer([GOOD]).replace(b":", b": "),
    "number first": answer([b'{"a":"","dynamodb":{"SequenceNumber":"1","Keys":{},"NewImage":{}}}']),
    "a part that is no object": answer([GOOD.replace(b'"dynamodb":', b'"dynamodb":7,"d":')]),
    "no keys": answer([GOOD.replace(b'"Keys"', b'"Kees"')]),
    "two answers": answer([GOOD]) + answer([GOOD]),
    "a space between records": answer([GOOD + b", " + GOOD]),
    "a space between some records": answer([GOOD, GOOD + b",\n" + GOOD]),
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_another_form_is_left_to_the_parser(body: bytes) -> None:
    assert cut(body) is None


def test_no_record_hides_behind_an_odd_separator() -> None:
    sent = [record(number, {"id": {"S": "a"}}, {"n": {"N": "1"}}, None) for number in (1, 2, 3)]
    page = decode_records(answer([sent[0], sent[1] + b",\n" + sent[2]]), HashKey("id"), None)
    assert [keyed.record for keyed in page.records] == sent


@pytest.mark.parametrize(
    ("odd", "is_lone"),
    [
        (b'{"id":{"S":"a"}}', True),
        (b'{"id":{"S":"}},{"}}', True),
        (b'{"id":{"S":"\\u00e4"}}', False),
        (b'{"id":{"N":"1"}}', False),
        (b'{"ID":{"S":"a"}}', False),
        (b'{"id":{"S":"a"},"line":{"N":"1"}}', False),
        (b'{"a":{"N":"1"},"id":{"S":"a"}}', False),
    ],
)
def test_only_lone_texts_are_canonical_as_they_are(odd: bytes, is_lone: bool) -> None:
    good = b'{"id":{"S":"b"}}'
    for found in ([odd], [good, odd], [odd, good], [good, odd, good]):
        assert LoneKey("id").all(found) is is_lone
    assert HashKey("id").of_all([good, good]) == [good, good]


@pytest.mark.parametrize("numbers", [(100, 100), (101, 100), (50, 51)])
def test_numbers_that_do_not_rise_are_seen_in_cut_answers_too(numbers: tuple[int, int]) -> None:
    sent = [record(number, {"id": {"S": "a"}}, {}, None) for number in numbers]
    assert cut(answer(sent)) is not None
    page = decode_records(answer(sent), HashKey("id"), "60")
    assert page.backwards or page.repeated
