"""The leader's decisions about a table: a generation begins, shards are found, the seal. Pure.

A generation is begun by a first start, a new stream, a person's request, or a gap that is repaired
by itself. Its scan may start when every bucket's changes carry its epoch and every shard known from
its start has a committed position; then the last stream record of an item wins, else its snapshot
row (the proof is in the design). The seal follows when every segment's end is read as committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bridge.connector.addressed import decide_addressed, requests_for_all
from bridge.connector.checkpoints import (
    AddressedScan,
    Gap,
    Generation,
    Record,
    SealedMark,
    Shard,
)
from bridge.connector.pruning import KEEP_S, forget_listings
from bridge.connector.shards import ShardState, drained, shard_state, shard_views, unlisted_parents
from bridge.connector.view import CheckpointView
from bridge.wire.version import next_epoch

# A stream younger than this may lack writes that an eventually consistent scan does not see yet.
YOUNG_STREAM_S = 15 * 60
REPAIR_INTERVAL_S = 60
FIRST_START = "first start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the leader saw of a table in AWS.

    `arn` is the latest stream's, None while the table has none, and the table's own where no stream
    is read; `age_s` how old that stream is,
    None if unknown; `following` the streams after the one that is read now, oldest first, the
    latest last; `listings` complete listings by stream; `gone` shards that were asked for, that
    no listing shows and AWS does not know; `segments` into how many parts a scan is divided.
    """

    arn: str | None
    age_s: float | None
    following: tuple[str, ...] = ()
    listings: Mapping[str, tuple[Shard, ...]]
    gone: frozenset[tuple[str, str]] = frozenset()
    segments: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePolicy:
    """What the source's declaration says about its feed.

    `keep_s` is how long what is done with is remembered.
    """

    table: str
    snapshot: Literal["initial", "never", "only"] = "initial"
    resnapshot_on_gap: bool = False
    keep_s: float = KEEP_S

    @property
    def reads_stream(self) -> bool:
        """Whether changes are wanted, not the existing items alone."""
        return self.snapshot != "only"


