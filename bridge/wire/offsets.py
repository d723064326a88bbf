"""Offsets as the leaders of partitions tell them, asked for in a way that the client survives."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec


def ask_offsets(
    client: AdminClient,
    asked: Mapping[TopicPartition, OffsetSpec],
    *,
    isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    timeout_s: float,
) -> dict[TopicPartition, ListOffsetsResultInfo]:
    """What the leaders answer, by partition.

    Args:
        client: with the settings of `KafkaConfig.admin`.

    Raises:
        KafkaException: a partition is not there, has no leader, or its leader does not answer.
    """
    if not asked:
        return {}
    _find_leaders(client, asked, timeout_s)
    futures = client.list_offsets(dict(asked), isolation_level=isolation, request_timeout=timeout_s)
    return {place: future.result(timeout=timeout_s * 2) for place, future in futures.items()}


def _find_leaders(
    client: AdminClient, asked: Mapping[TopicPartition, OffsetSpec], timeout_s: float
) -> None:
    """Make the client know the leaders before it is asked for offsets.

    librdkafka looks for those it does not know in the thread that asks, while its own thread may
    already be at the end of that search and free what both work with: the process then dies of a
    segmentation fault. Seen with 2.12 under load, with clients that were made a moment ago.
    """
    for topic in dict.fromkeys(place.topic for place in asked):
        found = client.list_topics(topic, timeout=timeout_s).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        for place in asked:
            if place.topic != topic:
                continue
            partition = found.partitions.get(place.partition)
            if partition is None:
                raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
            if partition.leader < 0:
                raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
