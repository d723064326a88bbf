"""What can go wrong with a call to AWS, as few kinds as decisions need. Pure."""

from __future__ import annotations

from enum import StrEnum


class Trouble(StrEnum):
    """Kinds of failure, by what is to be done about them."""

    EXPIRED = "iterator expired"
    TRIMMED = "trimmed"
    GONE = "not found"
    THROTTLED = "throttled"
    DENIED = "credentials refused"
    INVALID = "refused as invalid"
    UNAVAILABLE = "no usable answer"


class Failure(Exception):  # noqa: N818 (it is a value more often than it is raised)
    """A call that failed; `text` names the error without item contents."""

    def __init__(self, trouble: Trouble, text: str) -> None:
        self.trouble = trouble
        self.text = text
        super().__init__(f"{trouble}: {text}")


# Names as the services send them in `__type`, after the last `#`.
_BY_NAME = {
    "ExpiredIteratorException": Trouble.EXPIRED,
    "TrimmedDataAccessException": Trouble.TRIMMED,
    "ResourceNotFoundException": Trouble.GONE,
    "ProvisionedThroughputExceededException": Trouble.THROTTLED,
    "LimitExceededException": Trouble.THROTTLED,
    "ThrottlingException": Trouble.THROTTLED,
    "Throttling": Trouble.THROTTLED,
    "RequestLimitExceeded": Trouble.THROTTLED,
    "TooManyRequestsException": Trouble.THROTTLED,
    "AccessDeniedException": Trouble.DENIED,
    "AccessDenied": Trouble.DENIED,
    "ExpiredToken": Trouble.DENIED,
    "ExpiredTokenException": Trouble.DENIED,
    "IncompleteSignature": Trouble.DENIED,
    "IncompleteSignatureException": Trouble.DENIED,
    "InvalidSignatureException": Trouble.DENIED,
    "MissingAuthenticationTokenException": Trouble.DENIED,
    "MissingAuthenticationToken": Trouble.DENIED,
    "RequestExpired": Trouble.DENIED,
    "SignatureDoesNotMatch": Trouble.DENIED,
    "UnrecognizedClientException": Trouble.DENIED,
    "InvalidClientTokenId": Trouble.DENIED,
    "InternalServerError": Trouble.UNAVAILABLE,
    "InternalFailure": Trouble.UNAVAILABLE,
    "ServiceUnavailable": Trouble.UNAVAILABLE,
    "TransactionInProgressException": Trouble.UNAVAILABLE,
}


def classify(status: int, error_type: str) -> Trouble:
    """The kind of an error answer, from its HTTP status and `__type` (with or without prefix)."""
    name = error_type.rsplit("#", 1)[-1].split(":", 1)[0]
    known = _BY_NAME.get(name)
    if known is not None:
        return known
    if status == 429:
        return Trouble.THROTTLED
    if status in (401, 403):
        return Trouble.DENIED
    return Trouble.UNAVAILABLE if status >= 500 else Trouble.INVALID
