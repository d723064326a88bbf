"""Which differing keys lie in the dead letters."""

from __future__ import annotations

import orjson
import pytest

from bridge.control.comparison import Candidate
from bridge.control.dead_letters import dead_lettered, identity
from bridge.wire.version import encode_version

KEY = '{"orderId":{"S":"o-1"}}'


class Letter:
    """A message as Kafka hands it over."""

    def __init__(self, value: bytes, key: bytes = KEY.encode()) -> None:
        self._key, self._value = key, value

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value


def change(sequence: str, order: str = "o-1") -> bytes:
    return orjson.dumps(
        {
            "dynamodb": {"Keys": {"orderId": {"S": order}}, "SequenceNumber": sequence},
            "tailrace": {"v": 1, "epoch": 7, "shard": "s"},
        }
    )


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (change("5"), (KEY, encode_version(7, "5"))),
        (orjson.dumps({"_key": "row", "_version": "v"}), ("row", "v")),
        (b"{broken", (KEY, "\uffff")),
        (b"[]", (KEY, "\uffff")),
        (b"{}", (KEY, "\uffff")),
    ],
)
def test_key_and_version_of_a_letter(value: bytes, found: tuple[str, str]) -> None:
    assert identity(Letter(value)) == found


def candidate(version: str | None, item_key: str | None = KEY, row_key: str = KEY) -> Candidate:
    return Candidate(row_key, item_key, "different", b"a", b"b", version)


def test_a_letter_newer_than_the_row_explains_it() -> None:
    letters = {KEY: encode_version(7, "5")}

    assert dead_lettered([candidate(encode_version(7, "4"))], letters) == {KEY}
    assert dead_lettered([candidate(None)], letters) == {KEY}
    assert dead_lettered([candidate(encode_version(7, "6"))], letters) == set()
    assert dead_lettered([candidate(None, item_key="other", row_key="r")], letters) == set()


def test_the_letter_of_an_item_explains_each_of_its_rows() -> None:
    letters = {KEY: encode_version(7, "5")}

    assert dead_lettered([candidate(None, row_key="line 1")], letters) == {"line 1"}
