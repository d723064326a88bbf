"""What `tailrace up` runs, and its logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.control.plan import load_plan
from bridge.control.restarts import BACKOFF_MAX_S, Again, Record, after_end
from bridge.control.up import one_target, put_aside, stage_specs
from bridge.wire.errors import ConfigurationError

TEXT = """
from bridge import DynamoDBSource
from processors import Input, Output, Stream, transform
from sinks import Dataset


@transform(
    input_mapping={{"items": Input(Stream(source=DynamoDBSource(table_name="{name}")))}},
    output_mapping={{"out": Output(Dataset(id="{name}_out"))}},
)
def {name}(items):
    return items.select("dynamodb.NewImage.c.N")
"""


def written(folder: Path, *names: str, file: str = "") -> list[str]:
    folder.mkdir(exist_ok=True)
    files = []
    for name in names:
        path = folder / (file or f"{name}.py")
        path.write_text(TEXT.format(name=name))
        files.append(str(path))
    return files


def test_several_files_have_one_connector_and_one_sink(tmp_path: Path) -> None:
    files = written(tmp_path, "orders", "customers")
    target = one_target(files, tmp_path / "links")

    specs = stage_specs(load_plan(target), target, 9100)

    assert [(spec.name, spec.port) for spec in specs] == [
        ("connector", 9100),
        ("processor-orders", 9101),
        ("processor-customers", 9102),
        ("sink", 9103),
    ]
    assert [spec.target for spec in specs if spec.kind != "processor"] == [target, target]
    for spec in specs:
        assert load_plan(spec.target).transforms


def test_files_of_one_name_are_two(tmp_path: Path) -> None:
    files = [
        *written(tmp_path / "a", "orders", file="main.py"),
        *written(tmp_path / "b", "customers", file="main.py"),
    ]
    plan = load_plan(one_target(files, tmp_path / "links"))
    assert {transform.name for transform in plan.transforms} == {"orders", "customers"}


def test_a_file_that_is_named_no_more_is_left_out(tmp_path: Path) -> None:
    files = written(tmp_path, "orders", "customers", "parts")
    one_target(files, tmp_path / "links")
    plan = load_plan(one_target(files[:2], tmp_path / "links"))
    assert len(plan.transforms) == 2


def test_one_target_is_taken_as_it_is(tmp_path: Path) -> None:
    (file,) = written(tmp_path, "orders")
    assert one_target([f"{file}:orders"], tmp_path / "links") == f"{file}:orders"
    specs = stage_specs(load_plan(f"{file}:orders"), f"{file}:orders", 0)
    assert [spec.target for spec in specs] == [f"{file}:orders"] * 3
    assert {spec.port for spec in specs} == {None}


@pytest.mark.parametrize("wrong", ["{file}:orders", "{folder}", "{folder}/missing.py"])
def test_of_several_each_is_a_whole_file(tmp_path: Path, wrong: str) -> None:
    (file,) = written(tmp_path, "orders")
    with pytest.raises(ConfigurationError, match="name whole files"):
        one_target([file, wrong.format(file=file, folder=tmp_path)], tmp_path / "links")


def test_who_may_fail_for_ever_is_started_again_after_at_most_the_longest_wait() -> None:
    record = Record()
    for _ in range(5_000):
        decision = after_end(record, 1, ran_s=1, failures_max=None)
        assert isinstance(decision, Again)
        record = decision.record
    assert decision.delay_s == BACKOFF_MAX_S


def test_a_long_log_is_put_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "sink.log"
    with log.open("ab") as writer:
        writer.write(b"x" * 100)
        writer.flush()
        put_aside(log, 100)
        assert not (tmp_path / "sink.log.1").exists()
        writer.write(b"y")
        writer.flush()
        put_aside(log, 100)
        writer.write(b"z")
    assert log.read_bytes() == b"z"
    assert (tmp_path / "sink.log.1").read_bytes() == b"x" * 100 + b"y"
