"""Dead letters: a message that can't be processed, kept whole, with its cause.

Value, key and headers are the original's, byte for byte; what failed, where and why lies in headers
named `dlq.*`, so the message can be looked at, replayed and dropped without guessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.wire import WIRE_VERSION
from bridge.wire.envelope import Headers, header

_TEXT_MAX = 8_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Cause and coordinates of one message that was set aside.

    `stage` is connector, processor or sink; `owner` the transform or dataset; topic, partition and
    offset are those of the original message; `reason` one line without item contents, for logs,
    lists and pages. `said` is what an error that nobody foresaw said, which may quote the item, as
    `traceback` may; both may be empty and belong to this letter alone.
    """

    stage: str
    owner: str
    topic: str
    partition: int
    offset: int
    error: str
    reason: str
    traceback: str = ""
    said: str = ""

    @property
    def whole(self) -> str:
        """Reason and what was said, for those who have the item before them anyway."""
        return f"{self.said} ({self.reason})" if self.said else self.reason

    def headers(self, original: Sequence[tuple[str, bytes | str | None]] | None) -> Headers:
        """The original's headers plus ours."""
        kept = [
            (name, value.encode() if isinstance(value, str) else value or b"")
            for name, value in original or ()
            if not name.startswith("dlq.")
        ]
        ours = {
            "dlq.v": str(WIRE_VERSION),
            "dlq.stage": self.stage,
            "dlq.owner": self.owner,
            "dlq.topic": self.topic,
            "dlq.partition": str(self.partition),
            "dlq.offset": str(self.offset),
            "dlq.error": self.error,
            "dlq.reason": self.reason[:_TEXT_MAX],
            "dlq.traceback": self.traceback[-_TEXT_MAX:],
        }
        if self.said:
            ours["dlq.said"] = self.said[:_TEXT_MAX]
        return [*kept, *((name, text.encode()) for name, text in ours.items())]

    @classmethod
    def from_headers(cls, headers: Sequence[tuple[str, bytes | str | None]] | None) -> DeadLetter:
        """Read a dead letter's headers; absent ones are empty."""

        def text(name: str) -> str:
            return header(headers, f"dlq.{name}") or ""

        return cls(
            stage=text("stage"),
            owner=text("owner"),
            topic=text("topic"),
            partition=int(text("partition") or -1),
            offset=int(text("offset") or -1),
            error=text("error"),
            reason=text("reason"),
            traceback=text("traceback"),
            said=text("said"),
        )
