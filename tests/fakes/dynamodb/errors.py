"""AWS's answers to what it refuses, spelled as AWS spells them.

    AwsError          an answer with a status and a `__type`
    NoAnswerError     no answer at all
      RequestLostError    and the request took no effect
      AnswerLostError     and the request did take effect

The last three derive from ConnectionError: a simulator catches what a socket would raise.
"""

from typing import Any

_SERVICE = "com.amazonaws.dynamodb.v20120810"
_TYPES = {
    "ValidationException": "com.amazon.coral.validate",
    "ThrottlingException": "com.amazon.coral.availability",
    "ExpiredTokenException": "com.amazon.coral.service",
    "InvalidSignatureException": "com.amazon.coral.service",
    "MissingAuthenticationTokenException": "com.amazon.coral.service",
    "SerializationException": "com.amazon.coral.service",
    "UnknownOperationException": "com.amazon.coral.service",
    "UnrecognizedClientException": "com.amazon.coral.service",
    "ServiceUnavailable": "com.amazon.coral.service",
}


class AwsError(Exception):
    """A refusal: `code` without its namespace, an HTTP status, and extra members of the body."""

    # How late the refusal is to arrive.
    delay_s = 0.0

    def __init__(
        self, code: str, message: str, status: int = 400, members: dict[str, Any] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members or {}

    @property
    def type_name(self) -> str:
        """The `__type` of the body, with its namespace."""
        return f"{_TYPES.get(self.code, _SERVICE)}#{self.code}"

    def body(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        # AWS spells the member with a capital in this one answer.
        member = "Message" if self.code == "TransactionCanceledException" else "message"
        return {"__type": self.type_name, member: self.message, **self.members}


class NoAnswerError(ConnectionResetError):
    """The connection broke."""

    # How late it breaks.
    delay_s = 0.0


class RequestLostError(NoAnswerError):
    """The connection broke before the request took effect."""


class AnswerLostError(NoAnswerError):
    """The connection broke after the request took effect."""


def invalid(message: str) -> AwsError:
    """The refusal of a malformed request."""
    return AwsError("ValidationException", message)


def parameter_invalid(message: str) -> AwsError:
    """The refusal of a value that breaks a rule of the data model."""
    return invalid(f"One or more parameter values were invalid: {message}")


def no_such_table(name: str) -> AwsError:
    """The refusal of a table that does not exist."""
    return AwsError(
        "ResourceNotFoundException", f"Requested resource not found: Table: {name} not found"
    )


def no_such_stream(arn: str) -> AwsError:
    """The refusal of a stream that never was, or is gone after its 24 hours."""
    return AwsError(
        "ResourceNotFoundException", f"Requested resource not found: Stream: {arn} not found"
    )


def no_such_shard(shard_id: str) -> AwsError:
    """The refusal of a shard that never was, or was trimmed as a whole."""
    return AwsError(
        "ResourceNotFoundException",
        f"Requested resource not found: Shard does not exist: {shard_id}",
    )


def trimmed() -> AwsError:
    """The refusal of a position before the oldest record that is still kept."""
    return AwsError(
        "TrimmedDataAccessException", "The data you are trying to access has been trimmed"
    )


def expired_iterator() -> AwsError:
    """The refusal of an iterator older than 15 minutes."""
    return AwsError("ExpiredIteratorException", "Iterator expired")
