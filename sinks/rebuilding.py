"""A new generation of a dataset: built beside its table, then put in its place in one step.

The owner of a dataset also owns the generation being built of it (`tailrace rebuild`): a second
worker fills a hidden table from the new rows topic, by the same protocol. The tables change over
when the new one has all items and is as far as the old one: for that the old one's work rests for a
moment, so that readers see no row go back in time.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import pyarrow.fs as pafs
from confluent_kafka import Consumer, KafkaException, TopicPartition
from deltalake.fs import DeltaStorageHandler

from bridge.wire.generations import GenerationsFollower, named
from bridge.wire.kafka import REQUEST_TIMEOUT_S, KafkaConfig, unreachable, written_bounds
from bridge.wire.topics import TopicNames, admin, existing_topics
from sinks.table import lake_errors

logger = logging.getLogger(__name__)

LOOK_S = 1.0
# How long the table may rest for the new generation to draw level; it is tried again later.
LEVEL_TIMEOUT_S = 10.0
POLL_S = 0.05

_GENERATION = re.compile(r"g([0-9]+)")


class Builder(Protocol):
    """The worker that fills the hidden table."""

    @property
    def failed(self) -> str | None:
        """Why it has stopped for good."""

    @property
    def level(self) -> bool:
        """Whether it has all items and follows closely."""

    @property
    def passed(self) -> Mapping[int, int]:
        """Offsets up to which all rows are in the hidden table."""

    def start(self) -> None:
        """Begin in the background."""

    def ask_to_stop(self) -> None:
        """Commit what is in hand and end."""

    def join(self, timeout_s: float) -> bool:
        """Whether it has ended within `timeout_s`."""


class Rebuilding:
    """What is built of one dataset, and when it is ready.

    Args:
        kafka: where.
        dataset: its id.
        tables: that feed it.
        follower: knows what is being built.
        new_builder: makes the worker of a generation.
        holds: whether the dataset is still ours and nobody asked to stop.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        *,
        dataset: str,
        tables: Iterable[str],
        follower: GenerationsFollower,
        new_builder: Callable[[int], Builder],
        holds: Callable[[], bool],
    ) -> None:
        self._kafka = kafka
        self._names = TopicNames(kafka.namespace)
        self._dataset = dataset
        self._tables = tuple(tables)
        self._follower = follower
        self._new_builder = new_builder
        self._holds = holds
        self._builder: Builder | None = None
        self._number: int | None = None
        self._look_at_s = 0.0

    @property
    def number(self) -> int | None:
        """The generation that is being built."""
        return self._number

    def ready(self, generation: int) -> int | None:
        """The generation to change over to now, from `generation`; its builder has ended then.

        Raises:
            BrokerUnreachableError: Kafka does not answer.
        """
        now_s = time.monotonic()
        if now_s < self._look_at_s:
            return None
        self._look_at_s = now_s + LOOK_S
        self._follow(generation)
        builder, number = self._builder, self._number
        if builder is None or number is None or not builder.level:
            return None
        if not self._draw_level(builder, generation, number):
            return None
        return number if self.stop() else None

    def stop(self) -> bool:
        """End the builder; whether it has ended with everything it read in its table."""
        builder, self._builder, self._number = self._builder, None, None
        if builder is None:
            return False
        builder.ask_to_stop()
        return builder.join(60.0) and builder.failed is None

    def _follow(self, generation: int) -> None:
        wanted = self._follower.look().building(self._dataset)
        if wanted is not None and wanted <= generation:
            wanted = None  # the table has changed over already, the record follows
        if wanted == self._number:
            return
        self.stop()
        if wanted is not None:
            logger.info(
                "building beside the table",
                extra={"dataset": self._dataset, "generation": wanted},
            )
            self._builder, self._number = self._new_builder(wanted), wanted
            self._builder.start()

    def _draw_level(self, builder: Builder, old: int, new: int) -> bool:
        """Wait until all that is in the table now, and rests, is in the hidden one too."""
        found = self._follower.look().of_dataset(self._dataset)
        if found is None:
            return False
        groups = [self._names.group(named(found[0], number)) for number in (old, new)]
        topics = existing_topics(admin(self._kafka))
        for table in self._tables:
            changes = self._names.changes(table)
            was, now = (self._committed(g, changes, topics.get(changes, 0)) for g in groups)
            if not _reached(now, was):
                return False
        until_s = time.monotonic() + LEVEL_TIMEOUT_S
        between = self._names.contributions(named(self._dataset, new))
        if count := topics.get(between, 0):
            ends = self._ends(between, count)
            if not self._await(
                lambda: _reached(self._committed(groups[1], between, count), ends), until_s
            ):
                return False
        rows = self._names.rows(named(self._dataset, new))
        ends = self._ends(rows, topics.get(rows, 0))
        return self._await(lambda: _reached(builder.passed, ends), until_s)

    def _await(self, done: Callable[[], bool], until_s: float) -> bool:
        while not done():
            if time.monotonic() > until_s or not self._holds():
                return False
            time.sleep(POLL_S)
        return True

    def _ends(self, topic: str, count: int) -> dict[int, int]:
        bounds = written_bounds(admin(self._kafka), topic, range(count))
        return {partition: bound.end for partition, bound in bounds.items()}

    def _committed(self, group: str, topic: str, count: int) -> dict[int, int]:
        consumer = Consumer(self._kafka.reader(group=group))
        try:
            places = [TopicPartition(topic, partition) for partition in range(count)]
            found = consumer.committed(places, timeout=REQUEST_TIMEOUT_S) if places else []
        except KafkaException as error:
            raise unreachable(error, f"positions of group {group}") from error
        finally:
            consumer.close()
        return {place.partition: max(place.offset, 0) for place in found}


