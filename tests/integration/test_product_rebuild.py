"""A changed transform is rebuilt beside the old one; readers see old rows, then new ones."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from deltalake import DeltaTable

from bridge.wire.generations import read_generations
from sinks import failpoints
from tests.integration.conftest import COPY_COLUMNS
from tests.parts.waiting import wait_until
from tests.product.oracle import expected_copies
from tests.product.pipeline import Pipeline

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(300)]

NEW_COLUMNS = ("c", "email", "mark")
OLD_NAMES = {"eventID", "eventName", *COPY_COLUMNS}


def expected_new(items):
    return {
        key: {"c": item["c"]["N"], "email": item["customerEmail"]["S"], "mark": "new"}
        for key, item in items.items()
    }


def changed(made) -> Pipeline:
    """The same transform with another select: a type changed, columns gone, one new."""
    before = made.pipeline.file.read_text()
    start, end = before.index("    return items.select("), len(before)
    text = before[:start] + (
        '    return items.select("cast(dynamodb.NewImage.c.N as string) as c",\n'
        '        "dynamodb.NewImage.customerEmail.S as email", "\'new\' as mark")\n'
    )
    assert end > start
    folder = made.pipeline.folder / "changed"
    folder.mkdir()
    file = folder / "transform.py"
    file.write_text(text)
    return Pipeline(folder, file, made.pipeline.environment, made.pipeline.lake)


class Reader:
    """Reads the table again and again, as one snapshot each time."""

    def __init__(self, made) -> None:
        self._made = made
        self.wrong: list[str] = []
        self.reads = {"old": 0, "new": 0}
        self._seen: dict[str, int] = {}

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.look()
            time.sleep(0.02)

    def look(self) -> None:
        table = DeltaTable(self._made.uri, storage_options=self._made.storage_options)
        names = {field.name for field in table.schema().fields} - {
            "_key", "_version", "_event_time",
        }  # fmt: skip
        rows = table.to_pyarrow_table().to_pylist()
        kind = {frozenset(OLD_NAMES): "old", frozenset(NEW_COLUMNS): "new"}.get(frozenset(names))
        if kind is None:
            self.wrong.append(f"columns {sorted(names)}")
            return
        self.reads[kind] += 1
        if kind == "old" and self.reads["new"]:
            self.wrong.append("old again after new")
        if not rows:
            self.wrong.append("empty")
        if kind == "new" and any(row["mark"] != "new" for row in rows):
            self.wrong.append("a mixture")
        if len({row["_key"] for row in rows}) != len(rows):
            self.wrong.append("a doubled key")
        for row in rows:
            if int(row["c"]) < self._seen.get(row["_key"], 0):
                self.wrong.append(f"{row['_key']} went back")
            self._seen[row["_key"]] = int(row["c"])


@contextmanager
def reading(made):
    reader, stop = Reader(made), threading.Event()
    reader.look()
    thread = threading.Thread(target=reader.run, args=(stop,))
    thread.start()
    try:
        yield reader
    finally:
        stop.set()
        thread.join()
    assert not reader.wrong, reader.wrong[:5]


def started(made):
    made.pipeline.start()
    made.await_equal(expected_copies, COPY_COLUMNS)


def announced(new: Pipeline) -> int:
    done = new.command("rebuild", str(new.file), "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["generation"]


def current(made) -> int:
    return read_generations(made.kafka).current(made.dataset)


def write_until_changed_over(made, reader, restart=lambda: None, timeout_s: float = 90) -> None:
    def over() -> bool:
        made.workload.run(3)
        restart()
        return reader.reads["new"] > 0

    wait_until(over, timeout_s=timeout_s, what="the change-over")


def beside(made) -> list[str]:
    folder = Path(made.pipeline.lake) / "_tailrace" / made.dataset
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))


@pytest.mark.real
def test_a_changed_transform_is_rebuilt_while_readers_see_only_whole_generations(product):
    made = product(existing=60, keys=60)
    started(made)
    made.workload.run(80)
    with changed(made) as new, ThreadPoolExecutor(1) as pool:
        new.start("processor")
        assert new.stages["processor"].wait(timeout_s=60) == 2
        assert "tailrace rebuild FILE:copy_0" in new.stages["processor"].log_tail()
        with reading(made) as reader:
            assert announced(new) == 2
            new.disarm("processor")
            new.start("processor")
            waiting = pool.submit(
                new.command, "rebuild", str(new.file), "--wait", "--json", timeout_s=200
            )
            write_until_changed_over(made, reader)
            old = made.pipeline.stages.pop("processor")
            assert old.wait(timeout_s=30) == 0, "the old processor ends by itself"
            made.workload.run(30)
            made.await_equal(expected_new, NEW_COLUMNS)
        assert reader.reads["old"]
        waited = waiting.result()
        assert waited.returncode == 0, waited.stderr
        assert json.loads(waited.stdout) | {"changes": []} == {
            "transform": "copy_0", "generation": 2, "changes": [], "datasets": [made.dataset],
            "announced": True, "dry_run": False, "complete": True,
        }  # fmt: skip
        report = new.verify()
        assert (report["exit"], report["verified"]) == (0, True), report
        wait_until(lambda: current(made) == 2, timeout_s=20, what="the record")
        wait_until(
            lambda: not {"g2/table", "tombstones/_delta_log"} & set(beside(made)),
            timeout_s=20,
            what="nothing left beside the table",
        )
        # Both go on where they stood.
        assert new.stages["processor"].stop() == 0
        assert made.pipeline.stages["sink"].stop() == 0
        made.workload.run(30)
        new.start("processor")
        made.pipeline.start("sink")
        made.await_equal(expected_new, NEW_COLUMNS)


@pytest.mark.real
def test_killed_at_each_step_of_the_change_over_the_table_ends_up_new_and_whole(product):
    """The sink dies at every step in turn, the new processor and the connector at random."""
    made = product(existing=40, keys=40)
    started(made)
    with changed(made) as new:
        assert announced(new) == 2
        assert made.pipeline.stages["sink"].stop() == 0
        points = iter(failpoints.CHANGE_OVER)
        armed: list[str | None] = []

        def arm() -> None:
            point = next(points, None)
            armed.append(point)
            if point is None:
                made.pipeline.disarm("sink")
            else:
                made.pipeline.arm("sink", point)
            made.pipeline.start("sink")

        def restart() -> None:
            if not made.pipeline.stages["sink"].alive:
                arm()
            new.restart_dead()

        with reading(made) as reader:
            arm()
            new.start("processor")
            new.pause_ms(1500)
            new.kill("processor")
            made.pipeline.kill("connector")
            made.pipeline.start("connector")
            made.pipeline.stages.pop("processor").kill()  # gone before the new one is ready
            write_until_changed_over(made, reader, restart)
            wait_until(
                lambda: (restart(), armed[-1] is None)[1] and current(made) == 2,
                timeout_s=60,
                what="every step",
            )
            wait_until(
                lambda: (restart(), "g2/table" not in beside(made))[1],
                timeout_s=60,
                what="nothing left beside the table",
            )
            made.workload.run(30)
            made.await_equal(expected_new, NEW_COLUMNS)
        report = new.verify()
        assert (report["exit"], report["verified"]) == (0, True), report
