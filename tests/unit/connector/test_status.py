"""A gap as a person reads it."""

from bridge.connector.gaps import gap_line
from tests.unit.connector.test_shards import gap


def test_a_gap_names_table_shard_from_to_and_the_command() -> None:
    line = gap_line(gap("shard-1"))
    assert "table orders" in line
    assert "shard-1" in line
    assert "sequence number 5" in line
    assert "1970-01-01T00:00:00Z" in line
    assert line.endswith("tailrace backfill orders")
