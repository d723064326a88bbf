"""`tailrace pause` and `tailrace resume`: let a table, a transform or a dataset rest, durably."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bridge.control.show import write_line
from bridge.wire.errors import ConfigurationError
from bridge.wire.generations import datasets_of, read_generations
from bridge.wire.kafka import KafkaConfig
from bridge.wire.pauses import (
    KINDS,
    Kind,
    Paused,
    ensure_pauses,
    read_pauses,
    write_pause,
    write_resume,
)
from bridge.wire.topics import TopicNames, admin, existing_topics

if TYPE_CHECKING:
    from bridge.control.settings import Settings

_DYNAMODB_KEEPS_S = 24 * 3600
_WHAT: dict[Kind, str] = {
    "table": "the connector reads nothing of it; resume before {by}, when DynamoDB begins to "
    "delete what was not read (sooner by what it was behind)",
    "transform": "its processors read nothing; Kafka keeps its input as long as the retention of "
    "the changes topics",
    "dataset": "the sink writes nothing to its table; Kafka keeps its rows as long as the "
    "retention of the rows topic",
}


@dataclass(frozen=True, slots=True)
class Known:
    """Everything of a namespace that can rest, by kind."""

    names: dict[Kind, frozenset[str]]

    def find(self, text: str) -> tuple[Kind, str]:
        """`orders` or `table:orders` -> what is meant.

        Raises:
            ConfigurationError: it is nothing, or several things.
        """
        prefix, colon, name = text.partition(":")
        kinds = [kind for kind in KINDS if colon and kind == prefix]
        name = name if kinds else text
        found = [kind for kind in kinds or KINDS if name in self.names[kind]]
        if len(found) == 1:
            return found[0], name
        if found:
            spelled = " or ".join(f"{kind}:{name}" for kind in found)
            raise ConfigurationError(
                f"{name!r} is a {' and a '.join(found)}", where="pause", remedy=f"Write {spelled}"
            )
        every = sorted(f"{kind}:{known}" for kind in KINDS for known in self.names[kind])
        near = difflib.get_close_matches(text, [*every, *(e.split(":", 1)[1] for e in every)], n=1)
        remedy = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(every) or 'none'}"
        raise ConfigurationError(
            f"{text[:100]!r} is no table, transform or dataset that ran here",
            where="pause",
            remedy=remedy,
        )


def known_names(kafka: KafkaConfig) -> Known:
    """What the topics of the namespace tell of.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    changes = TopicNames(kafka.namespace).changes("")
    topics = existing_topics(admin(kafka))
    transforms = read_generations(kafka).transforms
    return Known(
        {
            "table": frozenset(t.removeprefix(changes) for t in topics if t.startswith(changes)),
            "transform": frozenset(transforms),
            "dataset": frozenset(d for r in transforms.values() for d in datasets_of(r.flows)),
        }
    )


def run_pause(settings: Settings, names: Sequence[str], *, dry_run: bool, as_json: bool) -> None:
    """Let these rest; without names, say what rests.

    Raises:
        ConfigurationError: a name is nothing that can rest.
        BrokerUnreachableError: Kafka does not answer.
    """
    kafka = settings.kafka_config()
    resting = read_pauses(kafka)
    if not names:
        _say_all(list(resting.values()), as_json=as_json)
        return
    known = known_names(kafka)
    wanted = [known.find(name) for name in names]
    if not dry_run:
        ensure_pauses(kafka, settings.replication)
    done = []
    for kind, name in wanted:
        before = resting.get((kind, name))
        pause = before or Paused(kind, name, int(time.time()))
        if before is None and not dry_run:
            write_pause(kafka, pause)
        done.append(_figures(pause) | {"already": before is not None})
        if not as_json:
            verb = "was paused already" if before else "would be paused" if dry_run else "paused"
            write_line(f"{kind} {name} {verb}: {_WHAT[kind].format(by=_trimmed_at(pause))}")
    if as_json:
        write_line(json.dumps({"paused": done, "dry_run": dry_run}))


def run_resume(settings: Settings, names: Sequence[str], *, dry_run: bool, as_json: bool) -> None:
    """Let these go on where they stood.

    Raises:
        ConfigurationError: a name is nothing that rests.
        BrokerUnreachableError: Kafka does not answer.
    """
    kafka = settings.kafka_config()
    resting = read_pauses(kafka)
    names_of = {kind: frozenset(n for k, n in resting if k == kind) for kind in KINDS}
    wanted = [Known(names_of).find(name) for name in names]
    done = []
    for kind, name in wanted:
        if not dry_run:
            write_resume(kafka, kind, name)
        done.append(_figures(resting[kind, name]))
        if not as_json:
            rested_s = int(time.time()) - resting[kind, name].at_s
            verb = "would go on" if dry_run else "goes on"
            write_line(f"{kind} {name} {verb} where it stood, after {rested_s:,} s")
    if as_json:
        write_line(json.dumps({"resumed": done, "dry_run": dry_run}))


def _say_all(resting: Sequence[Paused], *, as_json: bool) -> None:
    if as_json:
        write_line(json.dumps({"paused": [_figures(pause) for pause in resting]}))
        return
    for pause in resting:
        write_line(f"{pause.kind} {pause.name}: paused since {_moment(pause.at_s)}")
    if not resting:
        write_line("nothing is paused")


def _figures(pause: Paused) -> dict[str, Any]:
    figures: dict[str, Any] = {"kind": pause.kind, "name": pause.name, "at": _moment(pause.at_s)}
    return figures | ({"resume_before": _trimmed_at(pause)} if pause.kind == "table" else {})


def _trimmed_at(pause: Paused) -> str:
    return _moment(pause.at_s + _DYNAMODB_KEEPS_S)


def _moment(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
