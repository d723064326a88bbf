"""A pytest fixture for transforms; pytest finds it by itself once Tailrace is installed.

def test_removed_orders_leave(transform_driver):
    orders = transform_driver(process_orders_stream, key=["orderId"])
    orders.insert({"orderId": "o-1", "orderTotal": 5})
    orders.remove({"orderId": "o-1"})
    assert orders.rows() == []
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bridge.wire.deadletter import DeadLetter
    from processors.rehearsal import Rehearsal, Step
    from processors.transform import Transform

Item = Mapping[str, Any]


class Driven:
    """A transform under test: hand it changes, ask it for rows and dead letters.

    Items are plain values or DynamoDB JSON. Every method returns what the change caused: its rows,
    why there are none, its dead letter.
    """

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal
        self._looked = False

    def insert(self, item: Item, *, table: str | None = None) -> Step:
        """An item that was not there."""
        return self.send({"insert": item, **_in(table)})

    def modify(self, item: Item, old: Item | None = None, *, table: str | None = None) -> Step:
        """An item as it is now, and as it was."""
        return self.send({"modify": item, **({"old": old} if old else {}), **_in(table)})

    def remove(self, item: Item, *, table: str | None = None) -> Step:
        """An item that went; its key is enough."""
        return self.send({"remove": item, **_in(table)})

    def read(self, item: Item, *, table: str | None = None) -> Step:
        """An item met by a snapshot."""
        return self.send({"read": item, **_in(table)})

    def send(self, event: Mapping[str, Any]) -> Step:
        """A whole Streams record, or one of the short forms of `processors.events`."""
        return self._rehearsal.play(event)

    def unseen(self) -> list[DeadLetter]:
        """Dead letters of a test that never asked for any."""
        return [] if self._looked else self._rehearsal.dead_letters()

    def rows(self, dataset: str | None = None) -> list[dict[str, Any]]:
        """The dataset as it is now, by `_key`; columns only. Decimals are texts, as on the wire."""
        return [row for _, row in sorted(self._rehearsal.table(dataset).items())]

    def dead_letters(self) -> list[DeadLetter]:
        """What was set aside, with its cause; a test that does not ask fails if there are any."""
        self._looked = True
        return self._rehearsal.dead_letters()


def _in(table: str | None) -> dict[str, str]:
    return {} if table is None else {"table": table}


@pytest.fixture
def transform_driver() -> Iterator[Callable[..., Driven]]:
    """`transform_driver(transform, key=[…])` -> Driven: any transform, without a broker."""
    opened: list[Rehearsal] = []
    driven: list[Driven] = []

    def drive(transform: Transform, *, key: Sequence[str] = ()) -> Driven:
        from processors.rehearsal import Rehearsal

        opened.append(Rehearsal(transform, key=key))
        driven.append(Driven(opened[-1]))
        return driven[-1]

    yield drive
    unseen = [letter for one in driven for letter in one.unseen()]
    for rehearsal in opened:
        rehearsal.close()
    if unseen:
        pytest.fail(f"a change was set aside: {unseen[0].error}: {unseen[0].whole}")
