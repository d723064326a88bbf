"""`tailrace optimize`: explains first, then does no more than it said; the sink goes on upon it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from bridge.control.cli import app
from bridge.wire.errors import ConfigurationError, TailraceError
from sinks import optimizing
from sinks.optimizing import Step, carry_out
from sinks.table import TableError
from sinks.upkeep import Job
from tests.unit.sinks.build import SCHEMAS, Log, World


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return World(tmp_path / "lake")


@pytest.fixture
def writer(world):
    log, writer = Log(), world.writer()
    for number in range(10):
        log.upsert(f"k{number}", number)
        writer.commit(log.batch(dict(writer.ledger.offsets)), SCHEMAS)
    return writer


def run(world, *arguments):
    found = CliRunner().invoke(
        app,
        ["optimize", "orders", "--lake", str(world.lake), *arguments],
        catch_exceptions=False,
    )
    assert found.exit_code == 0
    return found.output


def test_a_dry_run_explains_and_changes_nothing(world, writer):
    version, files = world.version(), sorted(world.lake.rglob("*"))
    found = run(world, "--dry-run")
    assert "10 files become 1 of up to 32 MB: a full read opens 9 fewer" in found
    assert "vacuum      no " in found
    assert world.version() == version
    assert sorted(world.lake.rglob("*")) == files


def test_it_does_what_it_said_and_the_sink_goes_on(world, writer):
    before = world.rows()
    found = json.loads(run(world, "--json"))
    assert found["before"]["files"] == 10
    assert found["after"]["files"] == 1
    done = {step["job"]: step["pays"] for step in found["steps"]}
    assert done == {"compact": True, "vacuum": False, "checkpoint": True, "clean log": True}
    assert world.rows() == before
    assert list(world.lake.rglob("*.checkpoint.parquet"))
    log = Log()
    for number in range(11):
        log.upsert(f"k{number}", number)
    writer.commit(log.batch(dict(writer.ledger.offsets)), SCHEMAS)
    assert len(world.rows()) == 11
    again = json.loads(run(world, "--dry-run", "--json"))
    assert again["before"]["files"] == 2
    assert "after" not in again


def test_rows_are_sorted_by_key_on_demand(world, writer):
    before = world.rows()
    assert "a lookup by key may open" in run(world, "--sort")
    assert world.rows() == before
    assert world.store.open().files().num_rows == 1


def test_a_table_that_is_not_there_is_named(world):
    with pytest.raises(ConfigurationError, match="no table of a dataset 'orders'"):
        run(world)


def test_a_step_outrun_every_time_is_refused_with_the_way_out(world, writer, monkeypatch):
    tries = []

    def outrun(snapshot, target):
        tries.append(snapshot.version)
        raise TableError("somebody was faster")

    monkeypatch.setattr(optimizing, "compact", outrun)
    with pytest.raises(TailraceError, match="tailrace pause dataset"):
        carry_out(world.store, Step(Job.COMPACT, True, ""))
    assert len(tries) == 5
