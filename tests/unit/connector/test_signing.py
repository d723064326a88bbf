"""Our signatures are botocore's, header for header."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bridge.connector.signing import Keys, Signer

TARGET = "DynamoDBStreams_20120810.GetRecords"
CONTENT = "application/x-amz-json-1.0"


@pytest.mark.parametrize("token", [None, "session-token=="])
@pytest.mark.parametrize("now_s", [1_763_907_404, 1_763_999_999])
@pytest.mark.parametrize("host", ["streams.dynamodb.us-west-2.amazonaws.com", "localhost:8000"])
def test_it_signs_as_botocore_does(
    token: str | None, now_s: int, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime.fromtimestamp(now_s, UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: moment)
    body = b'{"ShardIterator":"abc"}'
    plain: dict[str, Any] = {"Content-Type": CONTENT, "X-Amz-Target": TARGET}
    request = AWSRequest("POST", f"https://{host}/", data=body, headers=plain)
    SigV4Auth(Credentials("AK", "secret", token), "dynamodb", "us-west-2").add_auth(request)

    signer = Signer(host, "us-west-2")
    ours = signer.headers(Keys("AK", "secret", token), TARGET, CONTENT, body, now_s)

    assert ours["Authorization"] == request.headers["Authorization"]
    assert ours["X-Amz-Date"] == request.headers["X-Amz-Date"]
    assert ours.get("X-Amz-Security-Token") == request.headers.get("X-Amz-Security-Token")


def test_new_credentials_and_a_new_day_make_a_new_key() -> None:
    signer = Signer("h", "r")
    signatures = {
        signer.headers(Keys("AK", secret), TARGET, CONTENT, b"", now_s)["Authorization"]
        for secret in ("one", "two")
        for now_s in (1_763_907_404, 1_763_999_999)
    }
    assert len(signatures) == 4


def test_secrets_are_not_shown() -> None:
    signer = Signer("h", "r")
    signer.headers(Keys("AK", "very-secret", "tok-en"), TARGET, CONTENT, b"", 1_763_907_404)
    shown = repr(signer) + repr(Keys("AK", "very-secret", "tok-en"))
    assert "very-secret" not in shown
    assert "tok-en" not in shown
