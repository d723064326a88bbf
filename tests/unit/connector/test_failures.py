"""Error answers are told apart by what is to be done about them."""

import pytest

from bridge.connector.failures import Trouble, classify


@pytest.mark.parametrize(
    ("status", "name", "trouble"),
    [
        (400, "com.amazonaws.dynamodb.v20120810#ExpiredIteratorException", Trouble.EXPIRED),
        (400, "ExpiredIteratorException", Trouble.EXPIRED),
        (400, "TrimmedDataAccessException:http://internal.amazon.com/", Trouble.TRIMMED),
        (400, "x#ResourceNotFoundException", Trouble.GONE),
        (400, "x#LimitExceededException", Trouble.THROTTLED),
        (400, "x#ProvisionedThroughputExceededException", Trouble.THROTTLED),
        (400, "com.amazon.coral.service#ExpiredTokenException", Trouble.DENIED),
        (403, "", Trouble.DENIED),
        (429, "", Trouble.THROTTLED),
        (500, "x#InternalServerError", Trouble.UNAVAILABLE),
        (503, "", Trouble.UNAVAILABLE),
        (400, "com.amazon.coral.validate#ValidationException", Trouble.INVALID),
    ],
)
def test_answers_are_told_apart(status: int, name: str, trouble: Trouble) -> None:
    assert classify(status, name) is trouble
