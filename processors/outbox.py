"""Rows into the open transaction by the Kafka client's own call.

Quix's wrapper polls after every message and lets Python see every delivery. Neither is needed: the
turn of the loop polls, and a message that could not be delivered makes the commit of its
transaction fail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.wire.envelope import Headers

Produce = Callable[..., None]

_ANY_PARTITION = -1
# The client's timestamp of a message that is none.
_NOW = 0
# As long as Quix would wait for room: ten times, and then fail.
_WAIT_S = 30.0
_ATTEMPTS = 10


class ClientOutbox:
    """The producer under an application's transactions; made when it is first needed.

    Args:
        producer: Quix's InternalProducer of an exactly-once application.
    """

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._client: Any = None
        self._produce: Produce | None = None

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> None:
        """Part of the open transaction; waits while the client's buffer is full.

        Raises:
            BufferError: it stays full.
            KafkaException: the client was fenced, or refuses the message.
        """
        place = _ANY_PARTITION if partition is None else partition
        produce = self._produce
        if produce is None:
            produce = self._begin()
        # By position, which takes a tenth less; their order is pinned by a test.
        try:
            produce(topic, value, key, place, None, None, _NOW, headers or [])
        except BufferError:
            self._wait(topic, value, key, place, None, None, _NOW, headers or [])

    def produce_reported(
        self, *message: Any, headers: Headers, on_delivery: Callable[[Any, Any], None]
    ) -> None:
        """`produce` of topic, value, key and partition; `on_delivery` is told of an error, or of
        the message as it was delivered."""
        produce = self._produce
        if produce is None:
            produce = self._begin()
        try:
            produce(*message, on_delivery, None, _NOW, headers)
        except BufferError:
            self._wait(*message, on_delivery, None, _NOW, headers)

    def writes_for(self, producer: object) -> bool:
        """Whether it is this application's producer."""
        return self._producer is producer

    def _begin(self) -> Produce:
        self._client = self._producer._producer._producer  # noqa: SLF001
        produce: Produce = self._client.produce
        self._produce = produce
        return produce

    def _wait(self, *message: Any) -> None:
        for _ in range(_ATTEMPTS - 1):
            self._client.poll(_WAIT_S)
            try:
                self._client.produce(*message)
            except BufferError:
                continue
            return
        raise BufferError("the client's buffer of messages stays full")
