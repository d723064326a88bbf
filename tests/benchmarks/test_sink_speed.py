"""The sink's speed: rows topic to committed Delta, side by side with what one would write instead.

`pytest -m bench tests/benchmarks/test_sink_speed.py --broker kafka -s` prints it all and then fails
if a target was missed. No run counts whose table is not, key by key, what the load asks for.

deltalite needs Python 3.12 or newer: it runs in an environment of its own that is made here. It
neither removes rows nor compares versions, so its load has no removals and nothing late: it does
less than the others.
"""

from __future__ import annotations

import shutil
import subprocess
import uuid
from pathlib import Path
from statistics import median

import pytest
from deltalake import DeltaTable

from bridge.wire.kafka import KafkaConfig
from tests.benchmarks.report import Target, at_least, at_most, surroundings
from tests.benchmarks.sink_load import DATASET, NEW, UPDATES, changes
from tests.benchmarks.sink_race import LITE, OURS, PLAIN, Course, Run
from tests.parts.brokers import Broker

BATCHES, BATCH_ROWS = 10, 10_000
REPETITIONS = 3
_LITE_PACKAGES = ("deltalite==0.1.15", "confluent-kafka>=2.8,<2.13", "orjson", "pyarrow")


@pytest.fixture(scope="module")
def lite_python(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """A Python that has deltalite; None where there is none new enough."""
    python = shutil.which("python3.13") or shutil.which("python3.12")
    folder = tmp_path_factory.mktemp("deltalite")
    made = python and subprocess.run([python, "-m", "venv", folder], check=False).returncode == 0
    if not made:
        print("deltalite: not run, it needs Python 3.12 or newer")
        return None
    pip = [folder / "bin" / "pip", "install", "--quiet", *_LITE_PACKAGES]
    subprocess.run(pip, check=True)
    return str(folder / "bin" / "python")


def course(broker: Broker, folder: Path, lite_python: str | None = None) -> Course:
    """A topic and a table of their own."""
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    return Course(KafkaConfig(brokers=broker.bootstrap, namespace=namespace), folder, lite_python)


def told(run: Run) -> Run:
    """The run, printed."""
    print(run.line(), flush=True)
    return run


def judged(broker: Broker, targets: list[Target]) -> None:
    """Print the targets; fail if one was missed."""
    for line in [*surroundings(broker), *(target.line() for target in targets)]:
        print(line, flush=True)
    assert [target.line() for target in targets if not target.met] == []


@pytest.mark.bench
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("rows", [1_000_000, 4_000_000])
def test_ten_batches(broker: Broker, tmp_path: Path, lite_python: str | None, rows: int) -> None:
    print()
    track = course(broker, tmp_path, lite_python)
    told(track.fill(rows))
    runners = [OURS, PLAIN] + ([LITE] if lite_python else [])
    runs: dict[tuple[str, str], list[Run]] = {}
    for repetition in range(REPETITIONS):
        for pattern in (UPDATES, NEW):
            for runner in runners:
                load = changes(
                    pattern,
                    rows,
                    BATCHES * BATCH_ROWS,
                    seed=repetition + 1,
                    late=runner != LITE,
                )
                what = f"{pattern} of {rows:,}"
                runs.setdefault((pattern, runner), []).append(told(track.run(runner, what, load)))
    for (pattern, runner), own in runs.items():
        print(f"median {pattern:<12}{runner:<12}{median(r.per_s for r in own):>9,.0f} changes/s")
    gain = median(
        ours.per_s / plain.per_s
        for ours, plain in zip(runs[UPDATES, OURS], runs[UPDATES, PLAIN], strict=True)
    )
    new = median(run.per_cpu_s for run in runs[NEW, OURS])
    targets = [
        at_least("updates, times the plain loop", 5, gain),
        at_least("new keys a CPU second", 80_000, new),
    ]
    judged(broker, targets)


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_two_hundred_batches(broker: Broker, tmp_path: Path) -> None:
    print()
    rows = 1_000_000
    track = course(broker, tmp_path)
    told(track.fill(rows))
    lake = track.copy(OURS)
    before_s = track.query_s(lake)
    batches = (changes(UPDATES, rows, BATCH_ROWS, seed=n + 1) for n in range(200))
    took = track.steadily(lake, batches)
    after_s = track.query_s(lake)
    files = len(DeltaTable(lake / DATASET).file_uris())
    compacted = tmp_path / "compacted"
    shutil.copytree(lake, compacted)
    DeltaTable(compacted / DATASET).optimize.compact()
    compact_s = track.query_s(compacted)
    print(
        f"a batch of {BATCH_ROWS:,}: {median(took[:20]):.2f} s in the first twenty, "
        f"{median(took[-20:]):.2f} s in the last; full scan {before_s:.3f} s before, "
        f"{after_s:.3f} s after, {compact_s:.3f} s compacted; {files} files"
    )
    judged(broker, [at_most("query after 200 batches", 1.5, after_s / compact_s, " times")])


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_ten_million_rows(broker: Broker, tmp_path: Path) -> None:
    print()
    rows = 10_000_000
    track = course(broker, tmp_path)
    run = told(track.fill(rows))
    for pattern in (UPDATES, NEW):
        load = changes(pattern, rows, BATCHES * BATCH_ROWS, seed=1)
        run = told(track.run(OURS, f"{pattern} of {rows:,}", load))
        judged(broker, [at_most("memory", 2_000, run.peak_rss_bytes / 1e6, " MB")])


@pytest.mark.integration
@pytest.mark.real
def test_every_runner_passes_the_gate(broker: Broker, tmp_path: Path) -> None:
    track = course(broker, tmp_path)
    track.fill(3_000)
    for pattern in (UPDATES, NEW):
        for runner in (OURS, PLAIN):
            run = track.run(runner, pattern, changes(pattern, 3_000, 2_000, seed=3))
            assert run.cpu_s > 0
            assert 0 < run.p50_s <= run.p99_s
            assert run.written_bytes > 0
