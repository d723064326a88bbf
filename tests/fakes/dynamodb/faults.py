"""Trouble on purpose: which requests fail, how, and how often.

A fault is met before the request (`throttle`, `server_error`, `reset`, `expired_token`, ...), after
it took effect (`lost`, `bad_checksum`) or beside it (`slow`). Of several faults that match a
request each one counts down, delays add up and the first failure decides.
"""

import random
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from tests.fakes.dynamodb.errors import AwsError
from tests.fakes.dynamodb.iterators import decode

FaultKind = Literal[
    "throttle",
    "server_error",
    "unavailable",
    "expired_token",
    "denied",
    "reset",
    "lost",
    "bad_checksum",
    "slow",
    "partial",
]
_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
_STREAM_CONTROL = frozenset({"DescribeStream", "ListStreams", "GetShardIterator"})


@dataclass(slots=True, kw_only=True)
class Fault:
    """One scripted trouble.

    It strikes requests of `operation` (`*` for all) that mention `mentioning` (a table, a shard,
    an ARN), `times` times (None: until it is cleared), each with `probability`.
    """

    operation: str
    kind: FaultKind
    times: int | None = 1
    probability: float = 1.0
    delay_s: float = 0.0
    code: str | None = None
    mentioning: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"no fault {self.kind!r}; there are {', '.join(_KINDS)}")

    def error(self, operation: str) -> AwsError | None:
        """The refusal this fault stands for, or None when it acts in another way."""
        if self.kind == "throttle":
            return throttled(operation, self.code)
        if self.kind == "server_error":
            return AwsError("InternalServerError", "The request processing has failed", 500)
        if self.kind == "unavailable":
            return AwsError("ServiceUnavailable", "Service Unavailable", 503)
        if self.kind == "expired_token":
            return expired_token()
        if self.kind == "denied":
            return AwsError(
                "AccessDeniedException", f"User is not authorized to perform: dynamodb:{operation}"
            )
        return None


@dataclass(slots=True)
class Struck:
    """What the faults decided about one request."""

    kind: FaultKind | None = None
    error: AwsError | None = None
    delay_s: float = 0.0


@dataclass(slots=True)
class Faults:
    """The faults that are still to strike, and how many have."""

    seed: random.Random
    planned: list[Fault] = field(default_factory=list)
    struck: dict[str, int] = field(default_factory=dict)

    def add(self, fault: Fault) -> None:
        """Plan a fault."""
        self.planned.append(fault)

    def clear(self) -> None:
        """Let nothing fail any more."""
        self.planned.clear()

    def strike(self, operation: str, text: str) -> Struck:
        """What happens to a request; `text` is everything it mentions."""
        result = Struck()
        for fault in list(self.planned):
            if fault.operation not in {operation, "*"}:
                continue
            if fault.mentioning is not None and fault.mentioning not in text:
                continue
            if fault.probability < 1 and self.seed.random() >= fault.probability:
                continue
            self._count(fault)
            result.delay_s += fault.delay_s
            if fault.kind != "slow":
                result.kind, result.error = fault.kind, fault.error(operation)
                return result
        return result

    def _count(self, fault: Fault) -> None:
        self.struck[fault.kind] = self.struck.get(fault.kind, 0) + 1
        if fault.times is None:
            return
        fault.times -= 1
        if fault.times <= 0:
            self.planned.remove(fault)


def _throttle_code(operation: str) -> str:
    if operation in _STREAM_CONTROL:
        return "ThrottlingException"
    return "ProvisionedThroughputExceededException"


def throttled(operation: str, code: str | None = None) -> AwsError:
    """The refusal of a request for being one too many."""
    code = code or _throttle_code(operation)
    messages: dict[str, str] = {
        "ThrottlingException": "Rate of requests exceeds the allowed throughput.",
        "LimitExceededException": "Too many operations for a given subscriber.",
    }
    return AwsError(
        code,
        messages.get(
            code, "The level of configured provisioned throughput for the table was exceeded."
        ),
    )


def expired_token() -> AwsError:
    """The refusal of temporary credentials past their end."""
    return AwsError(
        "ExpiredTokenException", "The security token included in the request is expired"
    )


def mentioned(payload: dict[str, Any]) -> str:
    """Everything short that a request names: tables, shard, ARN."""
    names = [
        str(payload[name]) for name in ("TableName", "StreamArn", "ShardId") if name in payload
    ]
    if isinstance(payload.get("RequestItems"), dict):
        names.extend(payload["RequestItems"])
    if "ShardIterator" in payload:
        iterator = decode(payload["ShardIterator"])
        names += [iterator.arn, iterator.shard_id]
    return " ".join(names)
