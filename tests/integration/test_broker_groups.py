"""What we need of a broker's group coordinator: ownership that is whole, disjoint and heals."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.wire.kafka import KafkaConfig
from bridge.wire.topics import TopicSpec, admin, ensure_topics
from tests.parts.process import Process
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.integration

PARTITIONS = 6
ALL = list(range(PARTITIONS))
SETTLE_TIMEOUT_S = 30.0

Join = Callable[..., "Member"]


class Member:
    """One member of the group, in a process of its own."""

    def __init__(self, kafka: KafkaConfig, log: Path, *, session_ms: int, instance: str | None):
        self._log = log
        script = [sys.executable, "-m", "tests.integration.group_member"]
        where = [kafka.brokers, f"{kafka.namespace}.group", f"{kafka.namespace}.buckets"]
        static = [] if instance is None else [instance]
        self.process = Process(log.stem, [*script, *where, str(session_ms), *static], log=log)
        self.process.start()

    @property
    def partitions(self) -> list[int]:
        """Its last assignment, nothing before the first."""
        lines = [line for line in self._log.read_text().splitlines() if line.startswith("[")]
        return json.loads(lines[-1]) if lines else []


@pytest.fixture
def join(kafka: KafkaConfig, tmp_path: Path) -> Iterator[Join]:
    """Starts members of one group on a topic of six partitions, and ends them."""
    spec = TopicSpec(name=f"{kafka.namespace}.buckets", partitions=PARTITIONS)
    ensure_topics(admin(kafka), [spec])
    members: list[Member] = []

    def join(*, session_ms: int = 60_000, instance: str | None = None) -> Member:
        log = tmp_path / f"member-{len(members)}.log"
        members.append(Member(kafka, log, session_ms=session_ms, instance=instance))
        return members[-1]

    yield join
    for member in members:
        member.process.kill()


def await_split(members: list[Member], sizes: list[int]) -> None:
    """Wait until the members own `sizes` partitions each, every partition exactly once."""

    def settled() -> bool:
        owned = [member.partitions for member in members]
        whole = sorted(partition for part in owned for partition in part) == ALL
        return whole and sorted(len(part) for part in owned) == sorted(sizes)

    wait_until(settled, timeout_s=SETTLE_TIMEOUT_S, what=f"a split into {sizes}")


def test_range_assignment_stays_whole_while_members_join_and_leave(join: Join) -> None:
    first = join()
    await_split([first], [6])
    second, third = join(), join()
    await_split([first, second, third], [2, 2, 2])
    second.process.stop()
    await_split([first, third], [3, 3])
    first.process.stop()
    await_split([third], [6])


def test_killed_static_member_takes_its_place_again_at_once(join: Join) -> None:
    # The session of a minute is far from over when its successor has the partitions.
    stays, dies = join(instance="stays"), join(instance="dies")
    await_split([stays, dies], [3, 3])
    held = dies.partitions
    dies.process.kill()
    successor = join(instance="dies")
    wait_until(
        lambda: successor.partitions == held,
        timeout_s=SETTLE_TIMEOUT_S,
        what="the same partitions under the same id",
    )
    await_split([stays, successor], [3, 3])


@pytest.mark.needs("expiry")
def test_killed_dynamic_member_is_expired(join: Join) -> None:
    stays, dies = join(session_ms=3_000), join(session_ms=3_000)
    await_split([stays, dies], [3, 3])
    dies.process.kill()
    await_split([stays], [6])
