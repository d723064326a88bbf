"""Transactions that Kafka calls complete and whose markers it never wrote.

A broker that shuts down while no other replica can lead may record a transaction as complete
without a marker in any of its partitions (seen with Apache Kafka 4.4). Nothing ends such a
transaction by itself, its producer's new start neither: readers of committed messages stop before
it for ever, and so does who asks for positions it carries. The next transaction that the same
transactional id commits in a partition ends what hangs there too. So its owner writes one, with a
message that says nothing to anybody.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from confluent_kafka.admin import AdminClient

from bridge.wire.kafka import committed_ends, written_bounds

# Other owners' transactions are open for about a second, and then for another one.
PATIENCE_S = 3.0
_LOOK_INTERVAL_S = 0.2

Places = Mapping[str, Iterable[int]]
"""Partitions by topic."""


def hanging(
    client: AdminClient, places: Places, *, patience_s: float = PATIENCE_S
) -> dict[str, list[int]]:
    """Partitions whose oldest undecided message stayed the same for `patience_s`; mostly none.

    To be asked by an owner that has no transaction open itself. A long transaction of somebody else
    looks the same; to write a settled record there does no harm.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    found = _undecided(client, places)
    until = time.monotonic() + patience_s
    while found and time.monotonic() < until:
        time.sleep(_LOOK_INTERVAL_S)
        now = _undecided(client, _partitions(found))
        found = {place: at for place, at in now.items() if found[place] == at}
    return _partitions(found)


def _undecided(client: AdminClient, places: Places) -> dict[tuple[str, int], int]:
    """Where the oldest undecided message lies, of the partitions that have one."""
    found: dict[tuple[str, int], int] = {}
    for topic, partitions in places.items():
        written = written_bounds(client, topic, partitions)
        decided = committed_ends(client, topic, written)
        for partition, bounds in written.items():
            if decided[partition] < bounds.end:
                found[topic, partition] = decided[partition]
    return found


def _partitions(places: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for topic, partition in sorted(places):
        found.setdefault(topic, []).append(partition)
    return found
