"""DynamoDBSource: the declaration of what to read. Plain data; opens nothing, imports no SDK."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from bridge.wire.errors import ConfigurationError

# Source: "Naming rules and data types", Amazon DynamoDB Developer Guide.
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamoDBSource:
    """A DynamoDB table whose every change is wanted, in order.

    Args:
        table_name: the table's name, 3 to 255 of `A-Z a-z 0-9 _ . -`.
        region: its AWS region, e.g. `us-west-2`; None takes botocore's.
        stream_enabled: the table's stream is expected to be on (NEW_AND_OLD_IMAGES). `demo` and
            `dev` turn a missing stream on; `run connector` only with `TAILRACE_ENABLE_STREAMS=1`.
        snapshot: `initial` reads the existing items, then every change; `never` only changes;
            `only` the existing items, once, and no stream: the table needs none. A backfill reads
            them again.
        on_gap: what to do when DynamoDB trimmed changes before they were read: `stop` with the
            command that repairs it, or `resnapshot` at once.

    Raises:
        ConfigurationError: a value is not one of these.
    """

    table_name: str
    region: str | None = None
    stream_enabled: bool = True
    snapshot: Literal["initial", "never", "only"] = "initial"
    on_gap: Literal["stop", "resnapshot"] = "stop"

    def __post_init__(self) -> None:
        if not (isinstance(self.table_name, str) and _TABLE_NAME.fullmatch(self.table_name)):
            raise ConfigurationError(
                f"{self.table_name!r} is not the name of a DynamoDB table",
                where="DynamoDBSource(table_name=…)",
                remedy="Use 3 to 255 of the characters A-Z a-z 0-9 _ . -",
            )
        for name, allowed in (
            ("snapshot", ("initial", "never", "only")),
            ("on_gap", ("stop", "resnapshot")),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    f"{name}={getattr(self, name)!r}",
                    where=f"DynamoDBSource(table_name={self.table_name!r})",
                    remedy=f"Use one of {', '.join(allowed)}",
                )
