"""What a differing key turns out to be, decided over several looks: pure.

A difference seen once may be a change on its way. So both sides are read again once the pipeline
has passed the first look; what then equals any state the source was seen in is sound, what the
source itself changed meanwhile goes on moving, and only what differs again and again, from an item
that stood still, is a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.control.comparison import Candidate, Difference, SourceRow, TableRow

STRIKES = 2


@dataclass(frozen=True, slots=True)
class Suspect:
    """A differing key: its first look, the source as last seen, how often it differed standing."""

    candidate: Candidate
    source: bytes | None
    strikes: int = 0

    @property
    def kind(self) -> Difference:
        """What it is."""
        return self.candidate.kind

    @property
    def standing(self) -> bool:
        """Whether it is a difference, not something that moves."""
        return self.strikes >= STRIKES


def suspects(candidates: Iterable[Candidate]) -> dict[str, Suspect]:
    """Suspects by row key."""
    return {c.row_key: Suspect(c, c.source) for c in candidates}


def look_again(
    before: Mapping[str, Suspect],
    source: Mapping[str, SourceRow],
    table: Mapping[str, Sequence[TableRow]],
) -> dict[str, Suspect]:
    """The suspects that remain after both sides were read again."""
    after = {}
    for row_key, suspect in before.items():
        left = _judge(suspect, source.get(row_key), table.get(row_key, ()))
        if left is not None:
            after[row_key] = left
    return after


def _judge(
    suspect: Suspect, expected: SourceRow | None, found: Sequence[TableRow]
) -> Suspect | None:
    now = expected.value if expected is not None else None
    unfit = expected is not None and expected.value is None
    lies = found[0].value if found else None
    if len(found) <= 1 and not unfit and lies in (now, suspect.source):
        return None
    moved = now != suspect.source
    kind: Difference = (
        "extra" if len(found) > 1 or expected is None else "different" if found else "missing"
    )
    candidate = replace(
        suspect.candidate,
        item_key=expected.item_key if expected is not None else suspect.candidate.item_key,
        kind=kind,
        source=now,
        table=lies,
        version=found[0].version if found else None,
    )
    return Suspect(candidate, now, 0 if moved else suspect.strikes + 1)
