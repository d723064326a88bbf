"""Collects the facts: asks Kafka and the lake; changes nothing, joins no group."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bridge.control.checkpointed import Checkpoints
from bridge.control.letters import read_marks
from bridge.control.status.facts import Facts, LakeTable, Letters, Route, TopicFacts, Waiting
from bridge.control.status.logs import Logs, Place
from bridge.wire.errors import GapError, TailraceError
from bridge.wire.gap import check_position
from bridge.wire.generations import Generations, named, read_generations
from bridge.wire.kafka import KafkaConfig, LogBounds, read_to_end
from bridge.wire.namespace import NamespaceState, read_namespace
from bridge.wire.pauses import read_pauses
from bridge.wire.reports import read_reports
from bridge.wire.topics import TopicNames, admin, existing_topics

if TYPE_CHECKING:
    from bridge.control.lake import Lake

_LAKE_THREADS = 8
# Counting them means reading them; more than these only tell that there are very many.
_LETTERS_MAX = 2_000


class Collector:
    """Collects again and again; for a `with`.

    Args:
        kafka: where.
        routes: the datasets to look at.
        lake: their tables, None where it is not known.
    """

    def __init__(self, kafka: KafkaConfig, routes: Sequence[Route], lake: Lake | None) -> None:
        self._kafka = kafka
        self._routes = tuple(routes)
        self._lake = lake
        self._names = TopicNames(kafka.namespace)
        self._logs = Logs(kafka)
        self._checkpoints = Checkpoints(kafka)
        self._letters: dict[str, tuple[LogBounds, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._checkpoints.close()

    def collect(self) -> Facts:
        """The facts of now.

        Raises:
            BrokerUnreachableError: Kafka does not answer.
        """
        kafka = self._kafka
        topics = existing_topics(admin(kafka))
        generations = read_generations(kafka)
        state = NamespaceState(None, {})
        if self._names.checkpoints in topics:
            state = read_namespace(kafka)
        steps = self._steps(generations)
        lake, positions = self._read_lake(state.namespace_id, topics, generations)
        positions |= self._logs.committed({group for group, _ in steps} - positions.keys())
        # After the positions: a log that ends before one of them is another log.
        wanted = {topic for _, topic in steps if topic in topics}
        places = [(topic, p) for topic in sorted(wanted) for p in range(topics[topic])]
        bounds = self._logs.bounds(places)
        return Facts(
            at_s=time.time(),
            namespace=kafka.namespace,
            routes=self._routes,
            topics=self._topics(bounds),
            waiting=self._waiting(steps, bounds, positions, state),
            checkpoints=self._checkpoints.now(),
            reports=read_reports(kafka),
            generations=generations,
            pauses=read_pauses(kafka),
            lake=lake,
            lake_known=self._lake is not None,
            letters=self._dead_letters(topics),
        )

    def _steps(self, generations: Generations) -> dict[tuple[str, str], str]:
        """The consumer of each (group, topic), as a person names it."""
        names = self._names
        steps: dict[tuple[str, str], str] = {}
        for route in self._routes:
            generation = generations.current(route.dataset)
            dataset = named(route.dataset, generation)
            group = names.group(named(route.transform, generation))
            read = [names.changes(table) for table in route.tables]
            read += [names.contributions(dataset)] if route.keyed else []
            steps |= dict.fromkeys(((group, t) for t in read), f"processor:{route.transform}")
            steps[names.group(f"sink.{dataset}"), names.rows(dataset)] = f"sink:{route.dataset}"
        return steps

    def _topics(self, bounds: Mapping[Place, LogBounds]) -> dict[str, TopicFacts]:
        changes = self._names.changes("")
        newest = self._logs.newest(place for place in bounds if place[0].startswith(changes))
        found: dict[str, TopicFacts] = {}
        for (topic, partition), log in bounds.items():
            before = found.get(topic, TopicFacts(0, 0))
            stamps = (before.newest_s, newest.get((topic, partition)))
            found[topic] = TopicFacts(
                before.partitions + 1,
                before.records + log.end - log.start,
                max((stamp for stamp in stamps if stamp is not None), default=None),
                before.end + log.end,
            )
        return found

    def _waiting(
        self,
        steps: Mapping[tuple[str, str], str],
        bounds: Mapping[Place, LogBounds],
        positions: Mapping[str, Mapping[Place, int]],
        state: NamespaceState,
    ) -> dict[tuple[str, str], Waiting]:
        found: dict[tuple[str, str], Waiting] = {}
        for (group, topic), consumer in steps.items():
            logs = {place: log for place, log in bounds.items() if place[0] == topic}
            if not logs:
                continue
            passed, gap = positions.get(group, {}), None
            accepted = state.accepted.get((consumer, topic), {})
            begins: dict[Place, int] = {}
            for place, log in logs.items():
                begins[place] = min(max(passed.get(place, 0), log.start), log.end)
                gap = gap or _gap(place, log, passed.get(place), accepted.get(place[1]))
            ends = {place: log.end for place, log in logs.items()}
            oldest = self._logs.oldest(begins, ends)
            found[group, topic] = Waiting(
                records=sum(ends[place] - begins[place] for place in oldest),
                oldest_s=min(oldest.values(), default=None),
                gap=gap,
                begun=any(place in passed for place in logs),
            )
        return found

    def _read_lake(
        self, namespace_id: str | None, topics: Mapping[str, int], generations: Generations
    ) -> tuple[dict[str, LakeTable | str], dict[str, dict[Place, int]]]:
        """Every dataset's table, and by the sink's group the offsets it holds."""
        lake, names = self._lake, self._names
        if lake is None:
            return {}, {}

        def look(route: Route) -> tuple[LakeTable | str | None, dict[Place, int]]:
            topic = names.rows(named(route.dataset, generations.current(route.dataset)))
            try:
                view = lake.view(route.dataset)
                if view is None:
                    return None, {}
                seen = LakeTable(view.version, view.committed_s, view.loading)
                partitions = range(topics.get(topic, 0))
                found = view.offsets(namespace_id, topic, partitions) if namespace_id else {}
            except TailraceError as error:
                return str(error), {}
            return seen, {(topic, p): offset for p, offset in found.items() if offset is not None}

        with ThreadPoolExecutor(_LAKE_THREADS) as pool:
            looked = list(pool.map(look, self._routes))
        tables: dict[str, LakeTable | str] = {}
        offsets: dict[str, dict[Place, int]] = {}
        for route, (seen, positions) in zip(self._routes, looked, strict=True):
            if seen is not None:
                tables[route.dataset] = seen
            if isinstance(seen, LakeTable):
                dataset = named(route.dataset, generations.current(route.dataset))
                offsets[names.group(f"sink.{dataset}")] = positions
        return tables, offsets

    def _dead_letters(self, topics: Mapping[str, int]) -> dict[str, Letters]:
        owners = {"connector"}
        owners |= {name for route in self._routes for name in (route.transform, route.dataset)}
        found: dict[str, Letters] = {}
        for owner in sorted(owners):
            topic = self._names.dead_letters(owner)
            if topic in topics:
                found[owner] = self._open_letters(owner, topic, topics[topic])
        return found

    def _open_letters(self, owner: str, topic: str, partitions: int) -> Letters:
        """How many nobody has replayed or dropped; looked at again only when something came."""
        bounds = self._logs.bounds((topic, p) for p in range(partitions))
        logs = LogBounds(sum(b.start for b in bounds.values()), sum(b.end for b in bounds.values()))
        if logs.end == logs.start:
            return Letters(0)
        marks = read_marks(self._kafka, owner)
        settled = {address for address, state in marks.items() if state != "open"}
        known = self._letters.get(owner)
        if known is not None and known[0] == logs and not settled:
            return Letters(known[1], more=known[1] >= _LETTERS_MAX)
        count = sum(
            (message.partition() or 0, message.offset() or 0) not in settled
            for message in read_to_end(
                self._kafka, topic, range(partitions), newest=_LETTERS_MAX // partitions
            )
        )
        if not settled:
            self._letters[owner] = (logs, count)
        return Letters(count, more=logs.end - logs.start > _LETTERS_MAX)


def _gap(
    place: Place,
    log: LogBounds,
    position: int | None,
    accepted_start: int | None,
) -> str | None:
    """What the stage itself would say at its next start; nothing where it never began."""
    if position is None:
        return None
    try:
        check_position(
            position,
            log,
            where=f"{place[0]} partition {place[1]}",
            remedy="",
            accepted_start=accepted_start,
        )
    except GapError as error:
        return str(error)
    return None
