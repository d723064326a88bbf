"""Topics that were made are there for whoever made them, also where brokers learn of them late."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from bridge.wire import topics
from bridge.wire.errors import BrokerUnreachableError
from bridge.wire.topics import TopicSpec, ensure_topics


class LateAdmin:
    """Lists a new topic only when it was asked so many times."""

    def __init__(self, late: int) -> None:
        self.left = late
        self.made: dict[str, int] = {}

    def create_topics(self, new, **_):
        self.made |= {topic.topic: topic.num_partitions for topic in new}
        done: Future[None] = Future()
        done.set_result(None)
        return dict.fromkeys(self.made, done)

    def list_topics(self, timeout):
        listed = {}
        if self.made:
            self.left -= 1
        if self.left < 0:
            listed = {
                name: SimpleNamespace(partitions=range(count), error=None)
                for name, count in self.made.items()
            }
        return SimpleNamespace(topics=listed)


def test_new_topics_are_listed_when_they_are_said_to_be_there():
    client = LateAdmin(late=3)
    assert ensure_topics(client, [TopicSpec(name="rows", partitions=4)]) == {"rows": 4}
    assert client.left < 0


def test_topics_that_are_never_listed_are_named(monkeypatch):
    monkeypatch.setattr(topics, "REQUEST_TIMEOUT_S", 0.1)
    with pytest.raises(BrokerUnreachableError, match="rows"):
        ensure_topics(LateAdmin(late=10**6), [TopicSpec(name="rows", partitions=4)])
