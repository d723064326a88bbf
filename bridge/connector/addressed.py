"""Scans for one transform: when one begins, what is under way, when it is complete. Pure.

An addressed scan fills a transform that begins when the changes topic has already lost its oldest
records. It bumps nothing: its items carry the epoch e of the table's feed and sequence 0, and the
name of the one transform that takes them. That transform has given out nothing yet. Before its
request it noted the topic's ends; below these it takes records of the stream only, from the oldest
retained one on, and no item of any scan.

Why it is then complete. Take an item and the last write to it before the scan reads it.

- Its record is retained, of epoch e: it beats the scanned item, and what is retained of an item
  ends with its last change, for retention deletes from the front.
- It is retained, of an older epoch: all bumps to e were committed before the scan read, so the
  write lies before the consistent read. The scanned item wins and is as new, or newer by a write
  whose record carries e, is still to come, and wins in turn.
- It is gone: nothing else of the item is retained either. Where the item exists it is scanned.
  Where it was removed nothing speaks of it: its REMOVE was the last record, and items of older
  scans, which could lie behind that, are below the noted ends and are not taken.

So when the scan is complete every live item has a row of epoch e, and a row of an older epoch is
one of an item that vanished: a seal of e, for that transform alone, says the same to its dataset as
the seal of a generation. It follows when every segment's end is read as committed, hence in every
partition behind the items. A scan waits until the generation's own scan is sealed; a generation
that begins meanwhile and scans covers it, one that does not scan lets it begin anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.connector.checkpoints import (
    AddressedScan,
    AddressedSegment,
    Generation,
    Record,
    Request,
)
from bridge.connector.view import CheckpointView


@dataclass(frozen=True, slots=True)
class Addressed:
    """What the leader commits: records, keys of partition 0 to delete, and complete scans."""

    keep: tuple[Record, ...] = ()
    forget: tuple[bytes, ...] = ()
    complete: tuple[AddressedScan, ...] = ()


def requests_for_all(view: CheckpointView, table: str) -> list[Request]:
    """Requests that a new generation answers."""
    return [r for r in view.requests[table].values() if r.addressed_to is None]


def running_scans(view: CheckpointView, generation: Generation) -> list[AddressedScan]:
    """Scans of the generation's epoch that are not complete."""
    scans = view.addressed[generation.table].values()
    return [scan for scan in scans if not scan.done and scan.epoch == generation.epoch]


def decide_addressed(
    view: CheckpointView, generation: Generation, segments: int, now_s: float
) -> Addressed:
    """What follows from the requests of a table and the scans for them.

    Args:
        view: what is committed.
        generation: the table's feed.
        segments: into how many parts a scan is divided.
        now_s: seconds since 1970.
    """
    table = generation.table
    complete = [scan for scan in running_scans(view, generation) if _all_read(view, scan)]
    keep: list[Record] = [_done(scan) for scan in complete]
    forget = [_request_key(view, scan) for scan in complete]
    begun = dict(view.addressed[table])
    for request in sorted(view.requests[table].values(), key=lambda r: (r.at_s, r.id)):
        if request.addressed_to is None:
            continue
        before = begun.get(request.addressed_to)
        if before is not None and before.id == request.id and before.done:
            forget.append(request.key())  # asked again after a crash
            continue
        underway = before is not None and not before.done and before.epoch == generation.epoch
        if underway or not _settled(view, generation):
            continue
        begun[request.addressed_to] = scan = _begin(request, generation, segments, now_s)
        keep.append(scan)
    return Addressed(tuple(keep), tuple(k for k in forget if k), tuple(complete))


def _begin(request: Request, generation: Generation, segments: int, now_s: float) -> AddressedScan:
    assert request.addressed_to is not None
    return AddressedScan(
        table=request.table,
        transform=request.addressed_to,
        id=request.id,
        epoch=generation.epoch,
        arn=generation.arn,
        segments=segments,
        at_s=int(now_s),
    )


def _done(scan: AddressedScan) -> AddressedScan:
    return AddressedScan(
        table=scan.table,
        transform=scan.transform,
        id=scan.id,
        epoch=scan.epoch,
        arn=scan.arn,
        segments=scan.segments,
        at_s=scan.at_s,
        done=True,
    )


def _request_key(view: CheckpointView, scan: AddressedScan) -> bytes:
    request = view.requests[scan.table].get(scan.id)
    return request.key() if request is not None else b""


def _settled(view: CheckpointView, generation: Generation) -> bool:
    """Whether the generation's own scan, if it has one, is sealed."""
    return generation.segments == 0 or view.sealed.get(generation.table, 0) >= generation.epoch


def _all_read(view: CheckpointView, scan: AddressedScan) -> bool:
    progress = view.addressed_segments[scan.table, scan.transform, scan.id, scan.epoch]
    return all(i in progress and progress[i].done for i in range(scan.segments))


def open_segments(view: CheckpointView, scan: AddressedScan) -> Iterator[AddressedSegment]:
    """The segments that are still to be read, where they are."""
    progress = view.addressed_segments[scan.table, scan.transform, scan.id, scan.epoch]
    for index in range(scan.segments):
        segment = progress.get(index) or AddressedSegment(
            table=scan.table, transform=scan.transform, id=scan.id, epoch=scan.epoch, index=index
        )
        if not segment.done:
            yield segment


def outdated_segments(view: CheckpointView, generation: Generation) -> list[AddressedSegment]:
    """Progress of scans that are complete, replaced or of an older epoch."""
    running = {(s.transform, s.id, s.epoch) for s in running_scans(view, generation)}
    return [
        segment
        for (table, *scan), progress in view.addressed_segments.items()
        if table == generation.table and tuple(scan) not in running
        for segment in progress.values()
    ]
