"""Intervals of a history (SCD type 2), worked out from the changes of one key. Pure.

Sorted by version, an upsert is valid from its own time until the earliest time of any later change,
or of the floor: what an epoch's complete scan did not meet had ended when that epoch began, and
what it met begins anew there, so an item that is still the same goes on without a seam. An upsert
that does not end after it begins is never seen (another change of the same second, or a scan that
met an item younger than itself). Neighbours with equal columns are one interval.

That depends on the set of changes alone, never on the order in which they came. And of that set the
table's own rows hold enough: what is hidden now stays hidden whatever comes, an end only ever moves
down, and the changes that were merged into a row are listed in it (`_merged`) in case a late one
comes to lie between them. Deletes have no row; they lie among the tombstones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

MEMBERS_MAX = 1_000
"""Changes merged into one row; its `_merged` must stay small."""


class Member(NamedTuple):
    """A change: its version, when it happened, and where its columns are (None: a delete)."""

    version: str
    at: int
    content: int | None


class Floor(NamedTuple):
    """Whatever is below `version` ended at `at`."""

    version: str
    at: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A row: its changes in order, the last of which has its columns; `end` None: it is current."""

    members: tuple[Member, ...]
    end: int | None

    @property
    def begin(self) -> int:
        """When it begins."""
        return self.members[0].at

    @property
    def newest(self) -> Member:
        """The change that has its columns."""
        return self.members[-1]

    @property
    def merged(self) -> str | None:
        """The column `_merged`."""
        older = [[member.version, member.at] for member in self.members[:-1]]
        return orjson.dumps(older).decode() if older else None


def read_merged(text: str | None, content: int) -> list[Member]:
    """What `Interval.merged` gave; their columns are those of the row."""
    if not text:
        return []
    return [Member(version, at, content) for version, at in orjson.loads(text)]


def intervals(
    members: Iterable[Member],
    ends: Mapping[str, int],
    floor: Floor | None,
    same: Callable[[int, int], bool],
) -> list[Interval]:
    """The rows of one key, in order.

    Args:
        members: all that is known of it; of one version an upsert beats a delete.
        ends: by version the end that a row had, as far as it had one.
        floor: of the key's table, once an epoch is sealed.
        same: whether two contents are equal.
    """
    found: dict[str, Member] = {}
    for member in members:
        other = found.get(member.version)
        if other is None or other.content is None:
            found[member.version] = member
    ordered = sorted(found.values())
    return _joined(ordered, _visible(ordered, ends, floor), same)


def _visible(
    ordered: Sequence[Member], ends: Mapping[str, int], floor: Floor | None
) -> dict[str, int | None]:
    """By version the end of every upsert that is seen."""
    visible: dict[str, int | None] = {}
    earliest: int | None = None
    for member in reversed(ordered):
        if floor is not None and member.version < floor.version:
            earliest = _least(earliest, floor.at)
        if member.content is not None:
            end = _least(earliest, ends.get(member.version))
            if end is None or member.at < end:
                visible[member.version] = end
        earliest = _least(earliest, member.at)
    return visible


def _joined(
    ordered: Sequence[Member],
    visible: Mapping[str, int | None],
    same: Callable[[int, int], bool],
) -> list[Interval]:
    """Equal neighbours as one; a delete between them keeps them apart."""
    joined: list[Interval] = []
    removed = False
    for member in ordered:
        if member.content is None:
            removed = True
            continue
        if member.version not in visible:
            continue
        end, last = visible[member.version], joined[-1] if joined else None
        if (
            last is not None
            and not removed
            and last.end == member.at
            and len(last.members) < MEMBERS_MAX
            and same(_content(last.newest), member.content)
        ):
            joined[-1] = Interval((*last.members, member), end)
        else:
            joined.append(Interval((member,), end))
        removed = False
    return joined


def _content(member: Member) -> int:
    assert member.content is not None
    return member.content


def _least(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
