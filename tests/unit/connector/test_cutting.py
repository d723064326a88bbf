"""Cutting the images out of an answer finds the same records as parsing all of it, or gives up."""

from __future__ import annotations

import json
import random
from typing import Any

import orjson
import pytest

from bridge.connector import records
from bridge.connector.cutting import LoneKey, cut
from bridge.connector.keyed import Keyed, Pieces, count_keyed, stamped
from bridge.connector.records import HashKey, decode_records
from bridge.wire.attributes import canonical_key
from bridge.wire.envelope import stamp_record
from bridge.wire.errors import WireError
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
    whole = [found.lead + piece + b"}" for piece in found.pieces]
    assert [json.loads(each) for each in whole] == decoded["Records"]
    assert all(each in body for each in whole)
    assert b'"ApproximateCreationDateTime":' in found.lead
    assert found.next_iterator == decoded["NextShardIterator"]
    assert LoneKey(HASH_NAME).of_all(found.keys) == list(map(bytes, found.keys))
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
    "no time": answer([GOOD.replace(b'"ApproximateCreationDateTime"', b'"Approximate"')]),
    "spaces": answer([GOOD]).replace(b":", b": "),
    "no number": answer([GOOD.replace(b'"SequenceNumber"', b'"Sequence"')]),
    "a list twice": answer([GOOD])[:-1] + b',"Records":[' + GOOD + b"," + GOOD + b"]}",
    "a list before": b'{"Records":[' + GOOD + b"]," + answer([GOOD, GOOD])[1:],
    "a bracket behind": answer([GOOD]).replace(b"arn|1|x", b"arn|]|x"),
    "another opening": answer([GOOD, GOOD.replace(b"us-east-1", b"us-west-2")]),
    "another member first": answer([GOOD, b'{"eventID":"e",' + GOOD[1:]]),
    "a part that is no object": answer([GOOD.replace(b'"dynamodb":', b'"dynamodb":7,"d":')]),
    "no keys": answer([GOOD.replace(b'"Keys"', b'"Kees"')]),
    "two answers": answer([GOOD]) + answer([GOOD]),
    "a space between records": answer([GOOD + b", " + GOOD]),
    "a space between some records": answer([GOOD, GOOD + b",\n" + GOOD]),
}


def outcome(body: bytes, after: str | None) -> list[object]:
    """All of a page, and the messages it becomes."""
    try:
        page = decode_records(body, HashKey("id"), after)
    except WireError as error:
        return [str(error)]
    found = [(keyed.key, keyed.record, keyed.problem) for keyed in page.records]
    messages = [*stamped(page.records, b',"tailrace":{}}')]
    rest = [page.next_iterator, page.last, page.newest_s, page.size_bytes, page.repeated]
    return [found, messages, *rest, page.backwards, count_keyed(page.records)]


def disturbed(draw: random.Random, sent: list[bytes]) -> list[bytes]:
    """The records, some of them as AWS does not write them."""
    odd = list(sent)
    for _ in range(draw.randint(0, 2)):
        place = draw.randrange(len(odd))
        one = sent[place]
        odd[place] = draw.choice(
            (
                one,
                one + b"," + sent[0],
                one + b",\n" + sent[0],
                one.replace(b"us-east-1", b"eu-west-1"),
                one.replace(b'"SequenceNumber"', b'"Sequence"'),
                one.replace(b'"Keys"', b'"Kees"'),
                one.replace(b'"ApproximateCreationDateTime":17', b'"SizeBytes":17'),
                one.replace(b'{"awsRegion"', b'{ "awsRegion"'),
                orjson.dumps(dict(reversed(orjson.loads(one).items()))),
                b'{"dynamodb":null}',
            )
        )
    return odd


def test_cut_answers_are_those_of_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_ones = 0
    for seed in range(1500):
        draw = random.Random(seed)
        sent = [
            record(
                100 + place,
                item_keys(draw),
                draw.choice((None, image(draw))),
                draw.choice((None, image(draw))),
                identity=draw.choice((None, None, OWNER, {"Type": "Service"})),
            )
            for place in range(draw.randint(1, 4))
        ]
        body = answer(disturbed(draw, sent), first=draw.random() < 0.5)
        after = draw.choice((None, "99", "100"))
        with monkeypatch.context() as patch:
            patch.setattr(records, "cut", lambda _body: None)
            parsed = outcome(body, after)
        cut_ones += cut(body) is not None
        assert outcome(body, after) == parsed, f"seed {seed}: {body!r}"
    assert cut_ones > 500


def test_records_without_images_are_cut_too() -> None:
    found = cut(answer([REMOVED, GOOD, REMOVED]))
    assert found is not None
    assert [found.lead + piece + b"}" for piece in found.pieces] == [REMOVED, GOOD, REMOVED]


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
        assert LoneKey("id").of_all(found) == (found if is_lone else None)
    assert HashKey("id").of_all([good, good]) == [good, good]


@pytest.mark.parametrize("numbers", [(100, 100), (101, 100), (50, 51)])
def test_numbers_that_do_not_rise_are_seen_in_cut_answers_too(numbers: tuple[int, int]) -> None:
    sent = [record(number, {"id": {"S": "a"}}, {}, None) for number in numbers]
    assert cut(answer(sent)) is not None
    page = decode_records(answer(sent), HashKey("id"), "60")
    assert page.backwards or page.repeated


def test_pieces_are_the_records_they_were_cut_from() -> None:
    tail = b',"tailrace":{}}'
    sent = [record(number, {"id": {"S": str(number)}}, {}, None) for number in range(100, 105)]
    page = decode_records(answer(sent), HashKey("id"), None)
    assert isinstance(page.records, Pieces)
    whole = [Keyed(b'{"id":{"S":"%d"}}' % number, sent[number - 100]) for number in range(100, 105)]
    assert list(page.records) == whole
    assert list(page.records[1:3]) == whole[1:3]
    assert page.records[-1] == whole[-1]
    assert [*stamped(page.records, tail)] == [*stamped(whole, tail)]
    assert [value for _, value in stamped(whole, tail)] == [stamp_record(r, tail) for r in sent]