@dataclass(frozen=True, slots=True)
class Decision:
    """Records to commit to partition 0 in one transaction.

    `forget` are keys to delete, written first; `seal` asks for the epoch's seals with them,
    `complete` for those of addressed scans.
    """

    keep: tuple[Record, ...] = ()
    forget: tuple[bytes, ...] = ()
    seal: SealedMark | None = None
    complete: tuple[AddressedScan, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing to do."""
        return not (self.keep or self.forget or self.seal)


def decide(view: CheckpointView, policy: TablePolicy, survey: Survey, now_s: float) -> Decision:
    """What the leader commits next for one table."""
    table = policy.table
    beginning = _beginning(view, policy, survey, now_s)
    if beginning is not None and beginning.arn in survey.listings:
        return _begin(view, policy, survey, beginning, now_s)
    generation = view.generations.get(table)
    if generation is None:
        return Decision()
    found = _discovered(view, generation.arn, survey)
    lost = _lost(view, policy, survey, now_s)
    seal = seal_due(view, generation)
    kept, forgotten = forget_listings(view, generation, survey.gone, now_s, policy.keep_s)
    addressed = decide_addressed(view, generation, survey.segments, now_s)
    return Decision(
        keep=(*found, *lost, *kept, *addressed.keep),
        forget=(*forgotten, *addressed.forget),
        seal=seal,
        complete=addressed.complete,
    )


@dataclass(frozen=True, slots=True)
class _Beginning:
    """Why a generation begins, on which stream, and whether it scans."""

    reason: str
    arn: str
    scans: bool


def _beginning(
    view: CheckpointView, policy: TablePolicy, survey: Survey, now_s: float
) -> _Beginning | None:
    latest = survey.arn
    if latest is None:
        return None
    generation = view.generations.get(policy.table)
    if generation is None or generation.reads_stream != policy.reads_stream:
        return _Beginning(FIRST_START, latest, policy.snapshot != "never")
    if view.active_gaps(policy.table):
        # What the streams in between held is lost with the rest; the scan covers it.
        waited = now_s - generation.at_s >= REPAIR_INTERVAL_S or generation.reason != "gap"
        if requests_for_all(view, policy.table):
            return _Beginning("requested", latest, scans=True)
        return _Beginning("gap", latest, True) if policy.resnapshot_on_gap and waited else None
    if policy.snapshot != "never" and _finished(view, generation, survey):
        # Streams that were enabled and disabled again meanwhile are read too, without a scan.
        following = survey.following[0]
        return _Beginning("new stream", following, following == latest)
    if requests_for_all(view, policy.table):
        return _Beginning("requested", generation.arn, scans=True)
    return None


def _finished(view: CheckpointView, generation: Generation, survey: Survey) -> bool:
    """Whether the stream has a successor and was itself read to its end."""
    listed = survey.listings.get(generation.arn)
    if not survey.following or listed is None:
        return False
    return drained(view, generation.arn, frozenset(shard.shard for shard in listed))


def _begin(
    view: CheckpointView,
    policy: TablePolicy,
    survey: Survey,
    beginning: _Beginning,
    now_s: float,
) -> Decision:
    before = view.generations.get(policy.table)
    arn = beginning.arn
    first_of_stream = before is None or before.arn != arn
    young = survey.age_s is None or survey.age_s < YOUNG_STREAM_S
    generation = Generation(
        table=policy.table,
        epoch=next_epoch(before.epoch if before else None, now_s),
        arn=arn,
        segments=survey.segments if beginning.scans else 0,
        consistent=before is not None or young,
        reason=beginning.reason,
        at_s=int(now_s),
    )
    known = view.shards[arn]
    listed = [shard for shard in survey.listings[arn] if shard.shard not in known]
    shards = [
        Shard(arn=arn, shard=s.shard, parent=s.parent, start=s.start, first=first_of_stream)
        for s in listed
    ]
    requests = view.requests[policy.table].values() if beginning.scans else ()
    # In this order: who reads the generation has read everything that belongs to it.
    return Decision(keep=(*shards, generation), forget=tuple(request.key() for request in requests))


def _discovered(view: CheckpointView, arn: str, survey: Survey) -> list[Shard]:
    known = view.shards[arn]
    return [shard for shard in survey.listings.get(arn, ()) if shard.shard not in known]


def _lost(view: CheckpointView, policy: TablePolicy, survey: Survey, now_s: float) -> list[Gap]:
    generation = view.generations[policy.table]
    arn = generation.arn

    def gap(shard: str, cause: str) -> Gap:
        return Gap(
            table=policy.table,
            arn=arn,
            shard=shard,
            epoch=generation.epoch,
            after=None,
            cause=cause,
            at_s=int(now_s),
        )

    lost = [
        gap(child, f"its parent {parent} was trimmed before it was read")
        for child, parent in unlisted_parents(view, policy.table, arn).items()
        if (arn, parent) in survey.gone
    ]
    repairable = policy.snapshot != "never" or view.active_gaps(policy.table)
    if not repairable and _finished(view, generation, survey):
        lost.append(gap("-", "the stream was disabled and enabled again, with no snapshot"))
    return lost


def scan_open(view: CheckpointView, generation: Generation, buckets: int) -> bool:
    """Whether the generation's scan may read.

    All bumps are committed, all known shards placed, and every position that is not an end carries
    the epoch: its owner saw, after the bump, that nothing of the shard was lost.
    """
    return generation.segments > 0 and readable(view, generation, buckets)


def readable(view: CheckpointView, generation: Generation, buckets: int) -> bool:
    """Whether a scan that carries the generation's epoch may read; see `scan_open`."""
    if view.active_gaps(generation.table):
        return False
    arn, epoch = generation.arn, generation.epoch
    if any(view.bump(arn, bucket) < epoch for bucket in range(buckets)):
        return False
    if any(not p.ended and p.epoch < epoch for p in view.positions[arn].values()):
        return False
    unplaced = (ShardState.PLACE, ShardState.RESTART)
    return all(
        shard_state(view, known, epoch) not in unplaced
        for known in shard_views(view, generation.table, arn)
    )


def seal_due(view: CheckpointView, generation: Generation) -> SealedMark | None:
    """The seal, when every segment's end is read as committed and it was not written yet.

    A feed that begins without a scan says so at once: else whoever waits for a seal would wait for
    ever. It removes nothing, for nothing was compared with the source.
    """
    if view.sealed.get(generation.table, 0) >= generation.epoch:
        return None
    if generation.segments == 0:
        unscanned = SealedMark(table=generation.table, epoch=generation.epoch, scanned=False)
        return unscanned if generation.reason == FIRST_START else None
    segments = view.segments[generation.table, generation.epoch]
    if any(i not in segments or not segments[i].done for i in range(generation.segments)):
        return None
    return SealedMark(table=generation.table, epoch=generation.epoch)
