"""One run of one way to bring a rows topic into a Delta table, behind a gate.

Every run gets a copy of the same table and is settled by one change before it is given the load in
one go. CPU and time lie between the load's first append and the commit that holds its last row;
starting up is not in them. Then the table must hold, key by key, the versions the load asks for: a
run that fails has no speed.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from confluent_kafka import Producer
from deltalake import CommitProperties, DeltaTable, QueryBuilder, Transaction

from bridge.wire.envelope import CONTROL_KEY, Sealed
from bridge.wire.kafka import KafkaConfig, append_time_ms, read_to_end, written_bounds
from bridge.wire.namespace import encode_value, namespace_key, new_namespace_id
from bridge.wire.schemas import register_schema
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics
from sinks.ledger import LedgerNames
from tests.benchmarks import meter
from tests.benchmarks.sink_load import DATASET, PARTITIONS, SCHEMA, TABLE, Change, base, live, send
from tests.parts.process import Process
from tests.parts.waiting import wait_until

OURS, PLAIN, LITE = "ours", "plain MERGE", "deltalite"
# What the plain loops take at most for one MERGE, and how long they wait for it: our target.
PLAIN_BATCH_ROWS = 10_000
FRESHNESS_S = 5.0
_TIMEOUT_S = 1800.0
_ROOT = str(Path(__file__).parents[2])
_ENGINES = {PLAIN: "delta-rs", LITE: "deltalite"}
_COLD = "select count(*) as n, sum(order_total) as total, max(_version) as newest from t"
Offsets = Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run gave. Latencies go from a row's append to Kafka to the commit that shows it."""

    runner: str
    what: str
    changes: int
    cpu_s: float
    wall_s: float
    commits: int
    p50_s: float
    p99_s: float
    written_bytes: int
    peak_rss_bytes: int

    @property
    def per_s(self) -> float:
        """Changes a second."""
        return self.changes / self.wall_s

    @property
    def per_cpu_s(self) -> float:
        """Changes a CPU second."""
        return self.changes / self.cpu_s

    def line(self) -> str:
        """For people."""
        return (
            f"{self.what:<22}{self.runner:<12}{self.per_s:>9,.0f} changes/s "
            f"{self.per_cpu_s:>9,.0f}/CPU s  {self.commits:>4} commits  visible p50 "
            f"{self.p50_s:>6.1f} s p99 {self.p99_s:>6.1f} s  {self.written_bytes / 1e6:>7,.0f} MB "
            f"written  {self.peak_rss_bytes / 1e6:>5,.0f} MB RSS"
        )


