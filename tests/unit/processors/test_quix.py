"""The private parts of Quix we rely on: an upgrade that changes one fails here first."""

import inspect
from importlib.metadata import version

import pytest
import quixstreams
from quixstreams.checkpointing.checkpoint import Checkpoint
from quixstreams.internal_consumer import InternalConsumer
from quixstreams.internal_producer import InternalProducer
from quixstreams.kafka.consumer import BaseConsumer
from quixstreams.kafka.producer import Producer
from quixstreams.models.topics import TopicManager
from quixstreams.processing import ProcessingContext
from quixstreams.state import StateStoreManager
from quixstreams.state.base.transaction import PartitionTransaction
from quixstreams.state.rocksdb.transaction import RocksDBPartitionTransaction

from bridge.wire.errors import FencedError
from bridge.wire.kafka import KafkaConfig
from processors.application import ApplicationSettings, ProcessorApplication
from processors.outbox import ClientOutbox
from processors.provision import LIVE_STORE, changelog_topic
from processors.quix import Application, RocksDBOptions


def parameters(function):
    return list(inspect.signature(function).parameters)


def source(function):
    return inspect.getsource(function)


def test_the_version_is_the_one_these_tests_were_written_for():
    assert version("quixstreams") == "3.28.1"
    assert quixstreams.Application is Application


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (Application._assign_partitions, ["self", "topic_partitions"]),
        (Application._process_message, ["self", "dataframe_composed"]),
        (Application._setup_signal_handlers, ["self"]),
        (Application._on_revoke, ["self", "_", "topic_partitions"]),
        (BaseConsumer.consume, ["self", "num_messages", "timeout"]),
        (BaseConsumer.seek, ["self", "partition"]),
        (ProcessingContext.commit_checkpoint, ["self", "force", "revoking"]),
        (ProcessingContext.store_offset, ["self", "topic", "partition", "offset"]),
        (InternalProducer.commit_transaction, ["self", "positions", "group_metadata", "timeout"]),
        (
            Checkpoint.get_store_transaction,
            ["self", "stream_id", "partition", "store_name"],
        ),
        (
            StateStoreManager.on_partition_assign,
            ["self", "stream_id", "partition", "committed_offsets"],
        ),
    ],
)
def test_signatures(function, expected):
    assert parameters(function) == expected


def test_the_producer_takes_what_the_pipeline_gives():
    wanted = {"topic", "value", "key", "headers", "partition"}
    assert wanted <= set(parameters(InternalProducer.produce))


def test_partitions_are_assigned_as_given_before_anything_is_recovered():
    body = source(Application._assign_partitions)
    assert "self._consumer.assign(topic_partitions)" in body
    assert body.index("self._consumer.assign(") < body.index("on_partition_assign(")


def test_the_turn_we_replace_does_what_ours_does():
    body = source(Application._process_message)
    did = ["self._producer.poll(", "self._consumer.poll_row(", ".store_offset("]
    assert [step for step in did if step in body] == did
    assert body.index("store_offset(") < body.index("self._producer._broker_available()")
    assert "self._consumer._broker_available()" in body
    assert "while run_tracker.running:" in (loop := source(Application._run_dataframe))
    assert loop.index("state_manager.do_recovery()") < loop.index("process_message(datafr")
    assert loop.index("process_message(datafr") < loop.index(".commit_checkpoint()")


def test_rows_go_to_the_client_under_quixs_producer(tmp_path):
    application = ProcessorApplication(settings(tmp_path))
    assert isinstance(application._writing(), ClientOutbox)
    assert isinstance(application._producer._producer, Producer)
    made = source(Producer._producer.fget)
    assert "ConfluentProducer(self._producer_config)" in made
    assert "self._inner_producer.init_transactions()" in made
    # No delivery is reported for messages that do not ask for it themselves.
    assert "on_delivery" not in application._producer._producer._producer_config


