"""How a dataset's columns came about: in the topic by fingerprint, in the table by commit."""

from __future__ import annotations

import json

import pytest
from deltalake import DeltaTable, Field
from deltalake import Schema as DeltaSchema
from deltalake.schema import PrimitiveType
from typer.testing import CliRunner

from bridge.control.cli import app
from bridge.wire.schemas import Column, Schema, register_schema
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics

pytestmark = [pytest.mark.integration]


@pytest.fixture
def tailrace(kafka, tmp_path, monkeypatch):
    """Runs `tailrace schema …` beside two schemas of `out`, one of another dataset and a table."""
    topic = TopicSpec(name=TopicNames(kafka.namespace).schemas, partitions=1, compacted=True)
    ensure_topics(admin(kafka), [topic])
    first = (Column("id", "string"), Column("total", "decimal(18,2)"), Column("gone", "string"))
    second = (Column("id", "string"), Column("total", "double"), Column("note", "string"))
    for dataset, columns in (("out", first), ("other", first), ("out", second)):
        register_schema(kafka, Schema(dataset, "copy", columns))
    table = DeltaTable.create(tmp_path / "out", DeltaSchema([Field("id", PrimitiveType("string"))]))
    table.alter.add_columns([Field("note", PrimitiveType("string"))])
    monkeypatch.setenv("TAILRACE_BROKERS", kafka.brokers)
    monkeypatch.setenv("TAILRACE_NAMESPACE", kafka.namespace)
    monkeypatch.setenv("TAILRACE_LAKE", str(tmp_path))
    monkeypatch.setattr("bridge.control.logs.configure_logging", lambda **_: None)

    def run(*arguments):
        return CliRunner().invoke(app, ["schema", *arguments], catch_exceptions=False)

    return run


def test_the_log_has_every_schema_and_every_commit_that_changed_columns(tailrace):
    entries = json.loads(tailrace("log", "out", "--json").stdout)["log"]

    topic = [entry for entry in entries if entry["where"] == "rows"]
    assert [list(entry["added"]) for entry in topic] == [["id", "total", "gone"], ["note"]]
    assert topic[1]["removed"] == {"gone": "string"}
    assert topic[1]["changed"] == {"total": ["decimal(18,2)", "double"]}
    commits = [entry for entry in entries if entry["where"] == "table"]
    assert [(e["name"], e["added"]) for e in sorted(commits, key=lambda e: e["name"])] == [
        ("version 0", {"id": "string"}),
        ("version 1", {"note": "string"}),
    ]


def test_two_schemas_differ(tailrace):
    found = json.loads(tailrace("diff", "out", "--json").stdout)
    turned = json.loads(
        tailrace("diff", "out", found["after"][:6], found["before"][:6], "--json").stdout
    )

    assert (found["added"], found["removed"]) == ({"note": "string"}, {"gone": "string"})
    assert (turned["added"], turned["removed"]) == (found["removed"], found["added"])
    assert "+ note string, - gone string" in tailrace("diff", "out").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("log", "absent"), "nothing is known"),
        (("diff", "other"), "has 1 schema"),
        (("diff", "out", "zzz"), "0 schemas of out begin with 'zzz'"),
    ],
)
def test_what_is_not_there_is_said(tailrace, arguments, message):
    with pytest.raises(Exception, match=message):
        tailrace(*arguments)
