"""What we use of Quix Streams, imported in one place.

Quix brings a client of a schema registry along whose import warns about packages we do not use; a
processor's log begins with its own lines instead. What is private in Quix and used all the same is
pinned in tests/unit/processors/test_quix.py.
"""

import warnings

with warnings.catch_warnings(record=True):
    from quixstreams import Application
    from quixstreams.exceptions import PartitionAssignmentError, QuixException
    from quixstreams.internal_producer import (
        InternalProducer,
        KafkaProducerTransactionCommitFailed,
    )
    from quixstreams.kafka.consumer import raise_for_msg_error
    from quixstreams.kafka.exceptions import (
        KafkaBrokerUnavailableError,
        KafkaConsumerException,
        KafkaProducerDeliveryError,
    )
    from quixstreams.models import Topic, TopicConfig
    from quixstreams.models.topics import TopicManager
    from quixstreams.state.base.transaction import PartitionTransactionStatus
    from quixstreams.state.exceptions import InvalidStoreChangelogOffset
    from quixstreams.state.metadata import CHANGELOG_CF_MESSAGE_HEADER, Marker
    from quixstreams.state.recovery import ChangelogProducer
    from quixstreams.state.rocksdb import RocksDBOptions

__all__ = [
    "CHANGELOG_CF_MESSAGE_HEADER",
    "Application",
    "ChangelogProducer",
    "InternalProducer",
    "InvalidStoreChangelogOffset",
    "KafkaBrokerUnavailableError",
    "KafkaConsumerException",
    "KafkaProducerDeliveryError",
    "KafkaProducerTransactionCommitFailed",
    "Marker",
    "PartitionAssignmentError",
    "PartitionTransactionStatus",
    "QuixException",
    "RocksDBOptions",
    "Topic",
    "TopicConfig",
    "TopicManager",
    "raise_for_msg_error",
]
