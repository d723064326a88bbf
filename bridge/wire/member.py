"""A group's member whose rebalance callbacks may fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, TopicPartition

Callback = Callable[[Consumer, list[TopicPartition]], None]


class MemberConsumer(Consumer):  # type: ignore[misc]
    """A consumer that raises what a rebalance callback raised, after the call that served it.

    An exception that leaves a callback is pending while the client goes on. A line it logs then, or
    the callback after, runs on top of it: it is lost, or comes out as another (`SystemError`), and
    a member that should end for it may go on. Here it is kept instead, no other callback is served
    before it is raised, and `poll`, `consume` or `close` raises it. The client assigns and gives up
    by itself what a callback that failed did not.

    What a callback raises while the consumer is closed because of an earlier one is dropped: it
    would hide the cause.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._failure: Exception | None = None
        self._failed = False

    def subscribe(self, topics: list[str], **callbacks: Callback) -> None:
        """As the client's: `on_assign`, `on_revoke` and `on_lost` are the callbacks."""
        guarded = {name: self._guarded(callback) for name, callback in callbacks.items()}
        super().subscribe(topics, **guarded)

    def poll(self, timeout: float = -1.0) -> Any:
        """As the client's; raises what a callback raised."""
        message = super().poll(timeout)
        self._raise()
        return message

    def consume(self, num_messages: int = 1, timeout: float = -1.0) -> list[Any]:
        """As the client's; raises what a callback raised."""
        messages: list[Any] = super().consume(num_messages, timeout)
        self._raise()
        return messages

    def close(self) -> None:
        """As the client's; raises what a callback raised, unless one was raised before."""
        super().close()
        if not self._failed:
            self._raise()

    def _guarded(self, callback: Callback) -> Callback:
        def guarded(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            if self._failure is not None:
                return
            try:
                callback(consumer, partitions)
            except Exception as error:
                self._failure = error

        return guarded

    def _raise(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            self._failed = True
            raise failure