class Course:
    """A rows topic and the table it has filled so far; the runs start from copies of that table.

    Args:
        kafka: its namespace is the course's own.
        folder: for tables and logs.
        lite_python: a Python that has deltalite.
    """

    def __init__(self, kafka: KafkaConfig, folder: Path, lite_python: str | None = None) -> None:
        self.kafka = kafka
        self._folder = folder
        self._lite_python = lite_python
        names = TopicNames(kafka.namespace)
        self.topic = names.rows(DATASET)
        self._ledger = LedgerNames(new_namespace_id(), self.topic)
        self._admin = admin(kafka)
        specs = [
            TopicSpec(name=self.topic, partitions=PARTITIONS),
            TopicSpec(name=names.changes(TABLE), partitions=PARTITIONS),
            TopicSpec(name=names.checkpoints, partitions=2, compacted=True),
            TopicSpec(name=names.schemas, partitions=1, compacted=True),
        ]
        ensure_topics(self._admin, specs)
        register_schema(kafka, SCHEMA)
        producer = Producer(kafka.producer())
        value = encode_value({"id": self._ledger.namespace_id})
        producer.produce(names.checkpoints, value, namespace_key(), partition=0)
        assert producer.flush(20) == 0
        self.rows = 0
        self._base = folder / "base"

    def fill(self, rows: int) -> Run:
        """The base table, loaded by our sink: all keys are new to it."""
        lake = self._folder / "filling"
        with self._started(OURS, lake, self._ends()) as process:
            run = self._give(OURS, f"load {rows:,}", process, lake, list(base(rows)), timed=True)
            self._seal()
            self._await(OURS, lake, process, self._ends())
        self.rows = rows
        lake.rename(self._base)
        self._check(self._base, [base(rows)])
        return run

    def run(self, runner: str, what: str, load: list[Change]) -> Run:
        """One runner over one load, on a table of its own that is gone afterwards.

        Raises:
            AssertionError: it died, did not get to the end, or the table is not what it must be.
        """
        lake = self.copy(runner)
        settle = [Change(0, 5 * 10**8)]
        with self._started(runner, lake, self._ends()) as process:
            self._give(runner, "", process, lake, settle, timed=False)
            done = self._give(runner, what, process, lake, load, timed=True)
        self._check(lake, [base(self.rows), settle, load])
        shutil.rmtree(lake)
        return done

    def steadily(self, lake: Path, batches: Iterable[list[Change]]) -> list[float]:
        """Our sink over many loads, each given once the one before is in the table; seconds."""
        took = []
        with self._started(OURS, lake, self._ends()) as process:
            for load in batches:
                run = self._give(OURS, "", process, lake, load, timed=True)
                took.append(run.wall_s)
        return took

    def copy(self, name: str) -> Path:
        """A copy of the base, at the end of the topic: what came since is not read."""
        lake = self._folder / f"{name.split(maxsplit=1)[0]}-{time.monotonic_ns()}"
        shutil.copytree(self._base, lake)
        table = DeltaTable(lake / DATASET)
        moved = [Transaction(self._ledger.offset(p), o) for p, o in self._ends().items()]
        table.create_write_transaction(
            [],
            mode="append",
            schema=table.schema(),
            commit_properties=CommitProperties(app_transactions=moved),
        )
        return lake

    def query_s(self, lake: Path) -> float:
        """A full scan by delta-rs's query engine: the median of five, in seconds."""
        took = []
        for _ in range(5):
            begin_s = time.monotonic()
            QueryBuilder().register("t", DeltaTable(lake / DATASET)).execute(_COLD).read_all()
            took.append(time.monotonic() - begin_s)
        return sorted(took)[2]

    def _give(
        self,
        runner: str,
        what: str,
        process: Process,
        lake: Path,
        load: list[Change],
        *,
        timed: bool,
    ) -> Run:
        version = DeltaTable(lake / DATASET).version() if (lake / DATASET).exists() else -1
        begins = self._ends()
        cpu_s, begin_s = meter.cpu_s(process.pid), time.time()
        send(self.kafka, self.topic, load)
        self._await(runner, lake, process, self._ends())
        cpu_s = meter.cpu_s(process.pid) - cpu_s
        commits = [c for c in self._commits(runner, lake, process) if c[0] >= begin_s]
        # A producer that is new takes half a second before its first append.
        appended = self._appended(begins) if timed else []
        begin_s = min((at_s for *_, at_s in appended), default=begin_s)
        visible = _visible_s(appended, commits) if timed else [0.0]
        return Run(
            runner=runner,
            what=what,
            changes=len(load),
            cpu_s=cpu_s,
            wall_s=max(c[0] for c in commits) - begin_s,
            commits=len(commits),
            p50_s=visible[len(visible) // 2],
            p99_s=visible[len(visible) * 99 // 100],
            written_bytes=_written(lake / DATASET, version),
            peak_rss_bytes=meter.peak_rss_bytes(process.pid),
        )

    def _started(self, runner: str, lake: Path, offsets: Offsets) -> Process:
        common = {"brokers": self.kafka.brokers}
        if runner == OURS:
            options = {**common, "namespace": self.kafka.namespace, "lake": str(lake)}
            command = [sys.executable, "-m", "tests.benchmarks.sink_runner"]
        else:
            options = {
                **common,
                "topic": self.topic,
                "offsets": offsets,
                "uri": str(lake / DATASET),
                "engine": _ENGINES[runner],
                "batch_rows": PLAIN_BATCH_ROWS,
                "freshness_s": FRESHNESS_S,
            }
            python = self._lite_python if runner == LITE else sys.executable
            assert python is not None
            command = [python, str(Path(__file__).with_name("plain_merge.py"))]
        log = self._folder / f"{lake.name}.log"
        environment = {"PYTHONPATH": _ROOT} if runner == OURS else {}
        return Process(runner, [*command, json.dumps(options)], log=log, environment=environment)

    def _ends(self) -> dict[int, int]:
        bounds = written_bounds(self._admin, self.topic, range(PARTITIONS))
        return {partition: bound.end for partition, bound in bounds.items()}

    def _seal(self) -> None:
        producer = Producer(self.kafka.producer())
        for partition in range(PARTITIONS):
            sealed = Sealed(TABLE, 1, partition, PARTITIONS)
            producer.produce(
                self.topic,
                value=sealed.encode(),
                key=CONTROL_KEY,
                partition=partition,
                headers=Sealed.headers(),
            )
        assert producer.flush(20) == 0

    def _await(self, runner: str, lake: Path, process: Process, ends: Offsets) -> None:
        def there() -> bool:
            assert process.alive, process.log_tail()
            commits = self._commits(runner, lake, process)
            newest = commits[-1][1] if commits else {}
            return all(newest.get(p, 0) >= end for p, end in ends.items() if end)

        wait_until(there, timeout_s=_TIMEOUT_S, what="the load to be in the table", interval_s=0.05)

    def _commits(
        self, runner: str, lake: Path, process: Process
    ) -> list[tuple[float, dict[int, int]]]:
        """When each commit was made, and the offsets it holds, in order."""
        if runner != OURS:
            lines = (line for line in process.log.read_text().splitlines() if line[:1] == "{")
            found = [json.loads(line) for line in lines]
            return [(c["time"], {int(p): o for p, o in c["offsets"].items()}) for c in found]
        ids = {self._ledger.offset(p): p for p in range(PARTITIONS)}
        commits, offsets = [], dict[int, int]()
        for path in sorted((lake / DATASET / "_delta_log").glob("*.json")):
            actions = map(json.loads, path.read_text().splitlines())
            moved = [a["txn"] for a in actions if "txn" in a and a["txn"]["appId"] in ids]
            if moved:
                offsets = {**offsets, **{ids[txn["appId"]]: txn["version"] for txn in moved}}
                commits.append((path.stat().st_mtime, offsets))
        return commits

    def _appended(self, begins: Offsets) -> list[tuple[int, int, float]]:
        """Partition, offset and time of append of what was written since."""
        count = max(end - begins[p] for p, end in self._ends().items())
        found = read_to_end(
            self.kafka, self.topic, range(PARTITIONS), newest=count, timeout_s=_TIMEOUT_S
        )
        return [
            (m.partition(), m.offset(), (append_time_ms(m) or 0) / 1000)
            for m in found
            if m.offset() >= begins[m.partition()]
        ]

    def _check(self, lake: Path, parts: list[Iterable[Change]]) -> None:
        """The gate."""
        columns = ["_key", "_version"]
        batches = QueryBuilder().register("t", DeltaTable(lake / DATASET))
        found = pa.table(batches.execute(f"select {', '.join(columns)} from t").read_all())
        versions = dict(zip(*(found[name].to_pylist() for name in columns), strict=True))
        assert found.num_rows == len(versions), "a key has more than one row"
        wanted = live(*parts).versions
        assert versions == wanted, f"{_differing(versions, wanted)} keys differ from the oracle's"


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> int:
    return sum(one.get(key) != other.get(key) for key in one.keys() | other.keys())


def _visible_s(
    appended: list[tuple[int, int, float]], commits: list[tuple[float, dict[int, int]]]
) -> list[float]:
    """Seconds from append to commit of each row, sorted."""
    took = []
    by_partition: dict[int, list[tuple[int, float]]] = {}
    for when, offsets in commits:
        for partition, offset in offsets.items():
            by_partition.setdefault(partition, []).append((offset, when))
    for partition, offset, at_s in appended:
        when = next(w for end, w in by_partition[partition] if end > offset)
        took.append(when - at_s)
    return sorted(took)


def _written(table: Path, since_version: int) -> int:
    """Bytes of data files added after a version."""
    total = 0
    for path in sorted((table / "_delta_log").glob("*.json")):
        if int(path.stem) > since_version:
            actions: Iterable[dict[str, Any]] = map(json.loads, path.read_text().splitlines())
            total += sum(a["add"]["size"] for a in actions if "add" in a)
    return total