def test_the_checkpoint_prepares_a_transaction_as_we_replace_it_and_flushes_the_producer_after():
    body = source(Checkpoint.commit)
    prepared = body.index("transaction.prepare(processed_offsets=processed_offsets)")
    assert prepared < body.index("self._producer.flush()")
    written = source(PartitionTransaction._prepare)
    assert written.count("self._changelog_producer.produce(") == 2
    assert "on_delivery" not in written


def test_nothing_but_the_wrapper_learns_changelog_offsets():
    assert "produced_offsets = self._producer.offsets" in source(Checkpoint.commit)
    assert "self._tp_offsets[(topic, partition)] = offset" in source(InternalProducer._on_delivery)


def test_the_loop_looks_the_private_methods_up_on_the_instance():
    body = source(Application._run_dataframe)
    assert "process_message = self._process_message" in body
    assert "processing_context.commit_checkpoint(force=True)" in body


def test_the_producer_is_fenced_in_before_partitions_are_read():
    """A predecessor's transaction is aborted before this process recovers its state."""
    body = source(Application._run_dataframe)
    assert body.index("init_checkpoint()") < body.index("process_message(dataframes_composed)")
    assert "self._producer.begin_transaction()" in source(Checkpoint.__init__)


def test_offsets_go_with_the_transaction_and_state_is_written_after_it():
    body = source(Checkpoint.commit)
    assert body.index("transaction.prepare(") < body.index("self._producer.commit_transaction(")
    assert body.index("self._producer.commit_transaction(") < body.index("transaction.flush(")


def test_the_stores_transaction_takes_bytes_under_a_prefix():
    assert parameters(RocksDBPartitionTransaction.get_bytes)[:3] == ["self", "key", "prefix"]
    assert parameters(RocksDBPartitionTransaction.set_bytes)[:4] == [
        "self",
        "key",
        "value",
        "prefix",
    ]
    assert parameters(RocksDBPartitionTransaction.delete)[:3] == ["self", "key", "prefix"]


def test_changelogs_have_the_name_we_create_them_under():
    manager = TopicManager(None, "group")
    named = manager._internal_name("changelog", "ns.changes.orders", LIVE_STORE)
    assert named == changelog_topic("group", "ns.changes.orders", LIVE_STORE)


def settings(tmp_path, **kafka):
    return ApplicationSettings(
        kafka=KafkaConfig(brokers="none:1", namespace="ns", replica="7", **kafka),
        group="ns.mine",
        member="ns.mine.7",
        state_dir=tmp_path,
        commit_interval_s=1.0,
        place=lambda _topic, _partitions: {},
        await_decided=lambda _topic, _partition: None,
        failpoint=lambda _point: None,
        read=lambda _timestamp: None,
        beat=lambda _behind: None,
    )


def test_ids_are_fixed_and_nothing_is_reset_or_deleted_by_itself(tmp_path):
    application = ProcessorApplication(settings(tmp_path))
    consumer = application._consumer._consumer_config
    producer = application._producer._producer._producer_config
    assert producer["transactional.id"] == consumer["group.instance.id"] == "ns.mine.7"
    assert producer["partitioner"] == "murmur2"
    assert producer["transaction.timeout.ms"] == 15_000
    assert producer["linger.ms"] == 200
    assert consumer["group.id"] == "ns.mine"
    assert consumer["auto.offset.reset"] == "error"
    assert consumer["enable.auto.commit"] is False
    assert consumer["isolation.level"] == "read_committed"
    assert consumer["partition.assignment.strategy"] == "range"
    assert application.config.exactly_once
    assert not application.config.auto_recover_from_source_offset_out_of_range
    assert not application.config.auto_create_topics


def test_what_state_takes_of_memory_is_bounded(tmp_path):
    options = ProcessorApplication(settings(tmp_path))._state_manager._rocksdb_options
    assert options.write_buffer_size * options.max_write_buffer_number == 32 * 1024**2
    assert options.max_total_wal_size == 32 * 1024**2
    assert options.block_cache_size == 128 * 1024**2
    given = source(RocksDBOptions.to_options)
    for name in ("write_buffer_size", "max_write_buffer_number", "max_total_wal_size"):
        assert f"set_{name}(" in given
    assert "_shared_block_cache(self.block_cache_size)" in given


