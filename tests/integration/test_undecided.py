"""Transactions that Kafka calls complete and never marked: nobody waits for them for ever.

Without the stages' care the first test waits until its time is over: no positions, no take-over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from bridge.wire.envelope import CONTROL_KEY, settled_headers, settled_value
from bridge.wire.kafka import committed_ends, written_bounds
from bridge.wire.namespace import encode_key, encode_value
from bridge.wire.topics import TopicNames, admin, existing_topics
from processors.provision import LIVE_STORE, TOMBSTONE_STORE, changelog_topic
from processors.quix import CHANGELOG_CF_MESSAGE_HEADER
from tests.integration.conftest import HEAD
from tests.integration.test_product_trouble import in_sync, verified
from tests.parts.hanging import Hanging, LenientBroker
from tests.parts.waiting import wait_until
from tests.product.oracle import check_changes, read_topic

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.needs("restart"),
    pytest.mark.timeout(300),
]

# Unfolded, the transform keeps state.
STATEFUL = (
    HEAD
    + """
@transform(
    input_mapping={{"items": Input(Stream(source=DynamoDBSource(
        table_name="{table}", region="us-west-2")))}},
    output_mapping={{"out": Output(Dataset(id="{dataset}", key=("orderId",)))}},
)
def copy_{number}(items):
    return items.select(
        "eventID",
        "eventName",
        "dynamodb.Keys.orderId.S as orderId",
        "dynamodb.NewImage.c.N",
        "dynamodb.NewImage.customerEmail.S as email",
        "dynamodb.NewImage.orderTotal.N as total",
        "dynamodb.NewImage.status.S as status",
        "dynamodb.NewImage.note.S",
    )
"""
)


@pytest.fixture
def lenient(tmp_path_factory) -> Iterator[LenientBroker]:
    part = LenientBroker(tmp_path_factory.mktemp("lenient"))
    part.start()
    yield part
    part.kill()


def hang(made, transactional_id: str, places, group: str = "", positions=None) -> None:
    """What a broker leaves that shuts down between a commit and its markers."""
    with contextlib.closing(Hanging(made.kafka.brokers, transactional_id)) as hanging:
        for topic, partition in places:
            hanging.write(topic, partition, *message_of(topic))
        for topic, offsets in (positions or {}).items():
            hanging.move(group, topic, offsets)


def message_of(topic: str):
    """Key, value and headers its readers take and make nothing of."""
    if topic.startswith("changelog__"):
        return b"no key", None, [(CHANGELOG_CF_MESSAGE_HEADER, b"default")]
    if topic.endswith("._checkpoints"):
        return encode_key("test"), encode_value({}), []
    return CONTROL_KEY, settled_value(), settled_headers()


def undecided(made, places) -> set[tuple[str, int]]:
    client, found = admin(made.kafka), set()
    for topic, partition in places:
        end = written_bounds(client, topic, [partition])[partition].end
        if committed_ends(client, topic, [partition])[partition] < end:
            found.add((topic, partition))
    return found


def of(made, *topics: str) -> list[tuple[str, int]]:
    counts = existing_topics(admin(made.kafka))
    return [(topic, partition) for topic in topics for partition in range(counts[topic])]


@pytest.fixture
def stopped(product, lenient):
    """A product in sync whose stages are stopped, by text."""

    def make(**text: str):
        made = product(existing=50, keys=60, broker=lenient, **text)
        made.pipeline.start()
        made.workload.run(100)
        in_sync(made)
        assert made.pipeline.stages["processor"].stop() == 0
        return made

    return make


def test_a_connector_ends_what_its_owner_before_left_undecided(stopped):
    made = stopped()
    assert made.pipeline.stages["connector"].stop() == 0
    names = TopicNames(made.kafka.namespace)
    changes = of(made, names.changes(made.workload.table))
    checkpoints = of(made, names.checkpoints)
    for bucket, place in enumerate(checkpoints):
        mine = [place, *(changes if bucket == 0 else ())]
        hang(made, f"{made.kafka.namespace}.connector.{bucket}", mine)
    assert undecided(made, [*checkpoints, *changes]) == {*checkpoints, *changes}
    made.workload.run(100)
    made.pipeline.start("connector", "processor")
    verified(made)
    check_changes(made.kafka, made.workload)


@pytest.mark.parametrize("text", [{}, {"text": STATEFUL}], ids=["select", "state"])
def test_a_processor_goes_back_to_what_is_certain(stopped, text):
    made = stopped(**text)
    names = TopicNames(made.kafka.namespace)
    instance = "copy_0"
    group, changes = names.group(instance), names.changes(made.workload.table)
    made.workload.run(100)
    wait_until(
        lambda: sum(m.key() is not None for m in read_topic(made.kafka, changes)) >= 250,
        timeout_s=60,
        what="the changes to be in Kafka",
    )
    bounds = written_bounds(admin(made.kafka), changes, [p for _, p in of(made, changes)])
    rows = of(made, names.rows("out"))
    if text:
        stores = [changelog_topic(group, changes, s) for s in (LIVE_STORE, TOMBSTONE_STORE)]
        rows += of(made, *stores)
    # It claims that all there is was processed: who believes it loses the last hundred changes.
    ends = {partition: bound.end for partition, bound in bounds.items()}
    hang(made, f"{group}.0", rows, group, {changes: ends})
    assert undecided(made, rows) == set(rows)
    asking = Consumer(made.kafka.reader(group=group))
    with contextlib.closing(asking), pytest.raises(KafkaException, match="Timed out"):
        asking.committed([TopicPartition(changes, partition) for partition in ends], timeout=2)
    made.pipeline.start("processor")
    verified(made)
    assert not undecided(made, rows)
