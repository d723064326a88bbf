"""A transform that begins when Kafka has lost the oldest changes: it still sees every item."""

from __future__ import annotations

import pytest

from bridge.wire.namespace import NAMESPACE_PARTITION, decode_key
from bridge.wire.topics import TopicNames, admin
from tests.integration.conftest import COPY_COLUMNS
from tests.integration.test_product_trouble import control, delete_everything
from tests.parts.waiting import wait_until
from tests.product.oracle import expected_copies, read_topic

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(300)]


def without_a_transform(product, **options):
    """The connector has worked for a while, alone, and Kafka has deleted all it wrote."""
    made = product(existing=60, keys=60, **options)
    made.pipeline.start("connector")
    changes = TopicNames(made.kafka.namespace).changes(made.workload.table)
    wait_until(lambda: seals(made, changes), timeout_s=60, what="the first snapshot")
    made.workload.run(100)
    wait_until(
        lambda: written(made, changes) >= made.workload.writes, timeout_s=60, what="all changes"
    )
    delete_everything(made, changes)
    return made


def messages(made, topic):
    if topic not in admin(made.kafka).list_topics(timeout=20).topics:
        return []
    return read_topic(made.kafka, topic)


def seals(made, changes) -> bool:
    return any(control(message) for message in messages(made, changes))


def written(made, changes) -> int:
    return sum(not control(message) for message in messages(made, changes))


def scans(made, kind: str) -> list[list[str]]:
    """Keys of one kind of checkpoint, as often as they were written with a value."""
    topic = TopicNames(made.kafka.namespace).checkpoints
    keys = [
        decode_key(message.key())
        for message in read_topic(made.kafka, topic)
        if message.partition() == NAMESPACE_PARTITION and message.value() is not None
    ]
    return [key for key in keys if key[0] == kind]


def verified(made) -> None:
    made.await_equal(expected_copies, COPY_COLUMNS)
    wait_until(
        lambda: "snapshot" not in made.pipeline.command("verify", str(made.pipeline.file)).stdout,
        timeout_s=60,
        what="the end of loading",
        interval_s=1.0,
    )
    report = made.pipeline.verify()
    assert (report["exit"], report["verified"]) == (0, True), report


@pytest.mark.real
def test_a_transform_added_late_sees_every_item_by_a_scan_of_its_own(product):
    made = without_a_transform(product)
    made.pipeline.start("processor", "sink")
    made.workload.run(60)
    verified(made)
    begun = scans(made, "addressed")
    assert [key[2] for key in begun] == ["copy_0", "copy_0"], "one scan: begun, and done"
    assert len(scans(made, "generation")) == 1, "no new generation for it"
    # Started again it goes on where it stood, and asks for nothing.
    made.pipeline.stages["processor"].stop()
    made.workload.run(30)
    made.pipeline.start("processor")
    verified(made)
    assert scans(made, "addressed") == begun


@pytest.mark.real
def test_killed_while_it_is_filled_a_late_transform_ends_up_with_the_source(product):
    made = without_a_transform(product)
    pipeline = made.pipeline
    for kill in range(4):
        pipeline.start("processor", "sink")
        made.workload.run(15)
        pipeline.pause_ms(900 + 700 * kill)
        for name in ("processor", "connector", "sink"):
            pipeline.kill(name)
        pipeline.start("connector")
    pipeline.start("processor", "sink")
    made.workload.run(60)
    verified(made)


@pytest.mark.real
def test_another_transform_for_a_table_with_rows_finds_a_gap_and_no_scan_is_made(product):
    made = product(existing=30, keys=40)
    made.pipeline.start()
    made.await_equal(expected_copies, COPY_COLUMNS)
    assert made.pipeline.stages["processor"].stop() == 0
    made.workload.run(40)
    names = TopicNames(made.kafka.namespace)
    changes = names.changes(made.workload.table)
    wait_until(
        lambda: written(made, changes) >= made.workload.writes, timeout_s=60, what="all changes"
    )
    delete_everything(made, changes)
    file = made.pipeline.file
    file.write_text(file.read_text().replace("def copy_0", "def copied"))
    made.pipeline.start("processor")
    assert made.pipeline.stages["processor"].wait(timeout_s=60) == 1
    said = made.pipeline.stages["processor"].log_tail()
    assert "GAP" in said
    assert f"tailrace backfill {made.workload.table} --accept-gap processor:copied" in said
    assert not scans(made, "addressed")
