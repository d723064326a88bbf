"""The one order of changes: `_version = epoch.sequence`, compared as this text only.

The epoch is the generation of a table's feed (10 digits), the sequence DynamoDB's SequenceNumber as
an integer, zero-padded to 40 digits. DynamoDB's numbers grow in length along a shard's lineage, so
their raw text sorts wrongly; padded, text order is number order. Versions order the changes of one
`_key` and nothing else. Snapshot rows have sequence 0: any stream change of the epoch beats them.
"""

from __future__ import annotations

import functools

from bridge.wire.errors import WireError

EPOCH_DIGITS = 10
SEQUENCE_DIGITS = 40
SNAPSHOT_SEQUENCE = 0
_EPOCH_MAX = 10**EPOCH_DIGITS - 1


def encode_version(epoch: int, sequence: int | str) -> str:
    """`(1763907404, "2050000")` -> `"1763907404.000…2050000"` (51 characters).

    Raises:
        WireError: the epoch or the sequence does not fit its digits.
    """
    if isinstance(sequence, str):
        short = len(sequence) <= SEQUENCE_DIGITS
        if short and sequence.isdecimal() and sequence.isascii():
            return _epoch_digits(epoch) + sequence.zfill(SEQUENCE_DIGITS)
    digits = str(int(sequence))
    if len(digits) > SEQUENCE_DIGITS or digits.startswith("-"):
        raise WireError(f"sequence number of {len(digits)} digits, at most {SEQUENCE_DIGITS} fit")
    return _epoch_digits(epoch) + digits.zfill(SEQUENCE_DIGITS)


@functools.lru_cache(maxsize=1024)  # all changes of a generation have the same
def _epoch_digits(epoch: int) -> str:
    if not 0 < epoch <= _EPOCH_MAX:
        raise WireError(f"epoch {epoch} is outside 1..{_EPOCH_MAX}")
    return f"{epoch:0{EPOCH_DIGITS}d}."


def decode_version(version: str) -> tuple[int, int]:
    """`_version` text -> `(epoch, sequence)`.

    Raises:
        WireError: the text is not a version.
    """
    epoch, dot, sequence = version.partition(".")
    if dot and len(epoch) == EPOCH_DIGITS and len(sequence) == SEQUENCE_DIGITS:
        try:
            return int(epoch), int(sequence)
        except ValueError:
            pass
    raise WireError(f"{version[:60]!r} is not a version (epoch.sequence)")


def epoch_floor(epoch: int) -> str:
    """The lowest version of an epoch: rows below it belong to older generations."""
    return encode_version(epoch, SNAPSHOT_SEQUENCE)


def next_epoch(previous: int | None, now_s: float) -> int:
    """The epoch of a new generation: it rises even when Kafka was wiped and forgot the last one."""
    return max((previous or 0) + 1, int(now_s))
