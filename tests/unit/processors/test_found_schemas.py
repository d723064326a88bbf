"""Found columns from message to table: registered first, the same whoever met what first."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bridge.wire.envelope import Sealed, header
from bridge.wire.schemas import Schema
from bridge.wire.topics import TopicNames
from processors import testing
from processors.compiled import compile_transform
from processors.pipeline import Pipeline
from processors.testing import Changes
from sinks.columns import found_columns
from sinks.ledger import Feed, Ledger
from sinks.rows import Batch, decode
from tests.unit.processors.build import declare
from tests.unit.sinks.build import FakeMessage, World

NAMES = TopicNames("test")


class Processor:
    """A pipeline with what it wrote and registered, in one order."""

    def __init__(self, **options):
        self.happened: list[object] = []
        compiled = compile_transform(declare(lambda s: s, dataset="orders"))
        self.pipeline = Pipeline(compiled, NAMES, register=self.happened.append, **options)
        self.discovery = compiled.flow.discovery
        self.offset = 0

    def produce(self, topic, value=None, key=None, headers=None, partition=None):
        self.happened.append(FakeMessage(value, partition or 0, len(self.happened), headers))

    def send(self, sent, partition=0):
        self.offset += 1
        topic = NAMES.changes("orders")
        message = testing._Message(topic, self.offset, sent)
        self.pipeline.process_batch(topic, partition, [message], self, None)

    @property
    def schemas(self) -> dict[str, Schema]:
        return {s.fingerprint: s for s in self.happened if isinstance(s, Schema)}

    @property
    def messages(self) -> list[FakeMessage]:
        return [m for m in self.happened if isinstance(m, FakeMessage)]


def test_a_schema_is_registered_before_the_first_row_that_uses_it_and_once():
    processor, changes = Processor(), Changes(key=["id"])
    for item in ({"id": "a"}, {"id": "b", "x": 1}, {"id": "c", "x": 1}, {"id": "d"}):
        processor.send(changes.insert(item))
    registered = []
    for one in processor.happened:
        if isinstance(one, Schema):
            registered.append(one.fingerprint)
        else:
            assert header(one.headers(), "schema") in registered
    assert len(registered) == len(set(registered)) == 2


@pytest.mark.parametrize("first", ["texts", "numbers"])
def test_two_processors_that_meet_types_in_another_order_fill_one_table(tmp_path, first):
    values = {"a": 1, "b": "one", "c": 2, "d": "two"}
    processors = {}
    for name, order in (("numbers", "abcd"), ("texts", "badc")):
        processors[name] = processor = Processor()
        changes = Changes(key=["id"])
        for key in order:
            processor.send(changes.insert({"id": f"{key}-{name}", "price": values[key]}))
    world = World(tmp_path)
    other = "texts" if first == "numbers" else "numbers"
    for offset, name in enumerate((first, other)):
        processor = processors[name]
        rows = [decode(message) for message in processor.messages]
        batch = Batch(rows=rows, next_offsets={0: offset + 1})
        world.writer().commit(batch, processor.schemas)
    columns = {c.tag: c.name for c in found_columns(world.view().schema) if c.name != "id"}
    assert columns == (
        {"N": "price", "S": "price__s"} if first == "numbers" else {"S": "price", "N": "price__n"}
    )
    found = {row["id"]: row for _, row in world.view().rows()}
    assert len(found) == 8
    for key, row in found.items():
        value = values[key[0]]
        number = Decimal(value) if isinstance(value, int) else None
        text = value if isinstance(value, str) else None
        assert (row[columns["N"]], row[columns["S"]]) == (number, text)
    assert not world.dead


def test_a_restarted_processor_takes_over_what_the_other_found():
    one, changes = Processor(), Changes(key=["id"])
    one.send(changes.insert({"id": "a", "price": "text", "x": 1}))
    one.send(changes.insert({"id": "b", "price": 5}))
    again = Processor()
    for schema in one.schemas.values():
        again.discovery.adopt(schema.columns)
    assert again.discovery.schema.fingerprint == one.discovery.schema.fingerprint
    again.send(changes.insert({"id": "c", "price": 6}))
    assert b'"price__n":"6"' in again.messages[0].value()
    assert set(again.schemas) <= set(one.schemas)


def test_seals_of_a_smaller_topic_reach_every_partition_and_complete_only_together():
    processor, changes = Processor(spread={NAMES.rows("orders"): 4}), Changes(key=["id"])
    for partition in range(3):
        processor.send(changes.sealed("orders", partition, 3), partition)
    seals = [(m.partition(), Sealed.decode(m.value())) for m in processor.messages]
    assert sorted(p for p, _ in seals) == sorted([0, 1, 2, 3] * 3)
    ledger = Ledger({}, {"orders": Feed()})
    for number, (_, seal) in enumerate(seals):
        assert ledger.feeds["orders"].due == 0, f"complete after {number} of {len(seals)}"
        ledger = ledger.passed({}, [seal])
    assert ledger.feeds["orders"].due == changes.epoch


def test_seals_of_a_topic_of_the_same_size_stay_as_they_are():
    processor, changes = Processor(spread={NAMES.rows("orders"): 3}), Changes(key=["id"])
    sent = changes.sealed("orders", 1, 3)
    processor.send(sent, 1)
    assert [(m.partition(), m.value()) for m in processor.messages] == [(1, sent.value)]
