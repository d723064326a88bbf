"""What a dataset may set of its table at any time: checked where declared. Plain data, no SDK."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from bridge.wire.errors import ConfigurationError
from sinks.layout import OWN_COLUMNS, Layout, not_selected

CLUSTER_COLUMNS_MAX = 4
_ORDERED_TYPES = ("string", "bigint", "date", "timestamp")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+")
_INTERVAL = re.compile(
    r"interval [0-9]+ (second|minute|hour|day|week)s?( [0-9]+ (second|minute|hour|day)s?)*",
    re.IGNORECASE,
)


def _whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


def _yes_or_no(text: str) -> bool:
    return text in ("true", "false")


def _interval(text: str) -> bool:
    return _INTERVAL.fullmatch(text) is not None


_DELTA: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "delta.logRetentionDuration": (_interval, "interval 30 days"),
    "delta.deletedFileRetentionDuration": (_interval, "interval 7 days"),
    "delta.checkpointInterval": (_whole, "20"),
    "delta.targetFileSize": (_whole, "134217728"),
    "delta.enableChangeDataFeed": (_yes_or_no, "true"),
    "delta.enableExpiredLogCleanup": (_yes_or_no, "true"),
}


def check_properties(properties: Mapping[str, str], where: str) -> dict[str, str]:
    """The properties as texts.

    Raises:
        ConfigurationError: one is unknown, ours, or its value is not what Delta takes.
    """
    given: object = properties
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"properties={properties!r} is not a dict",
            where=where,
            remedy='Write properties={"delta.logRetentionDuration": "interval 30 days"}',
        )
    found: dict[str, str] = {}
    for name, value in given.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"property {name!r} is no name with a dot in it", where=where, remedy="e.g. acme.x"
            )
        if name.lower().startswith("tailrace."):
            raise ConfigurationError(f"property {name!r} is Tailrace's own", where=where)
        if name.lower().startswith("delta."):
            check = _DELTA.get(name)
            if check is None:
                raise ConfigurationError(
                    f"property {name!r} is unknown, or would break how the table is written",
                    where=where,
                    remedy=f"These can be set: {', '.join(_DELTA)}",
                )
            fits, example = check
            if not fits(text):
                raise ConfigurationError(
                    f"property {name!r} is {text!r}", where=where, remedy=f"e.g. {example!r}"
                )
        found[name] = text
    return found


def check_cluster_by(
    names: Sequence[str], layout: Layout, columns: Mapping[str, str], where: str
) -> None:
    """Compare `cluster_by` with the columns of the table.

    Args:
        columns: of the transform: wire types by name.

    Raises:
        ConfigurationError: a column is unknown, has no order, or partitions the table.
    """
    known = {**columns, **layout.own_columns, **OWN_COLUMNS}
    partitions = {part.name for part in layout.partitions}
    for name in names:
        if name not in known:
            raise not_selected("cluster_by", name, columns, where)
        if name in partitions:
            raise ConfigurationError(
                f"cluster_by names {name!r}, which is the same in all of a partition",
                where=where,
                remedy="Leave it out",
            )
        of = known[name]
        if of not in _ORDERED_TYPES:
            raise ConfigurationError(
                f"cluster_by names {name!r}, whose column is a {of}: "
                "a string, bigint, date or timestamp is needed",
                where=where,
                remedy="Cast it in the transform, or leave it out",
            )
