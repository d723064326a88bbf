"""Messages of a keyed dataset's own topic: what an item contributes to a target key.

Key: the target key. Value: flat JSON. An item that does not contribute any more sends no rows. The
place in the changes topic it comes from travels along: the next step passes over what it has seen,
should a writer have been interrupted and repeat itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.wire import WIRE_VERSION
from bridge.wire.envelope import Headers, check_wire_version
from bridge.wire.errors import WireError

Values = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contribution comes from: a change, and its number among what that change causes."""

    partition: int
    offset: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class Contributed:
    """One message.

    `rows` are the values of the item's rows under this key, `event_time` ISO 8601 UTC; `at_ms` is
    the event's time (since 1970) where windows count events. `place` None is a repetition by hand.
    """

    item: str
    version: str
    rows: Sequence[Values]
    event_time: str | None
    place: Place | None
    at_ms: int | None = None

    def encode(self) -> bytes:
        """The value."""
        place = self.place
        return orjson.dumps(
            {
                "v": WIRE_VERSION,
                "item": self.item,
                "version": self.version,
                "rows": self.rows,
                "event_time": self.event_time,
                "from": [place.partition, place.offset, place.number] if place else None,
                "at": self.at_ms,
            }
        )

    @staticmethod
    def headers() -> Headers:
        """The message's headers."""
        return [("v", b"%d" % WIRE_VERSION)]

    @classmethod
    def decode(cls, value: bytes) -> Contributed:
        """The value.

        Raises:
            WireError: malformed.
            UnknownVersionError: a newer release wrote it.
        """
        try:
            body = orjson.loads(value)
            check_wire_version(body["v"], "contribution")
            place = Place(*body["from"]) if body["from"] is not None else None
            return cls(
                str(body["item"]),
                str(body["version"]),
                body["rows"],
                body["event_time"],
                place,
                body["at"],
            )
        except (KeyError, TypeError, ValueError):
            raise WireError("malformed contribution") from None
