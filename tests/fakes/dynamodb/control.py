"""The script over HTTP: what a test in another process may do to a world and ask of it.

A request is `POST /_control` with `{"action": NAME, "args": {...}}`; the answer is
`{"result": ...}`, or status 400 and `{"error": TEXT}`. Names and arguments are those of `World`.
"""

import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import orjson

from tests.fakes.dynamodb.clock import VirtualClock
from tests.fakes.dynamodb.errors import AwsError
from tests.fakes.dynamodb.world import World

_METHODS = frozenset(
    {
        "clear_faults",
        "configure",
        "create_table",
        "delete",
        "drop_shard",
        "empty_pages",
        "expire",
        "expire_credentials",
        "expire_iterators",
        "fail",
        "hide_shard",
        "items",
        "open_shards",
        "put",
        "rotate",
        "rotate_all",
        "show_open",
        "slow",
        "split",
        "stream_arn",
        "throttle",
        "trim",
        "trim_records",
    }
)


def _advance(world: World, *, seconds: float) -> float:
    if not isinstance(world.clock, VirtualClock):
        raise TypeError("only a virtual clock can be advanced; start with --virtual-clock")
    world.clock.advance(seconds)
    return world.clock.now()


def _history(world: World, *, table: str) -> list[list[dict[str, Any]]]:
    return [
        [version.as_json() for version in versions]
        for versions in world.history.items(table).values()
    ]


def _shards(world: World, *, table: str) -> list[dict[str, Any]]:
    return [
        {
            "id": shard.id,
            "parent_id": shard.parent_id,
            "open": shard.closed_s is None,
            "kept_records": len(shard.records),
            "written_records": shard.written,
        }
        for shard in world.shards(table)
    ]


_QUESTIONS: dict[str, Callable[..., Any]] = {
    "advance": _advance,
    "history": _history,
    "shards": _shards,
    "now": lambda world: world.clock.now(),
    "calls": lambda world: world.calls,
    "struck": lambda world: world.faults.struck,
}


def run(world: World, action: str, args: dict[str, Any]) -> Any:
    """Carry out one action; raises ValueError for one that there is not."""
    if action in _METHODS:
        return getattr(world, action)(**args)
    if action in _QUESTIONS:
        return _QUESTIONS[action](world, **args)
    known = ", ".join(sorted([*_METHODS, *_QUESTIONS]))
    raise ValueError(f"no action {action!r}; there are {known}")


def handle(world: World, body: bytes) -> tuple[int, bytes]:
    """The status and body that answer one control request."""
    try:
        request = orjson.loads(body)
        result = run(world, request["action"], request.get("args") or {})
    except (AwsError, ValueError, TypeError, KeyError) as error:
        return 400, orjson.dumps({"error": f"{type(error).__name__}: {error}"})
    return 200, orjson.dumps({"result": result})


class Remote:
    """A world behind an endpoint."""

    def __init__(self, endpoint: str, timeout_s: float = 30.0) -> None:
        self.endpoint = endpoint
        self._timeout_s = timeout_s

    def run(self, action: str, **args: Any) -> Any:
        """Carry out one action there; raises ValueError with the reason it was refused."""
        request = urllib.request.Request(
            f"{self.endpoint}/_control", data=orjson.dumps({"action": action, "args": args})
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                return orjson.loads(response.read())["result"]
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(orjson.loads(error.read())["error"]) from None