def _reached(positions: Mapping[int, int], wanted: Mapping[int, int]) -> bool:
    return all(positions.get(partition, 0) >= offset for partition, offset in wanted.items())


def outdated(names: Iterable[str], current: int, building: int | None) -> list[str]:
    """Of the folders beside a table, those of generations that nobody needs any more. Pure."""
    kept = {current, building}
    found = []
    for name in names:
        match = _GENERATION.fullmatch(name)
        if (match and int(match[1]) not in kept) or (name == "tombstones" and current > 1):
            found.append(name)
    return sorted(found)


def sweep(
    beside: str, storage_options: Mapping[str, str], current: int, building: int | None
) -> list[str]:
    """Remove what ended or abandoned generations left beside a table; what was removed.

    Args:
        beside: the folder beside the table.
        storage_options: of the lake.
        current: the generation the table is at.
        building: the one that is being built.

    Raises:
        TableError: the lake does not answer; what is left is removed another time.
    """
    with lake_errors(beside):
        files = files_under(beside, storage_options)
        if files is None:
            return []
        gone = outdated(_folders(files, ""), current, building)
        if current > 1 and "table" in _folders(files, f"g{current}"):
            gone.append(f"g{current}/table")
        for name in gone:
            files.delete_dir(name)
    if gone:
        logger.info("removed what was built before", extra={"beside": beside, "folders": gone})
    return gone


def files_under(uri: str, storage_options: Mapping[str, str]) -> pafs.FileSystem | None:
    """What lies there, as files; None where there is no such folder."""
    if "://" in uri:
        return pafs.PyFileSystem(DeltaStorageHandler(uri, options=dict(storage_options)))
    folder = Path(uri)
    return pafs.SubTreeFileSystem(uri, pafs.LocalFileSystem()) if folder.is_dir() else None


def _folders(files: pafs.FileSystem, path: str) -> list[str]:
    listed = files.get_file_info(pafs.FileSelector(path, allow_not_found=True))
    return [info.base_name for info in listed if info.type == pafs.FileType.Directory]
