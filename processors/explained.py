"""What Quix and the Kafka client raise, as errors that say how to go on."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from confluent_kafka import KafkaError, KafkaException

from bridge.wire.errors import BrokerUnreachableError, FencedError, GapError, TailraceError
from bridge.wire.kafka import unreachable
from processors.quix import (
    InvalidStoreChangelogOffset,
    KafkaBrokerUnavailableError,
    KafkaConsumerException,
    KafkaProducerDeliveryError,
    KafkaProducerTransactionCommitFailed,
    PartitionAssignmentError,
    QuixException,
)

logger = logging.getLogger(__name__)

_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 (librdkafka's own codes begin with an underscore)
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
    }
)


@contextlib.contextmanager
def explained(where: str, gap_remedy: str) -> Iterator[None]:
    """What Quix and the Kafka client raise, as an error that says how to go on."""
    try:
        yield
    except TailraceError:
        raise
    except (KafkaException, QuixException, PartitionAssignmentError) as error:
        cause = _cause(error)
        if isinstance(cause, TailraceError):
            raise cause from None
        raise _translated(cause, where, gap_remedy) from error


def closing(error: BaseException | None) -> bool:
    """Whether partitions came while the consumer was being closed: they go to the next member."""
    found = _kafka_error(_cause(error)) if error is not None else None
    return found is not None and found.code() == KafkaError._DESTROY  # noqa: SLF001


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, PartitionAssignmentError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _translated(error: BaseException, where: str, gap_remedy: str) -> TailraceError:
    if isinstance(error, InvalidStoreChangelogOffset):
        return TailraceError(
            "the local state is ahead of its changelog topic, which was re-created",
            where=where,
            remedy="Delete the state directory of this replica and start again",
        )
    if isinstance(error, KafkaBrokerUnavailableError | KafkaProducerTransactionCommitFailed):
        return BrokerUnreachableError(str(error), where=where)
    kafka_error = _kafka_error(error)
    if kafka_error is None:
        # What it said may quote an item; the log has where it was raised.
        logger.error("unexpected error", exc_info=error)
        return TailraceError(f"unexpected {type(error).__name__}", where=where)
    if kafka_error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
        return GapError(
            f"GAP: the next change to read is gone ({kafka_error.str()})",
            where=where,
            remedy=gap_remedy,
        )
    if _fenced(kafka_error):
        return FencedError(
            f"another process took over ({kafka_error.name()})",
            where=where,
            remedy="Give each replica its own TAILRACE_REPLICA",
        )
    return unreachable(KafkaException(kafka_error), where)


def _fenced(error: KafkaError) -> bool:
    """Whether another took over; a consumer tells it as `_FATAL`, and the code as text alone."""
    fatal = error.code() == KafkaError._FATAL  # noqa: SLF001
    return error.code() in _FENCED or (fatal and "fenced" in (error.str() or ""))


def _kafka_error(error: BaseException) -> KafkaError | None:
    if isinstance(error, KafkaConsumerException | KafkaProducerDeliveryError):
        found = getattr(error, "error", None)
        return found if isinstance(found, KafkaError) else None
    if error.args and isinstance(error.args[0], KafkaError):
        return error.args[0]
    return None