def test_the_embedded_broker_is_read_as_it_must_be(tmp_path):
    application = ProcessorApplication(settings(tmp_path, static_membership=True))
    assert application._consumer._consumer_config["isolation.level"] == "read_uncommitted"


def test_security_settings_reach_both_clients(tmp_path):
    secure = {"security.protocol": "SASL_SSL", "sasl.password": "hidden"}
    application = ProcessorApplication(settings(tmp_path, security=secure))
    for config in (
        application._consumer._consumer_config,
        application._producer._producer._producer_config,
        application._topic_manager._admin._config,
    ):
        assert config["sasl.password"] == "hidden"


class FakeConsumer:
    """Positions and ends of one data partition."""

    def __init__(self, position, end):
        self.place, self.end = position, end

    def assignment(self):
        return [Place("data", 0, 0), Place("changelog", 0, 0)]

    def position(self, places):
        assert [place.topic for place in places] == ["data"]
        return [Place("data", 0, self.place)]

    def get_watermark_offsets(self, place, cached):
        return 0, self.end


class Place:
    def __init__(self, topic, partition, offset):
        self.topic, self.partition, self.offset = topic, partition, offset


@pytest.mark.parametrize(
    ("position", "start", "passed", "stored", "behind"),
    [
        (12, 5, 10, 11, False),  # a marker behind the last message
        (10, 5, 10, None, True),  # nothing moved
        (-1001, 5, 0, 4, True),  # nothing read yet: where it was told to begin
        (-1001, 0, 0, None, True),  # nothing read, nothing to say
    ],
)
def test_positions_that_moved_without_a_message_are_stored(
    tmp_path, monkeypatch, position, start, passed, stored, behind
):
    application = ProcessorApplication(settings(tmp_path))
    application._topic_manager._regular_topics["data"] = None
    application._consumer = FakeConsumer(position, 12)
    application._starts["data", 0] = start
    application._passed["data", 0] = passed
    calls = []
    monkeypatch.setattr(
        application._processing_context, "store_offset", lambda *place: calls.append(place)
    )
    application._pass_markers()
    assert calls == ([] if stored is None else [("data", 0, stored)])
    assert application._behind is behind


def test_assigned_partitions_get_their_positions_and_changelogs_are_waited_for(
    tmp_path, monkeypatch
):
    waited, assigned = [], []
    told = settings(tmp_path)
    object.__setattr__(told, "place", lambda topic, partitions: dict.fromkeys(partitions, 42))
    object.__setattr__(told, "await_decided", lambda *place: waited.append(place))
    application = ProcessorApplication(told)
    application._topic_manager._regular_topics["data"] = None
    monkeypatch.setattr(
        Application, "_assign_partitions", lambda _self, places: assigned.extend(places)
    )
    application._assign_partitions([Place("data", 3, -1001), Place("changelog", 3, -1001)])
    assert [(p.topic, p.offset) for p in assigned] == [("data", 42), ("changelog", -1)]
    assert waited == [("changelog", 3)]


def test_a_member_that_lost_its_partitions_ends_and_commits_nothing(tmp_path):
    application = ProcessorApplication(settings(tmp_path))
    with pytest.raises(FencedError, match="2 partitions were lost"):
        application._on_lost(None, [Place("data", 0, 5), Place("data", 1, 5)])
    assert "self._on_lost" in source(Application._run_dataframe)
    body = source(Application._on_revoke)
    assert body.index("if self._failed:") < body.index("commit_checkpoint(")


def test_deserialising_is_left_to_us(tmp_path):
    """A suppressed error there would not store the offset until a later message."""
    assert "value_deserializer" in parameters(Application.topic)
    assert InternalConsumer.poll_row is not None
