"""Shard iterators: opaque to readers, and all of the reader's state, so the fake keeps none."""

import base64
import binascii
from dataclasses import dataclass, replace

import orjson

from tests.fakes.dynamodb.errors import AwsError, expired_iterator, invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Iterator:
    """A place in a shard: the next record's position, and who asks since when."""

    arn: str
    shard_id: str
    position: int
    reader: int
    issued_s: float
    # Raised by `expire_iterators`: older ones are refused whatever their age.
    generation: int

    def encode(self) -> str:
        """The token that readers see."""
        rest = orjson.dumps(
            [self.shard_id, self.position, self.reader, self.issued_s, self.generation]
        )
        return f"{self.arn}|1|{base64.b64encode(rest).decode()}"

    def moved(self, position: int, now_s: float) -> "Iterator":
        """The iterator of the next call."""
        return replace(self, position=position, issued_s=now_s)

    def require_fresh(self, *, now_s: float, ttl_s: float, generation: int) -> None:
        """Refuse an iterator past its 15 minutes."""
        if self.generation < generation or now_s - self.issued_s > ttl_s:
            raise expired_iterator()


def decode(token: object) -> Iterator:
    """The iterator behind a token; raises AwsError for one that we never gave out."""
    if not isinstance(token, str):
        raise invalid("Invalid ShardIterator")
    arn, _, rest = token.partition("|1|")
    try:
        shard_id, position, reader, issued_s, generation = orjson.loads(
            base64.b64decode(rest, validate=True)
        )
    except (binascii.Error, ValueError):
        raise _malformed() from None
    return Iterator(
        arn=arn,
        shard_id=shard_id,
        position=position,
        reader=reader,
        issued_s=issued_s,
        generation=generation,
    )


def _malformed() -> AwsError:
    return invalid("Invalid ShardIterator")
