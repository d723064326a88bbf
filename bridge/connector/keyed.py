"""Records with their Kafka keys, one by one or as an answer of thousands was cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import overload

import msgspec

from bridge.wire.envelope import stamp_record


class Keyed(msgspec.Struct, frozen=True, gc=False):
    """A message to be: its Kafka key (None: it can't be keyed) and the record's own bytes."""

    key: bytes | None
    record: bytes
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Pieces(Sequence[Keyed]):
    """The records of an answer, all with keys, as they were cut out of it.

    Of each only a piece is kept, without the opening that all have in common and without the last
    brace: the stamp comes there, so a record is put together once, as the message it becomes.
    """

    lead: bytes
    keys: list[bytes]
    pieces: list[bytes]

    def __len__(self) -> int:
        return len(self.pieces)

    @overload
    def __getitem__(self, place: int) -> Keyed: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Keyed]: ...

    def __getitem__(self, place: int | slice) -> Keyed | Sequence[Keyed]:
        if isinstance(place, slice):
            return Pieces(self.lead, self.keys[place], self.pieces[place])
        return Keyed(self.keys[place], b"".join((self.lead, self.pieces[place], b"}")))

    def replace(self, place: int, record: bytes) -> None:
        """Put another record there, which begins and ends like the others."""
        self.pieces[place] = record[len(self.lead) : -1]


def stamped(records: Sequence[Keyed], tail: bytes) -> Iterable[tuple[bytes | None, bytes]]:
    """Key and value of each record's message, one after the other; see `stamp_record`."""
    if isinstance(records, Pieces):
        values = map(b"".join, zip(repeat(records.lead), records.pieces, repeat(tail)))
        return zip(records.keys, values, strict=True)
    return ((keyed.key, stamp_record(keyed.record, tail)) for keyed in records)


def count_keyed(records: Sequence[Keyed]) -> int:
    """How many have a key."""
    if isinstance(records, Pieces):
        return len(records)
    return sum(keyed.key is not None for keyed in records)
