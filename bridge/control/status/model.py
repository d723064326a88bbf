"""The status: each table, dataset and process at one moment, with a state a person can act on.

Plain values, made by `assess.assess` from what Kafka and the lake say; the command draws them, the
page serves them, `to_json` writes them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal[
    "running", "loading", "catching up", "paused", "waiting", "stalled", "stopped", "GAP"
]
"""From best to worst: `waiting` for what another stage has to begin, `stalled` alive without
progress, `stopped` no process works on it, `GAP` changes were lost and going on would hide it."""
WORST: tuple[State, ...] = (
    "GAP",
    "stopped",
    "stalled",
    "waiting",
    "paused",
    "catching up",
    "loading",
    "running",
)
HEALTHY: frozenset[State] = frozenset({"running", "loading", "catching up"})


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of the way: how far its end is behind its beginning.

    `lag_s` is the age of the oldest record that has not passed, 0 when caught up; `records` how
    many have not, at most (markers of transactions count). None: not known.
    """

    lag_s: float | None = None
    records: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A state, why (empty where nothing is to be said), and the next command to type."""

    state: State
    reason: str = ""
    command: str = ""

    @property
    def healthy(self) -> bool:
        """Whether nobody has to do anything."""
        return self.state in HEALTHY


@dataclass(frozen=True, slots=True)
class Shards:
    """Shards of a table's stream: being read, waiting for another, read to the end."""

    open: int = 0
    waiting: int = 0
    done: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """A DynamoDB table, up to its topic.

    `hours_to_trim`: until DynamoDB begins to delete what was not read. `snapshot`: the part of a
    scan that is committed, 0 to 1, None where none runs. `newest_s`: when the topic's newest change
    came, seconds since 1970. `dead_letters`: open ones of the connector, of all its tables.
    """

    table: str
    verdict: Verdict
    source: Hop = Hop()
    hours_to_trim: float | None = None
    shards: Shards = Shards()
    snapshot: float | None = None
    epoch: int = 0
    records: int = 0
    newest_s: float | None = None
    workers: int = 0
    dead_letters: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetState:
    """A dataset: from its tables' topics to its Delta table.

    `rows` is the processor's step, `table` the sink's; `lag_s` from the source to the table, None
    where a step of it is not known. `committed_s`: the table's last commit, seconds since 1970.
    `processors` and `sinks` count processes that work on it now.
    """

    dataset: str
    transform: str
    tables: tuple[str, ...]
    verdict: Verdict
    rows: Hop = Hop()
    table: Hop = Hop()
    lag_s: float | None = None
    version: int | None = None
    committed_s: float | None = None
    generation: int = 1
    building: int | None = None
    processors: int = 0
    sinks: int = 0
    dead_letters: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process, by its own reports: `heard_s` seconds ago; `works_on` tables or datasets.

    `metrics` is `host:port` where it serves its metrics and health.
    """

    stage: str
    name: str
    host: str
    pid: int
    verdict: Verdict
    heard_s: float
    started_s: float
    works_on: tuple[str, ...] = ()
    metrics: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything at one moment (`at_s`, seconds since 1970)."""

    namespace: str
    at_s: float
    tables: tuple[TableState, ...]
    datasets: tuple[DatasetState, ...]
    workers: tuple[Worker, ...]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Of all tables and datasets; workers show in them."""
        tables, datasets = self.tables, self.datasets
        return (*(each.verdict for each in tables), *(each.verdict for each in datasets))

    @property
    def state(self) -> State:
        """The worst of them."""
        return min((v.state for v in self.verdicts), key=WORST.index, default="waiting")

    @property
    def healthy(self) -> bool:
        """Whether nobody has to do anything."""
        return bool(self.verdicts) and all(verdict.healthy for verdict in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """As `--json` and the page's API give it: seconds, counts, and times since 1970."""
        return {"healthy": self.healthy, "state": self.state, **asdict(self)}
