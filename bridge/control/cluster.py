"""Puts the parts and the three stages of a run together: what `demo` and `dev` have in common.

Parts come first and go last; nothing is left running however the block is left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.control import settings as environment
from bridge.control.local import EmbeddedBroker, EmbeddedDynamoDB
from bridge.control.supervisor import StageSpec

if TYPE_CHECKING:
    from bridge.control.plan import Plan
    from bridge.control.settings import Settings

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs beside the stages; None for what is somebody else's."""

    broker: EmbeddedBroker | None
    dynamodb: EmbeddedDynamoDB | None
    settings: Settings

    def check(self) -> None:
        """Raises: TailraceError: one ended by itself."""
        for part in (self.broker, self.dynamodb):
            if part is not None:
                part.check()


@contextlib.contextmanager
def parts(settings: Settings, folder: Path, region: str | None, report: Report) -> Iterator[Parts]:
    """Start what is missing: a broker unless one is set, a DynamoDB when a `region` is given.

    Yields the settings completed by the broker's address.

    Raises:
        TailraceError: a part can't start.
    """
    with contextlib.ExitStack() as stack:
        broker = dynamodb = None
        if not settings.brokers:
            broker = EmbeddedBroker(folder)
            stack.callback(broker.stop)
            broker.start()
            settings = settings.model_copy(
                update={"brokers": broker.bootstrap, "static_membership": True}
            )
            report(f"embedded broker at {broker.bootstrap}")
            if broker.forgot:
                report("it was killed last time, so it starts empty: a new snapshot follows")
        if region is not None:
            dynamodb = EmbeddedDynamoDB(folder, region)
            stack.callback(dynamodb.stop)
            dynamodb.start()
            environment.adopt(dynamodb.environment())
            report(f"embedded DynamoDB at {dynamodb.endpoint}")
        yield Parts(broker, dynamodb, settings)


def stage_specs(plan: Plan, target: str, settings: Settings, folder: Path) -> list[StageSpec]:
    """The processes of a plan: one connector, one processor per transform, one sink."""
    common: dict[str, object] = {
        "brokers": settings.brokers,
        "namespace": settings.namespace,
        "lake": settings.lake or str(folder / "lake"),
        "state_dir": folder / "state",
        "static_membership": settings.static_membership,
        "enable_streams": True,
        "log_format": "text",
        "fail": None,
    }
    file = target if len(plan.transforms) == 1 else str(plan.path)
    processors = [
        StageSpec(
            kind="processor",
            name="processor" if len(plan.transforms) == 1 else f"processor-{transform.name}",
            target=f"{plan.path}:{transform.name}",
            settings=common,
        )
        for transform in plan.transforms
    ]
    return [
        StageSpec(kind="connector", name="connector", target=file, settings=common),
        *processors,
        StageSpec(kind="sink", name="sink", target=file, settings=common),
    ]
