"""Seeded schedules over the connector's pure decisions: splits, kills, zombies, bumps, rebalances.

The world is the fake DynamoDB with a virtual clock, Kafka a model of its transactions (`log`), the
workers run the connector's own view, plan, readers and composer. One seed is one schedule; whatever
it does, each version of each item must come out once and in order.
"""

from __future__ import annotations

import random

from bridge.connector.checkpoints import Request
from bridge.connector.generation import TablePolicy
from bridge.connector.pruning import KEEP_S
from bridge.connector.view import CheckpointView
from bridge.connector.work import Message
from bridge.wire.namespace import NAMESPACE_PARTITION
from tests.fakes.dynamodb import VirtualClock, World
from tests.fault.log import FencedError, SimKafka
from tests.fault.sim_aws import SimAws
from tests.fault.sim_worker import BUCKETS, CHANGES, CHECKPOINTS, TABLE, SimWorker

KEYS = 12


class Simulation(SimAws):
    """One schedule.

    Args:
        seed: everything follows from it.
        trims: let DynamoDB trim what was not read; the source repairs gaps by itself then.
        prunes: let DynamoDB forget shards that were read, and the connector what is done with.
        races: let one worker do a lot while the others stand still, and ask for scans often.
    """

    def __init__(
        self, seed: int, *, trims: bool = False, prunes: bool = False, races: bool = False
    ) -> None:
        super().__init__()
        self.draw = random.Random(f"schedule {seed}")
        self.world = World(
            clock=VirtualClock(),
            seed=seed,
            shards=self.draw.randrange(1, 4),
            empty_page_rate=0.1,
            final_batch="mixed",
            null_iterator="mixed",
            # A replica is never staler than the stream's retention, which trims shorten here.
            stale_reads_s=0.0 if trims else self.draw.choice([0.0, 120.0]),
        )
        self.world.create_table(TABLE)
        self.world.clock.advance(3600)
        self.kafka = SimKafka()
        keep_s = self.draw.choice([0.0, 5.0]) if prunes else KEEP_S
        self.policy = TablePolicy(table=TABLE, resnapshot_on_gap=trims, keep_s=keep_s)
        self.trims = trims
        self.prunes = prunes
        self.races = races
        self.pruned = 0
        self.workers = [SimWorker(self) for _ in range(3)]
        self.zombies: list[SimWorker] = []
        self.written = 0
        self.steps: list[str] = []
        for _ in range(self.draw.randrange(0, 20)):
            self.write()
        for bucket in range(BUCKETS):
            self.draw.choice(self.workers).acquire(bucket)

    # What happens to them.

    def write(self) -> None:
        """Somebody changes an item."""
        key = {"id": {"S": f"k{self.draw.randrange(KEYS)}"}}
        if self.draw.random() < 0.2:
            self.world.delete(TABLE, key)
        else:
            self.written += 1
            self.world.put(TABLE, {**key, "n": {"N": str(self.written)}})

    def step(self) -> None:
        """One thing happens."""
        self.world.clock.advance(self.draw.random())
        draw, roll = self.draw, self.draw.random()
        worker = draw.choice([*self.workers, *self.zombies])
        self._age()
        if roll < 0.16:
            self.write()
        elif roll < 0.36:
            worker.tail(draw.randrange(BUCKETS), draw.choice([1, 2, 50]))
        elif roll < 0.46:
            worker.plan()
            if self.prunes:
                worker.prune()
        elif roll < 0.50:
            worker.lead()
        elif roll < 0.75:
            ready = list(worker.ready().values())
            if ready:
                worker.read(draw.choice(ready))
        elif roll < 0.88:
            self.commit(worker)
        elif roll < 0.93:
            self.kafka.write_marker(draw.random())
        else:
            self.disturb()

    def commit(self, worker: SimWorker) -> None:
        """A worker commits one of its buckets, or learns that it was fenced."""
        ready = sorted(worker.ready())
        if not ready:
            return
        bucket = self.draw.choice(ready)
        try:
            worker.commit(bucket)
        except FencedError:
            worker.owned.pop(bucket)
            self._bury(worker)

    def _bury(self, worker: SimWorker) -> None:
        if worker in self.zombies and not worker.owned:
            self.zombies.remove(worker)

    def disturb(self) -> None:
        """Something breaks, moves or is asked for."""
        name = self.draw.choice(
            ["split", "split", "rotate", "hide", "expire", "kill", "move", "zombie", "fail"]
            + ["ask", "ask"]
            + (["renew", "trim", "trim"] if self.trims else ["renew"])
            + (["ask", "race"] * 8 if self.races else [])
        )
        self.steps.append(name)
        getattr(self, f"_{name}")()

    def _split(self) -> None:
        shards = self.world.open_shards(TABLE)
        if shards and len(shards) < 6:
            self.world.split(self.draw.choice(shards))

    def _rotate(self) -> None:
        shards = self.world.open_shards(TABLE)
        if shards:
            self.world.rotate(self.draw.choice(shards))

    def _hide(self) -> None:
        shards = self.world.shards(TABLE)
        if shards:
            self.world.hide_shard(self.draw.choice(shards).id, self.draw.randrange(1, 4))

    def _expire(self) -> None:
        self.world.expire_iterators()

    def _fail(self) -> None:
        kind = self.draw.choice(["throttle", "server_error", "lost", "reset"])
        self.world.fail("GetRecords", kind, times=2)  # type: ignore[arg-type]

    def _ask(self) -> None:
        self.ask_for_scan()

    def ask_for_scan(self) -> None:
        """A person asks for a new snapshot."""
        request = Request(table=TABLE, id=str(self.draw.random()), at_s=0)
        message = Message(CHECKPOINTS, request.key(), request.value(), NAMESPACE_PARTITION)
        self.kafka.append(message, NAMESPACE_PARTITION)

    def _race(self) -> None:
        """A worker does all there is to do before the others do anything."""
        worker = self.draw.choice(self.workers)
        for _ in range(self.draw.randrange(1, 4)):
            try:
                self.round(worker)
            except FencedError:
                return  # one of its buckets has another owner; it hears of it when it commits

    def _renew(self) -> None:
        if self.draw.random() < 0.2:
            update = {"TableName": TABLE}
            self.world.call("UpdateTable", **update, StreamSpecification={"StreamEnabled": False})
            enable = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
            self.world.clock.advance(1.0)
            self.world.call("UpdateTable", **update, StreamSpecification=enable)

    def _trim(self) -> None:
        before_s = self.world.clock.now() - self.draw.random() * 20
        self.world.trim(TABLE, before_s)

    def _age(self) -> None:
        """Lineages grow and are forgotten at their other end, much faster than in life."""
        if not self.prunes or self.draw.random() > 0.2:
            return
        self.write()
        if self.draw.random() < 0.3:
            self._rotate()
        if self.draw.random() < 0.3:
            self._forget()

    def _forget(self) -> None:
        """A day goes by for shards that were read: AWS does not know them any more."""
        view = self.committed_view()
        for arn, positions in view.positions.items():
            for shard in self.world.shards(TABLE) if arn == self.world.stream_arn(TABLE) else ():
                position = positions.get(shard.id)
                if shard.closed_s is not None and position is not None and position.ended:
                    self.world.drop_shard(shard.id)

    def committed_view(self) -> CheckpointView:
        """All checkpoints as they are committed now."""
        view = CheckpointView()
        for bucket in range(BUCKETS):
            for message in self.kafka.read((CHECKPOINTS, bucket), 0, 10**9)[0]:
                assert message.key is not None
                view.apply(message.key, message.value)
        return view

    def _kill(self) -> None:
        """A worker dies, perhaps inside a transaction; the others share what it had."""
        worker = self.draw.choice(self.workers)
        for bucket in list(worker.ready()):
            if self.draw.random() < 0.5:
                try:
                    worker.commit(bucket, die_after=self.draw.randrange(0, 6))
                except FencedError:
                    continue
        self.workers[self.workers.index(worker)] = fresh = SimWorker(self)
        for bucket in sorted(worker.owned):
            self.draw.choice([*self.workers, fresh]).acquire(bucket)

    def _move(self) -> None:
        """A rebalance: a bucket changes hands after its holder let go of it."""
        worker = self.draw.choice(self.workers)
        if worker.owned:
            bucket = self.draw.choice(sorted(worker.owned))
            worker.owned.pop(bucket)
            self.draw.choice(self.workers).acquire(bucket)

    def _zombie(self) -> None:
        """A worker does not notice that others own its buckets now, and goes on."""
        worker = self.draw.choice(self.workers)
        if worker.owned and len(self.zombies) < 2:
            self.workers[self.workers.index(worker)] = SimWorker(self)
            self.zombies.append(worker)
            for bucket in sorted(worker.owned):
                self.draw.choice(self.workers).acquire(bucket)

    # The end.

    def run(self, steps: int) -> None:
        """The schedule, then quiet until nothing moves any more."""
        for _ in range(steps):
            self.step()
        self.world.clear_faults()
        self.world.settings.empty_page_rate = 0.0  # type: ignore[misc]
        self.settle()

    def settle(self) -> None:
        """Let the workers finish in turn.

        Raises:
            AssertionError: they do not come to rest.
        """
        for _ in range(400):
            before = self._size()
            for worker in self.workers:
                self.round(worker)
            if self._size() == before and self._rested():
                return
        raise AssertionError("the workers do not come to rest")

    def round(self, worker: SimWorker) -> None:
        """All a worker has to do now, and all markers are written."""
        self.world.clock.advance(5.0)
        self.markers()
        for bucket in range(BUCKETS):
            worker.tail(bucket, 10**6)
        worker.plan()
        if self.prunes:
            worker.prune()
        worker.survey = None
        worker.lead()
        for bucket, owned in worker.ready().items():
            for _ in range(4 * (len(owned.readers) + len(owned.segments))):
                worker.read(owned)
            while owned.backlog:
                worker.commit(bucket)

    def markers(self) -> None:
        """All markers that are due are written."""
        while self._deciding():
            self.kafka.write_marker(0.0)

    def _deciding(self) -> bool:
        return any(t.unmarked for t in self.kafka._deciding)

    def _size(self) -> int:
        return sum(len(log) for log in self.kafka.logs.values())

    def _rested(self) -> bool:
        return all(self._seen_all(worker) for worker in self.workers)

    def _seen_all(self, worker: SimWorker) -> bool:
        view = worker.view
        generation = view.generations.get(TABLE)
        return (
            generation is not None
            and view.sealed.get(TABLE) == generation.epoch
            and generation.arn == self.world.stream_arn(TABLE)
            and not view.active_gaps(TABLE)
            and not view.requests[TABLE]
            and self._all_read(worker)
        )

    def _all_read(self, worker: SimWorker) -> bool:
        arn = self.world.stream_arn(TABLE)
        positions = worker.view.positions[arn]
        for shard in self.world.shards(TABLE):
            position = positions.get(shard.id)
            last = str(shard.records[-1].sequence) if shard.records else None
            if shard.closed_s is not None:
                if position is None or not position.ended:
                    return False
            elif last is not None and (position is None or position.sequence != last):
                return False
        return True

    def first_arn(self) -> str:
        """The stream that the feed began with: older ones are nobody's business."""
        view = CheckpointView()
        for message in self.kafka.read((CHECKPOINTS, NAMESPACE_PARTITION), 0, 10**9)[0]:
            assert message.key is not None
            view.apply(message.key, message.value)
            if TABLE in view.generations:
                break
        return view.generations[TABLE].arn

    def committed(self, partition: int) -> list[Message]:
        """The changes of one partition as a read_committed reader gets them."""
        return self.kafka.read((CHANGES, partition), 0, 10**9)[0]
