"""What the page shows of one dataset beside its state: commits, columns over time, dead letters.

Read in a thread of its own, only for datasets somebody looks at, so that a slow object store delays
nothing else and a hundred datasets cost no more than one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bridge.control.letters import Group, Letter, grouped, owners, read_marks, spell
from bridge.control.schema_log import differences, registered, topic_entries
from bridge.wire.errors import TailraceError
from bridge.wire.kafka import KafkaConfig, read_to_end
from bridge.wire.topics import TopicNames

if TYPE_CHECKING:
    from bridge.control.status.facts import Route
    from sinks.commits import Commit, CommitLog

logger = logging.getLogger(__name__)

LOOK_S = 2.0
_SELDOM_S = 6.0
# Nobody looks at it any more.
_FORGET_S = 60.0
_LETTERS_MAX = 1_000
_TEXT_MAX = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """A dataset's. `problem` is why something of it is not known now, one line."""

    commits: Sequence[Mapping[str, Any]] = ()
    schema: Sequence[Mapping[str, Any]] = ()
    letters: Sequence[Mapping[str, Any]] = ()
    problem: str | None = None


@dataclass(slots=True)
class _Looked:
    wanted_at_s: float
    details: Details = field(default_factory=Details)
    log: CommitLog | None = None
    seldom_at_s: float = float("-inf")
    topic_entries: list[dict[str, Any]] = field(default_factory=list)


class DetailReader:
    """Keeps the details of the datasets that are looked at.

    Args:
        kafka: where schemas and dead letters are.
        routes: of the datasets there are.
        open_log: the commits of a dataset's table; None where no lake is known.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        routes: Callable[[], Sequence[Route]],
        open_log: Callable[[str], CommitLog] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kafka = kafka
        self._routes = routes
        self._open_log = open_log
        self._clock = clock
        self._looked: dict[str, _Looked] = {}
        self._lock = threading.Lock()
        self._asked = threading.Event()

    def get(self, dataset: str) -> Details:
        """What is known of it now; from here on it is kept up to date for a while."""
        with self._lock:
            looked = self._looked.get(dataset)
            if looked is None:
                looked = self._looked[dataset] = _Looked(self._clock())
                self._asked.set()
            looked.wanted_at_s = self._clock()
            return looked.details

    def run(self, stop: threading.Event) -> None:
        """Read until told to stop."""
        while not stop.is_set():
            self._asked.clear()
            self.look()
            self._asked.wait(LOOK_S)

    def wake(self) -> None:
        """Let `run` notice that it was told to stop."""
        self._asked.set()

    def look(self) -> None:
        """Read once what somebody looks at."""
        now_s = self._clock()
        with self._lock:
            for dataset, looked in list(self._looked.items()):
                if now_s - looked.wanted_at_s > _FORGET_S:
                    del self._looked[dataset]
            wanted = list(self._looked.items())
        routes = {route.dataset: route for route in self._routes()}
        for dataset, looked in wanted:
            if dataset in routes:
                looked.details = self._read(routes[dataset], looked, now_s)

    def _read(self, route: Route, looked: _Looked, now_s: float) -> Details:
        details = replace(looked.details, problem=None)
        try:
            if now_s - looked.seldom_at_s >= _SELDOM_S:
                looked.topic_entries = topic_entries(registered(self._kafka, route.dataset))
                details = replace(details, letters=letter_groups(self._kafka, route))
                looked.seldom_at_s = now_s
            if self._open_log is not None:
                looked.log = looked.log or self._open_log(route.dataset)
                commits = looked.log.follow()
                details = replace(details, commits=[_commit(each) for each in commits[::-1]])
            commits = looked.log.commits if looked.log is not None else []
            schema = [*looked.topic_entries, *column_entries(commits)]
            schema.sort(key=lambda entry: str(entry["at"]), reverse=True)
            return replace(details, schema=schema)
        except TailraceError as error:
            return replace(details, problem=str(error))
        except Exception as error:  # a page that stops reading would look like a table at rest
            logger.debug("details", exc_info=error)
            return replace(details, problem=f"unexpected {type(error).__name__}: {error}")


def letter_groups(kafka: KafkaConfig, route: Route) -> list[dict[str, Any]]:
    """The newest dead letters of a dataset's way by cause; contents of items are left out.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    found: list[dict[str, Any]] = []
    known = owners(kafka)
    for owner in dict.fromkeys((route.transform, route.dataset, "connector")):
        partitions = known.get(owner, 0)
        if not partitions:
            continue
        topic = TopicNames(kafka.namespace).dead_letters(owner)
        newest = max(1, _LETTERS_MAX // partitions)
        letters = [
            Letter.read(message)
            for message in read_to_end(kafka, topic, range(partitions), newest=newest)
        ]
        marks = read_marks(kafka, owner)
        found += [_group(owner, group) for group in grouped(letters, marks)]
    return found


def _group(owner: str, group: Group) -> dict[str, Any]:
    example = spell(group.example)
    return {
        **asdict(group),
        "owner": owner,
        "reason": group.reason[:_TEXT_MAX],
        "example": example,
        "first": group.first.isoformat(timespec="seconds"),
        "last": group.last.isoformat(timespec="seconds"),
        "command": f"tailrace dlq show {owner} {example}",
    }


def column_entries(commits: Sequence[Commit]) -> list[dict[str, Any]]:
    """One entry per commit that changed the table's columns, as `tailrace schema log` has them."""
    from datetime import UTC, datetime

    entries = []
    before: Mapping[str, str] | None = None
    for commit in commits:
        if commit.columns is None:
            continue
        created = commit.version == 0
        changes = differences(before or {}, commit.columns)
        if created or (before is not None and any(changes.values())):
            entries.append(
                {
                    "at": datetime.fromtimestamp(commit.at_s, UTC).isoformat(timespec="seconds"),
                    "where": "table",
                    "name": f"version {commit.version}",
                    **changes,
                }
            )
        before = commit.columns
    return entries


def _commit(commit: Commit) -> dict[str, Any]:
    body = asdict(commit)
    body["columns"] = None if commit.columns is None else len(commit.columns)
    return body
