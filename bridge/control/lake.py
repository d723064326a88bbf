"""The lake as readers see it: SQL over its datasets, in batches, through delta-rs's own engine.

Tables are found by their names alone, so that no object store has to be listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bridge.control.stages import needing
from bridge.wire.errors import ConfigurationError, TailraceError

if TYPE_CHECKING:
    from sinks.reader import TableView
    from sinks.table import Snapshot

_TEXT_MAX = 300


class Lake:
    """A lake to read.

    Args:
        uri: base URI of the tables.
        options: of the object store; never logged.
    """

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        with needing("sink"):
            from sinks.location import located
            from sinks.table import lake_storage_options
        self.uri = uri
        self._located = located
        self._options = lake_storage_options(uri, options)

    def table(self, dataset: str) -> Any | None:
        """The newest snapshot of a dataset (a DeltaTable), None if there is none.

        Raises:
            TailraceError: the lake does not answer.
        """
        found = self.snapshot(dataset)
        return None if found is None else found.delta

    def snapshot(self, dataset: str) -> Snapshot | None:
        """The newest snapshot of a dataset, to commit to; None if there is none.

        Raises:
            TailraceError: the lake does not answer.
        """
        from sinks.table import TableStore

        return TableStore(self._located(self.uri, dataset, self._options), self._options).open()

    def view(self, dataset: str) -> TableView | None:
        """The newest snapshot of a dataset as a reader's view, None if there is none.

        Raises:
            TailraceError: the lake does not answer.
        """
        from sinks.reader import open_table

        return open_table(self.uri, dataset, self._options)

    def datasets(self) -> list[str]:
        """Every dataset that has a table.

        Raises:
            TailraceError: the lake does not answer.
        """
        from sinks.reader import datasets

        return datasets(self.uri, self._options)


def select(tables: Mapping[str, Any], sql: str) -> Iterator[Any]:
    """Run a query over tables by name; Arrow record batches.

    Raises:
        ConfigurationError: the query is wrong.
    """
    import pyarrow as pa
    from deltalake import QueryBuilder

    builder = QueryBuilder()
    for name, table in tables.items():
        builder.register(quoted(name), table)
    try:
        yield from pa.RecordBatchReader.from_stream(builder.execute(sql))
    except TailraceError:
        raise
    except Exception as error:  # the engine raises what it likes
        text = " ".join(str(error).split())[:_TEXT_MAX]
        raise ConfigurationError(text, where="query") from None


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever it is made of."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
