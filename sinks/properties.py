"""What a table says about itself: name, tags, layout, order, statistics, retention.

All of it stands in properties, which a changed declaration updates in a commit of its own, except
the layout: it can't be changed in place.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from bridge.wire.errors import ConfigurationError
from sinks.dataset import Dataset
from sinks.keys import quoted
from sinks.layout import Layout
from sinks.ledger import LOADING
from sinks.table import SNAPSHOT_PROPERTY, Snapshot

TAGS_PROPERTY = "tailrace.tags"
DATASET_PROPERTY = "tailrace.dataset"
LAYOUT_PROPERTY = "tailrace.layout"
CLUSTER_PROPERTY = "tailrace.cluster_by"
CHECKPOINT_INTERVAL = 20
_STATISTICS = {"log": "_key,_version,_event_time", "history": "_key,_version,valid_from,valid_to"}


def table_properties(dataset: Dataset) -> dict[str, str]:
    """Properties of a new table: statistics on what merges prune by, a week of history."""
    return {**declared_properties(dataset), SNAPSHOT_PROPERTY: LOADING}


def declared_properties(dataset: Dataset) -> dict[str, str]:
    """Those that follow from the declaration."""
    layout = dataset.layout
    measured = _STATISTICS.get(layout.mode, "_key,_version,_event_time").split(",")
    measured += [quoted(name) for name in dataset.cluster_by if name not in measured]
    return {
        "delta.checkpointInterval": str(CHECKPOINT_INTERVAL),
        "delta.dataSkippingStatsColumns": ",".join(measured),
        "delta.logRetentionDuration": "interval 7 days",
        "delta.deletedFileRetentionDuration": "interval 9 days",  # vacuum keeps two less
        **dataset.properties,
        DATASET_PROPERTY: dataset.id,
        TAGS_PROPERTY: orjson.dumps(list(dataset.tags)).decode(),
        LAYOUT_PROPERTY: layout.text,
        CLUSTER_PROPERTY: orjson.dumps(list(dataset.cluster_by)).decode(),
    }


def outdated_metadata(
    snapshot: Snapshot | None, dataset: Dataset
) -> list[Callable[[Snapshot], None]]:
    """Commits that bring what a table says up to its declaration; one that is right needs none."""
    if snapshot is None:
        return []
    found = snapshot.properties
    unsaid = {LAYOUT_PROPERTY: Layout().text, CLUSTER_PROPERTY: "[]"}
    changed = {
        name: value
        for name, value in declared_properties(dataset).items()
        if found.get(name) != value
        # A table of a release before says nothing of the only layout and order there was.
        and not (name not in found and value == unsaid.get(name))
    }
    commits: list[Callable[[Snapshot], None]] = []
    if changed:
        commits.append(lambda snapshot: snapshot.set_properties(changed))
    if snapshot.description != dataset.description:
        commits.append(lambda snapshot: snapshot.set_description(dataset.description))
    return commits


def check_layout(snapshot: Snapshot, dataset: Dataset) -> None:
    """Never write rows of one layout into a table of another.

    Raises:
        ConfigurationError: the table has another one.
        LayoutError: nobody can tell which one it has.
    """
    found, declared = Layout.read(snapshot.properties.get(LAYOUT_PROPERTY)), dataset.layout
    if found.text == declared.text:
        return
    pairs = {
        "mode": (found.mode, declared.mode),
        "deletes": (found.deletes, declared.deletes),
        "partition_by": (list(found.partition_by), list(declared.partition_by)),
    }
    changed = ((name, old, new) for name, (old, new) in pairs.items() if old != new)
    what = ", ".join(f"{name}={new!r} (it is {old!r})" for name, old, new in changed)
    raise ConfigurationError(
        f"the table can't become {what} in place",
        where=f"Dataset(id={dataset.id!r})",
        remedy="Give the dataset another id: a new table is filled beside the old one",
    )
