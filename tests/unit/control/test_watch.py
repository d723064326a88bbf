"""A folder of transforms: all its files are one plan, and what comes along is taken in."""

import threading
from pathlib import Path

import pytest

from bridge.control.plan import load_plan
from bridge.control.watch import watched
from bridge.wire.errors import ConfigurationError

FILE = """
from bridge import DynamoDBSource
from processors import Input, Output, Stream, transform
from sinks import Dataset

@transform(
    input_mapping={{"changes": Input(Stream(source=DynamoDBSource(table_name="{table}")))}},
    output_mapping={{"rows": Output(Dataset(id="{dataset}"))}},
)
def {name}(changes):
    return changes.select("dynamodb.NewImage.status.S as status")
"""


def write(folder: Path, name: str, table: str = "orders", dataset: str = "") -> Path:
    path = folder / f"{name}.py"
    path.write_text(FILE.format(name=name, table=table, dataset=dataset or f"{name}_rows"))
    return path


def test_a_folder_is_all_its_transforms(tmp_path):
    write(tmp_path, "one")
    write(tmp_path, "two", table="customers")
    (tmp_path / "_shared.py").write_text("raise AssertionError('nobody imports it')")
    plan = load_plan(str(tmp_path))
    assert [transform.name for transform in plan.transforms] == ["one", "two"]
    assert [source.table_name for source in plan.sources] == ["orders", "customers"]
    assert load_plan(f"{tmp_path}:two").only.name == "two"


def test_files_of_a_folder_must_agree(tmp_path):
    with pytest.raises(ConfigurationError, match="no file with a @transform"):
        load_plan(str(tmp_path))
    write(tmp_path, "one")
    (tmp_path / "other.py").write_text((tmp_path / "one.py").read_text())
    with pytest.raises(ConfigurationError, match="two transforms are named 'one'"):
        load_plan(str(tmp_path))
    (tmp_path / "other.py").unlink()
    write(tmp_path, "two", dataset="one_rows")
    with pytest.raises(ConfigurationError, match="'one_rows' is fed twice"):
        load_plan(str(tmp_path))


def test_a_new_file_ends_the_sink_and_not_the_connector_that_reads_its_table_anyway(tmp_path):
    write(tmp_path, "one")
    stop = threading.Event()
    with (
        watched("connector", str(tmp_path), stop) as (_, connector),
        watched("sink", str(tmp_path), stop) as (plan, sink),
    ):
        assert list(plan.tables) == ["one_rows"]
        write(tmp_path, "two")
        assert sink.wait(30)
        write(tmp_path, "three", table="customers")
        assert connector.wait(30)
        assert not stop.is_set()
    with watched("sink", str(tmp_path), stop) as (plan, _):
        assert list(plan.tables) == ["one_rows", "three_rows", "two_rows"]


def test_a_broken_file_ends_nothing_until_it_is_mended(tmp_path, monkeypatch):
    looked = threading.Semaphore(0)
    monkeypatch.setattr("bridge.control.watch.logger.error", lambda *_, **__: looked.release())
    write(tmp_path, "one")
    stop = threading.Event()
    with watched("sink", str(tmp_path), stop) as (_, ended):
        broken = tmp_path / "two.py"
        broken.write_text("this is no Python")
        assert looked.acquire(timeout=30)
        assert not ended.is_set()
        write(tmp_path, "two")
        assert ended.wait(30)


@pytest.mark.parametrize("kind", ["processor", "sink"])
def test_stop_ends_every_stage(tmp_path, kind):
    file = write(tmp_path, "one")
    stop = threading.Event()
    for target in (str(file), str(tmp_path)):
        with watched(kind, target, stop) as (_, ended):
            assert not ended.is_set()
            stop.set()
            assert ended.wait(30)
        stop.clear()
